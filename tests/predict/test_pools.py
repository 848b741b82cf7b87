"""Pools from slices are the pools of every network, on whatever grid and whichever way they are called."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from lesion_jax.models import get_model
from lesion_jax.models.layers import avg_pool, max_pool
from lesion_jax.predict.pools import POOLS, sliced
from lesion_jax.predict.step import arranged, forward
from lesion_jax.weights.initialize import initialize

X = np.random.default_rng(0).normal(size=(2, 11, 14, 3)).astype(np.float32)


def primitives(function, *arguments):
  """Names of all that a function does."""
  return {name for name in POOLS if name in str(jax.make_jaxpr(function)(*arguments))}


@pytest.mark.parametrize('padding', ['SAME', 'VALID'])
@pytest.mark.parametrize('stride', [1, 2])
def test_maxima_are_the_same_bit_by_bit(stride, padding):
  pool = lambda x: max_pool(x, stride=stride, padding=padding)
  assert primitives(pool, X) and not primitives(sliced(pool), X)
  np.testing.assert_array_equal(jax.jit(sliced(pool))(X), pool(X))


def test_means_are_the_same_but_for_rounding():
  assert primitives(avg_pool, X) and not primitives(sliced(avg_pool), X)
  np.testing.assert_allclose(jax.jit(sliced(avg_pool))(X), avg_pool(X), rtol=1e-5, atol=1e-6)


def test_other_windows_and_what_is_called_inside_are_found():
  inside = jax.jit(lambda x: nn.relu(nn.max_pool(x, (2, 5), (3, 1), ((0, 1), (2, 0)))))
  function = lambda tree: {'a': inside(tree['x']) * 2, 'b': tree['y']}
  tree = {'x': X, 'y': jnp.float32(3)}
  assert not primitives(sliced(function), tree)
  found, expected = jax.jit(sliced(function))(tree), function(tree)
  np.testing.assert_array_equal(found['a'], expected['a'])
  assert found['b'] == 3


def test_a_window_over_channels_or_one_in_a_loop_is_left_alone():
  channels = lambda x: jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 1, 1, 2), (1, 1, 1, 1), 'VALID')
  loop = lambda x: jax.lax.map(lambda one: max_pool(one[None])[0], x)
  for function in (channels, loop):
    assert primitives(sliced(function), X)
    np.testing.assert_array_equal(sliced(function)(X), function(X))


def test_every_part_of_inception_says_the_same():
  model = get_model('abn_grader', width=0.05)
  images = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), np.uint8)
  variables = initialize(model, jax.ShapeDtypeStruct(images.shape, np.uint8), 0)
  plain, faster = forward(model), arranged(forward(model), 'cpu')
  assert primitives(plain, variables, images) and not primitives(faster, variables, images)
  expected, found = jax.jit(plain)(variables, images), jax.jit(faster)(variables, images)
  np.testing.assert_allclose(found.grades, expected.grades, atol=1e-6)
  np.testing.assert_allclose(found.attention, expected.attention, atol=1e-6)


def test_on_other_platforms_nothing_changes():
  predict_fn = forward(tiny.TINY_MODELS['lesion_net_32s']())
  assert arranged(predict_fn, 'gpu') is predict_fn
