"""Two programs that take training steps, ours and PyTorch's, each a process of its own that is told when to.

  python -m experiments.benchmarks.steps ours|plain|torch|torch_compiled --network lesion_net_16s --size 256 --batch 2 ...

Each writes one line of JSON when it is ready: the losses of its first two steps and how long it took to get there. Then
it answers a line 'N' on stdin with the seconds that one of N further steps took, and 'facts' with what it knows of its machine
and of the step. Where the device's memory does not suffice, the line is {"error": ...} and the process ends.
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

from experiments.benchmarks.answers import add_options

# By name, the module and how its `Side` is made.
SIDES: dict[str, tuple[str, dict[str, bool]]] = {
    'ours': ('step_ours', {}), 'plain': ('step_ours', {'plain': True}), 'torch': ('step_torch', {}),
    'torch_compiled': ('step_torch', {'compiled': True})}
LESION = {'name': 'lesion_net_16s'}
# What is trained: the network, the name of its loss, and the branch that is not trained.
NETWORKS: dict[str, dict[str, Any]] = {
    'lesion_net_16s': {'fields': LESION, 'loss': 'dual_dice', 'frozen': None},
    'multitask': {'fields': {'name': 'multitask', 'lesion': LESION}, 'loss': 'grade_cross_entropy', 'frozen': 'lesion'},
}
RATE, MOMENTUM, WEIGHT_DECAY, DUAL_WEIGHT = 1e-3, 0.95, 1e-4, 0.8  # IV-A and III-A of the paper
SEED = 0
LOSSES = 2  # of so many first steps; the second is the first that depends on a gradient


class Job(NamedTuple):
  """What one process trains."""

  network: str
  size: int
  batch: int
  dtype: str
  width: float

  @property
  def fields(self) -> dict[str, Any]:
    """Of `get_model`, every network in it with the width and the dtype."""
    own = {'width': self.width, 'dtype': self.dtype}
    fields = NETWORKS[self.network]['fields']
    return {key: value | own if isinstance(value, dict) else value for key, value in fields.items()} | own


def make_batch(job: Job) -> dict[str, np.ndarray]:
  """Noise with lesions on a twentieth of the area and all grades: the same each time. The time of a step does not
  depend on it."""
  rng = np.random.default_rng(SEED)
  square = (job.batch, job.size, job.size)
  return {
      'image': rng.integers(0, 256, (*square, 3), np.uint8),
      'lesions': rng.integers(0, 256, square, np.uint8) * (rng.random(square) < 0.1).astype(np.uint8),
      'ignore': np.zeros(square, np.uint8),
      'annotated': np.full(job.batch, 255, np.uint8),
      'grade': np.arange(job.batch, dtype=np.int32) % 5,
      'weight': np.ones(job.batch, np.float32),
  }


def initial_variables(job: Job) -> dict[str, Any]:
  """The weights from which both sides start."""
  import jax

  from lesion_jax.models import get_model
  from lesion_jax.weights.initialize import initialize

  images = jax.ShapeDtypeStruct((1, job.size, job.size, 3), np.uint8)
  return initialize(get_model(**job.fields), images, SEED)


def serve(side: Any, started: float) -> None:
  """Answers lines until stdin ends. `side` has `step() -> loss on the device`, `finish(loss) -> float`, `facts()`."""
  try:
    losses = [side.finish(side.step()) for _ in range(LOSSES)]
  except Exception as error:
    if not side.is_out_of_memory(error):
      raise
    print(json.dumps({'error': 'out of memory'}), flush=True)
    return
  print(json.dumps({'losses': losses, 'seconds_to_ready': round(time.perf_counter() - started, 1)}), flush=True)
  for line in sys.stdin:
    if line.strip() == 'facts':
      print(json.dumps(side.facts()), flush=True)
      continue
    start = time.perf_counter()
    for _ in range(int(line)):
      loss = side.step()
    side.finish(loss)
    print(json.dumps({'seconds': (time.perf_counter() - start) / int(line)}), flush=True)


def main(argv: Sequence[str] | None = None) -> None:
  """Runs one side."""
  started = time.perf_counter()
  parser = argparse.ArgumentParser()
  parser.add_argument('side', choices=SIDES)
  parser.add_argument('--network', choices=NETWORKS, required=True)
  add_options(parser)
  arguments = parser.parse_args(argv)
  job = Job(arguments.network, arguments.size, arguments.batch, arguments.dtype, arguments.width)
  module, options = SIDES[arguments.side]
  serve(importlib.import_module(f'experiments.benchmarks.{module}').Side(job, **options), started)


if __name__ == '__main__':
  main()
