"""Programs that answer one batch of photographs with the multi-task network, each a process that is told when to.

  python -m experiments.benchmarks.answers ours|plain|onnxruntime|torch|torch_compiled --size 896 --batch 1 --dtype float32

Each writes one line of JSON when it has answered for the first time. Then it answers lines on stdin: 'N' with the seconds
that N further answers took, 'save PATH' by writing its answer there, 'facts' with what it knows. Where a package is
missing, the line is {"missing": ...} and the process ends.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

# By name, the module and how its `Side` is made. 'plain' is our network as JAX computes it unless it is told otherwise.
SIDES: dict[str, tuple[str, dict[str, bool]]] = {
    'ours': ('answer_ours', {}), 'plain': ('answer_ours', {'plain': True}), 'onnxruntime': ('answer_onnxruntime', {}),
    'torch': ('answer_torch', {}), 'torch_compiled': ('answer_torch', {'compiled': True})}
DTYPES = ('float32', 'bfloat16')
HEADS = ('maps', 'lesions', 'grades')  # what all sides give
SEED = 0


class Job(NamedTuple):
  """What is answered: photographs by size and number, the type of the computation, and a multiplier of all channels."""

  size: int
  batch: int
  dtype: str
  width: float = 1.0

  @property
  def fields(self) -> dict[str, Any]:
    """Of `get_model`: the multi-task network with Lesion-Net-16s."""
    own = {'dtype': self.dtype, 'width': self.width}
    return {'name': 'multitask', 'lesion': {'name': 'lesion_net_16s', **own}, **own}

  def arguments(self) -> list[str]:
    """Of the command line."""
    return [text for name, value in self._asdict().items() for text in (f'--{name}', str(value))]


def make_images(job: Job) -> np.ndarray:
  """uint8 [B, S, S, 3]: noise, the same each time. The time of an answer does not depend on it."""
  return np.random.default_rng(SEED).integers(0, 256, (job.batch, job.size, job.size, 3), np.uint8)


def make_variables(job: Job) -> dict[str, Any]:
  """The weights of all sides: drawn, running statistics and BatchNorm's parameters included."""
  import jax
  from flax import traverse_util

  from lesion_jax.models import get_model
  from lesion_jax.weights.initialize import initialize

  example = jax.ShapeDtypeStruct((1, job.size, job.size, 3), np.uint8)
  flat = traverse_util.flatten_dict(initialize(get_model(**job.fields), example, SEED), sep='/')
  rng = np.random.default_rng(SEED)
  for name, value in flat.items():
    if name.endswith(('/scale', '/var')):
      flat[name] = value * rng.uniform(0.8, 1.25, value.shape).astype(np.float32)
    elif name.endswith(('/mean', '/bias')):
      flat[name] = value + rng.normal(0, 0.05, value.shape).astype(np.float32)
  return traverse_util.unflatten_dict(flat, sep='/')


def serve(side: Any, started: float) -> None:
  """Answers lines until stdin ends. `side` has `answer()`, which waits for it, `result() -> arrays by head`, `facts()`."""
  side.answer()
  print(json.dumps({'seconds_to_ready': time.perf_counter() - started}), flush=True)
  side.answer()  # a second one of the same shape is the first that is like all others
  for line in map(str.strip, sys.stdin):
    start = time.perf_counter()
    if line == 'facts':
      found = side.facts()
    elif line.startswith('save '):
      np.savez(line.removeprefix('save '), **side.result())
      found = {}
    else:
      for _ in range(int(line)):
        side.answer()
      found = {'seconds': (time.perf_counter() - start) / int(line)}
    print(json.dumps(found), flush=True)


def add_options(parser: argparse.ArgumentParser) -> None:
  """Adds the fields of a job."""
  parser.add_argument('--size', type=int, required=True)
  parser.add_argument('--batch', type=int, required=True)
  parser.add_argument('--dtype', choices=DTYPES, required=True)
  parser.add_argument('--width', type=float, default=1.0)


def main(argv: Sequence[str] | None = None) -> None:
  """Runs one side."""
  started = time.perf_counter()
  parser = argparse.ArgumentParser()
  parser.add_argument('side', choices=SIDES)
  add_options(parser)
  arguments = vars(parser.parse_args(argv))
  module, options = SIDES[arguments.pop('side')]
  try:
    answering = importlib.import_module(f'experiments.benchmarks.{module}').Side(Job(**arguments), **options)
  except ImportError as error:
    print(json.dumps({'missing': str(error)}), flush=True)
    return
  serve(answering, started)


if __name__ == '__main__':
  main()
