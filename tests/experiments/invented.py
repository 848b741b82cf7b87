"""Made-up results of the rows: the paper's results, moved a little, with replicates around them."""

from __future__ import annotations

import zlib

import numpy as np

from experiments.collect import ROWS
from lesion_jax.core import LESION_KEYS

RESAMPLES = 200
SPREAD = 0.02  # half of a made-up interval
COMMON = np.random.default_rng(7).normal(0, 0.02, RESAMPLES)  # by how much a resample suits every system


def make_metrics(name, means, move, missing):
  """An F1 of a report and its intervals."""
  lesions = {key: None if key in missing else min(1.0, max(0.0, means[key] + move)) for key in LESION_KEYS}
  defined = [value for value in lesions.values() if value is not None]
  mean = float(np.mean(defined)) if defined else None
  interval = lambda value: None if value is None else [value - SPREAD, value + SPREAD]
  intervals = {'mean': interval(mean), 'lesions': {key: interval(value) for key, value in lesions.items()}}
  return ({name: {'mean': mean, 'lesions': lesions, 'undefined': dict(missing)}}, {name: intervals})


def make_result(key, seed=0, *, move=0.0, missing=None, noise=0.002, **changes):
  """The result of a row.

  Args:
    key: of the row.
    seed: of the row.
    move: added to each of the paper's results.
    missing: {lesion: reason why its F1 is undefined}.
    noise: standard deviation of what a replicate adds to what all systems share in it.
    **changes: of other keys.
  """
  row = ROWS[key]
  report, intervals, replicates = {}, {'level': 0.95, 'resamples': RESAMPLES}, {}
  own = np.random.default_rng([zlib.crc32(key.encode()), seed]).normal(0, noise, RESAMPLES)
  around = lambda value: [None if value is None else value + float(x) for x in COMMON + own]
  maps = ROWS['lesion_net_16s'] if row.model['name'] == 'multitask' else row
  for name in ('pixel_f1', 'image_f1'):
    if name in maps.paper:
      scores, limits = make_metrics(name, maps.paper[name], move, missing or {})
      report, intervals = report | scores, intervals | limits
      replicates[f'mean_{name}'] = around(scores[name]['mean'])
  if row.stage == 'grade':
    kappa = row.paper.get('kappa', 0.8) + move
    report['kappa'], intervals['kappa'] = {'value': kappa, 'reason': None}, [kappa - SPREAD, kappa + SPREAD]
    replicates['kappa'] = around(kappa)
  report['positive_images'] = {name: 40 - 4 * j for j, name in enumerate(LESION_KEYS)}
  if 'pixel_f1' in report:
    sizes = (6, 60, 120, 45, 3000, 1200, 300, 700)
    report['positive_pixels'] = {name: sizes[j] * (40 - 4 * j) for j, name in enumerate(LESION_KEYS)}
  return {
      'schema': 1, 'row': key, 'title': row.title, 'table': row.table, 'stage': row.stage, 'preset': 'small',
      'seed': seed, 'paper': row.paper,
      'command': f'python -m experiments.table{row.table} --preset=small --rows={key} --seeds={seed}',
      'report': report | {'intervals': intervals}, 'replicates': replicates, 'test_images': 120,
      'size': 128 // row.shrink, 'data': 'synthetic', 'parameters': 3_400_000, 'best_step': 80, 'steps': 160,
      'seconds': 61.2 + seed, 'resumed': False, 'peak_memory': {'bytes': 1_500_000_000, 'of': 'process'},
      'hardware': {'device': 'cpu', 'devices': 1, 'cpus': 2}, 'versions': {'python': '3.11.9', 'jax': '0.10.2'},
      'weights': f'{key}-{seed}', 'lesion_weights': row.lesion and f'{row.lesion}-{seed}',
      'config': {row.stage: {'pretrained': ''}},
  } | changes


def make_memory(system, *, weights=0.2, temporaries=0.3, peak=1.0, **changes):
  """A memory measurement; sizes in GB."""
  program = {'bytes': int((weights + temporaries) * 1e9), 'arguments': int(weights * 1e9), 'results': 0,
             'temporaries': int(temporaries * 1e9)}
  return {
      'schema': 1, 'system': system, 'size': 896, 'batch': 1, 'dtype': 'float32', 'program': program,
      'peak_memory': {'bytes': int(peak * 1e9), 'of': 'process'}, 'versions': {'python': '3.11.9', 'jax': '0.10.2'},
      'hardware': {'device': 'cpu', 'devices': 1, 'cpus': 2},
      'command': f'python -m experiments.memory predict --model={system}',
  } | changes
