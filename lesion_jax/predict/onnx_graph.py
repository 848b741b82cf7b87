"""The onnxruntime backend: the same network as one ONNX graph, made once from a bundle and kept in the cache.

A graph that came with a bundle is never run: nobody could say that it computes what the weights say. What is run was
made here, from those weights, and was held to the Flax network. It lies in the cache of compiled programs, which is
trusted.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import pathlib
import shutil
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
# Of a graph's folder. Beside the graph its weights lie as onnxruntime maps them into memory, instead of reading them twice.
GRAPH, WEIGHTS, DIGESTS = 'model.onnx', 'model.onnx.data', 'sha256.json'
EXPORT = pathlib.Path(lesion_jax.__file__).parent / 'export'  # the code that makes graphs


def make_predict_fn(graph: pathlib.Path, window: int = 0) -> Callable[[Any, Any], Prediction]:
  """Returns `predict_fn(variables, images) -> Prediction` in NumPy, through onnxruntime on the CPU. The graph holds the
  weights, so `variables` are not looked at.

  Args:
    graph: the folder of `find_graph`. It takes images of one size, any number at once.
    window: where the bundle says `preprocessing.window`, that: the graph takes images of its side, and they are stitched on the
      host (`photograph.windows.stitch`).

  Raises:
    ImportError: onnxruntime is missing; the message has the command that installs it.
  """
  onnxruntime = _onnxruntime()
  options = onnxruntime.SessionOptions()
  options.enable_mem_pattern = False  # it would hold all that a photograph takes a second time
  options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED  # branch after branch, not both at once
  session = onnxruntime.InferenceSession(graph / GRAPH, options, providers=['CPUExecutionProvider'])
  heads = [output.name for output in session.get_outputs()]

  def run(images: Any) -> dict[str, Any]:
    return dict(zip(heads, session.run(heads, {'images': np.asarray(images)}), strict=True))

  def predict_fn(variables: Any, images: Any) -> Prediction:
    return Prediction(**(stitch(run, images, window) if window else run(images)))

  return predict_fn


def find_graph(bundle: Bundle) -> pathlib.Path:
  """Returns the folder with the graph of a bundle. The first time it is made, which takes the packages of the extra `onnx` and about
  a minute, and kept in the cache; where nothing can be kept, every process makes it, in a temporary folder that goes when it ends.

  Args:
    bundle: of `load_bundle`, its configuration checked.

  Raises:
    ImportError: a package is missing; the message has the command that installs it.
    ValueError: ONNX does not have the network, or the graph computes something else than the Flax network, by more than
      1e-4 of a probability.
  """
  _onnxruntime()  # before a minute's work
  place = find_place(bundle)
  if is_whole(place):
    return place
  folder = pathlib.Path(tempfile.mkdtemp())
  atexit.register(shutil.rmtree, folder, ignore_errors=True)
  make_graph(bundle, folder)
  return place if keep(place, folder) else folder


def _onnxruntime() -> Any:
  try:
    import onnxruntime
  except ImportError as error:
    raise ImportError("onnxruntime is not installed: pip install 'lesion_jax[onnxruntime]'") from error
  return onnxruntime


def find_place(bundle: Bundle) -> pathlib.Path:
  """Returns the folder in which the graph of a bundle is kept, by all that it depends on: the weights, the network, the size of the
  images that it takes, and the code that makes it."""
  code = hashlib.sha256()
  for path in sorted(EXPORT.rglob('*.py')):
    code.update(path.read_bytes())
  key = [lesion_jax.__version__, code.hexdigest(), bundle.digest, bundle.config['model'],
         taken_size(bundle.config), WEIGHTS]
  name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
  return runtime.cache_dir() / FOLDER / name


def is_whole(place: pathlib.Path) -> bool:
  """Whether a graph lies there, as it was written: a damaged one may still run."""
  try:
    if not runtime.is_private(place.parent):  # others may write there
      return False
    return json.loads((place / DIGESTS).read_text('utf-8')) == _digests(place)
  except (OSError, ValueError):
    return False


def _digests(folder: pathlib.Path) -> dict[str, str]:
  found = {}
  for name in (GRAPH, WEIGHTS):
    with (folder / name).open('rb') as file:
      found[name] = hashlib.file_digest(file, 'sha256').hexdigest()
  return found


def keep(place: pathlib.Path, folder: pathlib.Path) -> bool:
  """Copies a graph from a folder to its place in the cache, whole or not at all; whether it lies there now."""
  fresh = place.with_name(f'.{uuid.uuid4().hex}.new')
  if not runtime.make_private(place.parent):
    return False
  try:
    fresh.mkdir(parents=True)
    for name in (GRAPH, WEIGHTS):
      shutil.copyfile(folder / name, fresh / name)
    (fresh / DIGESTS).write_text(json.dumps(_digests(folder)), 'utf-8')
    if not is_whole(place):  # as another process may have put it there meanwhile
      shutil.rmtree(place, ignore_errors=True)
      os.replace(fresh, place)
  except OSError:
    return is_whole(place)
  finally:
    shutil.rmtree(fresh, ignore_errors=True)
  return True


def make_graph(bundle: Bundle, folder: pathlib.Path) -> None:
  """Writes the network as an ONNX graph, held to Flax, its weights beside it. Raises as `find_graph` does."""
  from lesion_jax.export import check, to_onnx  # with what they import, needed this once
  from lesion_jax.export.source import Source

  source = Source.of(bundle)
  with tempfile.TemporaryDirectory() as whole:
    try:
      check.compare(to_onnx.write(source, pathlib.Path(whole)), source)
    except check.ExportError as error:
      raise ValueError(f"the graph for onnxruntime is not the network: {error}. backend='jax' runs it") from error
    import onnx

    onnx.save(onnx.load(pathlib.Path(whole, to_onnx.FILE)), folder / GRAPH, save_as_external_data=True, location=WEIGHTS)
