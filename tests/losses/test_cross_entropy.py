"""Cross entropies of lesion maps against their formulas in NumPy float64, and against optax."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lesion_jax.losses import cross_entropy_loss, focal_loss, get_loss, weighted_cross_entropy_loss
from lesion_jax.losses.cross_entropy import cross_entropy_sums, lesion_weights, weighted_cross_entropy_sums

PIXEL_LOSSES = {
    'cross_entropy': cross_entropy_loss,
    'weighted_cross_entropy': weighted_cross_entropy_loss,
    'focal': focal_loss,
}
each_loss = pytest.mark.parametrize('loss', PIXEL_LOSSES.values(), ids=PIXEL_LOSSES)


def double(*arrays):
  return [np.asarray(array, np.float64) for array in arrays]


def cross_entropy(logits, truth, scored):
  z, t, m = double(logits, truth, scored)
  p = 1 / (1 + np.exp(-z))
  return -np.sum(m * (t * np.log(p) + (1 - t) * np.log(1 - p))) / m.sum()


def weights_of(logits, scored):
  """(N - sum p) / sum p, lesion by lesion; 1 for one that is not annotated."""
  p, m = 1 / (1 + np.exp(-np.asarray(logits, np.float64))), np.asarray(scored)
  found = []
  for lesion in range(p.shape[-1]):
    there = p[..., lesion][m[..., lesion]]
    found.append((there.size - there.sum()) / there.sum() if there.size else 1.0)
  return np.array(found)


def weighted_cross_entropy(logits, truth, scored, weights=None):
  z, t, m = double(logits, truth, scored)
  p = 1 / (1 + np.exp(-z))
  w = weights_of(logits, scored) if weights is None else weights
  return -np.sum(m * (w * t * np.log(p) + (1 - t) * np.log(1 - p))) / m.sum()


def focal(logits, truth, scored, gamma=2.0, alpha=0.8):
  z, t, m = double(logits, truth, scored)
  p = 1 / (1 + np.exp(-z))
  true, false = alpha * (1 - p)**gamma * np.log(p), (1 - alpha) * p**gamma * np.log(1 - p)
  return -np.sum(m * (t * true + (1 - t) * false)) / m.sum()


REFERENCES = {'cross_entropy': cross_entropy, 'weighted_cross_entropy': weighted_cross_entropy, 'focal': focal}


def arrays_of(outputs, targets):
  return outputs.maps, targets.lesions, targets.scored


@pytest.mark.parametrize('name', PIXEL_LOSSES)
@pytest.mark.parametrize('kind', ['every lesion somewhere', 'four lesions alone', 'one image'])
def test_equals_the_formula_over_scored_pixels(name, kind, outputs, targets):
  scored = np.array(targets.scored)
  if kind == 'four lesions alone':
    scored[..., 4:] = False
  elif kind == 'one image':
    scored[1:] = False
  logits, truth, _ = arrays_of(outputs, targets)
  expected = REFERENCES[name](logits, truth, scored)
  np.testing.assert_allclose(PIXEL_LOSSES[name](logits, truth, scored), expected, rtol=2e-6)
  value = get_loss(name).value(get_loss(name).sums(outputs, targets.replace(scored=jnp.asarray(scored))), 0.8)
  assert set(value) == {'loss', 'segmentation'}
  np.testing.assert_allclose(value['loss'], expected, rtol=2e-6)
  assert value['segmentation'] == value['loss']


@pytest.mark.parametrize('name', PIXEL_LOSSES)
def test_gradient_is_the_derivative(name, rng):
  logits, truth, scored = rng.normal(size=(6, 3)), rng.random((6, 3)) < 0.4, rng.random((6, 3)) < 0.8
  reference = REFERENCES[name]
  if name == 'weighted_cross_entropy':  # the weights are constants to the gradient
    reference = functools.partial(reference, weights=weights_of(logits, scored))
  gradient = np.asarray(jax.grad(PIXEL_LOSSES[name])(jnp.asarray(logits), truth, scored))
  for index in np.ndindex(logits.shape):
    step = np.zeros_like(logits)
    step[index] = 1e-5
    slope = (reference(logits + step, truth, scored) - reference(logits - step, truth, scored)) / 2e-5
    np.testing.assert_allclose(gradient[index], slope, atol=1e-6)


def test_cross_entropy_equals_optax(outputs, targets):
  logits, truth, scored = arrays_of(outputs, targets)
  expected = optax.sigmoid_binary_cross_entropy(logits, truth)[np.asarray(scored)].mean()
  np.testing.assert_allclose(cross_entropy_loss(logits, truth, scored), expected, rtol=1e-6)


@pytest.mark.parametrize(('gamma', 'alpha'), [(2.0, 0.8), (0.5, 0.25), (5.0, 0.5)])
def test_focal_equals_optax(outputs, targets, gamma, alpha):
  logits, truth, scored = arrays_of(outputs, targets)
  expected = optax.sigmoid_focal_loss(logits, truth.astype(jnp.float32), alpha=alpha, gamma=gamma)
  loss = focal_loss(logits, truth, scored, gamma=gamma, alpha=alpha)
  np.testing.assert_allclose(loss, expected[np.asarray(scored)].mean(), rtol=1e-5)


def test_focal_has_the_papers_numbers_by_default(outputs, targets):
  arrays = arrays_of(outputs, targets)
  assert focal_loss(*arrays) == focal_loss(*arrays, gamma=2.0, alpha=0.8)


def test_focal_that_plays_nothing_down_is_half_the_cross_entropy(outputs, targets):
  arrays = arrays_of(outputs, targets)
  half, gradient = jax.value_and_grad(focal_loss)(*arrays, gamma=0.0, alpha=0.5)
  whole, expected = jax.value_and_grad(cross_entropy_loss)(*arrays)
  np.testing.assert_allclose(half, whole / 2, rtol=1e-6)
  np.testing.assert_allclose(gradient, expected / 2, rtol=1e-5, atol=1e-9)


def test_weights_of_one_half_make_it_the_cross_entropy(rng):
  """p = 1/2 in the mean gives w = 1."""
  logits = rng.normal(size=(50, 4))
  logits, truth = np.concatenate([logits, -logits]), rng.random((100, 4)) < 0.3
  np.testing.assert_allclose(weighted_cross_entropy_loss(jnp.asarray(logits), truth),
                             cross_entropy_loss(jnp.asarray(logits), truth), rtol=1e-5)


def test_each_lesion_has_a_weight_of_its_own(outputs, targets):
  rare = outputs.maps.at[..., 2].add(-3.0)
  sums = weighted_cross_entropy_sums(*arrays_of(outputs.replace(maps=rare), targets))
  weights = lesion_weights(sums)
  np.testing.assert_allclose(weights, weights_of(rare, targets.scored), rtol=1e-5)
  assert weights.argmax() == 2 and weights[2] > 10


@pytest.mark.parametrize(('logit', 'weight'), [(-1e4, 999), (-8.0, 999), (-5.0, np.exp(5)), (5.0, np.exp(-5)),
                                               (8.0, 1 / 999), (1e4, 1 / 999)])
def test_weights_are_clamped(logit, weight):
  logits, truth = jnp.full((40, 2), logit), np.arange(80).reshape(40, 2) < 8
  np.testing.assert_allclose(lesion_weights(weighted_cross_entropy_sums(logits, truth)), weight, rtol=1e-4)
  loss, gradient = jax.value_and_grad(weighted_cross_entropy_loss)(logits, truth)
  p = 1 / (1 + np.exp(-np.float64(logit))) if abs(logit) < 100 else float(logit > 0)
  assert np.isfinite(loss)
  np.testing.assert_allclose(gradient, np.where(truth, -weight * (1 - p), p) / 80, rtol=1e-3)


def test_weights_have_no_gradient(outputs, targets):
  def total_weight(logits):
    return lesion_weights(weighted_cross_entropy_sums(logits, targets.lesions, targets.scored)).sum()

  np.testing.assert_array_equal(jax.grad(total_weight)(outputs.maps), 0)


def test_a_constant_prediction_rests_at_the_root_of_the_odds():
  """w t = 1 - t in the mean, with w = (1 - p) / p: the odds of p are the root of the odds of t."""
  truth = np.arange(10_000) < 100
  bias = np.log(100 / 9900) / 2
  slope = jax.grad(lambda b: weighted_cross_entropy_loss(jnp.full((10_000, 1), b), truth[:, None]))
  np.testing.assert_allclose(slope(bias), 0, atol=1e-6)
  assert slope(bias - 0.1) < -1e-3 and slope(bias + 0.1) > 1e-3


@each_loss
@pytest.mark.parametrize('logit', [-1e4, 1e4])
def test_extreme_logits_stay_finite(loss, logit):
  truth = np.arange(32).reshape(4, 8) % 2 == 0
  value, gradient = jax.value_and_grad(loss)(jnp.full((4, 8), logit), truth)
  assert np.isfinite(value) and value > 100
  assert np.all(np.isfinite(gradient))
  right, no_gradient = jax.value_and_grad(loss)(jnp.where(truth, 1e4, -1e4), truth)
  assert right == 0
  np.testing.assert_array_equal(no_gradient, 0)


@pytest.mark.parametrize('gamma', [0.0, 0.5, 2.0])
def test_focal_has_a_gradient_where_p_is_exactly_0_or_1(gamma):
  """The slope of x^gamma at 0 is infinite for gamma below 1."""
  truth = np.arange(8) % 2 == 0
  right, wrong = jnp.where(truth, 1e4, -1e4), jnp.where(truth, -1e4, 1e4)
  slope = jax.grad(focal_loss)
  np.testing.assert_array_equal(slope(right, truth, gamma=gamma), 0)
  np.testing.assert_allclose(slope(wrong, truth, gamma=gamma), np.where(truth, -0.8, 0.2) / 8, rtol=1e-5)


@each_loss
def test_what_is_not_scored_may_be_anything(loss, outputs, targets):
  logits, truth, scored = arrays_of(outputs, targets)
  expected, slopes = jax.value_and_grad(loss)(logits, truth, scored)
  assert np.all(np.asarray(slopes)[np.asarray(scored)] != 0)
  for anything in (np.nan, np.inf, -np.inf, 1e30):
    value, gradient = jax.value_and_grad(loss)(jnp.where(scored, logits, anything), truth, scored)
    assert value == expected
    np.testing.assert_array_equal(gradient, slopes)
  np.testing.assert_array_equal(np.asarray(slopes)[~np.asarray(scored)], 0)
  assert loss(logits, truth ^ ~scored, scored) == expected


@each_loss
def test_nothing_scored_is_zero_with_zero_gradient(loss, outputs, targets):
  value, gradient = jax.value_and_grad(loss)(outputs.maps, targets.lesions, jnp.zeros_like(targets.scored))
  assert value == 0
  np.testing.assert_array_equal(gradient, 0)


@each_loss
def test_no_mask_scores_everything(loss, outputs, targets):
  everything = jnp.ones_like(targets.scored)
  assert loss(outputs.maps, targets.lesions) == loss(outputs.maps, targets.lesions, everything)


@each_loss
def test_bfloat16_logits_are_summed_in_float32(loss, outputs, targets):
  _, truth, scored = arrays_of(outputs, targets)
  maps = outputs.maps.astype(jnp.bfloat16)
  value = loss(maps, truth, scored)
  assert value.dtype == jnp.float32
  np.testing.assert_allclose(value, loss(maps.astype(jnp.float32), truth, scored), rtol=1e-6)


def test_sums_do_not_saturate_where_float32_stops_counting():
  sums = jax.jit(cross_entropy_sums)(jnp.zeros((20, 1000, 1000)), jnp.ones((20, 1000, 1000), bool))
  assert sums.count == 2e7  # 2^24 is 1.7e7
  np.testing.assert_allclose(sums.total, 2e7 * np.log(2), rtol=1e-6)


def test_sums_of_each_lesion_do_not_saturate():
  sums = jax.jit(weighted_cross_entropy_sums)(jnp.full((5, 1000, 1000, 2), -7.0), jnp.zeros((5, 1000, 1000, 2), bool))
  np.testing.assert_array_equal(sums.count, 5e6)
  np.testing.assert_allclose(sums.predicted, 5e6 / (1 + np.exp(7)), rtol=1e-6)


@each_loss
def test_shapes_that_differ_are_refused(loss):
  with pytest.raises(ValueError, match=r'logits \(4, 2\).*\(4, 1\).*one shape'):
    loss(jnp.zeros((4, 2)), jnp.zeros((4, 1)))
