"""The table of Keras' names, by numbers: with Keras' weights the encoder computes at every tap what Keras computes.

The arrays were computed by Keras in float64, from weights that are named by Keras alone: see make_keras.py beside this
file, which also says how the average pools differ.
"""

import json

import jax
import keras_files
import make_inception_v3 as golden
import numpy as np
import pytest

from lesion_jax.models.inception_v3 import InceptionV3
from lesion_jax.weights.encoder import read_encoder
from lesion_jax.weights.merge import merge

pytest.importorskip('h5py')
TOLERANCE = 1e-5


def test_every_tap_equals_that_of_keras(tmp_path):
  with np.load(keras_files.GOLDEN) as file:
    arrays = dict(file)
  with np.load(golden.PATH) as file:
    images = file['images']
  layers = json.loads(str(arrays['layers']))
  path = keras_files.save_legacy(tmp_path / 'weights.h5', layers, keras_files.make_weights(layers))
  model = InceptionV3(padding='VALID')
  shapes = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), images)
  zeros = jax.tree.map(lambda shape: np.zeros(shape.shape, shape.dtype), shapes)
  variables = merge(zeros, read_encoder(path).arrays, prefix='')

  taps = jax.jit(lambda variables, images: model.apply(variables, images, train=False))(variables, images)
  assert set(taps) == set(golden.TAPS)
  for stride, tap in taps.items():
    assert tap.shape == tuple(arrays[f'{stride}/shape'])
    for what, actual in zip(('values', 'means'), golden.sample(np.asarray(tap, np.float64)), strict=True):
      expected = arrays[f'{stride}/{what}']
      assert np.linalg.norm(actual - expected) < TOLERANCE * np.linalg.norm(expected), (stride, what)
