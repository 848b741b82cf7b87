"""A folder for PyTorch: the weights under torch's names, and the modules that take them."""

from __future__ import annotations

import importlib.util
import pathlib
import shutil
import sys
import uuid
from collections.abc import Mapping
from typing import Any

import numpy as np

from lesion_jax.export.check import Run
from lesion_jax.export.source import Refused, Source
from lesion_jax.weights import names, tensors

MODULE, WEIGHTS = 'lesion_jax_torch', 'model.safetensors'
MODULES = ('torch', 'safetensors')
USAGE = f'''\
`{MODULE}/` has the network as plain PyTorch modules; it needs `torch` and `safetensors`, and nothing of lesion_jax.
`{WEIGHTS}` is its state dict.

```python
import torch
import {MODULE}
network = {MODULE}.load(folder)
with torch.inference_mode():
  found = network(torch.from_numpy(images))  # a dict of tensors; network(images, logits=True) for training
```

It takes uint8, or floats in 0..255, at the size of the network alone, and refuses what was scaled to 0..1 or normalised, of
which it would answer wrongly. `network.size = None` lets it take other sizes, as for training on crops.

Trained on in PyTorch, it goes back with `safetensors.torch.save_file(network.state_dict(), '{WEIGHTS}')` and
`lesion-jax import-weights`; the metrics in `config.json` are then no longer its own.
`network.encoder` (in a grading network `network.grading.encoder` and `network.lesion.encoder`) has the state dict of
torchvision's `inception_v3` without `fc` and `AuxLogits`.'''


def write(source: Source, folder: pathlib.Path) -> Run:
  """Writes the modules and the state dict beside the config.json that is there, and loads them from there.

  Raises:
    ImportError: torch is not installed.
    Refused: there is no such network in PyTorch.
  """
  import_torch()
  _check(source.config['model'])
  state = names.to_torch(source.weights)
  (folder / WEIGHTS).write_bytes(tensors.encode(state))
  shutil.copytree(pathlib.Path(__file__).with_name(MODULE), folder / MODULE,
                  ignore=lambda _, found: [name for name in found if not name.endswith('.py')])
  return make_run(_import_from(folder).load(folder))


def import_torch() -> Any:
  """Returns torch. Raises ImportError with the command that installs it."""
  try:
    import torch  # heavy, and needed for this alone
  except ImportError as error:
    raise ImportError("PyTorch is not installed: pip install 'lesion_jax[torch]'") from error
  return torch


def make_module(source: Source) -> Any:
  """Returns the network with its weights, in eval mode.

  Raises:
    Refused: there is no such network in PyTorch.
  """
  _check(source.config['model'])
  import safetensors.torch

  from lesion_jax.export.lesion_jax_torch import build

  network = build(**source.config['model'])
  network.load_state_dict(safetensors.torch.load(tensors.encode(names.to_torch(source.weights))))
  return network.eval()


def make_run(network: Any) -> Run:
  """Returns a network of the modules as a function of NumPy arrays."""
  torch = import_torch()

  def run(images: np.ndarray) -> dict[str, np.ndarray]:
    with torch.inference_mode():
      return {head: value.numpy() for head, value in network(torch.from_numpy(images)).items()}

  return run


def _check(model: Mapping[str, Any]) -> None:
  """Raises Refused where PyTorch does not have the network or one inside it."""
  from lesion_jax.export.lesion_jax_torch import NETWORKS

  if model['name'] not in NETWORKS:
    raise Refused(f'the network {model["name"]!r} cannot go to PyTorch or ONNX; those that can: {", ".join(NETWORKS)}. '
                  'saved_model and stablehlo take every network')
  for value in model.values():
    if isinstance(value, Mapping):
      _check(value)


def _import_from(folder: pathlib.Path) -> Any:
  """The package that was written, without a trace in the folder or in `sys.modules`."""
  name = f'_{MODULE}_{uuid.uuid4().hex}'  # whatever else goes by the package's own name stays what it is
  spec = importlib.util.spec_from_file_location(name, folder / MODULE / '__init__.py')
  module = sys.modules[name] = importlib.util.module_from_spec(spec)
  writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
  try:
    spec.loader.exec_module(module)
  finally:
    sys.dont_write_bytecode = writes
    for loaded in [loaded for loaded in sys.modules if loaded.partition('.')[0] == name]:
      del sys.modules[loaded]
  return module
