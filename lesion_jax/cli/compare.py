"""`lesion-jax compare`: networks against each other on the same images, or predictions against a person's grades."""

from __future__ import annotations

import argparse
import os
import pathlib
import sys
from typing import Any

from lesion_jax.cli import options
from lesion_jax.cli.evaluate import ALL, SPLITS
from lesion_jax.pretrained import is_packaged

DESCRIPTION = '''\
Of several SYSTEMs: the metrics of each on the same test photographs, and how each differs from the first, photograph by
photograph: with 95 % intervals over patients and a test by swapping (docs/comparisons.md). A SYSTEM is a folder that
`lesion-jax evaluate` wrote, a stage of a training run, or, with --data, a bundle, which is evaluated first. NAME=PATH
gives it a name in the table.

Of one SYSTEM with --grades: what `lesion-jax predict` wrote into that folder against the grades of a person, a table with
the columns file and grade (0 to 4): kappa and accuracy with intervals, confusion, and the photographs on which they
differ, the furthest first, each linked to the report.'''
EXAMPLES = '''\
examples:
  lesion-jax compare runs/first/grade runs/second/grade
  lesion-jax compare ours=first theirs=second --format latex --out comparison.tex
  lesion-jax compare bundle other --data idrid --source IDRiD
  lesion-jax compare results --grades grades.csv --out differences.md

exit status: 0, or 1 where a network gave no numbers or the table could not be written, or 2 where nothing can be compared.'''
FORMATS = ('markdown', 'csv', 'latex', 'json')  # as `report.comparison` has them, which is slow to import
FLAGS = {'shared': '--shared', 'source_dir': '--source', 'data_dir': '--prepared', 'leaks': '--leaks', 'at': '--at', 'data': '--data',
         'other_crop': '--other-crop'}
COLUMNS = ('file_column', 'grade_column')  # of --grades alone
EVALUATION = ('source', 'split', 'prepared', 'option', 'leaks', 'at', 'other_crop')  # options for bundles alone


def add(commands: Any) -> None:
  """Adds the command to the sub-parsers `commands`."""
  parser = commands.add_parser(
      'compare', help='networks against each other, or against a person', description=DESCRIPTION, epilog=EXAMPLES,
      formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('systems', nargs='+', metavar='SYSTEM', help='PATH or NAME=PATH; the others are compared with the first')
  parser.add_argument('--shared', action='store_true',
                      help='where not all have the same photographs, or not the same lesions, compare those of all (default: refuse)')
  parser.add_argument('--grades', type=pathlib.Path, metavar='FILE',
                      help="a person's grades: a table with a row a photograph (CSV, or separated by semicolons or tabs), or what "
                           'report.html saves (CSV or JSON)')
  parser.add_argument('--file-column', metavar='NAME', help='the column of --grades that names photographs (default file)')
  parser.add_argument('--grade-column', metavar='NAME', help='the column of --grades with the grades (default grade)')
  parser.add_argument('--format', choices=FORMATS, default='markdown',
                      help='markdown (default), csv, latex (for booktabs), or json, which has all there is')
  parser.add_argument('--out', type=pathlib.Path, metavar='FILE', help='where the table is written (default: it is printed)')
  parser.add_argument('--data', metavar='NAME', help='the data set on which bundles are evaluated, as of `lesion-jax evaluate`')
  parser.add_argument('--source', type=pathlib.Path, metavar='DIR', help='of --data, the raw data set as its authors lay it out')
  parser.add_argument('--split', choices=(*SPLITS, ALL), help='of --data (default test)')
  parser.add_argument('--option', action='append', default=[], type=options.data_option, metavar='KEY=N',
                      help='of --data, as of `lesion-jax evaluate`; can be repeated')
  parser.add_argument('--prepared', type=pathlib.Path, metavar='DIR', help='where preprocessed data sets are kept (default runs/data)')
  parser.add_argument('--leaks', choices=['refuse', 'leave-out', 'keep'],
                      help='of --data: photographs from which a network learned (default refuse)')
  parser.add_argument('--at', choices=['network', 'native'],
                      help="of --data: compare maps at each network's own size (default), or in the photographs' own pixels")
  parser.add_argument('--other-crop', action='store_true',
                      help='of --data: evaluate on squares although a network learned from fields of view')
  parser.add_argument('--resamples', type=options.positive, default=1000, metavar='N',
                      help='of the bootstrap (default 1000)')
  parser.add_argument('--seed', type=options.natural, default=2020, metavar='N', help='of the bootstrap (default 2020)')
  parser.set_defaults(run=_compare, parser=parser)


def _compare(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
  _check(arguments, parser)
  from lesion_jax import comparison, runtime
  from lesion_jax.data.progress import progress_bar
  from lesion_jax.report.comparison import format_agreement, format_comparison
  from lesion_jax.report.files import write_whole

  out, draws = arguments.out, {'resamples': arguments.resamples, 'seed': arguments.seed}
  try:
    if arguments.grades:
      results = pathlib.Path(arguments.systems[0])
      found = comparison.compare_predictions(
          results, arguments.grades, **{name: column for name in COLUMNS if (column := getattr(arguments, name))}, **draws)
      text = format_agreement(found, arguments.format, results=_seen_from(results, out))
    else:
      if arguments.data:
        runtime.set_up()
      with progress_bar() as bar:
        found = comparison.compare(_systems(arguments.systems), data=arguments.data, shared=arguments.shared, progress=bar, **draws,
                                   **_settings(arguments))
      text = format_comparison(found, arguments.format)
  except FloatingPointError as error:
    print(f'error: {error}', file=sys.stderr)
    return 1
  except (OSError, ValueError) as error:
    parser.error(options.in_flags(error, FLAGS))
  if out is None:
    print(text, end='')
    return 0
  try:
    write_whole(out, text)
  except OSError as error:
    print(f'error: {out} could not be written: {error.strerror}', file=sys.stderr)
    return 1
  print(f'{out}: {_summary(found)}')
  return 0


def _check(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
  """Ends the program where options do not belong together."""
  if arguments.grades is None:
    if len(arguments.systems) < 2:
      parser.error('give two systems or more, or one folder of results with --grades')
    if (given := [name for name in EVALUATION if getattr(arguments, name)]) and not arguments.data:
      parser.error(f'--{given[0].replace("_", "-")} is for bundles that are evaluated on --data')
    if given := [name for name in COLUMNS if getattr(arguments, name)]:
      parser.error(f'--{given[0].replace("_", "-")} names a column of --grades; give that too, or leave it out')
  else:
    if len(arguments.systems) > 1:
      parser.error('--grades is compared with one folder of results')
    if given := [name for name in ('data', 'shared', *EVALUATION) if getattr(arguments, name)]:
      parser.error(f'--{given[0].replace("_", "-")} is for systems; with --grades leave it out')
  if arguments.out and not arguments.out.absolute().parent.is_dir():
    parser.error(f'--out {arguments.out}: there is no folder {arguments.out.parent}')


def _systems(given: list[str]) -> dict[str, str]:
  """'NAME=PATH' and 'PATH' to path by name."""
  found: dict[str, str] = {}
  for text in given:
    name, named, path = text.partition('=')
    name, path = (name, path) if named and name and path and not pathlib.Path(text).exists() else (text, text)
    if name in found:
      raise ValueError(f'two systems are called {name}; give them names of their own, NAME=PATH')
    if not (pathlib.Path(path).exists() or is_packaged(path)):
      raise ValueError(f'there is nothing at {path}; name a folder that `lesion-jax evaluate` wrote, a stage of a training run, or with '
                       '--data a bundle')
    found[name] = path
  return found


def _settings(arguments: argparse.Namespace) -> dict[str, Any]:
  """What the options say of `assessment.Settings`."""
  given = {'source_dir': arguments.source, 'data_dir': arguments.prepared, 'options': dict(arguments.option)} | {
      name: getattr(arguments, name) for name in ('split', 'leaks', 'at', 'other_crop')}
  return {name: value for name, value in given.items() if value}


def _seen_from(results: pathlib.Path, out: pathlib.Path | None) -> str:
  """The folder of results as a link in `out` begins."""
  folder = out.absolute().parent if out else pathlib.Path.cwd()
  return pathlib.PurePath(os.path.relpath(results.absolute(), folder)).as_posix()


def _summary(found: dict[str, Any]) -> str:
  if 'different' in found:
    return f'{found["images"]} photographs, they differ on {len(found["different"])}'
  return f'{len(found["systems"])} systems on {found["images"]} photographs'
