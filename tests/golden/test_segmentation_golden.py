"""The segmentation baselines equal their torch twins, weights carried over by name, on an image of odd size.

The arrays were computed by torch in float64: see make_segmentation.py beside this file.
"""

import functools
import json

import jax
import make_segmentation as golden
import numpy as np
import pytest
from tiny import TinyEncoder

from lesion_jax.models.danet import DANet
from lesion_jax.models.deeplab import ASPP, DeepLabV3Plus
from lesion_jax.models.dual_attention import ChannelAttention, PositionAttention
from lesion_jax.models.fcn import FCN
from lesion_jax.models.unet import UNet
from lesion_jax.weights.merge import merge
from lesion_jax.weights.names import to_flax

TOLERANCE = 1e-5
FIELDS = {'encoder': TinyEncoder, 'width': golden.WIDTH}
NETWORKS = {
    'fcn_32s': FCN(stride=32, **FIELDS),
    'fcn_16s': FCN(stride=16, **FIELDS),
    'fcn_8s': FCN(stride=8, **FIELDS),
    'unet': UNet(**FIELDS),
    'deeplab': DeepLabV3Plus(**FIELDS),
    'danet': DANet(**FIELDS),
    'danet, 48 positions by 20': DANet(chunk=20, **FIELDS),
}
BLOCKS = {
    'aspp': functools.partial(ASPP, 16),
    'position_attention': PositionAttention,
    'position_attention, 42 positions by 5': functools.partial(PositionAttention, chunk=5),
    'channel_attention': ChannelAttention,
}


@pytest.fixture(scope='module')
def arrays():
  with np.load(golden.PATH) as file:
    return dict(file)


def load(module, x, shapes, **call):
  """Zeros, then torch's state dict merged into them: nothing may be missing, left over or of another shape."""
  fresh = jax.eval_shape(lambda x: module.init(jax.random.key(0), x, **call), x)
  state = golden.make_state(shapes)
  gates = {name: state.pop(name) for name in list(state) if name.endswith('gamma')}
  loaded = to_flax(state) | {'params/' + name.replace('.', '/'): gate for name, gate in gates.items()}
  return merge(jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), fresh), loaded, prefix='')


def assert_equal_to_torch(found, arrays, name):
  assert found.shape == tuple(arrays[f'{name}/shape'])
  for what, actual in zip(('values', 'means'), golden.sample(np.asarray(found, np.float64)), strict=True):
    expected = arrays[f'{name}/{what}']
    assert np.abs(actual - expected).max() < TOLERANCE * np.abs(expected).max(), what


@pytest.mark.parametrize('case', NETWORKS)
def test_every_network_equals_its_torch_twin(arrays, case):
  network, name, images = NETWORKS[case], case.split(',')[0], golden.make_images()
  variables = load(network, images, json.loads(str(arrays['shapes']))[name], train=False)
  found = jax.jit(lambda variables, images: network.apply(variables, images, train=False))(variables, images)
  assert_equal_to_torch(found.maps, arrays, name)


@pytest.mark.parametrize('case', BLOCKS)
def test_every_block_equals_its_torch_twin(arrays, case):
  module, name = BLOCKS[case](), case.split(',')[0]
  x, call = golden.make_features(name), {'train': False} if name == 'aspp' else {}
  variables = load(module, x, json.loads(str(arrays['shapes']))[name], **call)
  found = jax.jit(lambda variables, x: module.apply(variables, x, **call))(variables, x)
  assert_equal_to_torch(found, arrays, name)
