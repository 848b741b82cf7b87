"""Cross-validation: trains and tests a configuration once a fold, and sums up.

  python -m experiments.folds --config=configs/segment.py:retinal_lesions --folds=5 --workdir=runs/folds \\
      --config.segment.data.source_dir=DIR --config.segment.pretrained=FILE
  python -m experiments.folds --config=configs/multitask.py --folds=3 --workdir=runs/folds-demo

Patients are dealt to equal parts (of a data set with an official test set, those of its training set), by `data.split` and `data.seed` of each
stage; fold k tests on part k and trains on the others, of which an eighth is for validation. Each fold is a run of
`lesion_jax.main` in WORKDIR/fold-K. Stopped, the same command resumes; what is finished is not run again. Writes
WORKDIR/folds.json and WORKDIR/folds.md: metrics by fold, their mean and standard deviation, and the metrics of all
photographs together, each evaluated by the network that did not learn from it.
"""

from __future__ import annotations

import json
import pathlib
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from absl import app, flags, logging
from ml_collections import ConfigDict

from experiments import collect, record
from experiments.page import join, number, table
from experiments.presets import portable
from lesion_jax import main, runtime, stages
from lesion_jax.command import one_line_errors, parse_flags
from lesion_jax.core import LESION_KEYS
from lesion_jax.evaluate import full_report, headline
from lesion_jax.report import run as report_run
from lesion_jax.train.interrupt import Interrupt

FLAGS = flags.FLAGS  # config, workdir and data_dir are those of `lesion_jax.main`
flags.DEFINE_integer('folds', 5, 'How many; each is the test split of one run.', lower_bound=2)

NAMES = {'mean_pixel_f1': 'mean pixel F1', 'mean_image_f1': 'mean image F1', 'mean_aupr': 'mean AUPR', 'kappa': 'kappa'}
LESION_METRICS = {'pixel_f1': 'pixel F1', 'image_f1': 'image F1', 'aupr': 'AUPR'}
JSON, PAGE = 'folds.json', 'folds.md'


def fold_of(config: ConfigDict, folds: int, fold: int) -> ConfigDict:
  """Returns the configuration of one fold.

  Raises:
    ValueError: it names a finished bundle, which may have learned from what this fold tests on.
  """
  chosen = config.copy_and_resolve_references()
  for name in (each for each in stages.STAGES if each in chosen):
    if chosen[name].bundle:
      raise ValueError(f'config.{name}.bundle={chosen[name].bundle}: a finished network may have learned from photographs of the '
                       f'test part of a fold; leave it empty, and let each fold train the stage (config.stages)')
    chosen[name].data.update(folds=folds, fold=fold)
  return chosen


def run(config: ConfigDict, folds: int, workdir: pathlib.Path, data_dir: str, should_stop: Interrupt) -> int:
  """Runs every fold that is not finished, and sums up; returns the exit status of `lesion_jax.main`."""
  with one_line_errors(ValueError):  # before anything is trained
    configs = [fold_of(config, folds, fold) for fold in range(folds)]
  for fold, chosen in enumerate(configs):
    folder = workdir / f'fold-{fold}'
    if is_finished(chosen, folder):
      continue
    print(f'fold {fold} of {folds}, in {folder}', flush=True)
    if status := main.run(chosen, folder, data_dir, should_stop):
      return status
  if jax.process_index() == 0:
    result = sum_up(config.stages, [workdir / f'fold-{fold}' for fold in range(folds)])
    result |= {'config': portable(config, workdir), 'versions': record.versions(), 'hardware': record.hardware()}
    record.save(workdir / JSON, result)
    (workdir / PAGE).write_text(text := markdown(result), encoding='utf-8')
    print(f'{text}\n{workdir / JSON}')
  return 0


def is_finished(config: ConfigDict, folder: pathlib.Path) -> bool:
  """Returns whether a run of this very configuration has tested all of its stages. (`main.run` refuses one of
  another.)"""
  kept = folder / 'config.json'
  return (has_tested(folder, config.stages) and kept.exists() and
          not stages.differing(json.loads(kept.read_text('utf-8')), config.to_dict()))


def has_tested(folder: pathlib.Path, stages: Sequence[str]) -> bool:
  """Returns whether a run has tested these stages, which is what it does last: a bundle alone may be of one that was killed before
  its report."""
  results = folder / 'metrics.json'
  return results.exists() and set(stages) <= json.loads(results.read_text('utf-8')).keys()


def sum_up(stages: Sequence[str], folders: Sequence[pathlib.Path]) -> dict[str, Any]:
  """Returns the metrics of finished folds, ready for JSON.

  Returns:
    {'folds': K, 'stages': {stage: {'figures': {name: {'values', 'mean', 'sd'}}, 'lesions': {metric: {lesion: the
    same}}, 'images': of each fold, 'together': the report of all photographs}}}. A value is None where a fold has none;
    mean and standard deviation (n - 1 in the denominator) are over the others, None for fewer than one or two.
  """
  found = {}
  for stage in stages:
    reports = [json.loads((folder / stage / report_run.REPORT).read_text('utf-8')) for folder in folders]
    counts = [collect.read_counts(folder / stage / report_run.TEST_COUNTS) for folder in folders]
    heads = [headline(report) for report in reports]
    together = {name: np.concatenate([each[name] for each, _ in counts]) for name in counts[0][0]}
    annotated = [key for key in LESION_KEYS if any(key in evaluated for _, evaluated in counts)]
    found[stage] = {
        'images': [len(next(iter(each.values()))) for each, _ in counts],
        'figures': {name: _spread([head[name] for head in heads]) for name in heads[0]},
        'lesions': {metric: {key: _spread([report[metric]['lesions'][key] for report in reports]) for key in annotated}
                    for metric in LESION_METRICS if metric in reports[0]},
        'notes': sorted({note for report in reports for note in report.get('notes', [])}),
        'together': full_report(together, annotated)}
  return {'folds': len(folders), 'stages': found}


def _spread(values: Sequence[float | None]) -> dict[str, Any]:
  defined = [value for value in values if value is not None]
  return {'values': list(values), 'mean': statistics.fmean(defined) if defined else None,
          'sd': statistics.stdev(defined) if len(defined) > 1 else None}


def markdown(result: Mapping[str, Any]) -> str:
  """Returns the metrics of every stage as tables, with how to read them."""
  folds = range(result['folds'])
  parts = [f'## {len(folds)} folds']
  for stage, found in result['stages'].items():
    together, limits = headline(found['together']), found['together']['intervals']
    rows = [[NAMES[name], *map(_number, spread['values']), _mean(spread), _number(together.get(name), _limits(limits, name))]
            for name, spread in found['figures'].items()]
    for metric, lesions in found['lesions'].items():
      alone = found['together'].get(metric, {}).get('lesions', {})
      rows += [[f'{LESION_METRICS[metric]} of {key}', *map(_number, spread['values']), _mean(spread),
                _number(alone.get(key), limits.get(metric, {}).get('lesions', {}).get(key))]
               for key, spread in lesions.items()]
    header = [stage, *(f'fold {fold}' for fold in folds), 'mean ± sd', 'all together']
    parts += [table(header, rows), f'Test photographs: {", ".join(f"{images:,}" for images in found["images"])}.']
  level, resamples = (limits[key] for key in ('level', 'resamples'))
  parts.append(
      'Mean ± sd: over the folds in which the metric is defined. The folds share most of their training data, so the '
      'standard deviation is a spread and no standard error: from it no interval and no test follows (Y. Bengio and Y. '
      'Grandvalet, 2004). All together: every photograph evaluated by the network of the fold in which it is a test photograph, in square '
      f'brackets the {100 * level:g} % interval of {resamples:,} resamples of the patients; AUPR is not computed, as scores of '
      'different networks have no common thresholds. –: undefined.')
  parts += ['\n'.join(f'- {stage}: {note}' for note in found['notes'])
            for stage, found in result['stages'].items() if found['notes']]
  return join(*parts) + '\n'


def _limits(limits: Mapping[str, Any], name: str) -> Sequence[float] | None:
  found = limits.get(name.removeprefix('mean_'))
  return found['mean'] if isinstance(found, Mapping) else found


def _number(value: float | None, interval: Sequence[float] | None = None) -> str:
  return number(value, interval, undefined='–')


def _mean(spread: Mapping[str, Any]) -> str:
  return _number(spread['mean']) + ('' if spread['sd'] is None else f' ± {spread["sd"]:.3f}')


def start(unused_argv: list[str]) -> int:
  if not FLAGS['verbosity'].present:
    logging.set_verbosity(logging.WARNING)
  with one_line_errors(ValueError):
    runtime.set_up(FLAGS.coordinator, FLAGS.processes, FLAGS.process)
  with Interrupt() as should_stop:
    return run(FLAGS.config, FLAGS.folds, pathlib.Path(FLAGS.workdir), FLAGS.data_dir, should_stop)


if __name__ == '__main__':
  app.run(start, flags_parser=parse_flags)
