"""Trains and evaluates one row of a table in a process of its own, so that its time and memory are its own.

`experiments.runner` starts it; by hand: python -m experiments.worker --preset=smoke --row=fcn_8s
"""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
import time
from typing import Any

import numpy as np
from absl import logging

from experiments import presets, record, runner, table2, table3
from experiments.rows import Row
from lesion_jax import build, main, runtime
from lesion_jax.evaluate import bootstrap
from lesion_jax.train.interrupt import Interrupt
from lesion_jax.train.parallel import Devices

ROWS = {row.key: row for row in table2.ROWS + table3.ROWS}
PAIRED = ('mean_pixel_f1', 'mean_image_f1', 'kappa')  # the figures by which rows are compared
DIGITS = 5  # of a replicate


def run(options: argparse.Namespace) -> int:
  """Trains, evaluates and writes the result; returns the exit status of `lesion_jax.main`."""
  place = runner.Place.of(options)
  row = ROWS[options.row]
  config = runner.configure(place, row, options.seed, ROWS)
  workdir = place.workdir(row, options.seed)
  resumed = (workdir / row.stage / 'checkpoints').exists()
  with Interrupt() as should_stop:
    build.open_datasets(config, str(place.data_dir), Devices())  # drawn or read once: no part of this row's time
    start = time.perf_counter()
    status = main.run(config, workdir, str(place.data_dir), should_stop)
  if not status:
    seconds = time.perf_counter() - start
    result = describe(row, options, config.to_dict(), workdir / row.stage)
    result |= {'seconds': round(seconds, 1), 'resumed': resumed, 'peak_memory': record.peak_memory(),
               'hardware': record.hardware(), 'versions': record.versions(), 'config': presets.portable(config, place.runs)}
    record.save(place.result(row, options.seed), result)
  return status


def describe(row: Row, options: argparse.Namespace, config: dict[str, Any], directory: pathlib.Path) -> dict[str, Any]:
  """What the run in `directory` found, ready for JSON."""
  bundle = json.loads((directory / 'bundle' / 'config.json').read_text('utf-8'))
  report = json.loads((directory / 'report.json').read_text('utf-8'))
  with np.load(directory / 'test_counts.npz', allow_pickle=False) as file:
    counts = {name: file[name] for name in file.files}
  replicates = bootstrap(counts, counts.pop('annotated').tolist())
  stage = config[row.stage]
  return {
      'row': row.key, 'title': row.title, 'table': row.table, 'stage': row.stage, 'preset': options.preset,
      'seed': options.seed, 'paper': row.paper,
      'command': command(row, options),
      'report': report,
      'replicates': {name: [None if np.isnan(x) else round(float(x), DIGITS) for x in replicates[name]]
                     for name in PAIRED if name in replicates},
      'test_images': bundle['data']['lengths']['test'], 'size': stage['data']['size'], 'data': stage['data']['name'],
      'parameters': bundle['provenance']['parameters'], 'best_step': bundle['provenance']['best_step'],
      'steps': last_step(directory / 'metrics.csv'),
  }


def command(row: Row, options: argparse.Namespace) -> str:
  """What measures this row; the release and the weights by their names alone."""
  given = [f'--{flag}={pathlib.Path(value).name}' for flag in ('source_dir', 'pretrained')
           if (value := getattr(options, flag))]
  return ' '.join([f'python -m experiments.table{row.table} --preset={options.preset}', *given, f'--rows={row.key}',
                   f'--seeds={options.seed}'])


def last_step(path: pathlib.Path) -> int:
  """The last step of which the log of a run tells."""
  return max(int(line.split(',', 1)[0]) for line in path.read_text('utf-8').splitlines()[1:])


def parse(argv: list[str]) -> argparse.Namespace:
  """The worker's flags."""
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--row', required=True, choices=ROWS)
  parser.add_argument('--seed', type=int, default=0)
  runner.add_place(parser)
  return parser.parse_args(argv)


if __name__ == '__main__':
  logging.set_verbosity(logging.WARNING)
  runtime.set_up()
  sys.exit(run(parse(sys.argv[1:])))
