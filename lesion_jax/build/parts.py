"""The parts of a stage, each from its keys of the configuration."""

from __future__ import annotations

from typing import Any

import optax
from ml_collections import ConfigDict

from lesion_jax.augment import Augmentation
from lesion_jax.models import LESION_BRANCH
from lesion_jax.train.control import Control
from lesion_jax.train.loop import Plan
from lesion_jax.train.state import get_optimizer
from lesion_jax.weights.merge import merge
from lesion_jax.weights.names import to_flax
from lesion_jax.weights.torchvision import CLASSIFIERS, read_torchvision

# The figure by which the best model is chosen, by loss; the means are of the lesions that occur in the validation split.
CRITERIA = {
    'dual_dice': 'pixel_f1',
    'dice': 'pixel_f1',
    'presence_dice': 'image_f1',
    'grade_cross_entropy': 'kappa',
}
STAGES = ('segment', 'grade')


def stages(config: ConfigDict) -> dict[str, ConfigDict]:
  """The stages to run, in order. Raises ValueError for one that there is not."""
  if not config.stages or not set(config.stages) <= set(STAGES):
    raise ValueError(f'config.stages={config.stages!r}: give one or more of {", ".join(STAGES)}')
  return {name: config[name] for name in config.stages}


def grades(stage: ConfigDict) -> bool:
  """Whether the stage learns grades; otherwise it learns lesions."""
  return CRITERIA[stage.loss] == 'kappa'


def model_config(fields: ConfigDict, lesion: dict[str, Any] | None) -> dict[str, Any]:
  """Arguments of `get_model`.

  Args:
    fields: the stage's `model`.
    lesion: the same of the lesion network, for a network that contains one.

  Raises:
    ValueError: the network contains a lesion network and there is none.
  """
  result = {key: value for key, value in fields.to_dict().items() if key != 'sync_batch_norm'}
  if result['name'] != 'multitask':
    result.pop('attention', None)
  elif lesion is None:
    raise ValueError("the model 'multitask' needs a lesion network: train the stage 'segment' before, or name a "
                     'finished one with --config.segment.bundle=DIR')
  else:
    result['lesion'] = lesion
  return result


def with_pretrained(variables: dict[str, Any], stage: ConfigDict) -> dict[str, Any]:
  """`variables` (arrays, or shapes alone) with the pretrained weights in the encoder that the stage trains.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: it cannot be read, or does not fit the encoder.
  """
  if not stage.pretrained:
    return variables
  prefix = 'grading/encoder' if LESION_BRANCH in variables['params'] else 'encoder'
  try:
    state = read_torchvision(stage.pretrained)
  except ImportError as error:  # torch's own format, without torch
    raise ValueError(str(error)) from error
  return merge(variables, to_flax(state), prefix=prefix, allow_extra=CLASSIFIERS)


def control(stage: ConfigDict) -> Control:
  """The state machine at its start."""
  return Control(rate=stage.rate, patience=stage.patience, stop_after=stage.stop_after, factor=stage.factor,
                 dual_weight=stage.dual_weight, milestones=tuple(stage.milestones))


def plan(stage: ConfigDict) -> Plan:
  """How long to train, and how often to look."""
  return Plan(stage.max_steps or None, stage.validate_every, stage.log_every)


def augmentation(stage: ConfigDict) -> Augmentation:
  """The ranges of the augmentation."""
  return Augmentation(**{key: tuple(value) if isinstance(value, tuple | list) else value
                         for key, value in stage.augmentation.items()})


def optimizer(stage: ConfigDict) -> optax.GradientTransformation:
  """The optimiser, not scaled by the rate."""
  return get_optimizer(stage.optimizer, momentum=stage.momentum, weight_decay=stage.weight_decay)
