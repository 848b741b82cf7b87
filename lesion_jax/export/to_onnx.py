"""One ONNX graph, from uint8 image to probabilities, made from the PyTorch twin."""

from __future__ import annotations

import json
import pathlib
import warnings

import numpy as np

import lesion_jax
from lesion_jax.export import alone, to_torch
from lesion_jax.export.check import Run
from lesion_jax.export.source import Source

FILE = 'model.onnx'
OPSET = 20
MODULES = ('onnxruntime', 'onnx', 'torch')
USAGE = f'''\
`{FILE}` is one graph (opset {OPSET}) from uint8 images to all outputs, for any batch. Its metadata holds what
`config.json` says of lesions, grades, thresholds, presence, smallest regions, temperatures,
operating points and preprocessing.

```python
import onnxruntime
session = onnxruntime.InferenceSession(folder / '{FILE}')
found = dict(zip([output.name for output in session.get_outputs()], session.run(None, {{'images': images}})))
```'''


def write(source: Source, folder: pathlib.Path) -> Run:
  """Writes model.onnx, and runs it from there in onnxruntime on the CPU.

  Raises:
    ImportError: torch, onnx, onnxruntime or onnxscript is not installed.
    Refused: there is no such network in PyTorch.
  """
  try:
    import onnx
    import onnxruntime
    import onnxscript  # noqa: F401  torch's exporter needs it
    import torch
  except ImportError as error:
    raise ImportError(f"{error.name} is not installed: pip install 'lesion_jax[onnx]'") from error

  network = to_torch.make_module(source)
  images = torch.zeros((2, source.size, source.size, 3), dtype=torch.uint8)
  with torch.inference_mode():
    heads = list(network(images[:1]))
  with warnings.catch_warnings():
    warnings.simplefilter('ignore', FutureWarning)  # torch warns of itself
    model = torch.onnx.export(
        network, (images,), dynamo=True, opset_version=OPSET, verbose=False, input_names=['images'],
        output_names=heads, dynamic_shapes=({0: torch.export.Dim('batch')},)).model_proto
  onnx.helper.set_model_props(model, metadata(source))
  onnx.checker.check_model(model)
  onnx.save(model, folder / FILE)
  session = onnxruntime.InferenceSession(folder / FILE, providers=['CPUExecutionProvider'])

  def run(images: np.ndarray) -> dict[str, np.ndarray]:
    found = session.run(None, {'images': images})
    return {output.name: value for output, value in zip(session.get_outputs(), found, strict=True)}

  return run


def metadata(source: Source) -> dict[str, str]:
  """Returns what the graph says of itself: strings, JSON but for the network's name, the version and the digest."""
  described = {key: json.dumps(source.config[key])
               for key in alone.PAGE if key != 'model' and key in source.config}
  return described | {'model': source.config['model']['name'], 'weights_sha256': source.digest,
                      'lesion_jax': lesion_jax.__version__}
