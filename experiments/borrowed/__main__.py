"""A borrowed GPU: no package index, runs limited in time, files brought along, few and small files back.

  python -m experiments.borrowed pack --there packages.txt --source_dir DIR --pretrained FILE --out loads
  python -m experiments.borrowed run loads/1 loads/2 --work WORK --out OUT --minutes 10
  python -m experiments.borrowed run --before OUT --work WORK --out OUT2 --minutes 10
  python -m experiments.borrowed collect OUT OUT2

`pack` runs here and writes loads; `run` runs there, from the clone and with whatever Python is there: it verifies and unpacks the loads
that it is given, and runs what they suffice for, part after part, in the order of its value. Each part's result is in OUT when it
ends. `run` again goes on with what is missing: on the same machine by what is in WORK, on another by --before, what an earlier run
left. `--only none` unpacks and runs nothing. `run --small` is a rehearsal on a CPU. `collect` runs here again.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
import tempfile
from collections.abc import Sequence

from experiments.borrowed import loads, pieces
from experiments.borrowed.collect import RESULTS, collect
from experiments.borrowed.parts import PARTS, Place
from experiments.borrowed.run import Clock, prepare
from experiments.borrowed.run import run as run_parts
from experiments.borrowed.state import State

MIB = 2**20


def main(argv: Sequence[str] | None = None) -> int:
  """Runs a command; returns the exit status: of `run` 1 where something is missing."""
  parser = argparse.ArgumentParser(prog='python -m experiments.borrowed', description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
  commands = parser.add_subparsers(metavar='COMMAND', required=True)
  for add in (_add_pack, _add_run, _add_collect):
    add(commands)
  arguments = parser.parse_args(argv)
  try:
    return arguments.run(arguments)
  except (FileNotFoundError, FileExistsError, ValueError) as error:
    parser.error(str(error))


def _add_pack(commands: argparse._SubParsersAction) -> None:
  parser = commands.add_parser('pack', help='here: writes loads')
  parser.add_argument('--there', type=pathlib.Path, required=True, metavar='FILE',
                      help='the packages of the borrowed machine, one a line, as `pip list --format=freeze` prints them')
  parser.add_argument('--python', default='3.12', metavar='X.Y', help='its version (default 3.12)')
  parser.add_argument('--source_dir', type=pathlib.Path, help='IDRiD, both parts')
  parser.add_argument('--pretrained', type=pathlib.Path, help='Inception-v3 weights to start from')
  parser.add_argument('--most', type=float, default=64, metavar='MIB', help='of a load (default 64)')
  parser.add_argument('--beside', type=float, default=0, metavar='MIB',
                      help='of that what else travels with each load, the clone for instance (default 0)')
  parser.add_argument('--out', type=pathlib.Path, default=pathlib.Path('runs/loads'), help='default runs/loads')
  parser.set_defaults(run=_pack)


def _add_run(commands: argparse._SubParsersAction) -> None:
  parser = commands.add_parser('run', help='there: runs what is missing')
  parser.add_argument('loads', nargs='*', type=pathlib.Path, help='folders that `pack` wrote and that are here')
  parser.add_argument('--before', nargs='+', type=pathlib.Path, default=[], metavar='DIR', help='the --out of earlier runs')
  parser.add_argument('--work', type=pathlib.Path, default=pathlib.Path('runs/borrowed-work'),
                      help='stays on that machine (default runs/borrowed-work)')
  parser.add_argument('--out', type=pathlib.Path, required=True, help='what comes back')
  parser.add_argument('--only', choices=[*PARTS, 'none'], nargs='+', default=list(PARTS), help='of these parts (default: all)')
  parser.add_argument('--minutes', type=float, default=10, help='of this run, all in all (default 10)')
  parser.add_argument('--grace', type=float, default=40, metavar='SECONDS',
                      help='of these, at the end: for saving and for what comes back (default 40)')
  parser.add_argument('--piece', type=float, default=16, metavar='MIB', help='of a file that comes back (default 16)')
  parser.add_argument('--files', type=int, default=8, help='that come back at most (default 8)')
  parser.add_argument('--back', type=float, default=64, metavar='MIB', help='that come back at most (default 64)')
  parser.add_argument('--small', action='store_true', help='a rehearsal on a CPU: the same programs, for a few steps')
  parser.set_defaults(run=_run)


def _add_collect(commands: argparse._SubParsersAction) -> None:
  parser = commands.add_parser('collect', help='here: joins what came back, and puts it among the results')
  parser.add_argument('folders', nargs='+', type=pathlib.Path, help='what was the --out of each run, the first first')
  parser.add_argument('--runs', type=pathlib.Path, default=pathlib.Path('runs/borrowed'), help='default runs/borrowed')
  parser.add_argument('--results', type=pathlib.Path, default=RESULTS, help='default experiments/results')
  parser.set_defaults(run=_collect)


def _pack(arguments: argparse.Namespace) -> int:
  from experiments.borrowed import pack  # takes a package that the other commands do without

  with tempfile.TemporaryDirectory() as folder:
    wheels = pathlib.Path(folder)
    packages = pack.lacking(pack.read_there(arguments.there), arguments.python)
    print('packages:', ' '.join(f'{name}=={version}' for name, version in packages.items()) or 'none', flush=True)
    pack.fetch(packages, arguments.python, wheels)
    dealt = loads.deal(pack.files(wheels, arguments.pretrained, arguments.source_dir), int((arguments.most - arguments.beside) * MIB))
    for path, load in zip(loads.write(dealt, arguments.out), dealt, strict=True):
      size = sum(each.stat().st_size for each in path.iterdir())
      print(f'{path}: {size / MIB:.1f} MiB, {", ".join(dict.fromkeys(file.item for file in load))}')
  return 0


def _run(arguments: argparse.Namespace) -> int:
  clock, place = Clock(60 * arguments.minutes, arguments.grace), Place(arguments.work.resolve(), arguments.small)
  state = State(arguments.out.resolve(), pieces.Limits(int(arguments.piece * MIB), arguments.files, int(arguments.back * MIB)), place)
  state.take_over(arguments.before)
  for wrong in prepare(arguments.loads, place):
    print(wrong, file=sys.stderr, flush=True)
  print(f'unpacked: {", ".join(loads.unpacked(place.work)) or "nothing"}; {clock.left():.0f} s are left', flush=True)
  return run_parts(place, state, clock, [name for name in arguments.only if name != 'none'])


def _collect(arguments: argparse.Namespace) -> int:
  print(*collect(arguments.folders, arguments.runs, arguments.results), sep='\n')
  return 0


if __name__ == '__main__':
  sys.exit(main())
