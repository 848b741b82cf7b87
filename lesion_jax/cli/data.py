"""`lesion-jax data`: what is in a data set, as statistics, as a picture and as lists of ids."""

from __future__ import annotations

import argparse
import pathlib
from typing import Any

from lesion_jax.cli import datasets, options

SHOWN = 10
STATISTICS, SHEET, SPLITS = 'statistics.json', 'contact_sheet.png', 'splits.json'  # as `report.data_set` has them
DESCRIPTION = f'''\
Says what a data set is and how many photographs its splits have.

  --stats  prints photographs, patients and grades by split, and of each lesion and split the photographs that annotate
           it and that have it, its pixels, its regions and the quantiles of their areas; writes them as {STATISTICS},
           and {SHEET}, photographs with the annotation outlined
  --ids    writes {SPLITS}: the ids of the photographs in each split, and a digest that names the split, so that figures
           of two networks are known to be of the same photographs

Without --source and --option what is prepared at that size is opened; with them it is prepared where it was not, as by
`lesion-jax prepare`.'''
EPILOG = '''\
examples:
  lesion-jax data synthetic --option count=200 --stats
  lesion-jax data idrid --prepared runs/data --stats --ids --out about
  lesion-jax data      (lists the data sets)

exit status: 0, or 1 where something could not be written, or 2 where there is no such data set.'''


def add(commands: Any) -> None:
  """Adds the command to the sub-parsers `commands`."""
  parser = commands.add_parser(
      'data', help='what is in a data set', description=DESCRIPTION, epilog=EPILOG,
      formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('name', nargs='?', metavar='NAME', help='the data set; without it: list those that there are')
  datasets.add_options(parser, prepared='--prepared')
  parser.add_argument('--stats', action='store_true', help='count and measure, and draw a contact sheet')
  parser.add_argument('--ids', action='store_true', help='write which photographs are in which split')
  parser.add_argument('--out', type=pathlib.Path, metavar='DIR',
                      help='where files go (default: the folder about/ beside the preprocessed dataset)')
  parser.add_argument('--shown', type=options.positive, metavar='N',
                      help=f'photographs of each split on the contact sheet of --stats, at most (default {SHOWN})')
  parser.add_argument('--quiet', action='store_true', help='show no progress')
  parser.set_defaults(run=_data, parser=parser)


def _data(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
  if arguments.name is None:
    return datasets.list_all(arguments, parser)
  if arguments.shown and not arguments.stats:
    parser.error('--shown is of the contact sheet that --stats draws; give --stats too, or leave it out')
  if arguments.out and not (arguments.stats or arguments.ids):
    parser.error('--out is where --stats and --ids write; give one of them too, or leave it out')
  from lesion_jax.data.progress import progress_bar
  from lesion_jax.data.statistics import count_all, sum_up
  from lesion_jax.report import data_set
  from lesion_jax.report.statistics import format_statistics

  try:
    dataset = datasets.open_dataset(arguments, parser, quiet=arguments.quiet, existing=True)
    print(_describe(dataset))
    out = arguments.out or pathlib.Path(dataset.builder.data_dir).parent / 'about'
    written = []
    if arguments.stats or arguments.ids:
      out.mkdir(parents=True, exist_ok=True)  # before it takes long
    if arguments.stats:
      with progress_bar(quiet=arguments.quiet) as bar:
        counted = count_all(dataset, bar)
      found = sum_up(dataset, counted)
      print('\n' + format_statistics(found))
      data_set.write_statistics(dataset, counted, found, out, shown=arguments.shown or SHOWN)
      written += [STATISTICS, SHEET]
    if arguments.ids:
      print(f'\nsplits: SHA-256 {data_set.write_splits(dataset, out)}')
      written.append(SPLITS)
  except OSError as error:
    parser.exit(1, f'error: the results could not be written: {error}\n')
  if written:
    print(f'\n{", ".join(written)} are in {out}' if len(written) > 1 else f'\n{written[0]} is in {out}')
  return 0


def _describe(dataset: Any) -> str:
  lengths = ', '.join(f'{length:,} {split}' for split, length in dataset.lengths.items())
  notes = ''.join(f'\n- {note}' for note in dataset.notes)
  return f'{dataset.name}: {lengths}\n{dataset.description}\nLicence: {dataset.licence}{notes}'
