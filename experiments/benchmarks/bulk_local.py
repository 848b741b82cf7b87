"""What a user waits for: a folder of full-size photographs through `lesion-jax predict`, stage by stage.

The photographs are IDRiD's, as often as it takes, each with other bytes. The answers of the network of this package were
computed before and take no time (even a network of 4 channels takes seconds at 1440 pixels), so that reading and writing
show, with as much to write as there is in truth. The program of another checkout can take turns with this one
(`--baseline`): what a change has earned.

The CPU seconds of a stage are those of its functions' own threads, without what they call of other stages.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import functools
import importlib
import io
import itertools
import json
import math
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from experiments import page, record
from experiments.benchmarks.turns import LEVEL, RATIO, compare, ratio_cells

NETWORK = 'idrid'  # of this package
DISTINCT, COUNT, ROUNDS = 10, 100, 3
GPU_CORES, GPU_AIM = 16, 20  # photographs a second that a machine with a GPU should take, by calculation
OURS, REDUCED, BASELINE = 'ours', 'reduced', 'baseline'
# Functions by stage, in the order of a photograph's way; of this version and of those before, whichever there are.
STAGES = {
    'read and decode': ('photograph.read:_read',),
    'look for damage': ('photograph.jpeg:check_jpeg',),
    'field of view': ('photograph.crop:locate', 'photograph.field:find_field_of_view'),
    'crop and resize': ('photograph.crop:Crop.apply',),
    'record': ('clinical.record:describe',),
    'regions and areas': ('clinical.record:_lesions',),
    'quality, likeness': ('photograph.quality:assess', 'photograph.fingerprint:fingerprint', 'photograph.likeness:judge'),
    'write, other': ('report.result_folder:write_result',),
    'masks to the photograph': ('report.outlines:mask_on_photograph', 'report.result_folder:_draw', 'report.outlines:paint'),
    'outlines': ('report.outlines:trace', 'report.outlines:Drawing.outline', 'report.outlines:write_outlines'),
    'overlay': ('report.overlay:draw_overlay', 'report.result_folder:_write_overlay'),
    'PNG': ('photograph.png:encode_png',),
    'JSON': ('report.files:write_whole',),
    'memory back to the system': ('machine:return_memory',),
    'search and digests': ('bulk.inputs:search', 'bulk.inputs:_digest'),
    'table and page': ('bulk.run:write_summaries',),
}
REST = 'all else'
TIMES = {'seconds': 'seconds', 'cpu_seconds': 'CPU seconds'}


def add_options(parser: argparse.ArgumentParser) -> None:
  """Adds the flags."""
  parser.add_argument('--source_dir', type=pathlib.Path, required=True, help='IDRiD')
  parser.add_argument('--baseline', type=pathlib.Path, help='another checkout, whose program takes turns with this one')
  parser.add_argument('--work', type=pathlib.Path, default=pathlib.Path('runs/benchmark/bulk_local'),
                      help='where photographs and results are kept (default runs/benchmark/bulk_local)')
  parser.add_argument('--count', type=int, default=COUNT, help=f'photographs (default {COUNT})')
  parser.add_argument('--rounds', type=int, default=ROUNDS, help=f'turns of each (default {ROUNDS})')
  parser.add_argument('--out', type=pathlib.Path, default=page.BENCHMARKS)


def run(arguments: argparse.Namespace) -> int:
  """Measures, and writes bulk_local.json and bulk_local.md."""
  result = measure(arguments.source_dir, arguments.work, count=arguments.count, rounds=arguments.rounds, baseline=arguments.baseline)
  print(page.write(arguments.out, 'bulk_local', result, render))
  return 0


def measure(
    source_dir: pathlib.Path, work: pathlib.Path, *, count: int, rounds: int, baseline: pathlib.Path | None = None,
) -> dict[str, Any]:
  """Returns what `bulk_local.json` holds."""
  photographs, distinct = write_photographs(source_dir, work / f'photographs-{count}', count)
  answers = write_answers(work / 'answers', sorted(photographs.iterdir())[:distinct])
  own = pathlib.Path(__file__).parents[2]
  checkouts = {REDUCED: own, OURS: own} | ({BASELINE: baseline.absolute()} if baseline else {})
  turns: dict[str, list[dict[str, Any]]] = {name: [] for name in checkouts}
  for name in checkouts:  # fills the system's cache of files
    one_turn(name, checkouts[name], photographs, answers, work, most=2)
  for _, (name, checkout) in itertools.product(range(rounds), checkouts.items()):
    turns[name].append(one_turn(name, checkout, photographs, answers, work))
  staged = {name: one_turn(name, checkout, photographs, answers, work, stages=True) for name, checkout in checkouts.items()}
  rows = {name: {
      'seconds': [turn['seconds'] / count for turn in found], 'cpu_seconds': [turn['cpu_seconds'] / count for turn in found],
      'yardstick': [turn['yardstick'] for turn in found], 'bytes': staged[name]['bytes'] / count,
      'stages': {stage: seconds / count for stage, seconds in staged[name]['stages'].items()},
      'regions': staged[name]['regions'] / count} for name, found in turns.items()}
  return {
      'benchmark': 'bulk_local', 'count': count, 'distinct': distinct, 'rounds': rounds, 'network': NETWORK,
      'rows': rows,
      'ratios': {} if baseline is None else {name: {time: compare(rows[name][time], rows[BASELINE][time]) for time in TIMES}
                                             for name in (REDUCED, OURS)},
      'versions': record.versions(), 'hardware': record.hardware()}


def write_photographs(source_dir: pathlib.Path, folder: pathlib.Path, count: int) -> tuple[pathlib.Path, int]:
  """Writes the test photographs of part A until there are enough, unless that was done before; returns the folder, and
  how many of them differ in their pixels."""
  found = sorted((source_dir / 'A. Segmentation' / '1. Original Images' / 'b. Testing Set').glob('*.jpg'))[:DISTINCT]
  if not found:
    raise FileNotFoundError(f'no photograph of the test set of part A in {source_dir}')
  if not folder.is_dir() or len(list(folder.iterdir())) != count:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for number, path in zip(range(count), itertools.cycle(found), strict=False):
      data, said = path.read_bytes(), f'{number}'.encode()
      comment = b'\xff\xfe' + (len(said) + 2).to_bytes(2, 'big') + said  # behind the marker with which a JPEG begins
      (folder / f'{number:04}.jpg').write_bytes(data[:2] + comment + data[2:])
  return folder, min(count, len(found))


def write_answers(folder: pathlib.Path, photographs: Sequence[pathlib.Path]) -> pathlib.Path:
  """Writes what the network says of these photographs, one a file, unless that was done before; returns the folder."""
  from lesion_jax.core import LANDMARKS
  from lesion_jax.photograph.square import HEADS
  from lesion_jax.predict import load

  folder.mkdir(parents=True, exist_ok=True)
  if len(list(folder.glob('*.npz'))) == len(photographs):
    return folder
  for number, found in enumerate(load(NETWORK).stream(photographs)):
    marks = found.landmarks[0]
    np.savez(folder / f'{number:02}.npz', **{head: getattr(found, head) for head in HEADS},
             landmarks=np.array([getattr(marks, name) for name in LANDMARKS], np.float64), diameter=marks.diameter)
  return folder


class Answers:
  """Answers of `write_answers`, over and over, in the place of a network and of what looks for its landmarks."""

  def __init__(self, folder: pathlib.Path) -> None:
    from lesion_jax.core import Prediction
    from lesion_jax.photograph.landmarks import Landmark, Landmarks
    from lesion_jax.photograph.square import HEADS
    from lesion_jax.predict import load

    self.predictions, self.landmarks, self.calls = [], [], 0
    self.predictor = dataclasses.replace(load(NETWORK), predict_fn=self.predict, program=None, landmarks=self)
    for path in sorted(folder.glob('*.npz')):
      with np.load(path) as found:
        answer = {head: found[head] for head in HEADS}
        answer['maps'] = np.moveaxis(np.ascontiguousarray(np.moveaxis(answer['maps'], -1, 1)), 1, -1)  # as a device lays them out
        self.predictions.append(Prediction(**answer))
        disc, fovea = (Landmark(*place[:3].tolist(), bool(place[3])) for place in found['landmarks'])
        self.landmarks.append(Landmarks(disc, fovea, float(found['diameter'])))

  def predict(self, variables: Any, images: np.ndarray) -> Any:
    """Answers for the next photograph."""
    self.calls += 1
    return self.predictions[(self.calls - 1) % len(self.predictions)]

  def start(self, squares: Sequence[Any], batch_size: int) -> int:
    """Of `LandmarkFinder`: for the photograph that was predicted last."""
    return (self.calls - 1) % len(self.landmarks)

  def finish(self, located: int, squares: Sequence[Any]) -> list[Any]:
    """Likewise."""
    return [self.landmarks[located]]

  def load(self, options: Any) -> Any:
    """Of `bulk.options.load_predictor`."""
    return self.predictor



def one_turn(
    name: str, checkout: pathlib.Path, photographs: pathlib.Path, answers: pathlib.Path, work: pathlib.Path, *, stages: bool = False,
    most: int = 0,
) -> dict[str, Any]:
  """Runs the program of a checkout in a process of its own, for REDUCED with those options; returns what `work_off` found."""
  out = work / 'results'
  shutil.rmtree(out, ignore_errors=True)
  # By its path and without its folder, where other modules have the names of Python's own.
  command = [sys.executable, '-P', __file__, str(photographs.absolute()), str(answers.absolute()), str(out.absolute()),
             f'--most={most}', *(['--stages'] if stages else []), *(['--reduced'] if name == REDUCED else [])]
  done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=checkout,
                        env=os.environ | {'PYTHONPATH': str(checkout), 'JAX_PLATFORMS': 'cpu'})
  return json.loads(done.stdout.splitlines()[-1])


def work_off(argv: Sequence[str] | None = None) -> None:
  """Predicts a folder, and prints a line of JSON: seconds and CPU seconds of all, of each stage where that is asked for,
  bytes that were written, regions that were found; and the `yardstick` of the same process."""
  parser = argparse.ArgumentParser()
  for name in ('photographs', 'answers', 'out'):
    parser.add_argument(name, type=pathlib.Path)
  parser.add_argument('--most', type=int, default=0)
  for name in ('--stages', '--reduced'):
    parser.add_argument(name, action='store_true')
  arguments = parser.parse_args(argv)
  from lesion_jax.bulk import run as bulk
  from lesion_jax.bulk.options import Options

  files = sorted(arguments.photographs.iterdir())[:arguments.most or None]
  unit = yardstick(files[0])
  clock, bulk.load_predictor = Clock(), Answers(arguments.answers).load
  with clock.running(STAGES) if arguments.stages else contextlib.nullcontext():
    start, cpu = time.perf_counter(), time.process_time()
    entries = bulk.predict_photographs(files, arguments.out, Options(reduced=True, overlay=False) if arguments.reduced else Options())
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
  if failed := [entry for entry in entries if entry.record is None]:
    raise RuntimeError(f'{len(failed)} photographs failed, the first: {failed[0]}')
  found = dict(clock.seconds)
  print(json.dumps({
      'seconds': seconds, 'cpu_seconds': cpu, 'yardstick': unit, 'stages': found | {REST: cpu - sum(found.values())},
      'regions': sum(lesion['found']['regions'] for entry in entries for lesion in entry.record['lesions'].values()),
      'bytes': sum(path.stat().st_size for path in arguments.out.rglob('*') if path.is_file())}))


def yardstick(path: pathlib.Path) -> float:
  """Returns the CPU seconds that Pillow takes to decode a photograph and to write it as JPEG of half the size: what no
  program like this one can do without. The least of five."""
  data, found = path.read_bytes(), []
  for _ in range(5):
    start = time.thread_time()
    with Image.open(io.BytesIO(data)) as image:
      image.resize((image.width // 2, image.height // 2), Image.Resampling.BILINEAR).save(io.BytesIO(), 'JPEG')
    found.append(time.thread_time() - start)
  return min(found)


class Clock:
  """Counts the CPU seconds of functions, each without those that it calls and that are counted too, on any thread."""

  def __init__(self) -> None:
    self.seconds: collections.Counter[str] = collections.Counter()
    self._local, self._lock = threading.local(), threading.Lock()

  @contextlib.contextmanager
  def running(self, stages: Mapping[str, Sequence[str]]) -> Iterator[list[str]]:
    """Yields the names that were found, and counts what is named 'module:function' or 'module:Class.method', below `lesion_jax`, wherever it is
    imported; what is not there is passed over. At the end everything is as it was."""
    before: list[tuple[Any, str, Any]] = []
    found: list[str] = []
    for stage, names in stages.items():
      for name in names:
        module, _, attribute = name.partition(':')
        with contextlib.suppress(ImportError, AttributeError):
          owner = importlib.import_module(f'lesion_jax.{module}')
          *inside, attribute = attribute.split('.')
          for each in inside:
            owner = getattr(owner, each)
          function = getattr(owner, attribute)
          found.append(name)
          counted = self._counted(stage, function)
          for holder in [owner] if inside else [each for key, each in list(sys.modules.items()) if key.startswith('lesion_jax')]:
            for key in [key for key, value in vars(holder).items() if value is function]:
              before.append((holder, key, function))
              setattr(holder, key, counted)
    try:
      yield found
    finally:
      for holder, key, function in before:
        setattr(holder, key, function)

  def _counted(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def counted(*arguments: Any, **named: Any) -> Any:
      outer = getattr(self._local, 'inner', None)
      self._local.inner = 0.0  # of those that it calls
      start = time.thread_time()
      try:
        return function(*arguments, **named)
      finally:
        whole = time.thread_time() - start
        with self._lock:
          self.seconds[stage] += whole - self._local.inner
        self._local.inner = None if outer is None else outer + whole

    return counted


def render(result: Mapping[str, Any]) -> str:
  """Renders the page of a result, in Markdown."""
  rows, ours = result['rows'], result['rows'][OURS]
  names = {REDUCED: '`--reduced --no-overlay`', OURS: 'in full size', BASELINE: 'the version before'}
  median = lambda row, key: statistics.median(row[key])
  cores = result['hardware']['cpus']
  speeds = [[names[name], f'{1 / median(row, "seconds"):.2f}', f'{median(row, "cpu_seconds"):.2f}',
             page.span(min(row['cpu_seconds']), max(row['cpu_seconds'])),
             f'{statistics.median(map(_divide, row["cpu_seconds"], row["yardstick"])):.1f}', f'{row["bytes"] / 1e6:.2f}']
            for name, row in rows.items()]
  stages = [[stage, *(f'{1000 * row["stages"].get(stage, 0.0):.0f}' for row in rows.values())] for stage in [*STAGES, REST]
            if any(row['stages'].get(stage, 0.0) >= 0.0005 for row in rows.values())]
  return page.join(
      '# A folder of photographs, from disk to report',
      f'{result["count"]} photographs of IDRiD\'s test set in full size ({result["distinct"]} different ones, under names and with '
      f'bytes of their own) through what `lesion-jax predict` runs, with answers of the network '
      f'`{result["network"]}` that were computed before and take no time. There are {ours["regions"]:.0f} regions a photograph. '
      f'{result["rounds"]} turns.',
      page.table(['', 'photographs/s', 'CPU seconds a photograph', 'lowest–highest', 'over the yardstick', 'MB written'], speeds),
      'The yardstick is what Pillow takes to decode such a photograph and to write it at half the size.',
      '' if not result['ratios'] else page.table(
          ['the version before /', '', *RATIO], [[names[name], TIMES[time], *ratio_cells(ratio)] for name, ratios in result['ratios'].items()
                                                for time, ratio in ratios.items()]),
      f'Intervals of {LEVEL} % are of the turns.' if result['ratios'] else '',
      '## Where the CPU seconds go', 'Milliseconds a photograph, of one more turn that was watched.',
      page.table(['', *(names[name] for name in rows)], stages),
      f'{GPU_CORES} cores like these {cores}, beside a GPU, would take ' + ' and '.join(
          f'{GPU_CORES / median(row, "cpu_seconds"):.0f} ({names[name]})' for name, row in rows.items() if name != BASELINE)
      + f' photographs a second, by calculation (aim {GPU_AIM}).',
      page.provenance(result)) + '\n'


def _divide(left: float, right: float) -> float:
  return left / right if right else math.nan


if __name__ == '__main__':
  work_off()
