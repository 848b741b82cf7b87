"""What the commands on data sets share: which one, where it lies, and opening it."""

from __future__ import annotations

import argparse
import pathlib
from typing import Any

from lesion_jax.cli import options

SIZE = 896  # the paper's
NOT_ASKED = ('run', 'parser', 'import', 'quiet')  # what may stand beside a list of the data sets


def add_options(parser: argparse.ArgumentParser, *, prepared: str) -> None:
  """Adds --source, --size and --option, and the option `prepared` for where preprocessed datasets are kept."""
  parser.add_argument('--source', type=pathlib.Path, metavar='DIR',
                      help='the raw dataset as its authors lay it out, which is read and never written; synthetic has none')
  parser.add_argument(prepared, dest='data_dir', type=pathlib.Path, default=pathlib.Path('runs/data'), metavar='DIR',
                      help='where preprocessed datasets are kept (default runs/data, as in training)')
  parser.add_argument('--size', type=options.positive, default=SIZE, metavar='N',
                      help=f'side of the square photographs, in pixels (default {SIZE}, as in the paper)')
  parser.add_argument('--option', action='append', default=[], type=options.data_option, metavar='KEY=N',
                      help='of the data set, can be repeated: count and seed of synthetic, images_dir of maples_dr, '
                      'scale, values and indices of folder (what its numbers mean); and split=hash or stratified, split_seed, folds and fold where the split is ours')
  parser.set_defaults(prepared_option=prepared)


def open_dataset(
    arguments: argparse.Namespace, parser: argparse.ArgumentParser, *, quiet: bool, existing: bool = False,
    anew: bool = False) -> Any:
  """Returns the data set that the options name, prepared where it was not.

  What is wrong with the options or the raw dataset ends the program with 2.

  Args:
    arguments: with what `add_options` added, and `name`.
    parser: says what is wrong.
    quiet: show no progress.
    anew: prepare again what is damaged or was made from what has changed since.
    existing: without --source and --option, look for what was prepared and prepare nothing.

  Raises:
    OSError: the preprocessed data could not be written.
  """
  from lesion_jax.data.registry import find_prepared, load_dataset

  try:
    if existing and arguments.source is None and not arguments.option:
      return find_prepared(arguments.name, data_dir=arguments.data_dir, size=arguments.size)
    return load_dataset(arguments.name, data_dir=arguments.data_dir, size=arguments.size, source_dir=arguments.source,
                        quiet=quiet, anew=anew, **dict(arguments.option))
  except (FileNotFoundError, NotADirectoryError, ValueError) as error:
    said = options.in_flags(error, {'source_dir': '--source', 'data_dir': arguments.prepared_option})
    parser.error(said.replace('\n', ' '))


def list_all(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
  """Prints the data sets, for a command without NAME; returns the exit status. With an option, which is of one of them, the
  name was forgotten: that ends the program with 2."""
  given = [name for name, value in vars(arguments).items() if value != parser.get_default(name) and name not in NOT_ASKED]
  if given:
    flag = {'data_dir': arguments.prepared_option}.get(given[0], '--' + given[0].replace('_', '-'))
    parser.error(f'{flag} is of one data set: say which, as in `{parser.prog} folder {flag} ...`; without options they are listed')
  print(describe_all())
  return 0


def describe_all() -> str:
  """Returns a line for each data set that there is: its name, the lesions that it annotates, whether it is graded."""
  from lesion_jax.core import LESION_KEYS
  from lesion_jax.data.registry import DATASETS

  lines = []
  for name, builder in DATASETS.items():
    lesions = 'all eight lesions' if builder.ANNOTATED == LESION_KEYS else ', '.join(builder.ANNOTATED)
    has = ' and '.join(part for part in (lesions, 'grades' if builder.GRADED else '') if part)
    lines.append(f'  {name:<16} {has}; {builder.LICENCE}')
  return '\n'.join(['data sets, what they annotate, and under which licence:', *lines])
