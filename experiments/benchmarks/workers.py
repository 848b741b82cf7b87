"""Programs beside each other, each a process that is told by a line when its turn is."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

PAUSE = 0.5  # seconds before a turn: threads of the one before spin for a while


@contextlib.contextmanager
def worker(module: str, *arguments: Any, environment: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen]:
  """Runs a module that answers lines, until the end of the block.

  Args:
    module: its name.
    *arguments: of its command line.
    environment: variables besides those that are set.
  """
  command = [sys.executable, '-m', module, *map(str, arguments)]
  # JAX would take most of the device at once and leave the other side too little; and never take all of it.
  variables = os.environ | {'XLA_PYTHON_CLIENT_PREALLOCATE': 'false', 'XLA_PYTHON_CLIENT_MEM_FRACTION': '0.95'} | dict(environment or {})
  with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables) as process:
    try:
      yield process
    finally:
      with contextlib.suppress(BrokenPipeError):
        process.stdin.close()


def hear(process: subprocess.Popen) -> dict[str, Any]:
  """The next line of JSON that a worker writes. Raises RuntimeError where it ended instead."""
  for line in process.stdout:
    if line.startswith('{'):  # libraries write there too, Gloo for instance
      return json.loads(line)
  raise RuntimeError(f'{" ".join(map(str, process.args[1:]))} ended with status {process.wait()}; it says above why')


def ask(process: subprocess.Popen, line: str) -> dict[str, Any]:
  """Writes a line and hears the answer."""
  process.stdin.write(f'{line}\n')
  process.stdin.flush()
  return hear(process)


def cpu_seconds(pid: int) -> float:
  """Of a process and its children so far, all threads together."""
  fields = pathlib.Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
  ticks = int(fields[11]) + int(fields[12])  # of the user and of the system
  children = ' '.join(path.read_text() for path in pathlib.Path(f'/proc/{pid}/task').glob('*/children')).split()
  return ticks / os.sysconf('SC_CLK_TCK') + sum(cpu_seconds(int(child)) for child in children)


def summarize(values: Sequence[float]) -> dict[str, Any]:
  """Median, lowest and highest of some measurements."""
  return {'median': statistics.median(values), 'lowest': min(values), 'highest': max(values), 'all': list(values)}
