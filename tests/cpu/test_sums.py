"""Sums by matrix products are sums, about as exact as XLA's."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lesion_jax.cpu import summed

X = np.random.default_rng(0).random((4, 64, 48, 6), np.float32)


def is_replaced(function, x):
  """Whether no sum of the whole is left."""
  return 'dot_general' in str(jax.make_jaxpr(summed(function, 'cpu'))(x))


def errors(function, exact, *arguments):
  """The largest of each channel, relative: as matrix products, and as XLA has it."""
  return [np.abs(np.asarray(jax.jit(one)(*arguments)) / exact - 1).max() for one in (summed(function, 'cpu'), function)]


@pytest.mark.parametrize('axes', [(0, 1, 2), (0, 1, 2, 3)])
@pytest.mark.parametrize('shape', [(4, 64, 48, 6), (1, 720, 720, 2), (4096, 16, 4, 3), (60000, 1, 1, 8), (1, 2, 40000, 4), (2, 61, 61, 5)])
def test_it_is_the_sum_and_about_as_exact(axes, shape):
  """Whatever the shape."""
  x = np.random.default_rng(0).normal(1, 0.1, shape).astype(np.float32)
  function = lambda x: x.sum(axes)
  assert is_replaced(function, x)
  found, plain = errors(function, x.astype(np.float64).sum(axes), x)
  assert found < 5e-7 and found < 3 * plain + 2e-7


def test_so_is_a_variance_which_magnifies_roundings():
  """Of BatchNorm: the mean of squares less the square of the mean, here 100 times as large."""
  x = np.random.default_rng(0).normal(10, 1, (2, 128, 128, 16)).astype(np.float32)
  function = lambda x: (x * x).mean((0, 1, 2)) - jnp.square(x.mean((0, 1, 2)))
  assert is_replaced(function, x)
  found, plain = errors(function, x.astype(np.float64).var((0, 1, 2)), x)
  assert found < 1e-4 and found < 3 * plain + 3e-5


def test_of_gradients_too():
  step = jax.grad(lambda scale, x: jnp.square(x * scale).mean())
  found = jax.jit(summed(step, 'cpu'))(jnp.ones(6), X)
  np.testing.assert_allclose(found, step(jnp.ones(6), X), rtol=1e-5)
  assert is_replaced(lambda x: step(jnp.ones(6), x), X)


@pytest.mark.parametrize('function', [
    lambda x: x.sum((1, 2)), lambda x: x.sum(-1), lambda x: x.reshape(-1)[:20014].reshape(10007, 1, 2).sum((0, 1)),
    lambda x: x[:1, :4, :4].sum((0, 1, 2)), lambda x: x.astype(jnp.int32).sum((0, 1, 2)),
    lambda x: x.astype(jnp.bfloat16).astype(jnp.float16).sum((0, 1, 2), dtype=jnp.float16)],
    ids=['per image', 'channels', 'a prime number of pixels', 'few', 'counts', 'half'])
def test_others_are_left_alone(function):
  assert not is_replaced(function, X)


def test_what_is_not_a_number_stays_so_in_its_channel():
  x = X.copy()
  x[1, 2, 3, 4] = np.nan
  assert np.isnan(summed(lambda x: x.sum((0, 1, 2)), 'cpu')(x)).tolist() == [False] * 4 + [True, False]


def test_on_other_platforms_nothing_changes():
  function = lambda x: x.sum()
  assert summed(function, 'gpu') is function
