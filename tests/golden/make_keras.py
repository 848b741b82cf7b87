"""Makes keras_inception_v3.npz: what Keras' InceptionV3 computes, for tests/golden/test_keras_golden.py.

Needs keras 3, which the project itself does not; from the clone: PYTHONPATH=tests python tests/golden/make_keras.py

The weights come from Keras' own names and shapes alone, so that a wrong table of names shows. The network runs in
float64, unpadded as it is. Its average pools are made to count the padding as zeros, as this project's do: with its
own, which leave it out, the features differ; by how much is printed.
"""

from __future__ import annotations

import json
import os
from unittest import mock

os.environ.update(KERAS_BACKEND='jax', JAX_ENABLE_X64='1', JAX_PLATFORMS='cpu')

import keras
import make_inception_v3
import numpy as np
from keras.src.utils.naming import to_snake_case
from keras_files import GOLDEN, make_weights

TAPS = {2: 'activation_2', 4: 'activation_4', 8: 'mixed2', 16: 'mixed7', 32: 'mixed10'}


class CountingPool(keras.layers.AveragePooling2D):
  """3x3 at stride 1, with the padding in the mean."""

  def call(self, x):
    return keras.ops.average_pool(keras.ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), 3, strides=1, padding='valid')


def main() -> None:
  keras.config.set_floatx('float64')
  with np.load(make_inception_v3.PATH) as file:
    images = file['images']
  with mock.patch('keras.src.applications.inception_v3.layers.AveragePooling2D', CountingPool):
    model = keras.applications.InceptionV3(weights=None, include_top=False, input_shape=images.shape[1:])
  assert sum(isinstance(layer, CountingPool) for layer in model.layers) == 9
  kind = lambda layer: 'average_pooling2d' if isinstance(layer, CountingPool) else to_snake_case(type(layer).__name__)
  layers = [[layer.name, kind(layer), {variable.name: list(variable.shape) for variable in layer.weights}]
            for layer in model.layers]
  for layer, weights in zip(model.layers, make_weights(layers).values(), strict=True):
    layer.set_weights(list(weights.values()))
  network = keras.Model(model.inputs, [model.get_layer(name).output for name in TAPS.values()])
  taps = [np.asarray(tap) for tap in network(images.astype(np.float64) / 127.5 - 1)]
  arrays = {'layers': np.array(json.dumps(layers))}
  for stride, tap in zip(TAPS, taps, strict=True):
    values, means = make_inception_v3.sample(tap)
    arrays |= {f'{stride}/values': values.astype(np.float32), f'{stride}/means': means.astype(np.float32),
               f'{stride}/shape': np.array(tap.shape)}
    print(stride, tap.shape, f'mean {tap.mean():.3f}, standard deviation {tap.std():.3f}')
  np.savez_compressed(GOLDEN, **arrays)
  print(f'{GOLDEN.name}: {GOLDEN.stat().st_size} bytes')

  with mock.patch.object(CountingPool, 'call', keras.layers.AveragePooling2D.call):
    for stride, tap, own in zip(TAPS, taps, network(images.astype(np.float64) / 127.5 - 1), strict=True):
      print(stride, f'its own pools: relative difference {np.linalg.norm(tap - own) / np.linalg.norm(own):.4f}')


if __name__ == '__main__':
  main()
