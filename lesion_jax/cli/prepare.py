"""`lesion-jax prepare`: makes a raw dataset ready for training, once."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from lesion_jax.cli import datasets, options

DESCRIPTION = '''\
Reads a raw dataset, finds the field of view in its photographs, brings photographs and masks to squares of --size pixels,
deals them to train, validation and test (all those of one patient to one of them), and writes records that are read
fast. Training and `lesion-jax evaluate` do the same by themselves where it was not done; do it beforehand where it
takes long, or on a machine without a GPU.

A raw dataset is read where it lies, in the layout of its authors, and never written to. What comes out lies in
DIR/NAME/SIZE-WHERE-IT-CAME-FROM/VERSION and appears there whole or not at all; until then, finished photographs are
kept in DIR/.preparing. A preparation that was interrupted or killed resumes from them when you run the same command
again, and what has changed in the raw dataset since is read anew; so is a
raw dataset that was changed after it had been prepared. Meanwhile the room for two copies is needed.

Photographs are prepared on all processors that the process may use.'''
EPILOG = '''\
examples:
  lesion-jax prepare idrid --source IDRiD --out runs/data
  lesion-jax prepare retinal_lesions --source retinal-lesions-v20191227 --size 448
  lesion-jax prepare synthetic --option count=1200
  lesion-jax prepare      (lists the data sets)

exit status: 0, or 1 where the preprocessed dataset could not be written, or 2 where there is no such data set or its raw
dataset has another layout, or 130 where you interrupted it; run the same command again to resume.'''


def add(commands: Any) -> None:
  """Adds the command to the sub-parsers `commands`."""
  parser = commands.add_parser(
      'prepare', help='make a data set ready for training', description=DESCRIPTION, epilog=EPILOG,
      formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('name', nargs='?', metavar='NAME', help='the data set; without it: list those that there are')
  datasets.add_options(parser, prepared='--out')
  options.add_limits(parser)
  parser.add_argument('--quiet', action='store_true', help='say only what went wrong')
  parser.set_defaults(run=_prepare, parser=parser)


def _prepare(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
  if arguments.name is None:
    return datasets.list_all(arguments, parser)
  from lesion_jax.photograph.threads import limited

  try:
    with limited(arguments.threads, arguments.memory, arguments.seconds):
      dataset = datasets.open_dataset(arguments, parser, quiet=arguments.quiet, anew=True)
  except KeyboardInterrupt:
    print('run the same command again to resume', file=sys.stderr)
    raise
  except OSError as error:
    print(f'error: {error}; when that is mended, run the same command again to resume', file=sys.stderr)
    return 1
  if not arguments.quiet:
    lengths = ', '.join(f'{length} {split}' for split, length in dataset.lengths.items())
    print(*(f'- {note}' for note in dataset.notes), sep='\n', end='\n' if dataset.notes else '')
    print(f'{dataset.name}: {lengths}, at {arguments.size}x{arguments.size} pixels, in {dataset.builder.data_dir}')
  return 0
