"""One process from nothing to the first answer for one photograph; it prints a line of JSON when it has it, and ends.

  python -m experiments.benchmarks.first ours|onnxruntime|torch|torch_compiled --work DIR

DIR has what `bundles.write` put there.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import resource
import sys
from typing import Any

import numpy as np

SIDES = ('ours', 'onnxruntime', 'torch', 'torch_compiled')


def command(side: str, work: pathlib.Path) -> list[str]:
  """Of this program."""
  return [sys.executable, '-m', 'experiments.benchmarks.first', side, '--work', str(work)]


def environment(side: str, work: pathlib.Path, caches: pathlib.Path) -> dict[str, str]:
  """Where a process keeps what it compiled. The graph of onnxruntime is kept beside the network."""
  ours = work / 'graphs' if side == 'onnxruntime' else caches / 'jax'
  return {'JAX_COMPILATION_CACHE_DIR': str(ours), 'TORCHINDUCTOR_CACHE_DIR': str(caches / 'torch')}


def ours(work: pathlib.Path, backend: str) -> Any:
  """As a user of this library does it."""
  import lesion_jax

  predictor = lesion_jax.load(work / 'bundle', backend=backend)
  return predictor(np.zeros((predictor.size, predictor.size, 3), np.uint8), crop=False).grades


def torch(work: pathlib.Path, compiled: bool) -> Any:
  """As a user of the exported folder does it who wants the fastest answers."""
  import torch as th

  from experiments.benchmarks import peer

  sys.path.insert(0, str(work / 'torch'))
  import lesion_jax_torch

  peer.set_up()
  network = lesion_jax_torch.load(work / 'torch')
  peer.fold(network)
  network = network.to(memory_format=th.channels_last)
  if compiled:
    network = th.compile(network)  # not frozen, unlike where answers are timed: what is frozen is not kept in its cache
  size = json.loads((work / 'torch' / 'config.json').read_text('utf-8'))['preprocessing']['size']
  with th.no_grad():
    return network(th.zeros((1, size, size, 3), dtype=th.uint8))['grades'].numpy()


def main() -> None:
  """Answers once."""
  parser = argparse.ArgumentParser()
  parser.add_argument('side', choices=SIDES)
  parser.add_argument('--work', type=pathlib.Path, required=True)
  arguments = parser.parse_args()
  if arguments.side.startswith('torch'):
    grades = torch(arguments.work, arguments.side == 'torch_compiled')
  else:
    grades = ours(arguments.work, 'jax' if arguments.side == 'ours' else arguments.side)
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
  print(json.dumps({'grades': [round(float(grade), 3) for grade in grades[0]], 'peak_bytes': peak}), flush=True)


if __name__ == '__main__':
  main()
