"""Inception-v3 equals torchvision's at every tap, weights loaded the way a user loads them.

The arrays were computed by torchvision in float64: see make_inception_v3.py beside this file.
"""

import json

import jax
import make_inception_v3 as golden
import numpy as np
import pytest
from safetensors.numpy import save_file

from lesion_jax.models.inception_v3 import InceptionV3
from lesion_jax.weights.encoder import read_encoder
from lesion_jax.weights.merge import merge

TOLERANCE = 1e-5


@pytest.fixture(scope='module')
def arrays():
  with np.load(golden.PATH) as file:
    return dict(file)


@pytest.fixture(scope='module')
def variables(arrays, tmp_path_factory):
  """Zeros, then a torchvision state dict from disk merged into them: names and shapes are torch's own."""
  path = tmp_path_factory.mktemp('weights') / 'inception_v3.safetensors'
  save_file(golden.make_weights(json.loads(str(arrays['shapes']))), path)
  shapes = jax.eval_shape(lambda x: InceptionV3().init(jax.random.key(0), x, train=False), arrays['images'])
  zeros = jax.tree.map(lambda shape: np.zeros(shape.shape, shape.dtype), shapes)
  return merge(zeros, read_encoder(path).arrays, prefix='')


@pytest.mark.parametrize('padding', ['SAME', 'VALID'])
def test_every_tap_equals_torchvisions(arrays, variables, padding):
  model = InceptionV3(padding=padding)
  taps = jax.jit(lambda variables, images: model.apply(variables, images, train=False))(variables, arrays['images'])
  assert set(taps) == set(golden.TAPS)
  for stride, tap in taps.items():
    assert tap.shape == tuple(arrays[f'{padding}/{stride}/shape'])
    for what, actual in zip(('values', 'means'), golden.sample(np.asarray(tap, np.float64)), strict=True):
      expected = arrays[f'{padding}/{stride}/{what}']
      difference = actual - expected
      assert np.linalg.norm(difference) < TOLERANCE * np.linalg.norm(expected), (stride, what)
      assert np.abs(difference).max() < TOLERANCE * np.abs(expected).max(), (stride, what)
