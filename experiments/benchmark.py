"""Speed measurements of this library beside plain programs for the same work.

  python -m experiments.benchmark input      photographs and masks from disk to batches, beside a PyTorch DataLoader
  python -m experiments.benchmark predict    inference of the multi-task network, beside PyTorch's
  python -m experiments.benchmark startup    cold start: from nothing to the first result, beside PyTorch
  python -m experiments.benchmark memory     what one photograph needs, beside PyTorch
  python -m experiments.benchmark guard      whether `predict`, and `bulk_local` where it is given IDRiD, are as fast as they were
  python -m experiments.benchmark train      a training step, beside PyTorch's
  python -m experiments.benchmark scale      training on several devices: numbers, traffic, times
  python -m experiments.benchmark profile    where the time of one inference or one training step goes
  python -m experiments.benchmark gpu        predict, memory, train and profile as a GPU is to show them
  python -m experiments.benchmark convolutions  from how many channels Winograd's algorithm pays on a CPU
  python -m experiments.benchmark tricks     what each arrangement for a CPU earns, left out one at a time
  python -m experiments.benchmark bulk_local 100 full-size photographs from disk to report, stage by stage
  python -m experiments.benchmark bulk       10,000 photographs on a Ray cluster, of which a worker is killed

Each writes experiments/results/benchmark/NAME.json and NAME.md (`profile` one of each kind, on a GPU NAME-gpu), but `guard`, which compares with those.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

# Modules of `experiments.benchmarks`, each with `add_options(parser)` and `run(arguments) -> exit status`.
PROGRAMS = ('input', 'predict', 'startup', 'memory', 'guard', 'train', 'scale', 'bulk', 'bulk_local', 'profile', 'gpu', 'convolutions',
            'tricks')


def main(argv: Sequence[str] | None = None) -> int:
  """Runs one of PROGRAMS; returns the exit status."""
  parser = argparse.ArgumentParser(prog='python -m experiments.benchmark', description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
  commands = parser.add_subparsers(metavar='PROGRAM', required=True)
  argv = sys.argv[1:] if argv is None else argv
  # Only the one that is asked for: what the others import may not be installed.
  for program in [name for name in PROGRAMS if name in argv[:1]] or PROGRAMS:
    module = importlib.import_module(f'experiments.benchmarks.{program}')
    options = commands.add_parser(program, help=module.__doc__.splitlines()[0], description=module.__doc__,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
    module.add_options(options)
    options.set_defaults(run=module.run)
  arguments = parser.parse_args(argv)
  return arguments.run(arguments)


if __name__ == '__main__':
  sys.exit(main())
