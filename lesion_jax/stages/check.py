"""Finds the mistakes of a configuration before anything takes long."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from lesion_jax.core import LANDMARKS, NUM_LESIONS, Outputs, Targets
from lesion_jax.models import get_model
from lesion_jax.models.landmarks import get_landmark_net
from lesion_jax.stages import parts
from lesion_jax.train.parallel import Devices
from lesion_jax.train.state import ENCODERS, in_encoder, split_frozen, unfit
from lesion_jax.train.step import make_train_step
from lesion_jax.weights.bundle import Bundle


def check(config: ConfigDict, devices: Devices) -> dict[str, parts.Network]:
  """Checks all stages before anything is read or trained, so that no mistake shows up after days of training.

  Returns:
    stage -> its network, of the stages that run and of those whose finished bundle the configuration names.

  Raises:
    ValueError: what cannot be built, naming it and what is allowed.
    FileNotFoundError: a bundle or a file of weights is not where the configuration says.
  """
  networks = {name: _finished_network(config, name) for name in parts.STAGES if name in config and config[name].bundle}
  for name, stage in parts.stages(config).items():
    devices.check_batch(stage.eval_batch_size)
    if parts.landmarks(stage) != (name == parts.LANDMARKS):
      raise ValueError(f'the loss {parts.LANDMARK_LOSS!r} and the stage {parts.LANDMARKS!r} belong together; --config.{name}.loss is '
                       f'{stage.loss!r}')
    parts.loss(stage)  # of a finished stage too: it names what the stage learns from
    if name not in networks:
      devices.check_batch(stage.batch_size, stage.accumulate)
      source = parts.lesion_stage(config, name)
      network = networks[name] = parts.network(stage, networks[source].fields if source in networks else None)
      fields = network.fields
      if 'lesion' in fields and (size := config[source].data.size) != stage.data.size:
        raise ValueError(f'the lesion network takes {size} pixels and the network around it {stage.data.size}; '
                         f'set --config.{source}.data.size and --config.{name}.data.size alike')
      if bool(fields.get('joint')) != (stage.loss == 'joint'):
        raise ValueError(
            f'the loss {stage.loss!r} does not go with joint={bool(fields.get("joint"))} of the network {fields["name"]}: to '
            f'train both branches set --config.{name}.model.joint=True and --config.{name}.loss=joint on a network that '
            f"contains a lesion network; to train grades alone joint=False and 'grade_cross_entropy'")
      _check_training(stage, network)
  return networks


def finished(networks: Mapping[str, parts.Network]) -> dict[str, Bundle]:
  """Returns stage -> the bundle that the configuration names instead of training it, of the networks of `check`."""
  return {name: network.bundle for name, network in networks.items() if network.bundle}


def _finished_network(config: ConfigDict, name: str) -> parts.Network:
  path, size = config[name].bundle, config[name].data.size
  bundle = parts.load_network(path)
  stage = bundle.config.get('provenance', {}).get('stage')
  if stage != name:
    raise ValueError(f'config.{name}.bundle={path} is a bundle of the stage {stage!r}; name one of the stage {name!r}')
  if (taken := bundle.config['preprocessing']['size']) != size:
    raise ValueError(f'config.{name}.bundle={path} takes {taken} pixels; set --config.{name}.data.size={taken} '
                     f'(it is {size})')
  model = get_landmark_net(bundle.config['model']) if name == parts.LANDMARKS else get_model(**bundle.config['model'])
  return parts.Network(bundle.config['model'], model, bundle)


def _check_training(stage: ConfigDict, network: parts.Network) -> None:
  """Traces the network and the loss for their shapes, reads the pretrained weights, and makes all that training takes."""
  draw, model = parts.draw(stage), network.model
  side = draw.crop or stage.data.size
  shape = (1, side, side)
  outputs, variables = jax.eval_shape(functools.partial(model.init_with_output, train=False), jax.random.key(0),
                                      jax.ShapeDtypeStruct((*shape, 3), jnp.uint8))
  masks, places = jax.ShapeDtypeStruct((*shape, NUM_LESIONS), bool), jax.ShapeDtypeStruct((1, len(LANDMARKS), 2), jnp.float32)
  jax.eval_shape(parts.loss(stage).sums, outputs, Targets(masks, masks, jax.ShapeDtypeStruct((1,), jnp.int32), landmarks=places))
  for part in (parts.plateau, parts.plan, parts.schedule, parts.augmentation, parts.optimizer, parts.chooses,
               parts.chooses_smallest, parts.trackers):
    part(stage)
  if parts.chooses_smallest(stage) and outputs.maps is None:
    raise ValueError(f"smallest='validation' is of lesion maps, and {stage.model.name} makes none; set it to 'none'")
  parts.check_asked(stage, model)
  _check_criterion(stage, outputs)
  make_train_step(model.apply, parts.loss(stage), optax.identity(), ema=stage.ema)
  trainable, _ = split_frozen(variables, network.frozen, stage.freeze)
  if useless := unfit(trainable['params'], stage.lr_factors):
    raise ValueError(f'lr_factors: no parameter to train takes the pattern {useless[0]!r}, as none fits it, or an earlier pattern '
                     f'does; the top-level names that are trained are {", ".join(trainable["params"])}')
  if (stage.encoder_lr_factor != 1 or stage.encoder_held) and not any(jax.tree.leaves(in_encoder(trainable['params']))):
    trained = ', '.join(trainable['params'])
    key = 'encoder_held' if stage.encoder_held else 'encoder_lr_factor'
    raise ValueError(f'{key}={stage[key]} finds no parameter to train under a module named '
                     f'{" or ".join(ENCODERS)}; the top-level names that are trained are {trained}')
  parts.with_prior(parts.with_initial(parts.with_pretrained(variables, stage), stage), stage)


def _check_criterion(stage: ConfigDict, outputs: Outputs) -> None:
  """Raises ValueError where the stage cannot give the figure by which its best model is to be chosen."""
  if parts.landmarks(stage):
    parts.criterion(stage)
    return
  given = ['kappa'] if parts.grades(stage) else []
  if stage.loss == 'joint' or not parts.grades(stage):  # else its data need not know lesions
    given += ['image_f1'] if outputs.lesions is not None else []
    given += ['pixel_f1', 'pixel_image_f1', 'aupr'] if outputs.maps is not None else []
  if (name := parts.criterion(stage)) not in given:
    raise ValueError(f'criterion={name!r} is not a metric of a network that learns with the loss {stage.loss!r}; '
                     f'choose one of {", ".join(metric for metric in parts.FIGURES if metric in given)}')
