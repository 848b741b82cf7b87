"""`lesion-jax predict --engine ray` on many small photographs with two workers, one of which is killed in the middle.

Returns 1 unless every photograph is in the output exactly once. Needs the extra `ray`.
"""

from __future__ import annotations

import argparse
import collections
import csv
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import numpy as np
from PIL import Image

from experiments import page, record
from lesion_jax.core import GRADE_KEYS, LESION_KEYS
from lesion_jax.data import synthetic
from lesion_jax.models import get_model
from lesion_jax.photograph.threads import ordered_map
from lesion_jax.weights.bundle import save_bundle
from lesion_jax.weights.initialize import initialize

FIELDS = {'name': 'inception_v3_grader', 'width': 1 / 32}  # what it says means nothing; it is fast
SIZE, WORKERS = 64, 2


def add_options(parser: argparse.ArgumentParser) -> None:
  """Adds the flags."""
  parser.add_argument('--work', type=pathlib.Path, default=pathlib.Path('runs/benchmark/bulk'),
                      help='where photographs and results are kept (default runs/benchmark/bulk)')
  parser.add_argument('--count', type=int, default=10_000, help='photographs (default 10000)')
  parser.add_argument('--out', type=pathlib.Path, default=page.BENCHMARKS)


def run(arguments: argparse.Namespace) -> int:
  """Predicts, and writes bulk.json and bulk.md."""
  work, count = arguments.work, arguments.count
  photographs, bundle, out = work / f'photographs-{count}', work / 'bundle', work / f'results-{count}'
  if out.exists():
    raise FileExistsError(f'{out} holds the results of an earlier run, which would not be predicted again; remove it')
  draw(photographs, count)
  variables = initialize(get_model(**FIELDS), np.zeros((1, SIZE, SIZE, 3), np.uint8), 0)
  save_bundle(bundle, config=config(), card='', variables=variables)
  command = [sys.executable, '-m', 'lesion_jax.cli', 'predict', photographs, '--model', bundle, '--out', out,
             '--engine', 'ray', '--workers', str(WORKERS)]
  start = time.perf_counter()
  with subprocess.Popen(command) as process:
    killed = kill_a_worker(process, out, count // 2)
    status = process.wait()
  seconds = time.perf_counter() - start
  found = check(out, sorted(photographs.iterdir()))
  result = {'benchmark': 'bulk', 'count': count, 'size': SIZE, 'workers': WORKERS, 'model': FIELDS, 'status': status,
            'killed_after': killed, 'seconds': round(seconds, 1), **found,
            'versions': record.versions() | {'ray': metadata.version('ray')}, 'hardware': record.hardware()}
  print(page.write(arguments.out, 'bulk', result, render))
  return 0 if status == 0 and killed is not None and found['once'] == count and not found['other'] else 1


def draw(folder: pathlib.Path, count: int) -> None:
  """Writes so many different photographs, unless that was done before: turns and tints of a hundred."""
  if folder.exists() and len(list(folder.iterdir())) == count:
    return
  folder.mkdir(parents=True, exist_ok=True)
  drawn = [synthetic.generate(seed=0, index=index, size=SIZE).image for index in range(100)]

  def write(number: int) -> None:
    pixels = np.rot90(drawn[number % len(drawn)], number // len(drawn) % 4).copy()
    pixels[0, :3] = number >> 16, number >> 8 & 255, number & 255  # no two have the same bytes
    Image.fromarray(pixels).save(folder / f'{number:05}.png')

  collections.deque(ordered_map(write, range(count)), maxlen=0)


def config() -> dict[str, Any]:
  """Returns the configuration of the bundle."""
  return {'model': FIELDS, 'lesions': list(LESION_KEYS), 'grades': list(GRADE_KEYS), 'annotated': [],
          'preprocessing': {'size': SIZE, 'crop': 'field of view'}, 'thresholds': dict.fromkeys(LESION_KEYS, 0.5)}


def kill_a_worker(process: subprocess.Popen, out: pathlib.Path, after: int) -> int | None:
  """Kills one of Ray's workers after so many results; returns how many there were, None where the run was over."""
  while process.poll() is None:
    done = sum((entry / 'result.json').exists() for entry in out.iterdir()) if out.exists() else 0
    workers = [pid for pid in below(process.pid) if 'MapWorker' in read(f'/proc/{pid}/cmdline')]
    if done >= after and workers:
      os.kill(workers[0], signal.SIGKILL)
      return done
    time.sleep(1)
  return None


def below(pid: int) -> list[int]:
  """Returns all processes that a process has started."""
  lists = pathlib.Path(f'/proc/{pid}/task').glob('*/children')
  children = [int(child) for path in lists for child in read(path).split()]
  return children + [deeper for child in children for deeper in below(child)]


def read(path: pathlib.Path | str) -> str:
  """Returns a file of /proc, '' where its process has just ended."""
  try:
    return pathlib.Path(path).read_text(errors='replace')
  except OSError:
    return ''


def check(out: pathlib.Path, photographs: Sequence[pathlib.Path]) -> dict[str, int]:
  """Returns how many photographs have exactly one row, predicted, with a complete folder of their own; and what
  else there is."""
  with (out / 'results.csv').open(newline='') as file:
    rows = list(csv.DictReader(file))
  times = collections.Counter(row['file'] for row in rows)
  good = {row['file'] for row in rows if times[row['file']] == 1 and row['status'] == 'predicted'
          and (out / row['folder'] / 'result.json').exists()}
  folders = {row['folder'] for row in rows}
  complete = {path.name for path in out.iterdir() if (path / 'result.json').exists()}
  once = len(good & {str(path) for path in photographs}) if len(folders) == len(rows) else 0
  return {'rows': len(rows), 'folders': len(complete), 'once': once,
          'other': len(rows) - once + len(complete - folders)}


def render(result: Mapping[str, Any]) -> str:
  """Renders the page of a result, in Markdown."""
  return page.join(
      '# Bulk prediction',
      f'{result["count"]:,} photographs of {result["size"]}x{result["size"]} pixels through `lesion-jax predict '
      f'--engine ray` on a Ray cluster of this machine with {result["workers"]} workers, one of which was killed when '
      f'{result["killed_after"] or 0:,} photographs were done. The network is a narrow one; what is measured is '
      'the rest.',
      page.table(['photographs', 'exactly once in the output', 'rows of results.csv', 'folders', 'seconds', 'photographs/s'],
                 [[*(f'{result[name]:,}' for name in ('count', 'once', 'rows', 'folders')), f'{result["seconds"]:.0f}',
                   f'{result["count"] / result["seconds"]:.1f}']]),
      page.provenance(result)) + '\n'
