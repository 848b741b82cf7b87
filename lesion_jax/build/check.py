"""Finds the mistakes of a configuration before anything takes long."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from lesion_jax.build import parts
from lesion_jax.core import NUM_LESIONS, Targets
from lesion_jax.losses import get_loss
from lesion_jax.models import get_model
from lesion_jax.train.parallel import Devices
from lesion_jax.weights.bundle import Bundle, load_bundle


def check(config: ConfigDict, devices: Devices) -> dict[str, Bundle]:
  """Checks all stages before anything is read or trained, so that no mistake shows up after days of training.

  Returns:
    stage -> the bundle that the configuration names instead of training it.

  Raises:
    ValueError: what cannot be built, naming it and what is allowed.
    FileNotFoundError: a bundle or a file of weights is not where the configuration says.
  """
  bundles = {name: _named_bundle(config, name) for name in parts.STAGES if config[name].bundle}
  models = {name: bundle.config['model'] for name, bundle in bundles.items()}
  for name, stage in parts.stages(config).items():
    devices.check_batch(stage.eval_batch_size)
    get_loss(stage.loss)  # of a finished stage too: it names what the stage learns from
    if name not in bundles:
      devices.check_batch(stage.batch_size, stage.accumulate)
      source = parts.lesion_stage(config, name)
      fields = models[name] = parts.model_config(stage.model, models.get(source))
      if 'lesion' in fields and (size := config[source].data.size) != stage.data.size:
        raise ValueError(f'the lesion network takes {size} pixels and the network around it {stage.data.size}; '
                         f'set --config.{source}.data.size and --config.{name}.data.size alike')
      if bool(fields.get('joint')) != (stage.loss == 'joint'):
        raise ValueError(
            f'the loss {stage.loss!r} does not go with joint={bool(fields.get("joint"))} of the network {fields["name"]}: to '
            f'train both branches set --config.{name}.model.joint=True and --config.{name}.loss=joint on a network that '
            f"contains a lesion network; to train grades alone joint=False and 'grade_cross_entropy'")
      _check_training(stage, get_model(**fields))
  return bundles


def _named_bundle(config: ConfigDict, name: str) -> Bundle:
  path, size = config[name].bundle, config[name].data.size
  bundle = load_bundle(path)
  stage = bundle.config.get('provenance', {}).get('stage')
  if stage != name:
    raise ValueError(f'config.{name}.bundle={path} is a bundle of the stage {stage!r}; name one of the stage {name!r}')
  if (taken := bundle.config['preprocessing']['size']) != size:
    raise ValueError(f'config.{name}.bundle={path} takes {taken} pixels; set --config.{name}.data.size={taken} '
                     f'(it is {size})')
  return bundle


def _check_training(stage: ConfigDict, model: Any) -> None:
  """Traces the network and the loss for their shapes, reads the pretrained weights, and makes all that training takes."""
  shape = (1, stage.data.size, stage.data.size)
  outputs, variables = jax.eval_shape(functools.partial(model.init_with_output, train=False), jax.random.key(0),
                                      jax.ShapeDtypeStruct((*shape, 3), jnp.uint8))
  masks = jax.ShapeDtypeStruct((*shape, NUM_LESIONS), bool)
  jax.eval_shape(get_loss(stage.loss).sums, outputs, Targets(masks, masks, jax.ShapeDtypeStruct((1,), jnp.int32)))
  for part in (parts.control, parts.plan, parts.augmentation, parts.optimizer, parts.chooses):
    part(stage)
  parts.with_pretrained(variables, stage)
