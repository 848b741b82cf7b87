"""What a borrowed machine has: versions of its packages, its devices, their speed, and what of the library can be imported.

  python -m experiments.borrowed.check --out environment.json
"""

from __future__ import annotations

import argparse
import importlib
import pathlib
import platform
import sys
from collections.abc import Sequence
from importlib import metadata

import jax

from experiments import record
from experiments.benchmarks.machine import limits

# What each needs beside the standard library shows in whether it can be imported.
PROGRAMS = ('experiments.benchmarks.gpu', 'experiments.idrid', 'experiments.program', 'torch')


def main(argv: Sequence[str] | None = None) -> int:
  """Writes what there is; returns 0: what is missing is said, and keeps only what needs it from running."""
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--out', type=pathlib.Path, required=True, help='the JSON file')
  arguments = parser.parse_args(argv)
  device = jax.devices()[0]
  result = {
      'python': platform.python_version(), 'devices': [f'{each.platform}: {each.device_kind}' for each in jax.devices()],
      'memory': (device.memory_stats() or {}).get('bytes_limit'), 'hardware': record.hardware(),
      'speed': {dtype: limits(dtype) for dtype in ('float32', 'bfloat16')},
      'missing': {name: why for name in PROGRAMS if (why := _missing(name))},
      'packages': {each.name: each.version for each in sorted(metadata.distributions(), key=lambda each: each.name.lower())}}
  record.save(arguments.out, result)
  for name in ('python', 'devices', 'memory', 'speed', 'missing'):
    print(f'{name}: {result[name]}')
  return 0


def _missing(name: str) -> str:
  try:
    importlib.import_module(name)
  except Exception as error:  # noqa: BLE001 (whatever a package that does not fit raises is what is to be known)
    return f'{type(error).__name__}: {error}'
  return ''


if __name__ == '__main__':
  sys.exit(main())
