"""Pools from slices are the pools of every network, on whatever grid and whichever way they are called."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lesion_jax.models.layers import avg_pool, max_pool
from lesion_jax.cpu import pools
from lesion_jax.cpu.rewriting import rewritten

X = np.random.default_rng(0).normal(size=(2, 11, 14, 3)).astype(np.float32)


def sliced(function):
  """The function with the pools that are tested."""
  return rewritten(function, pools.RULES)


def primitives(function, *arguments):
  """Names of the windows that it goes through."""
  return {name for name in pools.RULES if name in str(jax.make_jaxpr(function)(*arguments))}


@pytest.mark.parametrize('padding', ['SAME', 'VALID'])
@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize('rows', [3, 4, 11])
def test_maxima_are_the_same_bit_by_bit(stride, padding, rows):
  pool = lambda x: max_pool(x, stride=stride, padding=padding)
  x = X[:, :rows]
  assert primitives(pool, x) and not primitives(sliced(pool), x)
  np.testing.assert_array_equal(jax.jit(sliced(pool))(x), pool(x))


@pytest.mark.parametrize('window, strides, padding', [
    ((2, 5), (3, 1), ((0, 1), (2, 0))), ((3, 3), (2, 3), ((2, 2), (0, 2))), ((11, 14), (1, 1), ((0, 0), (0, 0))),
    ((7, 2), (2, 2), ((6, 6), (1, 1))), ((1, 1), (2, 3), ((0, 0), (0, 0)))])
def test_any_window_over_rows_and_columns(window, strides, padding):
  for pool in (nn.max_pool, nn.avg_pool):
    function = lambda x, pool=pool: pool(x, window, strides, padding)
    assert not primitives(sliced(function), X)
    np.testing.assert_allclose(jax.jit(sliced(function))(X), function(X), rtol=1e-5, atol=1e-6)


def test_means_are_the_same_but_for_rounding():
  assert primitives(avg_pool, X) and not primitives(sliced(avg_pool), X)
  np.testing.assert_allclose(jax.jit(sliced(avg_pool))(X), avg_pool(X), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('function', [
    lambda x: jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 1, 1, 2), (1, 1, 1, 1), 'VALID'),
    lambda x: nn.max_pool(x, (2, 2), padding=((3, 0), (0, 0))),
    lambda x: jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, 1, 1, 1), 'VALID',
                                    window_dilation=(1, 2, 2, 1)),
    lambda x: nn.max_pool(x, (12, 2)),
    lambda x: nn.max_pool(x, (3, 3), padding=((-1, 1), (1, -2))),
], ids=['channels', 'nothing inside', 'dilated', 'empty', 'cut off'])
def test_other_windows_are_left_alone(function):
  assert primitives(sliced(function), X)
  np.testing.assert_array_equal(sliced(function)(X), function(X))


@pytest.mark.parametrize('dtype', ['int32', 'uint8', 'bfloat16'])
def test_maxima_of_other_types(dtype):
  x = jnp.asarray(np.abs(X) * 100).astype(dtype)
  least = -jnp.inf if dtype == 'bfloat16' else jnp.iinfo(dtype).min
  pool = lambda x: jax.lax.reduce_window(x, np.asarray(least, x.dtype), jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), 'VALID')
  assert primitives(pool, x) and not primitives(sliced(pool), x)
  assert sliced(pool)(x).dtype == x.dtype
  np.testing.assert_array_equal(sliced(pool)(x), pool(x))


@pytest.mark.parametrize('window, strides, padding', [
    ((3, 3), (2, 2), ((1, 1), (1, 1))), ((3, 3), (1, 1), ((1, 1), (1, 1))), ((3, 3), (2, 2), 'VALID'),
    ((2, 5), (3, 1), ((0, 1), (2, 0))), ((3, 3), (2, 3), ((2, 2), (0, 2))), ((11, 14), (1, 1), ((0, 0), (0, 0))),
    ((7, 2), (2, 2), ((6, 6), (1, 1))), ((1, 1), (2, 3), ((0, 0), (0, 0))), ((2, 2), (4, 5), 'VALID')])
def test_gradients_of_any_window_and_all_to_the_first_of_equal_maxima(window, strides, padding):
  ties = np.random.default_rng(1).integers(0, 4, X.shape).astype(np.float32)
  for pool in (nn.max_pool, nn.avg_pool):
    function = lambda x, pool=pool: pool(x, window, strides, padding)
    weights = np.random.default_rng(2).normal(size=function(X).shape).astype(np.float32)
    gradient = lambda function: jax.jit(jax.grad(lambda x: (function(x) * weights).sum()))
    for x in (X, ties):
      assert 'select_and_scatter' not in str(jax.make_jaxpr(gradient(sliced(function)))(x))
      np.testing.assert_allclose(gradient(sliced(function))(x), gradient(function)(x), rtol=1e-5, atol=1e-6)


def test_what_is_not_a_number_takes_the_gradient_of_its_windows():
  """It is not lost on the way, to begin again below as a plausible number."""
  x = X.copy()
  x[1, 5, 6, 2] = np.nan
  gradient = lambda pool: np.asarray(jax.grad(lambda x: (pool(x) * 2).sum())(x))
  assert gradient(sliced(max_pool)).sum() == gradient(max_pool).sum() == 2 * max_pool(X).size
  assert np.isnan(jax.grad(lambda x: (sliced(max_pool)(x) ** 2).sum())(x)).any()


def test_gradients_of_bfloat16():
  pool = lambda x: (max_pool(x).astype(jnp.float32) ** 2).sum()
  x = jnp.asarray(X, jnp.bfloat16)
  found = jax.grad(sliced(pool))(x)
  assert found.dtype == jnp.bfloat16
  np.testing.assert_allclose(found.astype(np.float32), jax.grad(pool)(x).astype(np.float32), rtol=2e-2)
