"""The onnxruntime backend: the same network as one ONNX graph, made once from a bundle and kept in the cache.

A graph that came with a bundle is never run: nobody could say that it computes what the weights say. What is run was
made here, from those weights, and was held to the Flax network. It lies in the cache of compiled programs, which is
trusted.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
import tempfile
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np

import lesion_jax
from lesion_jax import runtime
from lesion_jax.core import Prediction
from lesion_jax.photograph.windows import stitch
from lesion_jax.weights.bundle import Bundle, taken_size

FOLDER = 'onnx'  # in the cache
CHECKSUM = 32  # bytes of SHA-256 before each graph, as a damaged one may still run
EXPORT = pathlib.Path(lesion_jax.__file__).parent / 'export'  # the code that makes graphs


def make_predict_fn(bundle: Bundle) -> Callable[[Any, Any], Prediction]:
  """Returns `predict_fn(variables, images) -> Prediction` in NumPy, through onnxruntime on the CPU. The graph holds the
  weights, so `variables` are not looked at.

  The first time, the graph is made, which takes the packages of the extra `onnx` and about a minute; then onnxruntime
  alone.

  A graph takes images of one size: where the bundle says `preprocessing.window` that of its windows, which are then
  stitched on the host (`photograph.windows.stitch`).

  Args:
    bundle: of `load_bundle`, its configuration checked.

  Raises:
    ImportError: a package is missing; the message has the command that installs it.
    ValueError: ONNX does not have the network, or the graph computes something else than the Flax network, by more than
      1e-4 of a probability.
  """
  try:
    import onnxruntime
  except ImportError as error:
    raise ImportError("onnxruntime is not installed: pip install 'lesion_jax[onnxruntime]'") from error
  place = find_place(bundle)
  graph = read(place) or keep(place, make_graph(bundle))
  session = onnxruntime.InferenceSession(graph, providers=['CPUExecutionProvider'])
  heads = [output.name for output in session.get_outputs()]
  window = bundle.config['preprocessing'].get('window', 0)

  def run(images: Any) -> dict[str, Any]:
    return dict(zip(heads, session.run(heads, {'images': np.asarray(images)}), strict=True))

  def predict_fn(variables: Any, images: Any) -> Prediction:
    return Prediction(**(stitch(run, images, window) if window else run(images)))

  return predict_fn


def find_place(bundle: Bundle) -> pathlib.Path:
  """Returns where the graph of a bundle is kept, by all that it depends on: the weights, the network, the size of the
  images that it takes, and the code that makes it."""
  code = hashlib.sha256()
  for path in sorted(EXPORT.rglob('*.py')):
    code.update(path.read_bytes())
  key = [lesion_jax.__version__, code.hexdigest(), bundle.digest, bundle.config['model'],
         taken_size(bundle.config)]
  name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
  return runtime.cache_dir() / FOLDER / name


def read(place: pathlib.Path) -> bytes | None:
  """Returns the graph, or None where there is none or it is damaged."""
  try:
    if not runtime.is_private(place.parent):  # others may write there
      return None
    data = place.read_bytes()
  except OSError:
    return None
  checksum, graph = data[:CHECKSUM], data[CHECKSUM:]
  return graph if hashlib.sha256(graph).digest() == checksum else None


def keep(place: pathlib.Path, graph: bytes) -> bytes:
  """Writes a graph whole or not at all, and returns it. Where there is no place to keep it, every process makes it."""
  fresh = place.with_name(f'.{uuid.uuid4().hex}.new')
  try:
    place.parent.mkdir(parents=True, exist_ok=True)
    fresh.write_bytes(hashlib.sha256(graph).digest() + graph)
    os.replace(fresh, place)
  except OSError:
    with contextlib.suppress(OSError):
      fresh.unlink()
  return graph


def make_graph(bundle: Bundle) -> bytes:
  """Returns the network as an ONNX graph, held to Flax. Raises as `make_predict_fn` does."""
  from lesion_jax.export import check, to_onnx  # with what they import, needed this once
  from lesion_jax.export.source import Source

  source = Source.of(bundle)
  with tempfile.TemporaryDirectory() as folder:
    try:
      check.compare(to_onnx.write(source, pathlib.Path(folder)), source)
    except check.ExportError as error:
      raise ValueError(f"the graph for onnxruntime is not the network: {error}. backend='jax' runs it") from error
    return pathlib.Path(folder, to_onnx.FILE).read_bytes()
