"""The encoder's shapes, names and variants. That it computes Inception-v3 is shown in tests/golden."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from lesion_jax.models.inception_v3 import InceptionV3
from lesion_jax.weights.initialize import initialize

CHANNELS = {2: 64, 4: 192, 8: 288, 16: 768, 32: 2048}
TINY = 0.05


@functools.cache
def trace(model, size):
  """Shapes of (taps, variables) for two images, computed once for the whole file: a trace takes about a second."""
  images = jax.ShapeDtypeStruct((2, *size, 3), jnp.uint8)
  return jax.eval_shape(lambda x: model.init_with_output(jax.random.key(0), x, train=False), images)


def tap_shapes(model, size):
  return trace(model, size)[0]


def variable_shapes(model, size=(896, 896)):
  return trace(model, size)[1]


def test_it_has_exactly_the_parameters_of_torchvisions_features():
  shapes = variable_shapes(InceptionV3())
  assert sum(leaf.size for leaf in jax.tree.leaves(shapes['params'])) == 21_785_568
  names = traverse_util.flatten_dict(shapes['params'], sep='/')
  assert len(names) == 94 * 3
  assert names['Conv2d_1a_3x3/conv/kernel'].shape == (3, 3, 3, 32)
  assert names['Mixed_5b/branch5x5_2/conv/kernel'].shape == (5, 5, 48, 64)
  assert names['Mixed_6c/branch7x7dbl_2/conv/kernel'].shape == (7, 1, 160, 160)
  assert names['Mixed_7c/branch3x3dbl_3b/bn/scale'].shape == (384,)


@pytest.mark.parametrize('size', [(896, 896), (65, 97), (32, 33)])
def test_taps_are_the_size_divided_by_their_stride_and_rounded_up(size):
  taps = tap_shapes(InceptionV3(), size)
  expected = {s: (2, math.ceil(size[0] / s), math.ceil(size[1] / s), c) for s, c in CHANNELS.items()}
  assert {stride: tap.shape for stride, tap in taps.items()} == expected


def test_valid_padding_gives_the_stock_sizes():
  sides = {stride: tap.shape[1] for stride, tap in tap_shapes(InceptionV3(padding='VALID'), (299, 299)).items()}
  assert sides == {2: 147, 4: 71, 8: 35, 16: 17, 32: 8}
  assert tap_shapes(InceptionV3(padding='VALID'), (896, 896))[32].shape[1:3] == (26, 26)


@pytest.mark.parametrize('output_stride, deep', [(16, (56, 56)), (8, (112, 112))])
def test_a_smaller_output_stride_enlarges_the_deep_taps_and_adds_no_variable(output_stride, deep):
  model = InceptionV3(output_stride=output_stride)
  taps = tap_shapes(model, (896, 896))
  assert (taps[16].shape[1], taps[32].shape[1]) == deep
  assert variable_shapes(model) == variable_shapes(InceptionV3())


def test_a_smaller_output_stride_computes_the_same_features_in_more_places():
  # A chain of four blocks, one of each kind that a smaller stride changes: the whole network would only compile longer.
  class Chain(InceptionV3):
    def __call__(self, x, *, train):
      middle = self._run(x, train, self.Mixed_6a, self.Mixed_6b)
      return middle, self._run(middle, train, self.Mixed_7a, self.Mixed_7b)

  x = np.random.default_rng(0).normal(size=(1, 11, 14, 8)).astype(np.float32)
  variables = initialize(Chain(width=TINY), x, 0)

  def run(stride):
    chain = Chain(width=TINY, output_stride=stride)
    return jax.jit(functools.partial(chain.apply, train=False))(variables, x)

  coarse_16, coarse_32 = run(32)
  assert min(np.std(coarse_16), np.std(coarse_32)) > 0.01
  for stride, step_16, step_32 in ((16, 1, 2), (8, 2, 4)):
    fine_16, fine_32 = run(stride)
    np.testing.assert_allclose(fine_16[:, ::step_16, ::step_16], coarse_16, atol=1e-5)
    np.testing.assert_allclose(fine_32[:, ::step_32, ::step_32], coarse_32, atol=1e-5)


def test_width_scales_every_layer_down_to_a_floor():
  taps = tap_shapes(InceptionV3(width=0.5), (896, 896))
  assert [tap.shape[-1] for tap in taps.values()] == [c // 2 for c in CHANNELS.values()]
  kernels = traverse_util.flatten_dict(variable_shapes(InceptionV3(width=0.01))['params'], sep='/')
  assert min(kernel.shape[-1] for name, kernel in kernels.items() if name.endswith('kernel')) == 4


def test_bfloat16_taps_come_from_float32_variables():
  model = InceptionV3(dtype=jnp.bfloat16, width=TINY)
  assert {tap.dtype for tap in tap_shapes(model, (896, 896)).values()} == {jnp.dtype(jnp.bfloat16)}
  assert {leaf.dtype for leaf in jax.tree.leaves(variable_shapes(model))} == {jnp.dtype(jnp.float32)}


def test_remat_and_bn_axis_leave_the_variables_as_they_are():
  assert variable_shapes(InceptionV3(remat=True, bn_axis='batch')) == variable_shapes(InceptionV3())


def test_remat_recomputes_every_layer_and_block():
  model = InceptionV3(remat=True, width=TINY)
  images = jnp.zeros((1, 64, 64, 3))
  jaxpr = jax.make_jaxpr(lambda v: model.apply(v, images, train=True, mutable=['batch_stats']))(variable_shapes(model))
  assert sum(equation.primitive.name.startswith(('remat', 'checkpoint')) for equation in jaxpr.eqns) == 16


def test_training_updates_every_statistic():
  model = InceptionV3(width=TINY)
  images = jnp.zeros((2, 64, 64, 3))
  shapes = variable_shapes(model)
  _, update = jax.eval_shape(lambda v: model.apply(v, images, train=True, mutable=['batch_stats']), shapes)
  assert update['batch_stats'] == shapes['batch_stats']


def test_the_halves_make_only_what_they_use():
  images = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.uint8)
  init = lambda x: InceptionV3().init(jax.random.key(0), x, train=False, method=InceptionV3.lower)
  lower = jax.eval_shape(init, images)['params']
  assert set(variable_shapes(InceptionV3())['params']) - set(lower) == {'Mixed_7a', 'Mixed_7b', 'Mixed_7c'}


@pytest.mark.parametrize('fields, size, message', [
    ({'padding': 'same'}, 64, 'allowed: SAME, VALID'),
    ({'output_stride': 4}, 64, 'allowed: 32, 16, 8'),
    ({'width': 0}, 64, 'width must be above 0'),
    ({'padding': 'VALID'}, 74, 'at least 75'),
    ({}, 31, 'at least 32'),
])
def test_what_it_cannot_do_is_said(fields, size, message):
  with pytest.raises(ValueError, match=message):
    variable_shapes(InceptionV3(**fields), (size, 96))


def test_the_smallest_sizes_work():
  assert tap_shapes(InceptionV3(), (32, 32))[32].shape == (2, 1, 1, 2048)
  assert tap_shapes(InceptionV3(padding='VALID'), (75, 75))[32].shape == (2, 1, 1, 2048)
