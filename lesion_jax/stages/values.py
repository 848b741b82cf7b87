"""What can be wrong with the values of a configuration whatever they are of: a key that is not there, a number that is none.

`ml_collections` holds a value to the type of its default, but not what is inside a tuple, and no configuration that somebody
wrote anew.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict

from lesion_jax.weights.bundle import MAX_SIZE

# Keys of the configuration, as configs/common.py has them; those of `augmentation` are fields of `augment.Augmentation`.
KEYS = ('seed', 'stages', 'segment', 'classify', 'grade')
LATER = ('landmarks',)  # stages that a configuration from before has not, and needs where it runs them
STAGE_KEYS = (
    'accumulate', 'augmentation', 'batch_size', 'bundle', 'clip', 'criterion', 'data', 'dual_weight', 'ema',
    'encoder_held', 'encoder_lr_factor', 'eval_batch_size', 'final_lr_factor', 'freeze', 'hard_negatives', 'init', 'init_drop',
    'learning_rate', 'lesion_weights', 'log_every', 'loss', 'lr_decay', 'lr_factors', 'max_steps', 'milestones', 'model', 'momentum',
    'optimizer', 'patience', 'power', 'pretrained', 'prior', 'save_every', 'schedule', 'smallest', 'specificity',
    'stop_after', 'thresholds', 'track', 'validate_every', 'warm_up', 'weight_decay')
DATA_KEYS = (
    'aside', 'ask_once', 'centred', 'count', 'crop', 'crop_scale', 'draw_grades', 'draw_lesions', 'fold', 'folds',
    'grades_as_lesions', 'keep', 'leaks', 'mask_indices', 'mask_values', 'name', 'scale', 'seed', 'sick', 'size', 'source_dir', 'split',
    'weights')
MODEL_KEYS = ('name', 'sync_batch_norm')
# What tuples hold, by the last name of their key, and the least that it may be.
WHOLE_NUMBERS = {'milestones': 1, 'decoder_channels': 1, 'channels': 1}
TEXTS = ('freeze', 'init_drop', 'stages', 'track')
NUMBERS = ('data.crop_scale', 'data.draw_grades', 'data.draw_lesions', 'data.weights', 'lesion_weights')  # of a stage; and all of `augmentation`
LARGEST_SEED = 2**32 - 1  # of NumPy's generators and JAX's keys alike


def check_values(config: ConfigDict) -> None:
  """Raises ValueError, naming the key and what it may be, for a configuration that lacks keys, or has a number that is not
  finite, a negative whole number, a seed beyond 32 bits, photographs of a size that prediction refuses, or in a tuple another kind of thing
  than belongs there."""
  asked = config.stages if isinstance(config, ConfigDict) and 'stages' in config and isinstance(config.stages, tuple | list) else ()
  _require_keys(config, 'config', (*KEYS, *(name for name in LATER if name in asked)))
  for name in config.stages if isinstance(config.stages, tuple | list) else ():
    if name in config:
      _require_keys(config[name], f'config.{name}', STAGE_KEYS)
      _require_keys(config[name].data, f'config.{name}.data', DATA_KEYS)
      _require_keys(config[name].model, f'config.{name}.model', MODEL_KEYS)
  for key, value in _leaves(config.to_dict(), 'config'):
    last = key.rpartition('.')[2]
    if last == 'seed' and not (isinstance(value, int) and 0 <= value <= LARGEST_SEED):
      raise ValueError(f'{key}={value}: a seed is a whole number from 0 to {LARGEST_SEED}')
    if key.endswith('.data.size') and not (isinstance(value, int) and 1 <= value <= MAX_SIZE):
      raise ValueError(f'{key}={value}: a number of pixels from 1 to {MAX_SIZE}; prediction takes no network of larger photographs')
    if isinstance(value, int) and value < 0:
      raise ValueError(f'{key}={value}: a whole number from 0 on')
    if isinstance(value, float) and not math.isfinite(value):
      raise ValueError(f'{key}={value}: a finite number')
    if isinstance(value, tuple | list):
      _check_items(key, last, value)


def _require_keys(found: Any, name: str, keys: tuple[str, ...]) -> None:
  if not isinstance(found, ConfigDict):
    raise ValueError(f'{name} is {str(found)[:60]!r} and has no keys; it needs {", ".join(keys)}. Start a configuration of '
                     'your own from configs/common.py')
  if missing := [key for key in keys if key not in found]:
    raise ValueError(f'{name} lacks {", ".join(missing)}; start a configuration of your own from `common.get_config()` of '
                     'configs/common.py, which has every key')


def _check_items(key: str, last: str, items: tuple[Any, ...] | list[Any]) -> None:
  place = key.split('.', 2)[-1]
  for item in items:
    if isinstance(item, float) and not math.isfinite(item):
      raise ValueError(f'{key}={items}: finite numbers')
    if (place in NUMBERS or place.startswith('augmentation.')) and (isinstance(item, bool) or not isinstance(item, int | float)):
      raise ValueError(f'{key}={items}: numbers, such as (0.5, 2.0)')
    if last in TEXTS and not isinstance(item, str):
      raise ValueError(f"{key}={items}: texts, such as ('one', 'two')")
    if last in WHOLE_NUMBERS and not (
        isinstance(item, int) and not isinstance(item, bool) and item >= WHOLE_NUMBERS[last]):
      raise ValueError(f'{key}={items}: whole numbers from {WHOLE_NUMBERS[last]} on, such as (2, 3)')


def _leaves(node: Mapping[str, Any], name: str) -> Iterator[tuple[str, Any]]:
  for key, value in node.items():
    if isinstance(value, Mapping):
      yield from _leaves(value, f'{name}.{key}')
    else:
      yield f'{name}.{key}', value
