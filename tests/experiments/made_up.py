"""Results as `experiments.worker` writes them, with figures that are made up."""

import numpy as np

from experiments.collect import ROWS
from lesion_jax.core import LESION_KEYS

RESAMPLES = 40
HARDWARE = {'device': 'cpu', 'devices': 1, 'cpus': 2}
VERSIONS = {'python': '3.11', 'lesion_jax': '0.1.0', 'jax': '0.10', 'jaxlib': '0.10', 'flax': '0.12', 'optax': '0.2',
            'numpy': '2.4'}
SIZES = dict(zip(LESION_KEYS, (40, 200, 300, 150, 9000, 4000, 700, 500), strict=True))  # pixels in 20 images


def make_result(key, *, move=0.0, seed=0, preset='smoke', images=100, undefined=(), noise=0.01):
  """The paper's figures moved by `move`; lesions in `undefined` have none. Replicates scatter by `noise`, with the same
  noise for every row, as paired resamples have."""
  row = ROWS[key]
  report, replicates, intervals = {}, {}, {'level': 0.95, 'resamples': RESAMPLES}
  draws = np.random.default_rng(images).normal(0, noise, RESAMPLES)
  for name in ('pixel_f1', 'image_f1'):
    if row.table == 2 and name in row.paper:
      lesions = {lesion: None if lesion in undefined else row.paper[name][lesion] + move for lesion in LESION_KEYS}
      mean = row.paper[name]['mean'] + move
      report[name] = {'mean': mean, 'lesions': lesions, 'undefined': dict.fromkeys(undefined, 'not annotated')}
      ends = lambda value: None if value is None else [value - 2 * noise, value + 2 * noise]
      intervals[name] = {'mean': ends(mean), 'lesions': {k: ends(v) for k, v in lesions.items()}}
      replicates[f'mean_{name}'] = (mean + draws).tolist()
  if 'pixel_f1' in report:
    report['positive_pixels'] = SIZES
  if row.table == 2:
    report['positive_images'] = dict.fromkeys(LESION_KEYS, 20)
  else:
    kappa = row.paper.get('kappa', 0.8) + move
    report['kappa'] = {'value': kappa, 'reason': None}
    intervals['kappa'] = [kappa - 2 * noise, kappa + 2 * noise]
    replicates['kappa'] = (kappa + draws).tolist()
  return {
      'schema': 1, 'row': key, 'title': row.title, 'table': row.table, 'stage': row.stage, 'preset': preset,
      'seed': seed, 'paper': dict(row.paper), 'report': report | {'intervals': intervals}, 'replicates': replicates,
      'command': f'python -m experiments.table{row.table} --preset={preset} --rows={key} --seeds={seed}',
      'test_images': images, 'size': 128, 'data': 'synthetic', 'parameters': 3_400_000, 'steps': 150,
      'best_step': 75, 'seconds': 61.2, 'resumed': False, 'peak_memory': {'bytes': 1_500_000_000, 'of': 'process'},
      'hardware': HARDWARE, 'versions': VERSIONS, 'config': {},
  }


def make_memory(system, gigabytes=1.0):
  """The memory of a network, all of it temporaries."""
  size = int(gigabytes * 1e9)
  return {
      'schema': 1, 'system': system, 'size': 896, 'batch': 1, 'dtype': 'float32', 'all_finite': True,
      'program': {'bytes': size, 'arguments': 0, 'temporaries': size, 'results': 0},
      'peak_memory': {'bytes': 2 * size, 'of': 'process'}, 'hardware': HARDWARE, 'versions': VERSIONS,
      'command': f'python -m experiments.memory predict --model={system} --size=896',
  }
