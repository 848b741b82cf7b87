"""Back from PyTorch: the folder that `export` wrote, or a state dict beside its config.json and bundle.json, as a bundle."""

from __future__ import annotations

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from lesion_jax.export.alone import PAGE
from lesion_jax.models import get_model
from lesion_jax.places import home
from lesion_jax.weights.bundle import Bundle
from lesion_jax.weights.merge import merge
from lesion_jax.weights.names import to_flax
from lesion_jax.weights.torchvision import read_torchvision

CONFIG, BUNDLE, WEIGHTS = 'config.json', 'bundle.json', 'model.safetensors'


def from_torch(path: str | pathlib.Path) -> Bundle:
  """Reads what `export(..., 'torch', path)` wrote; untouched, it is the bundle that it came from, bit by bit.

  Args:
    path: the folder; or a state dict in it, .safetensors, .pth or .pt, in the place of its model.safetensors.

  Raises:
    FileNotFoundError: the weights or config.json are missing.
    ValueError: config.json is broken or names no network; the weights are damaged, or do not fit the network: every
      name that is missing or left over is listed.
    ImportError: the state dict is torch's own format, and torch is not installed.
  """
  path = home(path)
  weights = path / WEIGHTS if path.is_dir() else path
  config_path = weights.with_name(CONFIG)
  if not config_path.is_file():
    raise FileNotFoundError(f'there is no {config_path}; name a folder that `lesion-jax export --to torch` wrote, or a '
                            'state dict in it')
  try:
    config = json.loads(config_path.read_text('utf-8'))
    if (full := weights.with_name(BUNDLE)).is_file():  # what was changed on the page holds
      config_path, page, config = full, config, json.loads(full.read_text('utf-8'))
      config |= {key: page[key] for key in page.keys() & set(PAGE)}
    network = get_model(**config['model'])
    size = config['preprocessing']['size']
  except (ValueError, KeyError, TypeError, AttributeError) as error:
    raise ValueError(f'{config_path} does not describe a network ({error}); copy the folder again') from error
  state = read_torchvision(weights)
  if any(name.startswith('params/') for name in state):
    raise ValueError(f'{weights} has the weights of a bundle already, which needs no import')
  loaded = to_flax(state)
  images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.uint8)
  shapes = jax.eval_shape(lambda key, x: network.init(key, x, train=False), jax.random.key(0), images)
  fresh = {'params': {}, 'batch_stats': {}} | jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), shapes)
  return Bundle(config, merge(fresh, loaded, prefix=''))
