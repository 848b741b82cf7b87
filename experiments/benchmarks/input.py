"""Photographs with eight masks at 896 from disk to batches: this library beside a plain PyTorch DataLoader."""

from __future__ import annotations

import argparse
import contextlib
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from typing import Any

from experiments import record
from experiments.benchmarks.drawn_release import QUALITY, SEED, write_release
from experiments.benchmarks.workers import cpu_seconds

RESULTS = pathlib.Path(__file__).parents[1] / 'results' / 'benchmark'
PACKAGES = ('grain', 'pillow', 'tensorflow-datasets', 'array-record', 'torch')
PAUSE = 2.0  # seconds between turns, in which a reader fills its buffers instead of another's turn
# Batches read before the clock starts, beyond those that a reader may hold ready, two for each worker of a DataLoader.
WARM = 4
MASKS = {'eight': 'eight masks a photograph', 'present': 'masks of lesions that are there, as in the release'}


def add(commands: Any) -> None:
  """Adds the program to the sub-parsers `commands`."""
  parser = commands.add_parser('input', help=__doc__, description=__doc__)
  parser.add_argument('--work', type=pathlib.Path, default=pathlib.Path('runs/benchmark'),
                      help='where the drawn release is kept (default runs/benchmark)')
  parser.add_argument('--count', type=int, default=48, help='photographs to draw (default 48)')
  parser.add_argument('--size', type=int, default=896)
  parser.add_argument('--batch', type=int, default=8)
  parser.add_argument('--batches', type=int, default=8, help='of one turn (default 8)')
  parser.add_argument('--rounds', type=int, default=5, help='turns of each reader, interleaved (default 5)')
  parser.add_argument('--cores', type=int, nargs='+', default=[1, 2], help='cores that a reader may use (default 1 2)')
  parser.add_argument('--out', type=pathlib.Path, default=RESULTS)
  parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
  """Measures, and writes input.json and input.md."""
  rows = []
  for masks in MASKS:
    release = arguments.work / f'release-{arguments.size}-{arguments.count}-{masks}'
    write_release(release, count=arguments.count, size=arguments.size, every_mask=masks == 'eight')
    for cores in arguments.cores:
      rows += measure(release, arguments.work / 'prepared', masks, cores, arguments)
  result = {
      'benchmark': 'input', 'size': arguments.size, 'batch': arguments.batch, 'photographs': arguments.count,
      'jpeg_quality': QUALITY, 'seed': SEED, 'rounds': arguments.rounds, 'batches': arguments.batches, 'rows': rows,
      'versions': record.versions() | {name: metadata.version(name) for name in PACKAGES},
      'hardware': record.hardware(),
  }
  record.save(arguments.out / 'input.json', result)
  page = render(result)
  (arguments.out / 'input.md').write_text(page, encoding='utf-8')
  print(page)
  return 0


def measure(
    release: pathlib.Path, prepared: pathlib.Path, masks: str, cores: int, arguments: argparse.Namespace,
) -> list[dict[str, Any]]:
  """One row for each reader: images/s of each of its turns. The turns of all readers are interleaved."""
  readers = {'ours, 16 threads': ('ours', 16), 'DataLoader, 0 workers': ('torch', 0)}
  readers |= {f'DataLoader, {n} workers': ('torch', n) for n in sorted({cores, 2 * cores})}
  speeds: dict[str, list[float]] = {name: [] for name in readers}
  work: dict[str, list[float]] = {name: [] for name in readers}
  images = arguments.batches * arguments.batch
  with contextlib.ExitStack() as stack:
    running = {name: stack.enter_context(_reader(*reader, release, prepared, cores, arguments.batch))
               for name, reader in readers.items()}
    digests = {process.stdout.readline() for process in running.values()}
    if len(digests) != 1:
      raise ValueError(f'the readers do not read the same: {digests}')
    for _ in range(arguments.rounds):
      for name, process in running.items():
        time.sleep(PAUSE)
        _ask(process, WARM + 2 * max(workers for side, workers in readers.values() if side == 'torch'))
        before = cpu_seconds(process.pid)
        speeds[name].append(round(images / _ask(process, arguments.batches), 2))
        work[name].append(round(1000 * (cpu_seconds(process.pid) - before) / images, 2))
  return [{'masks': masks, 'cores': cores, 'reader': name, 'images_per_second': speeds[name],
           'median': statistics.median(speeds[name]), 'cpu_ms_per_image': work[name],
           'cpu_ms': statistics.median(work[name])} for name in readers]


@contextlib.contextmanager
def _reader(side: str, workers: int, release: pathlib.Path, prepared: pathlib.Path, cores: int, batch: int,
            ) -> Iterator[subprocess.Popen]:
  more_than_cores = 'ignore:This DataLoader will create:UserWarning'  # they wait for the disk too
  command = [sys.executable, '-W', more_than_cores, '-m', 'experiments.benchmarks.readers', side, '--release', release,
             '--prepared', prepared, '--batch', batch, '--workers', workers, '--cores', cores]
  with subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
    yield process
    process.stdin.close()


def _ask(process: subprocess.Popen, batches: int) -> float:
  """The seconds that a reader needs for so many batches."""
  process.stdin.write(f'{batches}\n')
  process.stdin.flush()
  return float(process.stdout.readline())


def render(result: Mapping[str, Any]) -> str:
  """The page of a result, in Markdown."""
  lines = [
      '# Reading speed', '',
      f'Photographs of {result["size"]}x{result["size"]} pixels with masks, from disk to batches of {result["batch"]}: '
      f'images/s, the median of {result["rounds"]} turns of {result["batches"]} batches that the readers took one '
      'after another, and the lowest and highest; and the CPU time of an image, which depends less on what else the '
      'machine does. `ours` reads a prepared data set; `DataLoader` is plain PyTorch on the JPEG and PNG files of the '
      'same release. Both give the same pixels. Written by `python -m experiments.benchmark input`.', '',
      '| masks | cores | reader | images/s | per core | range | ours / this | CPU ms an image | this / ours |',
      '|---|---|---|---|---|---|---|---|---|']
  groups: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
  for row in result['rows']:
    groups.setdefault((row['masks'], row['cores']), []).append(row)
  for (masks, cores), rows in groups.items():
    lines += [_line(masks, cores, row, rows) for row in rows]
  hardware = result['hardware']
  return '\n'.join([*lines, '', f'On {hardware["cpus"]} CPU cores. Versions: '
                    + ', '.join(f'{name} {version}' for name, version in result['versions'].items()) + '.', ''])


def _line(masks: str, cores: int, row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
  mine = next(other for other in rows if other['reader'].startswith('ours'))
  times, less = ('', '') if row is mine else (
      f'{mine["median"] / row["median"]:.2f}', f'{row["cpu_ms"] / mine["cpu_ms"]:.2f}')
  found = row['images_per_second']
  return (f'| {MASKS[masks]} | {cores} | {row["reader"]} | {row["median"]:.1f} | {row["median"] / cores:.1f} | '
          f'{min(found):.1f}–{max(found):.1f} | {times} | {row["cpu_ms"]:.1f} | {less} |')
