"""`lesion-jax rethreshold`: other thresholds for finished results, without the network."""

from __future__ import annotations

import argparse
import pathlib
import sys
from typing import Any

from lesion_jax.cli import options

DESCRIPTION = '''\
Puts other thresholds into effect in a folder of results: masks, outlines, counts, areas, records, table and page are made
again from the probability maps that `lesion-jax predict --maps npz` (or png) has left there, without the network. The
result is that of a prediction with these thresholds: exactly with npz; with png, maps of 16 bits, but for pixels whose
probability is within 1/131070 of the threshold. The overlay is drawn on field.jpg.

A lesion that is called present by its most probable pixel (Eq. 1) is present from the new threshold on; where the network
has a rule of its own, what it called present stays present.'''
EXAMPLES = '''\
examples:
  lesion-jax predict photographs/ --out results --maps npz
  lesion-jax rethreshold results --threshold MA=0.3
  lesion-jax rethreshold results --threshold MA=0.3 --smallest MA=3 --coco polygons

exit status: 0, or 1 where a result stayed as it was or something could not be written, or 2 where nothing could be done,
or 130 where you interrupted it; run the same command again to resume.'''


def add(commands: Any) -> None:
  """Adds the command to the sub-parsers `commands`."""
  parser = commands.add_parser(
      'rethreshold', help='other thresholds for finished results', description=DESCRIPTION, epilog=EXAMPLES,
      formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('out', type=pathlib.Path, metavar='DIR', help='the folder of results, what --out of predict was')
  parser.add_argument('--threshold', type=options.thresholds, action='append', default=[], metavar='T',
                      help='probability from which a pixel is in the mask: a number for all, or by lesion as in MA=0.3,iHE=0.5; '
                           'can be given several times (default: as they are)')
  options.add_smallest(parser, 'as it is')
  options.add_forms(parser)
  options.add_limits(parser)
  parser.add_argument('--quiet', action='store_true', help='say only what went wrong')
  parser.set_defaults(run=_rethreshold, parser=parser)


def _rethreshold(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
  from lesion_jax.bulk import Refused, Stopped, rethreshold
  from lesion_jax.bulk.inputs import REPORT
  from lesion_jax.cli.predict import bar
  from lesion_jax.report.table import PREDICTED

  thresholds = {key: value for each in arguments.threshold for key, value in each.items()}
  if not thresholds and arguments.smallest is None and not (arguments.coco or arguments.labelme or arguments.index_maps or arguments.page_maps):
    parser.error('give --threshold, --smallest, --coco, --labelme or --index-maps, or --page-maps')
  try:
    with bar(arguments.quiet) as progress:
      found = rethreshold(
          arguments.out, thresholds, smallest=options.as_smallest(arguments.smallest), coco=arguments.coco,
          labelme=arguments.labelme, index_maps=arguments.index_maps, page_maps=arguments.page_maps,
          threads=arguments.threads, memory=arguments.memory, seconds=arguments.seconds, progress=progress)
  except Refused as error:
    parser.error(f'--{error.option.replace("_", "-")}{error.args[1]}' if error.option else str(error))
  except Stopped as error:
    print(f'error: {error}', file=sys.stderr)
    return 1
  except KeyboardInterrupt:
    print('run the same command again to resume', file=sys.stderr)
    raise
  print(*found.left, *found.notes, sep='\n', end='\n' if found.left or found.notes else '', file=sys.stderr)
  if not arguments.quiet:
    done = sum(entry.status == PREDICTED for entry in found.entries)
    print(f'{done} of {len(found.entries)} results made anew; see {arguments.out / REPORT}')
    if found.patients:
      print(found.patients)
  return 1 if found.left else 0
