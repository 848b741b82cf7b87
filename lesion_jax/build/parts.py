"""The parts of a stage, each from its keys of the configuration."""

from __future__ import annotations

from typing import Any

import optax
from ml_collections import ConfigDict

from lesion_jax.augment import Augmentation
from lesion_jax.models import get_fields
from lesion_jax.train.control import Control
from lesion_jax.train.loop import Plan
from lesion_jax.train.state import get_optimizer
from lesion_jax.weights.encoder import read_encoder
from lesion_jax.weights.merge import merge

# The figure by which the best model is chosen, by loss; the means are of the lesions that occur in the validation split.
CRITERIA = {
    'dual_dice': 'pixel_f1',
    'dice': 'pixel_f1',
    'presence_dice': 'image_f1',
    'grade_cross_entropy': 'kappa',
    'cross_entropy': 'pixel_f1',
    'weighted_cross_entropy': 'pixel_f1',
    'focal': 'pixel_f1',
    'joint': 'kappa',
}
ATTENTION_ENCODER = 'attention_encoder'  # of an Attention Branch Network: Mixed_7a to 7c once more
LOWER_BLOCKS = ('Conv2d_*', 'Mixed_5*', 'Mixed_6*')  # what it leaves out
LESION_STAGES = ('segment', 'classify')  # whose networks a grading network may contain
STAGES = (*LESION_STAGES, 'grade')
THRESHOLDS = ('half', 'validation')  # where those of a bundle come from


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
  name = fields.name
  known = get_fields(name)
  # The block of a stage has the fields of all networks that it may be; what another network has does not concern this one.
  result = {key: value for key, value in fields.to_dict().items() if key in known and key != 'lesion'}
  if 'lesion' in known:
    if lesion is None:
      raise ValueError(f"the model {name!r} needs a lesion network: train the stage 'segment' before, or name a finished "
                       'one with --config.segment.bundle=DIR (--config.classify.bundle=DIR for a lesion classifier)')
    result['lesion'] = lesion
  return {'name': name} | result


def lesion_stage(config: ConfigDict, name: str) -> str | None:
  """The stage whose network that of the stage `name` contains: the one that is run or whose bundle is named. None where
  it contains none, or there is none.

  Raises:
    ValueError: there are two, or no such network.
  """
  if 'lesion' not in get_fields(config[name].model.name):
    return None
  there = [name for name in LESION_STAGES if name in config.stages or config[name].bundle]
  if len(there) > 1:
    raise ValueError(f'there is more than one lesion network, of the stages {" and ".join(there)}; a grading network '
                     'takes one: leave the other out of config.stages and its bundle empty')
  return there[0] if there else None


def is_frozen(fields: dict[str, Any]) -> bool:
  """Whether a network of `model_config` contains a lesion network that training leaves alone."""
  return 'lesion' in fields and not fields.get('joint')


def with_pretrained(variables: dict[str, Any], stage: ConfigDict) -> dict[str, Any]:
  """`variables` (arrays, or shapes alone) with the pretrained weights in the encoder that the stage trains, and in the
  copy of its last blocks where an Attention Branch Network has one.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: it cannot be read, or does not fit the encoder.
  """
  if not stage.pretrained:
    return variables
  inside = [module for module in ('grading', 'fcn') if module in variables['params']]
  prefix = '/'.join([*inside, 'encoder'])
  try:
    loaded = read_encoder(stage.pretrained).arrays
  except ImportError as error:  # torch's own format without torch, Keras' without h5py
    raise ValueError(str(error)) from error
  if ATTENTION_ENCODER in variables['params']:
    variables = merge(variables, loaded, prefix=ATTENTION_ENCODER, allow_extra=LOWER_BLOCKS)
  return merge(variables, loaded, prefix=prefix)


def control(stage: ConfigDict) -> Control:
  """The state machine at its start. Joint training starts with the dual loss: its lesion branch has long passed to it."""
  return Control(rate=stage.rate, patience=stage.patience, stop_after=stage.stop_after, factor=stage.factor,
                 dual_weight=stage.dual_weight, milestones=tuple(stage.milestones), dual=stage.loss == 'joint')


def plan(stage: ConfigDict) -> Plan:
  """How long to train, and how often to look."""
  return Plan(stage.max_steps or None, stage.validate_every, stage.log_every)


def chooses(stage: ConfigDict) -> bool:
  """Whether thresholds, the rule for presence and temperatures are chosen on validation; else the paper's stand.

  Raises:
    ValueError: for an unknown source of thresholds, or a specificity that is none.
  """
  if stage.thresholds not in THRESHOLDS:
    raise ValueError(f'config.thresholds={stage.thresholds!r}: choose one of {", ".join(THRESHOLDS)}')
  if not 0 < stage.specificity < 1:
    raise ValueError(f'config.specificity={stage.specificity}: give the share of photographs without a lesion that are to '
                     'be called clean, above 0 and below 1')
  return stage.thresholds == 'validation'


def augmentation(stage: ConfigDict) -> Augmentation:
  """The ranges of the augmentation."""
  return Augmentation(**{key: tuple(value) if isinstance(value, tuple | list) else value
                         for key, value in stage.augmentation.items()})


def optimizer(stage: ConfigDict) -> optax.GradientTransformation:
  """The optimiser, not scaled by the rate."""
  return get_optimizer(stage.optimizer, momentum=stage.momentum, weight_decay=stage.weight_decay)
