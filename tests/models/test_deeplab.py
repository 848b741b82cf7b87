"""DeepLabv3+: strides, the reach of the pyramid, a batch of one. That it equals torch is in tests/golden."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from every_model import WIDTH, pictures, variables_of
from tiny import CHANNELS, TinyEncoder

from lesion_jax.models.deeplab import ASPP, DeepLabV3Plus
from lesion_jax.weights.initialize import initialize

tiny = functools.partial(DeepLabV3Plus, encoder=TinyEncoder)


def test_the_pyramid_stands_at_stride_16_and_the_decoder_at_stride_4():
  network = tiny(width=WIDTH)
  run = functools.partial(network.apply, train=False, capture_intermediates=True)
  _, kept = jax.eval_shape(run, variables_of(network), jax.ShapeDtypeStruct((1, 64, 96, 3), np.uint8))
  grids = {name: kept['intermediates'][name]['__call__'][0].shape[1:3] for name in ('aspp', 'low_level', 'merge_2')}
  assert grids == {'aspp': (4, 6), 'low_level': (16, 24), 'merge_2': (16, 24)}


def test_the_channels_are_the_published_ones():
  images = jax.ShapeDtypeStruct((1, 64, 64, 3), np.uint8)
  params = jax.eval_shape(lambda x: tiny().init(jax.random.key(0), x, train=False), images)['params']
  kernels = {name: params[name]['conv']['kernel'].shape for name in ('low_level', 'merge_1', 'merge_2')}
  assert kernels == {'low_level': (1, 1, CHANNELS[4], 48), 'merge_1': (3, 3, 256 + 48, 256),
                     'merge_2': (3, 3, 256, 256)}
  pyramid = {name: layer['conv']['kernel'].shape for name, layer in params['aspp'].items()}
  deep = CHANNELS[32]
  assert pyramid == {'conv_1x1': (1, 1, deep, 256), 'dilated_6': (3, 3, deep, 256), 'dilated_12': (3, 3, deep, 256),
                     'dilated_18': (3, 3, deep, 256), 'image_mean': (1, 1, deep, 256), 'project': (1, 1, 1280, 256)}


@pytest.mark.parametrize('with_mean', [False, True])
def test_a_pixel_sees_the_corners_of_three_squares_and_the_mean_of_the_image(with_mean):
  module, x = ASPP(4), np.random.default_rng(0).random((1, 39, 39, 3), np.float32)
  variables = initialize(module, x, 0)
  if not with_mean:
    variables['params']['image_mean']['conv']['kernel'] *= 0
  gradient = jax.grad(lambda x: module.apply(variables, x, train=False)[0, 19, 19].sum())(x)
  seen = np.any(np.asarray(gradient[0]), axis=-1)
  expected = np.full((39, 39), with_mean)
  for rate in (6, 12, 18):
    rows = [19 - rate, 19, 19 + rate]
    expected[np.ix_(rows, rows)] = True
  np.testing.assert_array_equal(seen, expected)


def test_training_on_a_single_image_is_finite_and_its_mean_branch_a_constant():
  """BatchNorm of one value leaves its bias."""
  module, x = ASPP(4), np.random.default_rng(0).random((1, 5, 6, 3), np.float32)
  variables = initialize(module, x, 0)
  variables['params']['image_mean']['bn']['bias'] += np.float32([-1, 0, 1, 2])
  _, kept = module.apply(variables, x, train=True, mutable=['batch_stats', 'intermediates'], capture_intermediates=True)
  np.testing.assert_allclose(kept['intermediates']['image_mean']['__call__'][0][0, 0, 0], [0, 0, 1, 2], atol=1e-3)

  network, images = tiny(width=WIDTH), pictures(1, 64, 64)
  trained = variables_of(network)

  def objective(params):
    found, updates = network.apply(trained | {'params': params}, images, train=True, mutable=['batch_stats'])
    return jnp.sum(found.maps ** 2), updates

  gradient, updates = jax.jit(jax.grad(objective, has_aux=True))(trained['params'])
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((gradient, updates)))
