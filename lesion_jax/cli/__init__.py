"""The console script `lesion-jax`, one file a command.

jax and the library are imported when a command runs, so that help, version and usage errors answer at once.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
import warnings
from collections.abc import Sequence

import lesion_jax
from lesion_jax import machine
from lesion_jax.cli import (
    compare, consensus, data, evaluate, export, import_weights, info, interruption, label_studio, options, predict, prepare,
    rethreshold, serve, ship)
from lesion_jax.extras import MissingExtra
from lesion_jax.plugins import import_modules
from lesion_jax.showing import escaping, open_missing

DESCRIPTION = ('Segments lesions and grades diabetic retinopathy on colour fundus photographs. For research use only. Not a medical '
               'device.')
# Each module has `add(commands)`, which sets `run(arguments, parser) -> exit status`.
COMMANDS = (predict, rethreshold, serve, evaluate, compare, export, ship, import_weights, info, prepare, data, label_studio, consensus)

MISSING = 2  # exit status, as of a command that cannot begin
INTERRUPTED = 130  # exit status, as a shell has it for SIGINT

__all__ = ['COMMANDS', 'main', 'make_parser']


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the command line; returns the exit status. Ctrl-C and SIGTERM end a command alike, without a traceback."""
  open_missing()
  with escaping() as (out, _):
    status = _main(argv)
    out.flush()
    if out.failure:
      print(f'what is printed could not be written: {out.failure.strerror}', file=sys.stderr)
      status = status or 1
    return status


def _main(argv: Sequence[str] | None) -> int:
  parser = make_parser()
  if not (sys.argv[1:] if argv is None else argv):
    parser.print_help(sys.stderr)
    return MISSING
  arguments = parser.parse_args(argv)
  try:
    import_modules(getattr(arguments, 'import', ()))
  except ImportError as error:
    arguments.parser.error(f'--import: {error}')
  # What is too large `photograph.read` refuses in words; Pillow would warn of it besides, with a limit of its own.
  warnings.filterwarnings('ignore', 'Image size .* decompression bomb')
  for module in ('PIL', 'pydicom'):  # of tags and elements, which say nothing of the pixels
    warnings.filterwarnings('ignore', module=rf'{module}\b')
  machine.share_heaps()
  try:
    with interruption.listening():
      return arguments.run(arguments, arguments.parser)
  except MissingExtra as error:
    print(f'error: {error}; this command needs more than prediction does', file=sys.stderr)
    return MISSING
  except KeyboardInterrupt:
    print('interrupted', file=sys.stderr)
    return INTERRUPTED


def make_parser() -> argparse.ArgumentParser:
  """Returns the commands and their options."""
  parser = argparse.ArgumentParser(prog='lesion-jax', description=DESCRIPTION)
  parser.add_argument('--version', action='version', version=f'lesion-jax {lesion_jax.__version__}')
  commands = parser.add_subparsers(metavar='COMMAND', required=True)
  for command in COMMANDS:
    command.add(commands)
  for each in commands.choices.values():
    each.register('type', pathlib.Path, options.path)
    each.add_argument('--import', dest='import', action='append', default=[], metavar='MODULE',
                      help='import this module first, for the networks and data sets that it registers, see docs/extend.md; '
                           'importing runs it')
  return parser
