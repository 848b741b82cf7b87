"""Implementations that are compared, each a process that is told by a line when its turn is, and what is said of their times."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from experiments import page

PAUSE = 0.5  # seconds before a turn: threads of the one before spin for a while
RESAMPLES, LEVEL = 2000, 95  # of the bootstrap, and per cent
NAMES = {'ours': 'ours, JAX', 'plain': 'unmodified JAX', 'onnxruntime': 'ours, onnxruntime', 'torch': 'PyTorch',
         'torch_compiled': 'PyTorch, compiled'}  # of implementations, on pages
RATIO = ['by medians', 'median of the rounds', f'{LEVEL} % interval']


@contextlib.contextmanager
def worker(module: str, *arguments: Any, environment: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen]:
  """Runs a module that replies to lines, until the end of the block.

  Args:
    module: its name.
    *arguments: of its command line.
    environment: variables besides those that are set.
  """
  command = [sys.executable, '-m', module, *map(str, arguments)]
  # JAX would take most of the device at once and leave the other implementation too little; and never take all of it.
  variables = os.environ | {'XLA_PYTHON_CLIENT_PREALLOCATE': 'false', 'XLA_PYTHON_CLIENT_MEM_FRACTION': '0.95'}
  variables |= environment or {}
  with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables) as process:
    try:
      yield process
    finally:
      with contextlib.suppress(BrokenPipeError):
        process.stdin.close()


def hear(process: subprocess.Popen) -> dict[str, Any]:
  """Returns the next line of JSON that a worker writes. Raises RuntimeError where it ended instead."""
  for line in process.stdout:
    if line.startswith('{'):  # libraries write there too, Gloo for instance
      return json.loads(line)
  raise RuntimeError(f'{" ".join(map(str, process.args[1:]))} ended with status {process.wait()}; it says above why')


def ask(process: subprocess.Popen, line: str) -> dict[str, Any]:
  """Writes a line and hears the reply."""
  process.stdin.write(f'{line}\n')
  process.stdin.flush()
  return hear(process)


def cpu_seconds(pid: int) -> float:
  """Returns the CPU seconds of a process and its children so far, all threads together."""
  fields = pathlib.Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
  ticks = int(fields[11]) + int(fields[12])  # of the user and of the system
  children = ' '.join(path.read_text() for path in pathlib.Path(f'/proc/{pid}/task').glob('*/children')).split()
  return ticks / os.sysconf('SC_CLK_TCK') + sum(cpu_seconds(int(child)) for child in children)


def summarize(values: Sequence[float]) -> dict[str, Any]:
  """Returns median, lowest and highest of some measurements."""
  return {'median': statistics.median(values), 'lowest': min(values), 'highest': max(values), 'all': list(values)}


def take_turns(running: Mapping[str, subprocess.Popen], rounds: int, count: int) -> dict[str, dict[str, list[float]]]:
  """Returns seconds and CPU seconds of one computation, by implementation, one number a round. Neighbours that disturb
  one implementation for a while disturb the next one's turn as well, so implementations are compared round by round.

  Args:
    running: by implementation, a process that replies to 'N' with the seconds of one of N computations.
    rounds: how many turns each takes.
    count: computations in a turn.
  """
  found = {name: {'seconds': [], 'cpu_seconds': []} for name in running}
  for _ in range(rounds):
    for name, process in running.items():
      time.sleep(PAUSE)
      before = cpu_seconds(process.pid)
      found[name]['seconds'].append(ask(process, str(count))['seconds'])
      found[name]['cpu_seconds'].append((cpu_seconds(process.pid) - before) / count)
  return found


def compare(times: Sequence[float], others: Sequence[float]) -> dict[str, Any]:
  """Returns how many times as long the others took, round by round: the ratio of the medians, the median of the ratios
  and the range in which the latter lies with a confidence of LEVEL per cent, by bootstrap."""
  ratios = np.asarray(others) / np.asarray(times)
  draws = np.random.default_rng(0).integers(0, len(ratios), (RESAMPLES, len(ratios)))
  low, high = np.percentile(np.median(ratios[draws], axis=1), [(100 - LEVEL) / 2, (100 + LEVEL) / 2])
  return {'of_medians': statistics.median(others) / statistics.median(times), 'median': float(np.median(ratios)),
          'low': float(low), 'high': float(high)}


def ratio_cells(ratio: Mapping[str, float]) -> list[str]:
  """Returns what a table says of `compare`, in the columns RATIO."""
  return [f'{ratio["of_medians"]:.2f}', f'{ratio["median"]:.2f}', page.span(ratio['low'], ratio['high'])]


def pair_name(pair: str) -> str:
  """Names 'torch / ours' as pages say it."""
  return ' / '.join(NAMES[name] for name in pair.split(' / '))
