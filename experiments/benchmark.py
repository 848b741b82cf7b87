"""Speed measurements of this library beside plain programs for the same work.

  python -m experiments.benchmark input      photographs and masks from disk to batches, beside a PyTorch DataLoader

Each writes experiments/results/benchmark/NAME.json and NAME.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from experiments.benchmarks import input as input_

# Each module has `add(commands)`, which sets `run(arguments) -> exit status`.
PROGRAMS = (input_,)


def main(argv: Sequence[str] | None = None) -> int:
  """Runs one of PROGRAMS; returns the exit status."""
  parser = argparse.ArgumentParser(prog='python -m experiments.benchmark', description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
  commands = parser.add_subparsers(metavar='PROGRAM', required=True)
  for program in PROGRAMS:
    program.add(commands)
  arguments = parser.parse_args(argv)
  return arguments.run(arguments)


if __name__ == '__main__':
  sys.exit(main())
