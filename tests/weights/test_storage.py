"""Weights in fewer bytes: what the rounding does, what stays, what is refused, and that nobody else notices."""

import hashlib
import json
import zipfile

import jax
import numpy as np
import pytest
import safetensors.numpy
from flax import traverse_util

from lesion_jax.weights.bundle import load_bundle, save_bundle
from lesion_jax.weights.storage import INT8, MIN_ELEMENTS, STORAGES, Loss, largest_loss, pack, quantise, unpack

REDUCED = STORAGES[1:]
LARGEST_HALF = 65504


@pytest.fixture
def arrays():
  """Arrays by flat name: kernels large and small, one and no dimension, statistics that half precision cannot hold."""
  rng = np.random.default_rng(0)
  normal = lambda *shape: rng.normal(size=shape).astype(np.float32)
  channels = np.geomspace(1e-4, 10, 32).astype(np.float32)  # each channel on a scale of its own
  return {
      'params/conv/kernel': normal(3, 3, 16, 32) * channels,
      'params/dense/kernel': normal(256, 8),
      'params/head/kernel': normal(1, 1, 64, 8),  # 512 elements
      'params/conv/bias': normal(2000),
      'params/gate/gamma': np.float32(0.25),
      'batch_stats/bn/mean': normal(32),
      'batch_stats/bn/var': np.geomspace(1e-12, 1e6, 32).astype(np.float32),
      'batch_stats/bn/table': normal(64, 64),  # statistics stay, of whatever shape
  }


def saved(path, arrays, storage):
  save_bundle(path, config={'model': 'net'}, variables=traverse_util.unflatten_dict(arrays, sep='/'), card='', storage=storage)
  return path


def flat_variables(path):
  return traverse_util.flatten_dict(load_bundle(path).variables, sep='/')


class TestHowItIsStored:

  @pytest.mark.parametrize('storage', REDUCED)
  def test_types(self, arrays, storage):
    types = {name: str(array.dtype) for name, array in pack(arrays, storage).items()}
    small = dict.fromkeys(('params/head/kernel', 'params/conv/bias', 'params/gate/gamma'), 'float16')
    kept = dict.fromkeys((name for name in arrays if name.startswith('batch_stats/')), 'float32')
    kernels = ('params/conv/kernel', 'params/dense/kernel')
    expected = dict.fromkeys(kernels, storage)
    expected |= {f'scales/{name}': 'float32' for name in kernels if storage == INT8}
    assert types == small | kept | expected

  def test_a_kernel_of_8_bits_against_float64(self, arrays):
    kernel = arrays['params/conv/kernel']
    q, scales = quantise(kernel)
    expected = np.abs(kernel.astype(np.float64)).max((0, 1, 2)) / 127
    np.testing.assert_allclose(scales, expected, rtol=1e-7)
    assert (np.abs(q).max((0, 1, 2)) == 127).all()  # every channel uses all of the range
    errors = np.abs(kernel.astype(np.float64) - q * scales.astype(np.float64))
    assert (errors <= expected / 2 * (1 + 1e-5)).all()

  def test_half_precision_is_rounded_to_nearest(self, arrays):
    stored = pack(arrays, 'float16')
    for name in ('params/conv/kernel', 'params/head/kernel', 'params/gate/gamma'):
      np.testing.assert_array_equal(stored[name], np.float16(arrays[name]))

  def test_channels_of_zeros_and_of_the_smallest_numbers(self):
    kernel = np.ones((64, 32), np.float32)
    kernel[:, 0] = 0
    kernel[:, 1] = np.float32(1e-45)  # its scale is 0 in float32
    kernel[:, 2] = -np.float32(3e38)
    loaded = unpack(pack({'params/kernel': kernel}, INT8), INT8, source='')['params/kernel']
    assert not loaded[:, :2].any() and np.isfinite(loaded).all()
    np.testing.assert_allclose(loaded[:, 2:], kernel[:, 2:], rtol=1e-6)

  def test_an_int8_kernel_is_exact_where_its_weights_are_whole_steps(self):
    kernel = (np.random.default_rng(0).integers(-127, 128, (64, 32)) / 128).astype(np.float32)
    kernel[0] = 127 / 128
    np.testing.assert_array_equal(unpack(pack({'params/k': kernel}, INT8), INT8, source='')['params/k'], kernel)

  @pytest.mark.parametrize('storage', REDUCED)
  def test_what_half_precision_cannot_hold_stays_float32(self, storage):
    arrays = {'params/a/bias': np.float32([LARGEST_HALF, 1]), 'params/b/bias': np.float32([-70_000, 1])}
    stored = pack(arrays, storage)
    assert {name: array.dtype for name, array in stored.items()} == {'params/a/bias': 'float16', 'params/b/bias': 'float32'}
    for name, array in unpack(stored, storage, source='').items():
      np.testing.assert_array_equal(array, arrays[name])

  @pytest.mark.parametrize('elements', [MIN_ELEMENTS - 8, MIN_ELEMENTS])
  def test_small_kernels_are_not_rounded_to_8_bits(self, elements):
    kernel, = (array.dtype for name, array in pack({'params/k': np.ones((elements // 8, 8))}, INT8).items()
               if name == 'params/k')
    assert kernel == ('int8' if elements == MIN_ELEMENTS else 'float16')

  def test_float32_is_nothing_but_the_arrays(self, arrays):
    stored = pack(arrays | {'params/steps': np.int32(3), 'scales/x': np.ones(1)}, 'float32')
    assert list(stored) == [*arrays, 'params/steps', 'scales/x'] and stored['params/steps'].dtype == np.int32


class TestWhatIsRefused:

  @pytest.mark.parametrize('storage', REDUCED)
  @pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf, 1e300])
  def test_weights_that_are_not_finite(self, storage, value):
    with pytest.raises(ValueError, match=r"'params/a' has 1 of 2 weights that are no finite float32"):
      pack({'params/a': np.array([0, value])}, storage)

  def test_whole_numbers_other_words_and_the_name_of_scales(self):
    with pytest.raises(TypeError, match="'params/steps' is int32.*choose float32"):
      pack({'params/steps': np.int32(3)}, 'float16')
    with pytest.raises(ValueError, match="unknown storage 'int4'; choose one of float32, float16, int8"):
      pack({}, 'int4')
    with pytest.raises(ValueError, match='the name of scales'):
      pack({'scales/params/k': np.ones(3)}, INT8)

  def test_a_refused_bundle_leaves_the_old_one(self, tmp_path, arrays):
    path = saved(tmp_path / 'net', arrays, 'float32')
    with pytest.raises(ValueError, match='no finite'):
      saved(path, {'params/a': np.float32([np.nan])}, INT8)
    np.testing.assert_array_equal(flat_variables(path)['params/conv/kernel'], arrays['params/conv/kernel'])

  @pytest.mark.parametrize('change, message', [
      (lambda found: found.pop('scales/params/k'), 'params/k, int8 .* does not go with its scales'),
      (lambda found: found.pop('params/k'), 'scales/params/k are scales of an array that is not there'),
      (lambda found: found.update({'scales/params/k': np.ones(3, np.float32)}), 'does not go with its scales'),
      (lambda found: found.update({'params/k': np.ones((64, 32), np.float16)}), 'does not go with its scales'),
      (lambda found: found.update({'params/n': np.ones(4, np.int32)}), 'params/n is int32'),
  ])
  def test_a_file_whose_scales_do_not_fit(self, change, message):
    stored = pack({'params/k': np.ones((64, 32), np.float32)}, INT8)
    change(stored)
    with pytest.raises(ValueError, match=f'FILE: .*{message}'):
      unpack(stored, INT8, source='FILE')

  def test_8_bits_in_a_file_that_says_half_precision(self):
    with pytest.raises(ValueError, match='does not go with its scales'):
      unpack(pack({'params/k': np.ones((64, 32), np.float32)}, INT8), 'float16', source='FILE')


class TestBundles:

  @pytest.mark.parametrize('storage', STORAGES)
  def test_they_come_back_as_float32_and_say_how_they_lay(self, tmp_path, arrays, storage):
    path = saved(tmp_path / 'net', arrays, storage)
    bundle = load_bundle(path)
    config = json.loads((path / 'config.json').read_text())
    assert (bundle.storage, config['storage'], config['format_version']) == (storage, storage, 1 + (storage != 'float32'))
    assert bundle.config == {'model': 'net'}  # saved again, it is again what the writer says
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(bundle.variables)} == {'float32'}
    assert bundle.digest == hashlib.sha256((path / 'model.safetensors').read_bytes()).hexdigest()
    loaded = flat_variables(path)
    for name, array in arrays.items():
      if name.startswith('batch_stats/') or storage == 'float32':
        np.testing.assert_array_equal(loaded[name], array)
      else:
        largest = np.abs(array).max(axis=tuple(range(array.ndim - 1)), initial=0) if array.ndim else np.abs(array)
        assert (np.abs(loaded[name] - array) <= largest / 253).all()

  def test_a_quarter_and_a_half_of_the_bytes(self, tmp_path):
    arrays = {'params/k': np.random.default_rng(0).normal(size=(3, 3, 64, 64)).astype(np.float32)}
    sizes = {storage: (saved(tmp_path / storage, arrays, storage) / 'model.safetensors').stat().st_size for storage in STORAGES}
    assert sizes['float16'] < 0.51 * sizes['float32'] and sizes['int8'] < 0.26 * sizes['float32']

  def test_the_file_is_plain_safetensors(self, tmp_path, arrays):
    stored = safetensors.numpy.load_file(saved(tmp_path / 'net', arrays, INT8) / 'model.safetensors')
    name = 'params/dense/kernel'
    np.testing.assert_array_equal(stored[name] * stored[f'scales/{name}'], flat_variables(tmp_path / 'net')[name])

  def test_a_zip_of_8_bits_is_the_same_bundle(self, tmp_path, arrays):
    path = saved(tmp_path / 'net', arrays, INT8)
    with zipfile.ZipFile(tmp_path / 'net.zip', 'w') as archive:
      for file in path.iterdir():
        archive.write(file, file.name)
    for a, b in zip(*(jax.tree.leaves(load_bundle(each).variables) for each in (path, tmp_path / 'net.zip')), strict=True):
      np.testing.assert_array_equal(a, b)

  def test_a_bundle_from_before_there_were_storages(self, tmp_path, arrays):
    path = saved(tmp_path / 'net', arrays, 'float32')
    config = json.loads((path / 'config.json').read_text())
    del config['storage']
    (path / 'config.json').write_text(json.dumps(config))
    assert load_bundle(path).storage == 'float32'
    assert largest_loss(arrays, flat_variables(path)) == Loss(0, '', 0)

  @pytest.mark.parametrize('version, storage', [(1, 'int8'), (2, 'float32'), (2, 'int4')])
  def test_a_version_with_a_storage_that_it_does_not_have(self, tmp_path, arrays, version, storage):
    path = saved(tmp_path / 'net', arrays, INT8)
    config = json.loads((path / 'config.json').read_text())
    (path / 'config.json').write_text(json.dumps(config | {'format_version': version, 'storage': storage}))
    with pytest.raises(ValueError, match=f"format version {version} and the storage '{storage}'; with that version go"):
      load_bundle(path)

  def test_config_must_not_speak_of_storage_itself(self, tmp_path):
    with pytest.raises(ValueError, match="must not have the keys .'storage'"):
      save_bundle(tmp_path / 'net', config={'storage': 'int8'}, variables={}, card='')


class TestLargestLoss:

  def test_it_is_named_with_its_share(self):
    before = {'params/a': np.float32([1, 2]), 'params/b': np.float32([[10, -20]])}
    after = {'params/a': np.float32([1.25, 2]), 'params/b': np.float32([[10, -19.5]])}
    assert largest_loss(before, after) == Loss(0.5, 'params/b', 0.025)

  def test_other_names_or_shapes_are_no_loss_but_a_mistake(self):
    with pytest.raises(ValueError, match='differ in names or shapes'):
      largest_loss({'a': np.ones(3)}, {'a': np.ones(4)})
