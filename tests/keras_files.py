"""Writes files as Keras writes its `InceptionV3`, without Keras.

What Keras' own model holds is in golden/keras_inception_v3.npz: each layer of `model.layers`, in order, as [name, its
class in snake case, {variable: shape}], of the first model in a process. How files lay it out was read off files that
Keras 3.15 wrote.
"""

from __future__ import annotations

import collections
import hashlib
import json
import math
import pathlib
import zipfile

import numpy as np

GOLDEN = pathlib.Path(__file__).parent / 'golden' / 'keras_inception_v3.npz'


def keras_layers():
  """[[name, class in snake case, {variable: shape}], ...] in the order of `model.layers`."""
  with np.load(GOLDEN) as file:
    return json.loads(str(file['layers']))


def make_weights(layers):
  """{layer: {variable: float32 array}}, from Keras' names and shapes alone; activations stay of order 1."""
  return {layer: {name: _make(f'{layer}/{name}', shape) for name, shape in variables.items()}
          for layer, _, variables in layers}


def _make(name, shape):
  key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:16], 'little')
  rng = np.random.Generator(np.random.Philox(key=key))
  if name.endswith('kernel'):
    x = rng.standard_normal(shape) * math.sqrt(2 / math.prod(shape[:-1]))
  elif name.endswith('variance'):
    x = rng.uniform(0.6, 1.4, shape)
  else:
    x = rng.standard_normal(shape) / 10
  return x.astype(np.float32)


def small_weights(layers):
  """The same with arrays of two numbers that no other array has: for tests of names."""
  numbers = iter(range(10**6))
  return {layer: {name: np.full((1, 1, 1, 2) if name == 'kernel' else 2, next(numbers), np.float32)
                  for name in variables} for layer, _, variables in layers}


def save_legacy(path, layers, weights, *, group='', nested=False, suffix=':0'):
  """`save_weights('name.h5')`; in the group 'model_weights' a whole model; `nested`: as an inner model is."""
  import h5py

  with h5py.File(path, 'a') as file:
    root = file.require_group(group) if group else file
    root.attrs['layer_names'] = [name.encode() for name, *_ in layers]
    for layer, *_ in layers:
      inside = root if nested else root.create_group(layer)
      inside.attrs['weight_names'] = [f'{layer}/{name}{suffix}'.encode() for name in weights[layer]]
      for name, array in weights[layer].items():
        inside.create_dataset(f'{layer}/{name}{suffix}', data=array)
  return path


def save_keras3(path, layers, weights, *, inside=''):
  """`save_weights('name.weights.h5')`: layers counted by class, in order; `inside` is the path of a nested model."""
  import h5py

  counts = collections.Counter()
  with h5py.File(path, 'a') as file:
    file.require_group('vars')
    for layer, kind, _ in layers:
      group = file.create_group(f'{inside}layers/{kind}{f"_{counts[kind]}" if counts[kind] else ""}/vars')
      group.attrs['name'] = layer
      counts[kind] += 1
      for index, array in enumerate(weights[layer].values()):
        group.create_dataset(str(index), data=array)
  return path


def save_archive(path, weights_file, compression=zipfile.ZIP_STORED):
  """`save('name.keras')` around a file of `save_keras3`."""
  with zipfile.ZipFile(path, 'w', compression) as archive:
    archive.writestr('metadata.json', '{"keras_version": "3.15.0"}')
    archive.writestr('config.json', '{"class_name": "Functional"}')
    archive.write(weights_file, 'model.weights.h5')
  return path
