"""State dicts under torchvision's names, from a .safetensors file or from torch's own."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np

from lesion_jax.weights import tensors

LISTED = 8  # keys of a file that a message shows


def read_torchvision(path: str | pathlib.Path) -> dict[str, np.ndarray]:
  """Returns the arrays of a state dict by torch's flat name, in torch's layout (see `names.to_flax`).

  Half precision, bfloat16 and double become float32; integers stay. Torch is imported only for its own format, and then
  with `weights_only`, so that no file can run code.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: a damaged file, or one that is not a flat state dict.
    ImportError: the file is torch's own and torch is not installed.
  """
  path = pathlib.Path(path)
  if not path.is_file():
    raise FileNotFoundError(f'no weights at {path}')
  state = tensors.decode(path.read_bytes(), source=str(path)) if is_safetensors(path) else _read_torch(path)
  return {name: _single(array) for name, array in state.items()}


def is_safetensors(path: pathlib.Path) -> bool:
  """Returns whether a file is one by its first bytes, the length of a header and the start of its JSON, or else by its
  name."""
  with path.open('rb') as file:
    return file.read(9)[8:] == b'{' or path.suffix == '.safetensors'


def _read_torch(path: pathlib.Path) -> dict[str, np.ndarray]:
  try:
    import torch  # Heavy, and needed for this one format only.
  except ImportError as error:
    raise ImportError(f'{path.name} needs torch: pip install lesion_jax[torch], or convert it to .safetensors'
                      ) from error
  try:
    state = torch.load(path, map_location='cpu', weights_only=True)
  except Exception as error:  # torch raises pickle, zip, runtime and end-of-file errors alike, in nine lines
    said = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    raise ValueError(f'{path} is damaged or holds more than weights ({said[:120]}): fetch it again, or save what has weights '
                     'alone, by torch.save(model.state_dict(), path)') from error
  if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
    raise ValueError(f'{path} is not a state dict of tensors but {_contents(state, torch.Tensor)}')
  # NumPy has no bfloat16: torch widens it.
  return {name: (x.float() if x.dtype == torch.bfloat16 else x).detach().numpy() for name, x in state.items()}


def _contents(found: Any, tensor: type) -> str:
  """What a file holds that is no state dict, and how to make one of it."""
  if not isinstance(found, dict):
    return f'a {type(found).__name__}; save it with torch.save(model.state_dict(), path)'
  keys = ', '.join(f'{str(key)[:40]!r}' for key in list(found)[:LISTED]) + (
      f' and {len(found) - LISTED} more' if len(found) > LISTED else '')
  inside = [key for key, value in found.items()
            if isinstance(value, dict) and value and all(isinstance(each, tensor) for each in value.values())]
  if not inside:
    return f'a dictionary with the keys {keys}; save the weights alone with torch.save(model.state_dict(), path)'
  return (f'a dictionary with the keys {keys}; weights are under {" and ".join(map(repr, inside[:3]))}: save those alone with '
          f'torch.save(torch.load(path)[{inside[0]!r}], other)')


def _single(array: np.ndarray) -> np.ndarray:
  return array if array.dtype.kind in 'biu' else array.astype(np.float32, copy=False)
