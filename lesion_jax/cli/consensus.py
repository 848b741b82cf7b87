"""`lesion-jax consensus`: the annotations of several people become ground truth to train from."""

from __future__ import annotations

import argparse
import pathlib
import sys
from typing import Any

from lesion_jax.cli import options

CONSENSUS = '''\
Reads what several annotators marked and graded, lets them vote as section IV-A of the paper does, and writes a data set
in the layout of the Retinal-Lesions dataset, which `retinal_lesions` reads:

  images_896x896/<id>.jpg                 the field of view of each photograph
  lesion_segs_896x896/<id>/<lesion>.png   255: a lesion; 127: one that contradicts the grade, not scored; 0: none
  dr_grades.csv                           the grade on which more than half of the annotators agree
  splits.json                             train, validation and test, 70/10/20 by patient
  README.md, consensus.json               the data sheet: counts, agreement, what was excluded and why

A photograph is excluded where it has too few annotators or no majority for a grade. A pixel is a lesion where more than
half of the annotators marked it. A lesion contradicts a grade where Table I calls it sufficient evidence for a higher
one alone: microaneurysms in DR0, hemorrhages below DR2, NV, vHE and pHE below DR4.

An EXPORT is a JSON export of Label Studio (all annotators in one file; ellipses, polygons, rectangles, brush strokes), or a
file of one annotator, whose name is given as NAME=FILE or else the assignee's or the file's: of CVAT "for images 1.1", of
COCO (polygons, run lengths), of labelme, or a folder of the latter's. Photographs are found in --images, and in the
folders in it, by their file names.'''
EXAMPLES = '''\
examples:
  lesion-jax consensus export.json --images photographs --out ground-truth
  lesion-jax consensus anna=1.xml berta=2.xml carl=3.xml --images photographs --out ground-truth
  lesion-jax consensus export.json --images photographs --out ground-truth --patients patients.csv --labels labels.json

exit status: 0, or 1 where photographs were excluded since something is wrong with them, or 2 where nothing could be
written.'''


def add(commands: Any) -> None:
  """Adds the command to the sub-parsers `commands`."""
  parser = commands.add_parser(
      'consensus', help='ground truth from the annotations of several people', description=CONSENSUS, epilog=EXAMPLES,
      formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('exports', nargs='+', metavar='EXPORT',
                      help='a file, or NAME=FILE for what NAME annotated in CVAT')
  parser.add_argument('--images', required=True, type=pathlib.Path, metavar='DIR',
                      help='where the photographs lie that were annotated')
  parser.add_argument('--out', required=True, type=pathlib.Path, metavar='DIR',
                      help='the folder to make; it must not exist, or be empty')
  parser.add_argument('--annotators', type=options.positive, default=3, metavar='N',
                      help='how many a photograph needs at least (default 3, as in the paper)')
  parser.add_argument('--votes', type=options.positive, metavar='N',
                      help='how many annotators make a pixel a lesion (default: more than half of them; 1: whatever '
                           'anyone marked)')
  parser.add_argument('--labels', type=pathlib.Path, metavar='FILE',
                      help='a JSON object that maps labels of the exports to lesions (MA, iHE, HaEx, CWS, vHE, pHE, '
                           'NV, FiP), grades (DR0..DR4), or null, which leaves them out; keys and names are known')
  parser.add_argument('--patients', type=pathlib.Path, metavar='FILE',
                      help='a table with the columns photograph, patient, eye (left or right); not needed where '
                           'photographs are named <patient>_left and <patient>_right, or _L, _R, _OS, _OD')
  parser.add_argument('--licence', default='', metavar='TEXT', help='for the data sheet')
  parser.add_argument('--quiet', action='store_true', help='say only what went wrong')
  parser.set_defaults(run=_consensus, parser=parser)


def _consensus(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
  import tqdm

  from lesion_jax.annotation.labels import Labels
  from lesion_jax.annotation.names import Photographs
  from lesion_jax.annotation.patients import read_patients
  from lesion_jax.annotation.photographs import gather
  from lesion_jax.annotation.reading import read_exports
  from lesion_jax.data.consensus_release import Rules, write_release

  try:
    rules = Rules(arguments.annotators, arguments.votes, arguments.licence)
    labels = Labels.read(arguments.labels) if arguments.labels else Labels()
    table = read_patients(arguments.patients) if arguments.patients else {}
    exports = read_exports(map(_named, arguments.exports), labels)
    cases, left_out = gather(exports.annotations, Photographs.of(arguments.images), table)
    quiet = True if arguments.quiet else None  # None: unless the output is a file
    with tqdm.tqdm(total=len(cases), unit='photo', dynamic_ncols=True, disable=quiet) as bar:
      summary = write_release(arguments.out, cases, left_out, rules=rules, passed_over=exports.passed_over,
                              progress=bar.update)
  except (OSError, ValueError) as error:
    missing = isinstance(error, FileNotFoundError) and error.filename
    parser.error(f'there is no file {error.filename}' if missing else str(error))
  return _conclude(summary, arguments)


def _named(text: str) -> tuple[str, pathlib.Path]:
  """'NAME=FILE' or 'FILE' as (name or '', path); a file whose own name has an '=' is taken as it is."""
  name, named, path = text.partition('=')
  return (name, pathlib.Path(path)) if named and not pathlib.Path(text).exists() else ('', pathlib.Path(text))


def _conclude(summary: Any, arguments: argparse.Namespace) -> int:
  """Says how it went, and who the numbers of the data sheet are; returns the exit status."""
  from lesion_jax.annotation.photographs import FAILURES

  failed = [item for item in summary.left_out if item.reason in FAILURES]
  if failed:
    print(f'{len(failed)} photographs were excluded since something is wrong with them:',
          *(f'{item.photograph}: {item.reason} ({item.detail})' for item in failed), sep='\n  ', file=sys.stderr)
  for reason, count in summary.passed_over.items():
    if reason.startswith('choices'):
      print(f'not taken: {count} {reason}', file=sys.stderr)
  if empty := [split for split, names in summary.splits.items() if not names]:
    print(f'no photograph falls to {" and ".join(empty)}: for training there must be more patients', file=sys.stderr)
  if not arguments.quiet:
    agreement = summary.agreement
    say = lambda score: f'{score.value:.3f}' if score.value is not None else f'undefined ({score.reason})'
    print(f'{len(summary.kept)} photographs in {arguments.out}, {len(summary.left_out)} excluded; see '
          f'{arguments.out / "README.md"}')
    print(f"agreement on grades: Fleiss' kappa {say(agreement.fleiss)}, mean quadratic kappa "
          f'{say(agreement.mean_kappa())}')
    numbers = ', '.join(f'{number} {name}' for name, number in summary.numbers().items())
    print(f'annotators in the data sheet: {numbers}')
  return 1 if failed else 0
