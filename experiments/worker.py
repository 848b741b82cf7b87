"""Trains and evaluates one row of a table in a process of its own, so that its time and memory are its own.

`experiments.runner` starts it; by hand: python -m experiments.worker --preset=smoke --row=fcn_8s
"""

from __future__ import annotations

import argparse
import contextlib
import json
import pathlib
import shutil
import sys
import time
from typing import Any

from absl import logging

from experiments import collect, presets, record, runner
from experiments.rows import ROWS, Row
from lesion_jax import machine, main, runtime, stages
from lesion_jax.data.asked import copy_outputs, kept_outputs
from lesion_jax.evaluate import bootstrap
from lesion_jax.locking import Locked, locked
from lesion_jax.report import run as report_run
from lesion_jax.train.interrupt import Interrupt
from lesion_jax.train.logs import read_scalars
from lesion_jax.train.parallel import Devices

LOCK = 'lock'  # in the folder of a run, beside the lock of the training


def run(options: argparse.Namespace) -> int:
  """Trains, evaluates and writes the result; returns the exit status of `lesion_jax.main`.

  A result that is there already stays, whatever is trained: a row of Table III may need the network of a row that was
  measured elsewhere, and the committed result is that row's.
  """
  paths = runner.Paths.of(options)
  row = ROWS[options.row]
  config = runner.configure(paths, row, options.seed, ROWS)
  workdir = paths.workdir(row, options.seed)
  with contextlib.ExitStack() as stack:
    try:  # where its table's program is killed a worker lives on, and the program, started again, starts a second one
      stack.enter_context(locked(workdir, f'a run of {row.key} with seed {options.seed}', name=LOCK))
    except Locked as error:
      print(error)
      return 1
    resumed = (workdir / row.stage / 'checkpoints').exists()
    should_stop = stack.enter_context(Interrupt())
    stages.open_datasets(config, str(paths.data_dir), Devices())  # generated or read once: no part of this row's time
    share_outputs(paths, row, options.seed)
    start, used = time.perf_counter(), time.process_time()
    status = main.run(config, workdir, str(paths.data_dir), should_stop)
  if not status and not paths.result(row, options.seed).exists():
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - used
    result = describe(row, options, config.to_dict(), workdir / row.stage)
    result |= {'seconds': round(seconds, 1), 'cpu_seconds': round(cpu_seconds, 1), 'resumed': resumed, 'peak_memory': record.peak_memory(),
               'hardware': record.hardware(), 'versions': record.versions(),
               'lesion_weights': weights(paths.bundle(ROWS[row.lesion], options.seed)) if row.lesion else None,
               'config': presets.portable(config, paths.runs)}
    path = paths.result(row, options.seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(workdir / row.stage / report_run.TEST_COUNTS, collect.counts_of(path))
    record.save(path, result)
  return status


def share_outputs(paths: runner.Paths, row: Row, seed: int) -> None:
  """Lets a row begin with what a frozen lesion network said of the training photographs (`data.ask_once`) when it was asked for
  another row. What was kept names the network that was asked, and the photographs; of others it is not taken."""
  for other in ROWS.values():
    kept = paths.workdir(other, seed) / other.stage / kept_outputs()
    place = paths.workdir(row, seed) / row.stage / kept_outputs()
    if row.lesion and other.lesion == row.lesion and other.model['name'] == row.model['name'] and kept.exists():
      copy_outputs(kept, place)


def weights(bundle: pathlib.Path) -> str:
  """Returns the digest of a bundle's weights, by which results tell networks apart."""
  return json.loads((bundle / 'config.json').read_text('utf-8'))['weights_sha256']


def describe(row: Row, options: argparse.Namespace, config: dict[str, Any], directory: pathlib.Path) -> dict[str, Any]:
  """Returns what the run in `directory` found, ready for JSON."""
  bundle = json.loads((directory / 'bundle' / 'config.json').read_text('utf-8'))
  report = json.loads((directory / 'report.json').read_text('utf-8'))
  if masked := next((each for each in report.get('data_sets', {}).values() if each.get('aupr', {}).get('mean') is not None), None):
    # AUPR as it is published: of the data set that has masks, without the healthy eyes of the other.
    report |= {'aupr': masked['aupr'], 'precision_recall': masked['precision_recall'],
               'intervals': report['intervals'] | {'aupr': masked['intervals']['aupr']}}
  replicates = collect.paired(bootstrap(*collect.read_counts(directory / report_run.TEST_COUNTS)))
  stage = config[row.stage]
  return {
      'row': row.key, 'title': row.title, 'table': row.table, 'stage': row.stage, 'preset': options.preset,
      'seed': options.seed, 'paper': row.paper,
      'command': command(row, options),
      'report': report,
      'replicates': replicates,
      'test_images': bundle['data']['lengths']['test'], 'size': stage['data']['size'], 'data': stage['data']['name'],
      'parameters': bundle['provenance']['parameters'], 'best_step': bundle['provenance']['best_step'],
      'steps': max(max(steps) for steps, _ in read_scalars(directory / 'metrics.csv').values()),
      'weights': bundle['weights_sha256'],
  }


def command(row: Row, options: argparse.Namespace) -> str:
  """Returns what measures this row; the raw dataset and the weights by their names alone."""
  given = [f'--{flag}={pathlib.Path(value).name}' for flag in ('source_dir', 'pretrained')
           if (value := getattr(options, flag))]
  return ' '.join([f'python -m experiments.table{row.table} --preset={options.preset}', *given,
                   *runner.fit_flags(options), f'--rows={row.key}', f'--seeds={options.seed}'])


def parse(argv: list[str]) -> argparse.Namespace:
  """Returns the worker's flags."""
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--row', required=True, choices=ROWS)
  parser.add_argument('--seed', type=int, default=0)
  runner.add_place(parser)
  return parser.parse_args(argv)


if __name__ == '__main__':
  logging.set_verbosity(logging.WARNING)
  machine.keep_memory()
  runtime.set_up()
  sys.exit(run(parse(sys.argv[1:])))
