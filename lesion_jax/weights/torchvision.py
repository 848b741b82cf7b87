"""State dicts under torchvision's names, from a .safetensors file or from torch's own."""

from __future__ import annotations

import pathlib

import numpy as np

from lesion_jax.weights import tensors


def read_torchvision(path: str | pathlib.Path) -> dict[str, np.ndarray]:
  """The arrays of a state dict by torch's flat name, in torch's layout (see `names.to_flax`).

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
  """Whether a file is one by its first bytes, the length of a header and the start of its JSON, or else by its name."""
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
  except Exception as error:  # torch raises pickle, zip, runtime and end-of-file errors alike
    raise ValueError(f'{path} is damaged or holds more than weights ({error}); fetch it again') from error
  if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
    raise ValueError(f'{path} is not a state dict of tensors; save it with torch.save(model.state_dict(), path)')
  # NumPy has no bfloat16: torch widens it.
  return {name: (x.float() if x.dtype == torch.bfloat16 else x).numpy() for name, x in state.items()}


def _single(array: np.ndarray) -> np.ndarray:
  return array if array.dtype.kind in 'biu' else array.astype(np.float32, copy=False)
