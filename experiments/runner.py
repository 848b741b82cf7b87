"""Runs the rows of a table that have no result yet, each in its own process, and renders the table."""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from experiments import collect, presets
from experiments.rows import Row
from lesion_jax.cli.options import positive
from lesion_jax.models import DTYPES

STOPPED = 75  # exit status of a row that was told to stop and saved
ROOT = pathlib.Path(__file__).parents[1]


@dataclasses.dataclass(frozen=True)
class Paths:
  """Where a preset's files lie, and what all of its rows share."""

  preset: str
  runs: pathlib.Path
  data_dir: pathlib.Path
  results: pathlib.Path
  source_dir: str
  pretrained: str
  remat: bool = False
  accumulate: int = 1
  dtype: str = 'float32'

  @classmethod
  def of(cls, options: argparse.Namespace) -> Paths:
    """Makes it from the flags of `add_place`; absolute, since the rows' processes run in the clone wherever this one
    does."""
    absolute = lambda path: str(pathlib.Path(path).absolute()) if path else ''
    return cls(options.preset, options.workdir.absolute(), options.data_dir.absolute(), options.results.absolute(),
               absolute(options.source_dir), absolute(options.pretrained), options.remat, options.accumulate,
               options.dtype)

  @property
  def folder(self) -> pathlib.Path:
    """The preset's results."""
    return self.results / self.preset

  def result(self, row: Row, seed: int) -> pathlib.Path:
    """Returns the result of a row."""
    return self.folder / f'{row.key}-{seed}.json'

  def workdir(self, row: Row, seed: int) -> pathlib.Path:
    """Returns the run of a row."""
    return self.runs / self.preset / f'{row.key}-{seed}'

  def bundle(self, row: Row, seed: int) -> pathlib.Path:
    """Returns the trained network of a row."""
    return self.workdir(row, seed) / row.stage / 'bundle'

  def flags(self) -> list[str]:
    """Flags that give these paths again."""
    return [f'--preset={self.preset}', f'--workdir={self.runs}', f'--data_dir={self.data_dir}',
            f'--results={self.results}', f'--source_dir={self.source_dir}', f'--pretrained={self.pretrained}',
            *fit_flags(self)]


def fit_flags(paths: Any) -> list[str]:
  """Returns the flags by which a network is made to fit a card, those that differ from their defaults."""
  return [*(['--remat'] if paths.remat else []), *([f'--accumulate={paths.accumulate}'] if paths.accumulate > 1 else []),
          *([f'--dtype={paths.dtype}'] if paths.dtype != 'float32' else [])]


def add_place(parser: argparse.ArgumentParser) -> None:
  """Adds the flags of `Paths.of`."""
  parser.add_argument('--preset', required=True, choices=presets.PRESETS, help='how large and how long')
  parser.add_argument('--workdir', type=pathlib.Path, default=pathlib.Path('runs/tables'), help='of the runs')
  parser.add_argument('--data_dir', type=pathlib.Path, default=pathlib.Path('runs/data'), help='of preprocessed data')
  parser.add_argument('--results', type=pathlib.Path, default=pathlib.Path('experiments/results'), help='of the JSON')
  parser.add_argument('--source_dir', default='', help='the raw dataset (presets idrid and paper)')
  parser.add_argument('--pretrained', default='', help='Inception-v3 weights, from which every row starts')
  parser.add_argument('--remat', action='store_true', help='recompute activations in the backward pass: less memory')
  parser.add_argument('--accumulate', type=positive, default=1, metavar='N',
                      help='micro-batches a step, a divisor of the batch: less memory; BatchNorm sees each by itself')
  parser.add_argument('--dtype', choices=DTYPES, default='float32', help='of the computation; bfloat16 halves the memory')


def configure(paths: Paths, row: Row, seed: int, rows: Mapping[str, Row]) -> ConfigDict:
  """Returns the configuration of a row; the lesion network that it contains is that of the same seed."""
  source = rows.get(row.lesion)
  lesion = (source, paths.bundle(source, seed)) if source else None
  return presets.configure(paths.preset, row, seed, lesion=lesion, source_dir=paths.source_dir,
                           pretrained=paths.pretrained, remat=paths.remat, accumulate=paths.accumulate, dtype=paths.dtype)


def is_done(paths: Paths, row: Row, seed: int, rows: Mapping[str, Row]) -> bool:
  """Returns whether there is a result of this row.

  Raises:
    ValueError: there is one of another configuration, or a damaged one.
  """
  path = paths.result(row, seed)
  if not path.exists():
    return False
  _same(path, collect.read(path)['config'], presets.portable(configure(paths, row, seed, rows), paths.runs),
        'remove it to measure again, or give another --results')
  return True


def is_trained(paths: Paths, row: Row, seed: int, rows: Mapping[str, Row]) -> bool:
  """Returns whether the network of this row lies in the runs' folder.

  Raises:
    ValueError: there is one of another configuration.
  """
  if not (paths.bundle(row, seed) / 'config.json').exists():
    return False
  path = paths.workdir(row, seed) / 'config.json'
  _same(path, json.loads(path.read_text('utf-8')), configure(paths, row, seed, rows).to_dict(),
        f'remove the folder {path.parent} to train it again, or give another --workdir')
  return True


def _same(path: pathlib.Path, then: Mapping[str, Any], now: Mapping[str, Any], advice: str) -> None:
  if differing := presets.differing(then, now):
    shown = ', '.join(f'{key} {before!r} -> {after!r}' for key, (before, after) in list(differing.items())[:5])
    raise ValueError(f'{path} is of another configuration ({shown}); {advice}')


def run_row(paths: Paths, row: Row, seed: int, rows: Mapping[str, Row]) -> int:
  """Trains a row, after the row whose network it contains where that network is missing; returns the exit status. A
  result that the latter has already stays as it is."""
  source = rows.get(row.lesion)
  if source and not is_trained(paths, source, seed, rows):
    if status := run_row(paths, source, seed, rows):
      return status
  log = paths.workdir(row, seed) / 'log.txt'
  log.parent.mkdir(parents=True, exist_ok=True)
  print(f'{row.title}, seed {seed} ...', flush=True)
  command = [sys.executable, '-m', 'experiments.worker', f'--row={row.key}', f'--seed={seed}', *paths.flags()]
  with log.open('ab') as file:
    status, stopped = _call(command, file)
  if not status:
    print(f'  {summary(collect.read(paths.result(row, seed)))}', flush=True)
  elif not stopped and status != STOPPED:
    tail = '\n  '.join(log.read_text('utf-8', errors='replace').splitlines()[-5:])
    print(f'  failed with status {status}; the end of {log}:\n  {tail}', flush=True)
  return STOPPED if stopped else status


def summary(result: Mapping[str, Any]) -> str:
  """Returns the metrics of a result in a line."""
  report = result['report']
  metrics = {'pixel F1': report.get('pixel_f1', {}).get('mean'), 'image F1': report.get('image_f1', {}).get('mean'),
             'kappa': report.get('kappa', {}).get('value')}
  shown = ', '.join(f'{name} {value:.3f}' for name, value in metrics.items() if value is not None)
  return f'{shown or "no metric is defined"}; {result["seconds"]:.0f} s, {result["peak_memory"]["bytes"] / 1e9:.2f} GB'


def _call(command: Sequence[str], log: Any) -> tuple[int, bool]:
  """Runs a command, to which SIGINT and SIGTERM are passed on, and SIGHUP (a closed terminal) as SIGTERM; returns its
  status, and whether there was one."""
  process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
  heard = []

  def forward(number: int, frame: Any) -> None:
    del frame
    heard.append(number)
    process.send_signal(signal.SIGTERM if number == signal.SIGHUP else number)

  before = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
  try:
    return process.wait(), bool(heard)
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)


def run_all(paths: Paths, wanted: Sequence[Row], seeds: Sequence[int] | None, rows: Mapping[str, Row]) -> int:
  """Runs what has no result yet, seed after seed; a row that fails does not stop the others. Without `seeds` each row has
  those of `presets.seeds_of`.

  Returns:
    0, STOPPED where a signal stopped it, 1 where a row failed.

  Raises:
    ValueError: of `is_done` and of `is_trained`, before anything runs.
  """
  failed = []
  asked = [(seed, row) for row in wanted for seed in seeds or presets.seeds_of(paths.preset, row.key)]
  missing = [(seed, row) for seed, row in asked if not is_done(paths, row, seed, rows)]
  for seed, row in missing:
    if row.lesion:
      is_trained(paths, rows[row.lesion], seed, rows)
  for seed, row in sorted(missing, key=lambda pair: pair[0]):
    if (status := run_row(paths, row, seed, rows)) == STOPPED:
      print('stopped and saved; the same command resumes it')
      return STOPPED
    failed += [f'{row.key}-{seed}'] if status else []
  if failed:
    print(f'failed: {", ".join(failed)}')
  return 1 if failed else 0


def parse(description: str, keys: Sequence[str], argv: Sequence[str] | None = None) -> argparse.Namespace:
  """Returns the flags of a table's program."""
  parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
  add_place(parser)
  parser.add_argument('--rows', type=_names(keys), help=f'some of {", ".join(keys)} (default: all that the preset runs)')
  parser.add_argument('--seeds', type=_seeds, help="such as 0,1,2 (default: the preset's)")
  parser.add_argument('--render', action='store_true', help='run nothing: render what there is')
  options = parser.parse_args(argv)
  options.rows = options.rows or tuple(key for key in keys if key not in presets.NOT_RUN.get(options.preset, {}))
  if presets.DATA[options.preset] != 'synthetic' and not (options.source_dir or options.render):
    parser.error(f'the preset {options.preset} needs --source_dir=DIR, the unpacked raw dataset')
  return options


def _seeds(text: str) -> tuple[int, ...]:
  try:
    return tuple(map(int, text.split(',')))
  except ValueError:
    raise argparse.ArgumentTypeError(f'{text!r} is no list of seeds; give integers such as 0,1,2') from None


def _names(keys: Sequence[str]) -> Any:
  def parse_names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(','))
    if unknown := [name for name in names if name not in keys]:
      raise argparse.ArgumentTypeError(f'no row {", ".join(unknown)}; the rows are {", ".join(keys)}')
    return names

  return parse_names
