"""Encoder weights from disk: what a file is shows in its bytes, and what is left out is said."""

import pathlib
import sys
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from lesion_jax.models.inception_v3 import InceptionV3
from lesion_jax.weights.encoder import IMAGENET_MEAN, IMAGENET_STD, from_imagenet_input, read_encoder
from lesion_jax.weights.merge import merge

PARTIAL = pathlib.Path(__file__).parents[2] / '../shared/weights/inception_v3_partial_fp16.safetensors'
KERNEL = np.arange(24, dtype=np.float32).reshape(2, 3, 4, 1)
PLACED = 'params/a/conv/kernel'  # the kernel's place, transposed


@pytest.mark.parametrize('dtype', [np.float16, jnp.bfloat16, np.float32, np.float64])
def test_every_float_becomes_float32_in_the_layout_of_flax(tmp_path, dtype):
  save_file({'a.conv.weight': KERNEL.astype(dtype)}, tmp_path / 'w.safetensors')
  found = read_encoder(tmp_path / 'w.safetensors')
  assert list(found.arrays) == [PLACED] and found.arrays[PLACED].dtype == np.float32
  np.testing.assert_array_equal(found.arrays[PLACED], KERNEL.transpose(2, 3, 1, 0))


def test_classifiers_and_counters_are_left_out_and_said(tmp_path):
  zeros = np.zeros(3, np.float32)
  save_file({'a.conv.weight': KERNEL, 'a.bn.num_batches_tracked': np.array(7), 'fc.bias': zeros,
             'AuxLogits.conv0.bn.bias': zeros, 'AuxLogits.conv0.bn.num_batches_tracked': np.array(7),
             'fca.bias': zeros}, tmp_path / 'w.safetensors')
  found = read_encoder(tmp_path / 'w.safetensors')
  assert set(found.arrays) == {PLACED, 'params/fca/bias'}
  assert list(found.ignored.values()) == [
      ['AuxLogits.conv0.bn.bias', 'AuxLogits.conv0.bn.num_batches_tracked'], ['fc.bias'], ['a.bn.num_batches_tracked']]


def test_the_name_of_a_file_does_not_matter(tmp_path):
  save_file({'a.conv.weight': KERNEL}, tmp_path / 'weights.h5')
  assert list(read_encoder(tmp_path / 'weights.h5').arrays) == [PLACED]


def archive(path, *members):
  with zipfile.ZipFile(path, 'w') as file:
    for name in members:
      file.writestr(name, b'nothing')


@pytest.mark.parametrize('make, error, message', [
    (lambda path: path.write_bytes(b'abc'), ValueError, r'no weights that are known; known are .*timm.*\.keras'),
    (lambda path: path.write_bytes(b''), ValueError, 'no weights that are known'),
    (lambda path: path.write_bytes(b'\x10' + bytes(7) + b'{' + bytes(50)), ValueError, 'damaged or no safetensors'),
    (lambda path: path.write_bytes(b'PK\x03\x04' + bytes(50)), ValueError, 'damaged'),
    (lambda path: path.mkdir(), FileNotFoundError, 'no weights at'),
    (lambda path: None, FileNotFoundError, 'no weights at'),
])
def test_errors_say_what_is_wrong(tmp_path, make, error, message):
  make(tmp_path / 'w')
  with pytest.raises(error, match=message):
    read_encoder(tmp_path / 'w')


@pytest.mark.parametrize('make', [
    lambda path: path.write_bytes(b'\x80\x02\x8a\nl\xfc'), lambda path: archive(path, 'archive/data.pkl')])
def test_without_torch_its_own_format_says_what_to_install(tmp_path, monkeypatch, make):
  make(tmp_path / 'w.pth')
  monkeypatch.setitem(sys.modules, 'torch', None)
  with pytest.raises(ImportError, match=r'pip install lesion_jax\[torch\]'):
    read_encoder(tmp_path / 'w.pth')


@pytest.mark.parametrize('zipped', [True, False])
def test_torchs_own_format(tmp_path, zipped):
  torch = pytest.importorskip('torch')
  path, values = tmp_path / 'w', torch.from_numpy(KERNEL)
  save = lambda content: torch.save(content, path, _use_new_zipfile_serialization=zipped)
  for like in (values.half(), values.bfloat16(), torch.nn.Parameter(values)):  # parameters need a gradient
    save({'a.conv.weight': like})
    assert read_encoder(path).arrays[PLACED].dtype == np.float32
    np.testing.assert_array_equal(read_encoder(path).arrays[PLACED], KERNEL.transpose(2, 3, 1, 0))

  save({'state': {'a.conv.weight': values}})
  with pytest.raises(ValueError, match='not a state dict'):
    read_encoder(path)
  save({'a': pathlib.Path('code')})
  with pytest.raises(ValueError, match='more than weights'):
    read_encoder(path)


def test_weights_for_imagenet_input_give_the_same_features_from_ours():
  rng = np.random.default_rng(0)
  layer = 'Conv2d_1a_3x3'
  arrays = {f'params/{layer}/conv/kernel': rng.normal(size=(3, 3, 3, 4)).astype(np.float32),
            f'batch_stats/{layer}/bn/mean': rng.normal(size=4).astype(np.float32), 'params/x': np.ones(1, np.float32)}
  before = {name: array.copy() for name, array in arrays.items()}
  converted = from_imagenet_input(arrays)

  def centred(arrays, pixels):
    """The first convolution, unpadded, less the running mean."""
    windows = np.lib.stride_tricks.sliding_window_view(pixels, (3, 3), axis=(0, 1))
    kernel, mean = arrays[f'params/{layer}/conv/kernel'], arrays[f'batch_stats/{layer}/bn/mean']
    return np.einsum('yxchw,hwco->yxo', windows, kernel) - mean

  pixels = rng.random((6, 7, 3))
  theirs = centred(arrays, (pixels - IMAGENET_MEAN) / IMAGENET_STD)
  np.testing.assert_allclose(centred(converted, (pixels - 0.5) / 0.5), theirs, rtol=0, atol=1e-5)
  assert np.abs(centred(arrays, (pixels - 0.5) / 0.5) - theirs).max() > 1
  assert converted['params/x'] is arrays['params/x']
  for name, array in before.items():
    np.testing.assert_array_equal(arrays[name], array)


@pytest.mark.skipif(not PARTIAL.exists(), reason='the partial ImageNet weights are not here')
def test_the_partial_imagenet_weights_fill_the_whole_encoder():
  images = jax.ShapeDtypeStruct((1, 96, 96, 3), jnp.uint8)
  shapes = jax.eval_shape(lambda x: InceptionV3().init(jax.random.key(0), x, train=False), images)
  arrays = read_encoder(PARTIAL).arrays
  holes = {key: {'encoder': jax.tree.map(lambda s: np.full(s.shape, np.nan, s.dtype), tree)}
           for key, tree in shapes.items()}
  variables = merge(holes, arrays)
  assert all(np.isfinite(leaf).all() and leaf.dtype == np.float32 for leaf in jax.tree.leaves(variables))
  layer = variables['params']['encoder']['Mixed_7c']['branch3x3_2a']
  np.testing.assert_array_equal(layer['conv']['kernel'], arrays['params/Mixed_7c/branch3x3_2a/conv/kernel'])


FIRST = 'Conv2d_1a_3x3.conv.weight'
INSIDE = 'params/Conv2d_1a_3x3/conv/kernel'


@pytest.mark.parametrize('prefix', ['module.', 'backbone.', 'encoder.', 'module.model.backbone.', 'my_net.'])
def test_names_of_a_network_inside_another_one_are_cut_and_that_is_said(tmp_path, prefix):
  save_file({prefix + FIRST: KERNEL, f'{prefix}fc.bias': KERNEL[0, 0], 'head.weight': KERNEL, f'{prefix}a.conv.weight': KERNEL},
            tmp_path / 'w.safetensors')
  found = read_encoder(tmp_path / 'w.safetensors')
  assert set(found.arrays) == {INSIDE, PLACED}
  assert found.ignored == {'the classifier': ['fc.bias'], f'beside {prefix}': ['head.weight']}
  assert found.notes == (f'the names had {prefix!r} before them, as of a network inside another one; it is left out',)


def test_several_encoders_are_named(tmp_path):
  save_file({f'student.{FIRST}': KERNEL, f'teacher.{FIRST}': KERNEL}, tmp_path / 'w.safetensors')
  with pytest.raises(ValueError, match="holds 2 encoders, whose names begin with 'student.', 'teacher.'"):
    read_encoder(tmp_path / 'w.safetensors')


@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(tmp_path, value):
  spoiled = KERNEL.copy()
  spoiled[0, 0, 0] = value
  save_file({FIRST: spoiled}, tmp_path / 'w.safetensors')
  with pytest.raises(ValueError, match=rf'{INSIDE} has 1 of 24 weights that are not finite'):
    read_encoder(tmp_path / 'w.safetensors')


def test_a_wrapped_file_lists_its_keys_in_one_sentence(tmp_path):
  torch = pytest.importorskip('torch')
  path, state = tmp_path / 'w.pth', {FIRST: torch.from_numpy(KERNEL)}
  for content, said in [
      ({'epoch': 3, 'state_dict': state, 'optimizer': {'lr': 0.1}},
       r"keys 'epoch', 'state_dict', 'optimizer'; weights are under 'state_dict': save those alone .*\['state_dict'\]"),
      ({f'key{number}': number for number in range(20)}, "keys 'key0', .*'key7' and 12 more; save the weights alone"),
      ([1, 2], 'but a list; save it with')]:
    torch.save(content, path)
    with pytest.raises(ValueError, match=said) as error:
      read_encoder(path)
    assert '\n' not in str(error.value)
  torch.save({'model': pathlib.PurePosixPath('x')}, path)
  with pytest.raises(ValueError, match='holds more than weights') as error:
    read_encoder(path)
  assert '\n' not in str(error.value) and len(str(error.value)) < 500
