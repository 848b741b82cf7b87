"""U-Net: a decoder that mirrors the encoder, at any size. That it equals torch is in tests/golden."""

import functools

import jax
import numpy as np
import pytest
from every_model import WIDTH, variables_of
from flax import traverse_util
from tiny import CHANNELS, TinyEncoder

from lesion_jax.models.inception_v3 import InceptionV3
from lesion_jax.models.layers import resize_bilinear
from lesion_jax.models.unet import UNet, fit
from lesion_jax.weights.names import to_torch


def shapes_of(network, size=(64, 64)):
  images = jax.ShapeDtypeStruct((1, *size, 3), np.uint8)
  found, variables = jax.eval_shape(
      functools.partial(network.init_with_output, train=False), jax.random.key(0), images)
  return found, variables['params']


def test_every_stage_doubles_and_merges_its_tap_and_the_last_has_none():
  _, params = shapes_of(UNet(encoder=TinyEncoder))
  deep = CHANNELS[32]
  for stride, channels in {16: 768, 8: 288, 4: 192, 2: 64, 1: 32}.items():
    stage = params[f'decoder_{stride}s']
    assert stage['up']['kernel'].shape == (2, 2, channels, deep)
    assert stage['merge_1']['conv']['kernel'].shape == (3, 3, channels + CHANNELS.get(stride, 0), channels)
    assert stage['merge_2']['conv']['kernel'].shape == (3, 3, channels, channels)
    deep = channels
  assert params['head']['score']['kernel'].shape == (1, 1, 32, 8)
  assert set(params) == {'encoder', 'head', *(f'decoder_{stride}s' for stride in (16, 8, 4, 2, 1))}


def test_the_transposed_convolution_goes_to_torch_by_the_common_rule():
  """torch's ConvTranspose2d has [in, out, rows, columns]."""
  flat = traverse_util.flatten_dict(variables_of(UNet(encoder=TinyEncoder, width=WIDTH)), sep='/')
  kernel = flat['params/decoder_16s/up/kernel']
  weight = to_torch(flat)['decoder_16s.up.weight']
  assert weight.shape == (CHANNELS[32], 48, 2, 2)
  np.testing.assert_array_equal(weight, np.einsum('abio->oiab', kernel))


def test_what_is_too_large_is_cut_at_the_bottom_and_the_right():
  x = np.random.default_rng(0).random((1, 6, 8, 2), np.float32)
  np.testing.assert_array_equal(fit(x, (5, 8)), x[:, :5])
  np.testing.assert_array_equal(fit(x, (6, 7)), x[:, :, :7])
  np.testing.assert_array_equal(fit(x, (6, 8)), x)


@pytest.mark.parametrize('size', [(7, 8), (6, 9), (7, 7), (10, 11)])
def test_what_falls_short_is_resized(size):
  x = np.random.default_rng(0).random((1, 6, 8, 2), np.float32)
  np.testing.assert_array_equal(fit(x, size), resize_bilinear(x, size))


@pytest.mark.parametrize('padding', ['SAME', 'VALID'])
def test_inception_of_either_padding_is_decoded_to_the_image(padding):
  """Without padding, a tap is larger than twice the next."""
  found, _ = shapes_of(UNet(encoder=InceptionV3, padding=padding, width=WIDTH), (97, 120))
  assert found.maps.shape == (1, 97, 120, 8)
