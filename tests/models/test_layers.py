"""The shared building blocks against NumPy and XLA's own window reductions."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lesion_jax.models.layers import (
    BN_EPSILON, ConvBN, avg_pool, call, max_pool, normalize, resize_bilinear, scaled, torch_padding,
)
from lesion_jax.weights.initialize import initialize


@pytest.fixture
def x():
  return np.random.default_rng(0).normal(size=(2, 9, 12, 3)).astype(np.float32)


@pytest.mark.parametrize('channels, width, minimum, expected', [
    (64, 1.0, 4, 64), (80, 0.25, 4, 20), (32, 0.05, 4, 4), (64, 0.05, 8, 8), (2048, 2, 8, 4096),
])
def test_width_scales_channels_down_to_a_minimum(channels, width, minimum, expected):
  assert scaled(channels, width, minimum=minimum) == expected


def test_normalize_maps_bytes_to_minus_one_and_one():
  images = np.zeros((1, 1, 2, 3), np.uint8)
  images[0, 0, 1] = 255
  np.testing.assert_array_equal(normalize(images)[0, 0], [[-1] * 3, [1] * 3])
  np.testing.assert_array_equal(normalize(images.astype(np.float32)), normalize(images))
  assert normalize(images, jnp.bfloat16).dtype == jnp.bfloat16


@pytest.mark.parametrize('images, error', [
    (np.zeros((4, 4, 3), np.uint8), ValueError),
    (np.zeros((1, 4, 4, 1), np.uint8), ValueError),
    (np.zeros((1, 4, 4, 3), np.int32), TypeError),
])
def test_normalize_refuses_what_is_no_batch_of_rgb(images, error):
  with pytest.raises(error, match='images must'):
    normalize(images)


def test_torch_padding_is_symmetric_and_grows_with_the_dilation():
  assert torch_padding((1, 7), padding='SAME') == ((0, 0), (3, 3))
  assert torch_padding((3, 3), padding='SAME', dilation=4) == ((4, 4), (4, 4))
  assert torch_padding((3, 3), padding='VALID', dilation=4) == ((0, 0), (0, 0))
  with pytest.raises(ValueError, match='allowed: SAME, VALID'):
    torch_padding((3, 3), padding='same')
  with pytest.raises(ValueError, match='odd kernel'):
    torch_padding((2, 2), padding='SAME')


@pytest.mark.parametrize('size', [(18, 24), (13, 5)])
def test_resize_has_half_pixel_centres_and_clamps_at_the_edge(x, size):
  def interpolate(rows, length):
    centres = np.clip((np.arange(length) + 0.5) * rows.shape[0] / length - 0.5, 0, rows.shape[0] - 1)
    low = np.floor(centres).astype(int)
    high, t = np.minimum(low + 1, rows.shape[0] - 1), (centres - low)[:, None, None, None]
    return rows[low] * (1 - t) + rows[high] * t

  expected = interpolate(np.moveaxis(x, 1, 0), size[0])
  expected = np.moveaxis(interpolate(np.moveaxis(np.moveaxis(expected, 0, 1), 2, 0), size[1]), 0, 2)
  np.testing.assert_allclose(resize_bilinear(x, size), expected, atol=1e-5)


@pytest.mark.parametrize('dilation, stride', [(1, 1), (1, 2), (2, 1)])
@pytest.mark.parametrize('padding', ['SAME', 'VALID'])
def test_max_pool_equals_xlas_window(x, dilation, stride, padding):
  pads = ((0, 0), *torch_padding((3, 3), padding=padding, dilation=dilation), (0, 0))
  expected = jax.lax.reduce_window(x, -np.inf, jax.lax.max, (1, 3, 3, 1), (1, stride, stride, 1), pads,
                                   window_dilation=(1, dilation, dilation, 1))
  np.testing.assert_array_equal(max_pool(x, stride=stride, padding=padding, dilation=dilation), expected)


def test_a_dilated_max_pool_has_a_gradient_and_no_stride(x):
  gradient = jax.grad(lambda x: max_pool(x, stride=1, dilation=2).sum())(x)
  np.testing.assert_allclose(gradient.sum(), x.size, rtol=1e-5)
  with pytest.raises(ValueError, match='must have stride 1'):
    max_pool(x, stride=2, dilation=2)


@pytest.mark.parametrize('dilation', [1, 2])
def test_avg_pool_counts_the_padding(x, dilation):
  padded = np.pad(x, ((0, 0), (dilation,) * 2, (dilation,) * 2, (0, 0)))
  shifts = [padded[:, i:i + 9, j:j + 12] for i in dilation * np.arange(3) for j in dilation * np.arange(3)]
  np.testing.assert_allclose(avg_pool(x, dilation=dilation), sum(shifts) / 9, atol=1e-6)


def test_conv_bn_trains_on_the_batch_and_updates_its_statistics(x):
  module = ConvBN(5, 1)
  variables = initialize(module, x, 0)
  y, update = module.apply(variables, x, train=True, mutable=['batch_stats'])
  z = x.astype(np.float64) @ variables['params']['conv']['kernel'][0, 0]
  mean, var = z.mean((0, 1, 2)), z.var((0, 1, 2))
  np.testing.assert_allclose(y, np.maximum((z - mean) / np.sqrt(var + BN_EPSILON), 0), atol=1e-5)
  np.testing.assert_allclose(update['batch_stats']['bn']['mean'], 0.1 * mean, atol=1e-6)
  np.testing.assert_allclose(update['batch_stats']['bn']['var'], 0.9 + 0.1 * var, atol=1e-6)
  np.testing.assert_allclose(module.apply(variables, x, train=False), np.maximum(z / np.sqrt(1 + BN_EPSILON), 0),
                             atol=1e-5)


def test_bn_axis_averages_the_statistics_over_devices(x):
  x = np.concatenate([x, 3 * x + 1])
  alone, shared = ConvBN(4, 3), ConvBN(4, 3, bn_axis='batch')
  variables = initialize(alone, x, 0)
  run = lambda module: lambda x: module.apply(variables, x, train=True, mutable=['batch_stats'])
  whole, _ = run(alone)(x)
  split, update = jax.vmap(run(shared), axis_name='batch')(x[:, None])
  np.testing.assert_allclose(split[:, 0], whole, atol=1e-5)
  means = update['batch_stats']['bn']['mean']
  np.testing.assert_array_equal(means, np.broadcast_to(means[0], means.shape))


def test_bfloat16_computes_in_it_and_keeps_statistics_in_float32(x):
  module = ConvBN(4, 3, dtype=jnp.bfloat16)
  variables = initialize(module, x, 0)
  y, update = module.apply(variables, x, train=True, mutable=['batch_stats'])
  assert y.dtype == jnp.bfloat16
  assert {leaf.dtype for leaf in jax.tree.leaves((variables, update))} == {jnp.dtype(jnp.float32)}


class Net(nn.Module):
  remat: bool

  def setup(self):
    self.layer = ConvBN(4, 3)

  def __call__(self, x, *, train):
    return call(self.layer, x, train=train, remat=self.remat)


def test_call_with_remat_gives_the_same_gradient_and_statistics(x):
  variables = initialize(Net(remat=False), x, 0)

  def loss(params, remat):
    state = {'params': params, 'batch_stats': variables['batch_stats']}
    y, update = Net(remat=remat).apply(state, x, train=True, mutable=['batch_stats'])
    return (y ** 2).sum(), update

  plain, recomputed = (jax.grad(lambda p: loss(p, remat), has_aux=True)(variables['params']) for remat in (False, True))
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), plain, recomputed)
  jaxpr = lambda remat: str(jax.make_jaxpr(lambda p: loss(p, remat)[0])(variables['params']))
  assert ['remat' in jaxpr(False), 'remat' in jaxpr(True)] == [False, True]
