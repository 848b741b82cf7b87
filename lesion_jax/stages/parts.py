"""The parts of a stage, each from its keys of the configuration."""

from __future__ import annotations

import fnmatch
import math
from typing import Any, NamedTuple

import numpy as np
import optax
from flax import linen as nn
from flax import traverse_util
from ml_collections import ConfigDict

from lesion_jax import pretrained
from lesion_jax.augment import Augmentation
from lesion_jax.core import LESION_KEYS, lesion_bits
from lesion_jax.data.crops import Draw
from lesion_jax.losses import CRITERIA, FIGURES, Loss, get_loss
from lesion_jax.losses.landmarks import LANDMARK_CROSS_ENTROPY
from lesion_jax.metrics.landmarks import NEARNESS
from lesion_jax.data.mixture import SEPARATOR
from lesion_jax.models import LESION_BRANCH, get_defaults, get_fields, get_model
from lesion_jax.models.landmarks import get_landmark_net
from lesion_jax.train.plateau import PlateauState
from lesion_jax.train.loop import Plan
from lesion_jax.train.parallel import AXIS
from lesion_jax.train.schedule import PLATEAU, shares
from lesion_jax.train.state import get_optimizer
from lesion_jax.train.trackers import check_trackers
from lesion_jax.weights.bundle import Bundle, load_bundle
from lesion_jax.weights.encoder import read_encoder
from lesion_jax.weights.merge import merge

TWO_PHASES = ('dual_dice',)  # losses that begin as loss_seg and become loss_dual
ATTENTION_ENCODER = 'attention_encoder'  # of an Attention Branch Network: Mixed_7a to 7c once more
LOWER_BLOCKS = ('Conv2d_*', 'Mixed_5*', 'Mixed_6*')  # what it leaves out
LESION_STAGES = ('segment', 'classify')  # whose networks a grading network may contain
LANDMARKS = 'landmarks'  # the stage of the optic disc and the fovea, which goes with no other
STAGES = (*LESION_STAGES, 'grade', LANDMARKS)
LANDMARK_LOSS = 'landmark_cross_entropy'
SETTINGS = ('sync_batch_norm',)  # keys of a stage's `model` that are of its training
THRESHOLDS = ('half', 'validation')  # where those of a bundle come from
SMALLEST = ('none', 'validation')  # likewise, smallest regions


def stages(config: ConfigDict) -> dict[str, ConfigDict]:
  """Returns the stages to run, in order. Raises ValueError for one that there is not."""
  if not config.stages or not set(config.stages) <= set(STAGES):
    raise ValueError(f'config.stages={config.stages!r}: give one or more of {", ".join(STAGES)}')
  return {name: config[name] for name in config.stages}


def grades(stage: ConfigDict) -> bool:
  """Whether the stage learns grades; otherwise it learns lesions or landmarks."""
  return CRITERIA.get(stage.loss) == 'kappa'


def landmarks(stage: ConfigDict) -> bool:
  """Whether the stage learns landmarks."""
  return stage.loss == LANDMARK_LOSS


def loss(stage: ConfigDict) -> Loss:
  """The loss, with the stage's weights of the lesions and hard negatives. Raises ValueError for what cannot be."""
  if landmarks(stage):
    if stage.lesion_weights or stage.hard_negatives:
      raise ValueError(f'the loss {LANDMARK_LOSS!r} has no lesions; leave lesion_weights at () and hard_negatives at 0')
    return LANDMARK_CROSS_ENTROPY
  return get_loss(stage.loss, lesion_weights=tuple(stage.lesion_weights), hard=stage.hard_negatives)


def taught(stage: ConfigDict, annotated: tuple[str, ...]) -> tuple[str, ...]:
  """Returns those of the annotated lesions that the loss teaches: all but those of weight 0."""
  weights = dict(zip(LESION_KEYS, stage.lesion_weights, strict=True)) if stage.lesion_weights else {}
  return tuple(key for key in annotated if weights.get(key, 1))


def learned(stage: ConfigDict, data: Any) -> tuple[str, ...]:
  """Returns the lesions that the loss teaches from a data set: of `taught` those that a training photograph is annotated for."""
  keys = taught(stage, data.annotated)
  known = int(np.bitwise_or.reduce(data.source('train').index.annotated)) if keys else 0
  return tuple(key for key in keys if known & lesion_bits([key]))


def criterion(stage: ConfigDict) -> str:
  """The figure by which the best model of the stage is chosen. Raises ValueError for one that there is not."""
  if landmarks(stage):
    if stage.criterion not in ('', NEARNESS):
      raise ValueError(f'criterion={stage.criterion!r}: the best network of landmarks is chosen by {NEARNESS}; leave it at \'\'')
    return NEARNESS
  name = stage.criterion or CRITERIA[stage.loss]
  if name not in FIGURES:
    raise ValueError(f'unknown criterion {name!r}; the best model can be chosen by {", ".join(FIGURES)}, or by the one '
                     "that goes with its loss: ''")
  return name


class Network(NamedTuple):
  """The network of a stage.

  Attributes:
    fields: arguments of `get_model`, ready for JSON.
    model: built from them; while it is trained, BatchNorm averages its statistics over the devices where the stage says so.
    bundle: the finished one that the configuration names; None: it is to be trained.
  """

  fields: dict[str, Any]
  model: nn.Module
  bundle: Bundle | None = None

  @property
  def frozen(self) -> str | None:
    """The lesion network inside that training leaves alone, by its name among the variables; None without one."""
    return LESION_BRANCH if 'lesion' in self.fields and not self.fields.get('joint') else None


def network(stage: ConfigDict, lesion: dict[str, Any] | None) -> Network:
  """Returns the network that a stage is to train.

  Args:
    stage: its keys.
    lesion: the fields of the lesion network, for a network that contains one.

  Raises:
    ValueError: of `model_config` and `get_model`.
  """
  if landmarks(stage):
    fields = {'name': stage.model.name, 'channels': list(stage.model.channels)}
    model = get_landmark_net(fields)
    return Network(fields, model.clone(bn_axis=AXIS) if stage.model.sync_batch_norm else model)
  fields = model_config(stage.model, lesion)
  return Network(fields, get_model(**(_synchronised(fields) if stage.model.sync_batch_norm else fields)))


def _synchronised(fields: dict[str, Any]) -> dict[str, Any]:
  """Fields with which every part that is trained averages BatchNorm's statistics over the devices."""
  lesion = {'lesion': fields['lesion'] | {'bn_axis': AXIS}} if fields.get('joint') else {}
  return fields | lesion | {'bn_axis': AXIS}


def model_config(keys: ConfigDict, lesion: dict[str, Any] | None) -> dict[str, Any]:
  """Arguments of `get_model`.

  The block of a stage has the keys of all networks that it may be. Those that the chosen one does not have stand at their
  default, which is that of the networks that have them; SETTINGS are no fields.

  Args:
    keys: the stage's `model`.
    lesion: the same of the lesion network, for a network that contains one.

  Raises:
    ValueError: a key that the network does not have was set, or the network contains a lesion network and there is none.
  """
  name, known = keys.name, get_fields(keys.name)
  given = {key: value for key, value in keys.to_dict().items() if key not in ('name', *SETTINGS)}
  for key, value in given.items():
    defaults = get_defaults(key)
    if key not in known and (tuple(value) if isinstance(value, list) else value) not in defaults.values():
      raise ValueError(f'{key}={value!r} is no field of the network {name!r}; those that have it are {", ".join(defaults)}: '
                       f'choose one of them, or leave {key} at {next(iter(defaults.values()), None)!r}')
  result = {key: value for key, value in given.items() if key in known and key != 'lesion'}
  if 'lesion' in known:
    if lesion is None:
      raise ValueError(f"the model {name!r} needs a lesion network: train the stage 'segment' before, or name a finished "
                       'one with --config.segment.bundle=DIR (--config.classify.bundle=DIR for a lesion classifier)')
    result['lesion'] = lesion
  return {'name': name} | result


def lesion_stage(config: ConfigDict, name: str) -> str | None:
  """Returns the stage whose network that of the stage `name` contains: the one that is run or whose bundle is named.
  None where it contains none, or there is none.

  Raises:
    ValueError: there are two, or no such network.
  """
  if name == LANDMARKS or 'lesion' not in get_fields(config[name].model.name):
    return None
  there = [name for name in LESION_STAGES if name in config.stages or config[name].bundle]
  if len(there) > 1:
    raise ValueError(f'there is more than one lesion network, of the stages {" and ".join(there)}; a grading network '
                     'takes one: leave the other out of config.stages and its bundle empty')
  return there[0] if there else None


def start_note(name: str, stage: ConfigDict) -> str | None:
  """What is to be said of a stage whose encoder starts from random weights on photographs of patients; None where it does
  not. The paper starts from ImageNet's, so that such a run is not its setting, whatever the configuration is called."""
  if landmarks(stage) or stage.bundle or stage.pretrained or stage.init or set(stage.data.name.split(SEPARATOR)) == {'synthetic'}:
    return None
  return (f'the encoder of the stage {name!r} starts from random weights; the paper starts from ImageNet weights (IV-A), '
          f'so its results are not to be expected: give them with --config.{name}.pretrained=FILE')


def loaded_note(stage: ConfigDict) -> str | None:
  """Returns what the stage starts from where that is a file of weights or a bundle, in a sentence; None where it is
  neither. Call it after `check`, which finds what is wrong with them."""
  if stage.bundle or not (stage.pretrained or stage.init):
    return None
  if stage.init:
    dropped = f', but what init_drop names: {", ".join(stage.init_drop)}' if stage.init_drop else ''
    return f'starts from the weights of {stage.init}{dropped}'
  found = read_encoder(stage.pretrained)
  numbers = sum(array.size for array in found.arrays.values())
  ignored = f'; skipped: {", ".join(found.ignored)}' if found.ignored else ''
  return (f'the encoder starts from {stage.pretrained}, {found.source}: {len(found.arrays)} arrays, {numbers:,} '
          f'numbers{ignored}' + ''.join(f'; {note}' for note in found.notes))


def with_pretrained(variables: dict[str, Any], stage: ConfigDict) -> dict[str, Any]:
  """Returns `variables` (arrays, or shapes alone) with the pretrained weights in the encoder that the stage trains, and
  in the copy of its last blocks where an Attention Branch Network has one.

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


def load_network(path: str) -> Bundle:
  """Loads the bundle that `init` or `bundle` names: a path, or the name of a network of this package.

  Raises:
    FileNotFoundError: there is no such bundle.
    ValueError: it is damaged, or a file of the packaged network is not the one that is pinned.
  """
  return load_bundle(pretrained.check(path) if pretrained.is_packaged(path) else path)


def with_initial(variables: dict[str, Any], stage: ConfigDict) -> dict[str, Any]:
  """Returns `variables` (arrays, or shapes alone) with those of the bundle `init` in their place, but what `init_drop`
  names. A lesion network starts from the one inside a grading network's bundle.

  Raises:
    FileNotFoundError: there is no such bundle.
    ValueError: it is of another network, or both `init` and `pretrained` are given.
  """
  if not stage.init:
    if stage.init_drop:
      raise ValueError(f'init_drop={tuple(stage.init_drop)} says what of a bundle is not taken, and init names none')
    return variables
  if stage.pretrained:
    raise ValueError(f'init={stage.init} and pretrained={stage.pretrained} both give the encoder its weights; leave one')
  before = load_network(stage.init).variables
  if LESION_BRANCH in before['params'] and LESION_BRANCH not in variables['params']:
    before = {collection: tree[LESION_BRANCH] for collection, tree in before.items() if LESION_BRANCH in tree}
  loaded = traverse_util.flatten_dict(before, sep='/')
  drop = tuple(stage.init_drop)
  loaded = {name: value for name, value in loaded.items()
            if not any(fnmatch.fnmatchcase(name.partition('/')[2], pattern) for pattern in drop)}
  try:
    return merge(variables, loaded, prefix='', allow_missing=drop)
  except ValueError as error:
    raise ValueError(f'init={stage.init}: {error}\nOr leave out what differs with init_drop, for instance '
                     "('head/*',).") from error


def with_prior(variables: dict[str, Any], stage: ConfigDict) -> dict[str, Any]:
  """Returns `variables` whose segmentation head starts at the probability `prior` everywhere.

  Raises:
    ValueError: the prior is no probability, or the network has no such head.
  """
  if not 0 < stage.prior < 1:
    raise ValueError(f'prior={stage.prior}: a probability above 0 and below 1; 0.5 leaves the last bias at 0')
  if stage.prior == 0.5:
    return variables
  flat = traverse_util.flatten_dict(variables, sep='/', keep_empty_nodes=True)
  name = 'params/head/score/bias'
  if name not in flat:
    raise ValueError(f'prior={stage.prior} is of a segmentation network with a head of its own, and {stage.model.name} '
                     'has none; set it to 0.5')
  bias = math.log(stage.prior / (1 - stage.prior))
  return traverse_util.unflatten_dict({**flat, name: np.full(flat[name].shape, bias, np.float32)}, sep='/')


def draw(stage: ConfigDict) -> Draw:
  """Returns how training draws photographs and crops."""
  data = stage.data
  found = Draw(crop=data.crop, centred=data.centred, scale=tuple(data.crop_scale), lesions=tuple(data.draw_lesions),
               grades=tuple(data.draw_grades))
  if found.crop and landmarks(stage):
    raise ValueError(f'data.crop={found.crop}: landmarks are looked for in whole photographs; set it to 0')
  if found.crop and grades(stage):
    raise ValueError(f'data.crop={found.crop}: a grade is of a whole photograph, not of a crop; set it to 0')
  if not found.crop and found.scale != (1.0, 1.0):
    raise ValueError(f'data.crop_scale={found.scale} magnifies crops, and data.crop=0 takes whole photographs; set data.crop_scale to '
                     '(1.0, 1.0), or data.crop to the side of the crops')
  if found.crop > data.size:
    raise ValueError(f'data.crop={found.crop} is larger than the prepared photograph, data.size={data.size}')
  return found


def plateau(stage: ConfigDict) -> PlateauState:
  """Returns the state machine at its start. Joint training starts with the dual loss: its lesion branch has long passed
  to it."""
  return PlateauState(learning_rate=stage.learning_rate, patience=stage.patience, stop_after=stage.stop_after, lr_decay=stage.lr_decay,
                 dual_weight=stage.dual_weight, milestones=tuple(stage.milestones), dual=stage.loss == 'joint',
                 fixed=stage.schedule != PLATEAU, two_phases=stage.loss in TWO_PHASES)


def loss_names(stage: ConfigDict) -> tuple[str, str]:
  """Returns what the loss is called in the log before and after the dual phase begins: of one phase twice the same."""
  return (stage.loss.removeprefix('dual_') if stage.loss in TWO_PHASES else stage.loss), stage.loss


def plan(stage: ConfigDict) -> Plan:
  """Returns how long to train, and how often to look."""
  return Plan(stage.max_steps or None, stage.validate_every, stage.log_every, stage.save_every)


def schedule(stage: ConfigDict) -> np.ndarray:
  """Returns the share of the plateau's rate at each step."""
  return shares(stage.schedule, max_steps=stage.max_steps or None, warm_up=stage.warm_up, final_lr_factor=stage.final_lr_factor,
                power=stage.power)


def trackers(stage: ConfigDict) -> tuple[str, ...]:
  """Names of what takes the metrics beside metrics.csv. Raises ValueError for one that there is not."""
  return check_trackers(stage.track)


def chooses(stage: ConfigDict) -> bool:
  """Returns whether thresholds, the rule for presence and temperatures are chosen on validation; else the paper's
  stand.

  Raises:
    ValueError: for an unknown source of thresholds, or a specificity that is none.
  """
  if stage.thresholds not in THRESHOLDS:
    raise ValueError(f'thresholds={stage.thresholds!r}: choose one of {", ".join(THRESHOLDS)}')
  if not 0 < stage.specificity < 1:
    raise ValueError(f'specificity={stage.specificity}: give the share of photographs without a lesion that are to '
                     'be called clean, above 0 and below 1')
  return stage.thresholds == 'validation'


def chooses_smallest(stage: ConfigDict) -> bool:
  """Returns whether the smallest region that counts is chosen on validation, by lesion; else every region counts.
  Raises ValueError for an unknown source."""
  if stage.smallest not in SMALLEST:
    raise ValueError(f'config.smallest={stage.smallest!r}: choose one of {", ".join(SMALLEST)}')
  return stage.smallest == 'validation'


def check_asked(stage: ConfigDict, model: Any) -> None:
  """Raises ValueError where a lesion network cannot be asked once for all (`data.ask_once`) and is to be."""
  if not stage.data.ask_once:
    return
  if not hasattr(model, 'look') or model.joint:
    raise ValueError('data.ask_once is of a grading network around a frozen lesion network, and '
                     f'{stage.model.name}{" with joint=True" if hasattr(model, "look") else ""} is none; set it to False')
  if not augmentation(stage).exact:
    raise ValueError('data.ask_once: what the lesion network found moves with a photograph by flips and quarter turns alone; '
                     'set augmentation.rotation=(0, 0), scale=(1, 1) and shift=(0, 0)')
  model.grid(model.grading_size or stage.data.size)


def augmentation(stage: ConfigDict) -> Augmentation:
  """Returns the ranges of the augmentation."""
  return Augmentation(**{key: tuple(value) if isinstance(value, tuple | list) else value
                         for key, value in stage.augmentation.items()})


def optimizer(stage: ConfigDict) -> optax.GradientTransformation:
  """Returns the optimiser, not scaled by the rate."""
  return get_optimizer(stage.optimizer, momentum=stage.momentum, weight_decay=stage.weight_decay, clip=stage.clip,
                       encoder_lr_factor=stage.encoder_lr_factor, lr_factors=tuple(stage.lr_factors),
                       encoder_held=stage.encoder_held)
