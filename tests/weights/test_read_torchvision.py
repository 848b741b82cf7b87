"""Reading state dicts from disk."""

import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from lesion_jax.models.inception_v3 import InceptionV3
from lesion_jax.weights.merge import merge
from lesion_jax.weights.names import to_flax
from lesion_jax.weights.torchvision import read_torchvision

PARTIAL = pathlib.Path(__file__).parents[2] / '../shared/weights/inception_v3_partial_fp16.safetensors'


@pytest.mark.parametrize('dtype', [np.float16, jnp.bfloat16, np.float32, np.float64])
def test_every_float_becomes_float32_and_integers_stay(tmp_path, dtype):
  values = np.array([[1.5, -0.25], [0, 3]], dtype)
  save_file({'fc.weight': values, 'bn.num_batches_tracked': np.array(7)}, tmp_path / 'w.safetensors')
  state = read_torchvision(tmp_path / 'w.safetensors')
  assert (state['fc.weight'].dtype, state['bn.num_batches_tracked'].dtype) == (np.float32, np.int64)
  np.testing.assert_array_equal(state['fc.weight'], values.astype(np.float32))


@pytest.mark.parametrize('name, content, error, message', [
    ('w.safetensors', b'abc', ValueError, 'damaged'),
    ('w.safetensors', None, FileNotFoundError, 'no weights at'),
    ('w.h5', b'', ValueError, r'allowed are \.safetensors, \.pth, \.pt'),
])
def test_errors_say_what_is_wrong(tmp_path, name, content, error, message):
  if content is not None:
    (tmp_path / name).write_bytes(content)
  with pytest.raises(error, match=message):
    read_torchvision(tmp_path / name)


def test_without_torch_its_own_format_says_what_to_install(tmp_path, monkeypatch):
  (tmp_path / 'w.pth').write_bytes(b'')
  monkeypatch.setitem(sys.modules, 'torch', None)
  with pytest.raises(ImportError, match=r'pip install lesion_jax\[torch\]'):
    read_torchvision(tmp_path / 'w.pth')


def test_torchs_own_format(tmp_path):
  torch = pytest.importorskip('torch')
  values = torch.tensor([[1.5, -0.25]])
  torch.save({'a.weight': values.half(), 'b.weight': values.bfloat16()}, tmp_path / 'w.pth')
  state = read_torchvision(tmp_path / 'w.pth')
  for array in state.values():
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, [[1.5, -0.25]])

  torch.save({'state': {'a.weight': values}}, tmp_path / 'nested.pth')
  with pytest.raises(ValueError, match='not a state dict'):
    read_torchvision(tmp_path / 'nested.pth')
  torch.save({'a': pathlib.Path('code')}, tmp_path / 'code.pth')
  with pytest.raises(ValueError, match='more than weights'):
    read_torchvision(tmp_path / 'code.pth')


@pytest.mark.skipif(not PARTIAL.exists(), reason='the partial ImageNet weights are not here')
def test_the_partial_imagenet_weights_fill_the_whole_encoder():
  images = jax.ShapeDtypeStruct((1, 96, 96, 3), jnp.uint8)
  shapes = jax.eval_shape(lambda x: InceptionV3().init(jax.random.key(0), x, train=False), images)
  state = read_torchvision(PARTIAL)
  holes = {key: {'encoder': jax.tree.map(lambda s: np.full(s.shape, np.nan, s.dtype), tree)}
           for key, tree in shapes.items()}
  variables = merge(holes, to_flax(state))
  assert all(np.isfinite(leaf).all() and leaf.dtype == np.float32 for leaf in jax.tree.leaves(variables))
  layer = variables['params']['encoder']['Mixed_7c']['branch3x3_2a']
  np.testing.assert_array_equal(layer['conv']['kernel'][0, 2], state['Mixed_7c.branch3x3_2a.conv.weight'][..., 0, 2].T)
