"""Files of Keras, of every kind, with small arrays in the place of its weights."""

import sys
import zipfile

import keras_files
import numpy as np
import pytest
from keras_files import save_archive, save_keras3, save_legacy, small_weights

from lesion_jax.weights import keras
from lesion_jax.weights.encoder import read_encoder
from lesion_jax.weights.keras import BY_CREATION, BY_DEPTH

h5py = pytest.importorskip('h5py')
HEAD = ['predictions', 'dense', {'kernel': [2048, 1000], 'bias': [1000]}]


@pytest.fixture(scope='module')
def layers():
  return keras_files.keras_layers()


@pytest.fixture(scope='module')
def weights(layers):
  return small_weights(layers)


def renumbered(layers, weights, shift):
  """The same model, made after others in its process (shift 94), or by Keras 2 of 2017, which counted from 1."""
  def name(layer):
    start, _, number = layer.rpartition('_')
    return f'{start}_{int(number) + shift}' if number.isdigit() else f'{layer}_{shift}'

  mixed = lambda layer: layer if layer.startswith('mixed') else name(layer)
  return [[mixed(layer), kind, shapes] for layer, kind, shapes in layers], {mixed(key): x for key, x in weights.items()}


def test_the_table_names_every_layer_once_in_both_orders():
  assert len(set(BY_CREATION)) == len(BY_CREATION) == 94 and set(BY_DEPTH) == set(BY_CREATION)


def test_the_order_of_the_model_is_that_of_keras(layers):
  numbers = [int(name.rpartition('_')[2]) if '_' in name else 0 for name, kind, _ in layers if kind == 'conv2d']
  assert [BY_CREATION.index(name) for name in BY_DEPTH] == numbers


def save_as(kind, path, layers, weights):
  """One model in a file of that kind."""
  if kind == 'legacy':
    return save_legacy(path, layers, weights)
  if kind == 'legacy of Keras 3':
    return save_legacy(path, layers, weights, suffix='')
  if kind == 'whole model':
    save_legacy(path, layers, weights, group='model_weights')
    with h5py.File(path, 'a') as file:
      file['optimizer_weights/Adam/conv2d/kernel/m:0'] = np.zeros(3)
    return path
  if kind == 'nested, legacy':
    return save_legacy(path, layers, weights, group='model_weights/inception_v3', nested=True)
  if kind == 'nested, Keras 3':
    return save_keras3(path, layers, weights, inside='layers/functional/')
  save_keras3(path, layers, weights)
  with h5py.File(path, 'a') as file:
    file['optimizer/vars/0'] = np.zeros(3)
  if kind == 'Keras 3':
    return path
  compression = zipfile.ZIP_DEFLATED if kind == 'packed archive' else zipfile.ZIP_STORED
  return save_archive(path.with_suffix('.keras'), path, compression)


@pytest.mark.parametrize('kind, shift', [
    ('legacy', 0), ('legacy', 1), ('legacy', 94), ('legacy of Keras 3', 0), ('whole model', 94), ('nested, legacy', 0),
    ('Keras 3', 0), ('Keras 3', 94), ('nested, Keras 3', 0), ('archive', 0), ('packed archive', 0)])
def test_every_kind_of_file_gives_the_same_arrays(tmp_path, layers, weights, kind, shift):
  saved = renumbered(layers, weights, shift) if shift else (layers, weights)
  arrays = read_encoder(save_as(kind, tmp_path / 'w', *saved)).arrays
  assert len(arrays) == 5 * 94
  # mixed10: 85 is the 1x1 branch, 86 the start of the 3x3 branch, 87 and 88 its ends.
  for number, layer in ((0, 'Conv2d_1a_3x3'), (6, 'Mixed_5b/branch5x5_1'), (87, 'Mixed_7c/branch3x3_2a')):
    conv, bn = (weights[f'{kind}_{number}' if number else kind] for kind in ('conv2d', 'batch_normalization'))
    np.testing.assert_array_equal(arrays[f'params/{layer}/conv/kernel'], conv['kernel'])
    np.testing.assert_array_equal(arrays[f'params/{layer}/bn/bias'], bn['beta'])
    np.testing.assert_array_equal(arrays[f'params/{layer}/bn/scale'], 1)
    np.testing.assert_array_equal(arrays[f'batch_stats/{layer}/bn/mean'], bn['moving_mean'])
    np.testing.assert_array_equal(arrays[f'batch_stats/{layer}/bn/var'], bn['moving_variance'])
  assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize('kind, expected', [
    ('whole model', {'the classifier': ['bias:0', 'kernel:0'], 'the state of the optimiser': ['m:0']}),
    ('Keras 3', {'the classifier': ['0', '1'], 'the state of the optimiser': ['0']})])
def test_the_classifier_is_left_out_and_said(tmp_path, layers, kind, expected):
  layers = [*layers, HEAD]
  found = read_encoder(save_as(kind, tmp_path / 'w', layers, small_weights(layers)))
  assert {why: [name.rpartition('/')[2] for name in names] for why, names in found.ignored.items()} == expected
  assert 'InceptionV3 of Keras' in found.source and any('average pools' in note for note in found.notes)


def without(layers, name):
  return [layer for layer in layers if layer[0] != name]


@pytest.mark.parametrize('kind', ['legacy', 'Keras 3'])
def test_what_is_missing_and_what_is_left_over_are_both_listed(tmp_path, layers, kind):
  changed = [*without(layers, 'conv2d_93'), ['rescaling', 'normalization', {'mean': [3]}]]
  with pytest.raises(ValueError) as error:
    read_encoder(save_as(kind, tmp_path / 'w', changed, small_weights(changed)))
  message = str(error.value)
  assert 'missing from the file (1):\n    conv2d_93: kernel of Mixed_7c/branch_pool' in message
  assert 'left over in the file (1):\n    ' in message and 'InceptionV3 alone' in message


def test_a_layer_too_many_is_left_over(tmp_path, layers):
  changed = [*layers, ['conv2d_94', 'conv2d', {'kernel': [3, 3, 3, 3], 'bias': [3]}]]
  with pytest.raises(ValueError, match=r'left over in the file \(2\):\n    conv2d_94/conv2d_94/bias'):
    read_encoder(save_legacy(tmp_path / 'w', changed, small_weights(changed)))


def test_a_bias_or_a_scale_is_left_over(tmp_path, layers):
  changed = [[name, kind, shapes | ({'gamma': [2]} if name == 'batch_normalization_3' else {})]
             for name, kind, shapes in layers]
  with pytest.raises(ValueError, match=r'left over in the file \(1\):\n    .*batch_normalization_3/gamma:0'):
    read_encoder(save_legacy(tmp_path / 'w', changed, small_weights(changed)))


def test_two_models_in_a_file_are_refused(tmp_path, layers, weights):
  for group in ('left', 'right'):
    save_legacy(tmp_path / 'w', layers, weights, group=group)
  with pytest.raises(ValueError, match=r'left over in the file \(376\)'):
    read_encoder(tmp_path / 'w')


def replace(path, name, put):
  """Puts something else in the place of an array."""
  with h5py.File(path, 'a') as file:
    del file[name]
    put(file, name)


def put_virtual(file, name):
  layout = h5py.VirtualLayout((1, 1, 1, 2), np.float32)
  layout[:] = h5py.VirtualSource('elsewhere.h5', 'x', shape=(1, 1, 1, 2))
  file.create_virtual_dataset(name, layout)


@pytest.mark.parametrize('put, message', [
    (lambda file, name: file.create_dataset(name, (1, 1, 1, 2), np.float32, external=[('elsewhere', 0, 8)]),
     'lies in another file'),
    (put_virtual, 'lies in another file'),
    (lambda file, name: file.__setitem__(name, h5py.ExternalLink('elsewhere.h5', '/x')), r'missing from the file \(1'),
    (lambda file, name: file.__setitem__(name, h5py.SoftLink('/conv2d')), r'missing from the file \(1'),
    (lambda file, name: file.create_dataset(name, (1, 1, 1, 2), np.int8), 'has the type int8; save the model in flo'),
    (lambda file, name: file.create_dataset(name, (3, 3, 10**6, 10**6), np.float32, chunks=(3, 3, 8, 8)),
     'larger than any array of Inception-v3'),
])
def test_arrays_that_are_not_what_they_should_be_are_refused(tmp_path, layers, weights, put, message):
  path = save_legacy(tmp_path / 'w.h5', layers, weights)
  replace(path, 'conv2d_7/conv2d_7/kernel:0', put)
  with pytest.raises(ValueError, match=message):
    read_encoder(path)


def test_a_truncated_file_is_said(tmp_path, layers, weights):
  path = save_legacy(tmp_path / 'w.h5', layers, weights)
  path.write_bytes(path.read_bytes()[:20000])
  with pytest.raises(ValueError, match='w.h5 is damaged'):
    read_encoder(path)


def test_an_archive_without_weights_says_what_it_holds(tmp_path):
  with zipfile.ZipFile(tmp_path / 'w.keras', 'w') as archive:
    archive.writestr('model.weights.npz', b'')
  with pytest.raises(ValueError, match=r"holds no model.weights.h5, only \['model.weights.npz'\]"):
    read_encoder(tmp_path / 'w.keras')


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path, layers, weights, monkeypatch):
  path = save_as('packed archive', tmp_path / 'w', layers, weights)
  monkeypatch.setattr(keras, 'LARGEST_MEMBER', 1000)
  with pytest.raises(ValueError, match='bytes unpacked, more than 1,000'):
    read_encoder(path)


def test_without_h5py_it_says_what_to_install(tmp_path, monkeypatch):
  (tmp_path / 'w').write_bytes(b'\x89HDF\r\n\x1a\n')
  monkeypatch.setitem(sys.modules, 'h5py', None)
  with pytest.raises(ImportError, match=r'pip install lesion_jax\[keras\]'):
    read_encoder(tmp_path / 'w')
