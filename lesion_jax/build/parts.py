"""The parts of a stage, each from its keys of the configuration."""

from __future__ import annotations

from typing import Any

import numpy as np
import optax
from ml_collections import ConfigDict

from lesion_jax.augment import Augmentation
from lesion_jax.models import get_fields
from lesion_jax.train.control import Control
from lesion_jax.train.loop import Plan
from lesion_jax.train.schedule import PLATEAU, shares
from lesion_jax.train.state import get_optimizer
from lesion_jax.weights.encoder import read_encoder
from lesion_jax.weights.merge import merge

# The figure by which the best model is chosen where none is named, by loss; the means are of the lesions that occur in
# the validation split. The dual loss gives a little of the pixels' F1 for the images' (Table II), so both count.
CRITERIA = {
    'dual_dice': 'pixel_image_f1',
    'dice': 'pixel_f1',
    'presence_dice': 'image_f1',
    'grade_cross_entropy': 'kappa',
    'cross_entropy': 'pixel_f1',
    'weighted_cross_entropy': 'pixel_f1',
    'focal': 'pixel_f1',
    'joint': 'kappa',
}
FIGURES = ('pixel_f1', 'image_f1', 'pixel_image_f1', 'aupr', 'kappa')  # of `evaluate.criterion`
TWO_PHASES = ('dual_dice',)  # losses that begin as loss_seg and become loss_dual
ATTENTION_ENCODER = 'attention_encoder'  # of an Attention Branch Network: Mixed_7a to 7c once more
LOWER_BLOCKS = ('Conv2d_*', 'Mixed_5*', 'Mixed_6*')  # what it leaves out
LESION_STAGES = ('segment', 'classify')  # whose networks a grading network may contain
STAGES = (*LESION_STAGES, 'grade')


def stages(config: ConfigDict) -> dict[str, ConfigDict]:
  """The stages to run, in order. Raises ValueError for one that there is not."""
  if not config.stages or not set(config.stages) <= set(STAGES):
    raise ValueError(f'config.stages={config.stages!r}: give one or more of {", ".join(STAGES)}')
  return {name: config[name] for name in config.stages}


def grades(stage: ConfigDict) -> bool:
  """Whether the stage learns grades; otherwise it learns lesions."""
  return CRITERIA[stage.loss] == 'kappa'


def criterion(stage: ConfigDict) -> str:
  """The figure by which the best model of the stage is chosen. Raises ValueError for one that there is not."""
  name = stage.criterion or CRITERIA[stage.loss]
  if name not in FIGURES:
    raise ValueError(f'unknown criterion {name!r}; the best model can be chosen by {", ".join(FIGURES)}, or by the one '
                     "that goes with its loss: ''")
  return name


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
                 dual_weight=stage.dual_weight, milestones=tuple(stage.milestones), dual=stage.loss == 'joint',
                 fixed=stage.schedule != PLATEAU, two_phases=stage.loss in TWO_PHASES)


def plan(stage: ConfigDict) -> Plan:
  """How long to train, and how often to look."""
  return Plan(stage.max_steps or None, stage.validate_every, stage.log_every)


def schedule(stage: ConfigDict) -> np.ndarray:
  """The share of the control's rate at each step."""
  return shares(stage.schedule, max_steps=stage.max_steps or None, warm_up=stage.warm_up, final_rate=stage.final_rate,
                power=stage.power)


def augmentation(stage: ConfigDict) -> Augmentation:
  """The ranges of the augmentation."""
  return Augmentation(**{key: tuple(value) if isinstance(value, tuple | list) else value
                         for key, value in stage.augmentation.items()})


def optimizer(stage: ConfigDict) -> optax.GradientTransformation:
  """The optimiser, not scaled by the rate."""
  return get_optimizer(stage.optimizer, momentum=stage.momentum, weight_decay=stage.weight_decay, clip=stage.clip,
                       encoder_rate=stage.encoder_rate)
