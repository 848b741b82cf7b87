"""`lesion-jax data`: what is in a data set, as figures, as a picture and as lists of ids."""

from __future__ import annotations

import argparse
import json
import pathlib
from typing import Any

from lesion_jax.cli import datasets, options

STATISTICS, SHEET, SPLITS = 'statistics.json', 'contact_sheet.png', 'splits.json'
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
  lesion-jax data idrid --prepared runs/data --stats --ids --out figures
  lesion-jax data      (lists the data sets)

exit status: 0, or 1 where something could not be written, or 2 where there is no such data set.'''


def add(commands: Any) -> None:
  """Adds the command to the sub-parsers `commands`."""
  parser = commands.add_parser(
      'data', help='what is in a data set', description=DESCRIPTION, epilog=EPILOG,
      formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('name', nargs='?', metavar='NAME', help='the data set; left out: list those that there are')
  datasets.add_options(parser, prepared='--prepared')
  parser.add_argument('--stats', action='store_true', help='count and measure, and draw a contact sheet')
  parser.add_argument('--ids', action='store_true', help='write which photographs are in which split')
  parser.add_argument('--out', type=pathlib.Path, metavar='DIR',
                      help='where files go (default: the folder about/ beside the prepared data)')
  parser.add_argument('--shown', type=options.positive, default=10, metavar='N',
                      help='photographs of each split on the contact sheet, at most (default 10)')
  parser.add_argument('--quiet', action='store_true', help='show no progress')
  parser.set_defaults(run=_data, parser=parser)


def _data(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
  if arguments.name is None:
    print(datasets.describe_all())
    return 0
  try:
    dataset = datasets.open_dataset(arguments, parser, quiet=arguments.quiet, existing=True)
    print(_describe(dataset))
    out = arguments.out or pathlib.Path(dataset.builder.data_dir).parent / 'about'
    written = []
    if arguments.stats or arguments.ids:
      out.mkdir(parents=True, exist_ok=True)
    if arguments.stats:
      written += _write_statistics(dataset, out, arguments)
    if arguments.ids:
      written.append(_write_ids(dataset, out))
  except OSError as error:
    parser.exit(1, f'error: the results could not be written: {error}\n')
  if written:
    print(f'\n{", ".join(written)} are in {out}' if len(written) > 1 else f'\n{written[0]} is in {out}')
  return 0


def _describe(dataset: Any) -> str:
  lengths = ', '.join(f'{length:,} {split}' for split, length in dataset.lengths.items())
  notes = ''.join(f'\n- {note}' for note in dataset.notes)
  return f'{dataset.name}: {lengths}\n{dataset.description}\nLicence: {dataset.licence}{notes}'


def _write_statistics(dataset: Any, out: pathlib.Path, arguments: argparse.Namespace) -> list[str]:
  """Prints the figures and writes them and the contact sheet; returns the names of the files."""
  import tqdm

  from lesion_jax.data.statistics import choose, count_all, sum_up
  from lesion_jax.report.contact_sheet import write_contact_sheet
  from lesion_jax.report.statistics import format_statistics

  with tqdm.tqdm(total=sum(dataset.lengths.values()), unit='photo', dynamic_ncols=True,
                 disable=True if arguments.quiet else None) as bar:
    counted = count_all(dataset, bar.update)
  found = sum_up(dataset, counted)
  print('\n' + format_statistics(found))
  (out / STATISTICS).write_text(json.dumps(found, indent=2) + '\n')
  sections = {}
  for split, ones in counted.items():
    source, shown = dataset.source(split), choose(ones, arguments.shown)
    of_all = '' if len(shown) == len(ones) else f', {len(shown)} of them here'
    sections[f'{split}: {len(ones):,} photographs{of_all}'] = [source[index] for index in shown]
  unscored = any(example['ignore'].any() for examples in sections.values() for example in examples)
  write_contact_sheet(
      out / SHEET, sections, title=dataset.name, annotated=dataset.annotated,
      subtitle=f'{found["splits"]["all"]["images"]:,} photographs at {dataset.size}x{dataset.size} pixels ({dataset.crop})'
               f'; licence: {dataset.licence}' + ('; grey outlines are not scored' if unscored else ''))
  return [STATISTICS, SHEET]


def _write_ids(dataset: Any, out: pathlib.Path) -> str:
  """Writes the ids, prints their digest, and returns the name of the file."""
  from lesion_jax.data.splits import split_digest

  ids = dataset.ids
  digest = split_digest(ids)
  (out / SPLITS).write_text(json.dumps({'name': dataset.name, 'digest': digest, 'splits': ids}, indent=2) + '\n')
  print(f'\nsplits: SHA-256 {digest}')
  return SPLITS
