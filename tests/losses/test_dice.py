"""Dice loss against the formula of Eq. 3 in NumPy float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lesion_jax.losses.dice import DiceSums, dice_loss, dice_sums, dice_value


def reference(p, t, mask):
  p, t = np.asarray(p, np.float64)[mask], np.asarray(t, np.float64)[mask]
  return 1 - 2 * np.sum(p * t) / (np.sum(p**2) + np.sum(t**2))


@pytest.mark.parametrize('positives', [0.0, 0.01, 0.5, 1.0])
def test_equals_equation_3_over_scored_elements(rng, positives):
  p, t, mask = rng.random((3, 9, 9, 8)), rng.random((3, 9, 9, 8)) < positives, rng.random((3, 9, 9, 8)) < 0.7
  np.testing.assert_allclose(dice_loss(jnp.asarray(p), t, mask), reference(p, t, mask), rtol=1e-5)
  np.testing.assert_allclose(dice_loss(jnp.asarray(p), t), reference(p, t, np.ones_like(mask)), rtol=1e-5)


def test_is_pooled_over_the_batch_and_not_a_mean_of_images(rng):
  p, t = rng.random((2, 50)), rng.random((2, 50)) < np.array([[0.02], [0.9]])
  mean = np.mean([reference(p[i], t[i], np.ones(50, bool)) for i in range(2)])
  assert abs(float(dice_loss(jnp.asarray(p), t)) - mean) > 0.05


@pytest.mark.parametrize(('p', 't', 'loss'), [(1.0, 1, 0.0), (0.0, 1, 1.0), (1.0, 0, 1.0), (0.0, 0, 0.0)])
def test_extremes(p, t, loss):
  assert float(dice_loss(jnp.full((4,), p), jnp.full((4,), t))) == loss


def test_nothing_scored_is_zero_with_zero_gradient(rng):
  p, t, mask = jnp.asarray(rng.random((2, 8))), rng.random((2, 8)) < 0.5, np.zeros((2, 8), bool)
  loss, gradient = jax.value_and_grad(dice_loss)(p, t, mask)
  assert loss == 0
  np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize('logit', [-20.0, -24.0, -30.0, -40.0, -60.0])
def test_a_batch_without_a_positive_has_a_finite_gradient_however_little_is_predicted(logit):
  loss, gradient = jax.value_and_grad(lambda x: dice_loss(jax.nn.sigmoid(x), jnp.zeros(9, bool)))(jnp.full(9, logit))
  assert loss == (logit > -50)  # the squares of what is predicted there are 0 in float32
  np.testing.assert_array_equal(gradient, 0)


def test_what_is_not_scored_may_be_anything():
  p, t, mask = jnp.array([0.5, jnp.nan, jnp.inf]), np.array([True, True, False]), np.array([True, False, False])
  loss, gradient = jax.value_and_grad(dice_loss)(p, t, mask)
  np.testing.assert_allclose(loss, 1 - 1 / 1.25)
  np.testing.assert_array_equal(gradient[1:], 0)


def test_gradient_is_the_derivative(rng):
  p, t, mask = rng.random(20), rng.random(20) < 0.3, rng.random(20) < 0.8
  gradient = jax.grad(dice_loss)(jnp.asarray(p), t, mask)
  for i in range(20):
    step = np.eye(20)[i] * 1e-6
    slope = (reference(p + step, t, mask) - reference(p - step, t, mask)) / 2e-6
    np.testing.assert_allclose(gradient[i], slope, atol=1e-6)


def test_sums_are_float32_whatever_comes_in(rng):
  p, t = jnp.asarray(rng.random(5000), jnp.bfloat16), rng.random(5000) < 0.5
  sums = dice_sums(p, t)
  assert {leaf.dtype for leaf in sums} == {jnp.dtype('float32')}
  np.testing.assert_allclose(dice_value(sums), reference(p, t, np.ones(5000, bool)), rtol=1e-5)


def test_sums_do_not_saturate_where_float32_stops_counting():
  ones = jnp.ones((20, 1000, 1000), bool)
  assert jax.jit(dice_sums)(ones, ones) == DiceSums(2e7, 2e7, 2e7)  # 2^24 is 1.7e7


def test_shapes_that_differ_are_refused():
  with pytest.raises(ValueError, match=r'\(4,\).*\(4, 1\).*one shape'):
    dice_loss(jnp.zeros(4), jnp.zeros((4, 1)))
