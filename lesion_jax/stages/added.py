"""Keys that the configuration got later, or that have another name now: how a stored configuration is read.

A run and a result keep their configuration, and the next command compares it with its own. A key that came since is no
difference where it says what was done before there was such a key. What is added to the configuration is added here, with
what was done before: mostly its default, but not always. A key that was renamed is read by its name of now.
"""

from __future__ import annotations

import copy
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from lesion_jax.data.mixture import SEPARATOR
from lesion_jax.data.registry import DATASETS
from lesion_jax.data.splits import DEALINGS
from lesion_jax.models import get_fields
from lesion_jax.models.landmarks import CHANNELS
from lesion_jax.stages.parts import LANDMARKS, LESION_STAGES, STAGES
from lesion_jax.train import workdir
from lesion_jax.train.schedule import PLATEAU

DATA = 'data.json'  # in the folder of a stage: from which photographs it learns

HASH = DEALINGS[0]
# key of a stage -> the value as which its absence counts.
_OF_A_STAGE: dict[str, Any] = {
    'clip': 0.0,
    'criterion': '',
    'augmentation.field': (2.0, 2.0),
    'augmentation.quarter_turns': False,
    'augmentation.tint': (1.0, 1.0),
    'data.centred': 0.0,
    'data.crop': 0,
    'data.crop_scale': (1.0, 1.0),
    'data.draw_grades': (),
    'data.fold': 0,
    'data.folds': 0,
    'data.seed': 2020,
    'data.mask_indices': '',
    'data.mask_values': '',
    'data.scale': '',
    'data.split': HASH,  # the only way that there was; its default is now the data set's own, see `resolved`
    'data.draw_lesions': (),
    'data.grades_as_lesions': 'default',
    'data.keep': 0.0,
    'data.leaks': 'drop',
    'data.aside': 0.0,
    'data.sick': True,
    'data.ask_once': False,
    'data.weights': (),
    'ema': 0.0,
    'encoder_held': 0,
    'encoder_lr_factor': 1.0,
    'final_lr_factor': 0.01,
    'freeze': (),
    'hard_negatives': 0.0,
    'init': '',
    'lr_factors': (),
    'init_drop': (),
    'lesion_weights': (),
    'model.encoder_norm': 'batch',
    'power': 0.9,
    'prior': 0.5,
    'save_every': 0,
    'specificity': 0.95,
    'thresholds': 'half',
    'track': ('tensorboard',),
    'smallest': 'none',
    'schedule': 'plateau',
    'warm_up': 0,
}
# key of a stage, as it was -> as it is.
RENAMED = {'rate': 'learning_rate', 'factor': 'lr_decay', 'encoder_rate': 'encoder_lr_factor', 'final_rate': 'final_lr_factor'}
ADDED_KEYS: dict[str, Any] = {f'{stage}.{key}': value for stage in STAGES for key, value in _OF_A_STAGE.items()
                              if stage != LANDMARKS or not key.startswith('model.')} | {
    'segment.model.decoder_channels': (), 'grade.model.grading_size': 0, 'landmarks.model.channels': CHANNELS}


def differing(then: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
  """Returns the keys with dots by which a stored configuration is another one than that of now, with both values. A
  stage that neither runs nor gives a bundle is none of the run.

  Args:
    then: nested, as read from JSON; what it lacks counts as ADDED_KEYS says.
    now: nested, of JSON values.
  """
  idle = [name for name in STAGES if not any(_runs(config, name) for config in (then, now))]
  of_the_run = lambda config: {key: value for key, value in resolved(config).items() if key not in idle}
  return workdir.differing(of_the_run(then), of_the_run(now),
                           {key: value for key, value in ADDED_KEYS.items() if key.partition('.')[0] not in idle})


SOURCE, MAX_STEPS = 'data.source_dir', 'max_steps'
# Keys of a stage by which no step of its training differs: what is logged and kept when, on how many photographs at once
# it is evaluated, and where the raw dataset lies, as long as the photographs are the same (`stage.require_same_data`).
HARMLESS = ('log_every', 'track', 'save_every', 'eval_batch_size', 'data.keep', SOURCE)


def may_differ(workdir: str | pathlib.Path, config: Mapping[str, Any]) -> Callable[[str, Any, Any], bool | str]:
  """Returns whether a run in `workdir` may be resumed though a key with dots differs, or why not.

  A key of HARMLESS may, where of a raw dataset that lies elsewhere it is known of which photographs the run was. So may
  `max_steps` where it grew: what was trained so far is then the beginning of the longer run. Not with a schedule that
  reaches its end there, and not where a later stage has been trained with the network of this one.

  Args:
    workdir: of the run.
    config: of now, nested.
  """
  workdir = pathlib.Path(workdir)

  def begun(name: str) -> bool:
    return (workdir / name / 'checkpoints').exists()

  def judge(key: str, there: Any, now: Any) -> bool | str:
    name, _, rest = key.partition('.')
    if name not in STAGES:
      return False
    if rest == MAX_STEPS and there and (not now or now > there):  # 0: only early stop ends the training
      return _may_grow(name)
    return rest in HARMLESS and (rest != SOURCE or (workdir / name / DATA).exists() or not begun(name))

  def _may_grow(name: str) -> bool | str:
    if (schedule := config[name].get('schedule', PLATEAU)) != PLATEAU:
      return f'the rate of the schedule {schedule!r} depends on it from the first step on'
    later = [other for other in STAGES[STAGES.index(name) + 1:] if begun(other) and _runs(config, other) and _contains(config, other, name)]
    return not later or f'{later[0]} has been trained with the network of {name}; remove {workdir / later[0]} to train it anew'

  return judge


def _contains(config: Mapping[str, Any], name: str, lesion: str) -> bool:
  """Whether the network of a stage contains that of the stage `lesion`, which is trained in the same run."""
  return lesion in LESION_STAGES and name != LANDMARKS and not config[lesion].get('bundle') and (
      'lesion' in get_fields(config[name]['model']['name']))


def _runs(config: Mapping[str, Any], name: str) -> bool:
  return name in config and ('stages' not in config or name in config['stages'] or bool(config[name].get('bundle')))


def resolved(config: Mapping[str, Any]) -> dict[str, Any]:
  """Returns a copy in which each stage names how its photographs are dealt also where that is the data set's own way;
  of a mixture that is dealt in two ways both, and HASH where the releases say all of it. (The own way of a data set can
  change.) Keys have their names of now."""
  found = copy.deepcopy(dict(config))
  for name in STAGES:
    if name in found:
      found[name] = {RENAMED.get(key, key): value for key, value in found[name].items()}
  for data in (found[name]['data'] for name in STAGES if name in found):
    if 'split' in data:
      kinds = [DATASETS[name] for name in data['name'].split(SEPARATOR) if name in DATASETS]
      ways = {data['split'] or kind.SPLIT for kind in kinds if kind.DEALT}
      data['split'] = SEPARATOR.join(sorted(ways)) or HASH
  return found
