"""Losses for small lesions against their formulas in NumPy float64, lesion by lesion."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from loss_oracles import dice, focal_tversky, mean_of_elements, mean_of_lesions, nats, overlap

from lesion_jax.losses import cross_entropy_loss, dice_cross_entropy_loss, focal_tversky_loss, get_loss
from lesion_jax.losses.per_lesion import dice_losses, focal_tversky_losses, overlap_sums

FUNCTIONS = {'dice_cross_entropy': dice_cross_entropy_loss, 'focal_tversky': focal_tversky_loss}
OF_LESION = {'dice_cross_entropy': dice, 'focal_tversky': focal_tversky}
LOSSES_OF = {'dice_cross_entropy': dice_losses, 'focal_tversky': focal_tversky_losses}
each_name = pytest.mark.parametrize('name', FUNCTIONS)
each_loss = pytest.mark.parametrize('loss', FUNCTIONS.values(), ids=FUNCTIONS)


def arrays_of(outputs, targets):
  return outputs.maps, targets.lesions, targets.scored


def parts_of(name, outputs, targets):
  return get_loss(name).value(get_loss(name).sums(outputs, targets), 0.8)


@each_name
@pytest.mark.parametrize('kind', ['every lesion somewhere', 'four lesions alone', 'one image', 'a lesion never there'])
def test_equals_the_formula_over_scored_pixels(name, kind, outputs, targets):
  truth, scored = np.array(targets.lesions), np.array(targets.scored)
  if kind == 'four lesions alone':
    scored[..., 4:] = False
  elif kind == 'one image':
    scored[1:] = False
  elif kind == 'a lesion never there':
    truth[..., 5] &= ~scored[..., 5]
  parts = parts_of(name, outputs, targets.replace(lesions=jnp.asarray(truth), scored=jnp.asarray(scored)))
  segmentation = mean_of_lesions(OF_LESION[name], outputs.maps, truth, scored)
  cross_entropy = mean_of_elements(nats, outputs.maps, truth, scored)
  assert set(parts) == {'loss', 'segmentation', 'cross_entropy'}
  np.testing.assert_allclose([parts['segmentation'], parts['cross_entropy'], parts['loss']],
                             [segmentation, cross_entropy, segmentation + cross_entropy], rtol=2e-6)
  np.testing.assert_allclose(FUNCTIONS[name](outputs.maps, truth, scored), parts['loss'], rtol=1e-6)


@each_name
def test_each_lesion_has_a_loss_of_its_own(name, outputs, targets):
  logits = outputs.maps + jnp.arange(8) - 4.0
  found = LOSSES_OF[name](overlap_sums(logits, targets.lesions, targets.scored))
  expected = [mean_of_lesions(OF_LESION[name], logits[..., [j]], targets.lesions[..., [j]], targets.scored[..., [j]])
              for j in range(8)]
  np.testing.assert_allclose(found, expected, rtol=2e-6)


@pytest.mark.parametrize(('alpha', 'beta', 'gamma'), [(0.3, 0.7, 1.0), (0.7, 0.3, 3.0), (0.5, 0.5, 2.0)])
def test_tversky_takes_other_numbers(outputs, targets, alpha, beta, gamma):
  options = {'alpha': alpha, 'beta': beta, 'gamma': gamma}
  expected = overlap(functools.partial(focal_tversky, **options), *arrays_of(outputs, targets))
  np.testing.assert_allclose(focal_tversky_loss(*arrays_of(outputs, targets), **options), expected, rtol=2e-6)
  assert abs(expected - focal_tversky_loss(*arrays_of(outputs, targets))) > 1e-3


@each_name
@pytest.mark.parametrize('weights', [None, (4.0, 0.0, 0.5)])
def test_gradient_is_the_derivative(name, weights, rng):
  """With one lesion that has no positive."""
  logits, truth, scored = rng.normal(size=(6, 3)), rng.random((6, 3)) < 0.5, rng.random((6, 3)) < 0.8
  truth[:, 2] = False
  weights = None if weights is None else np.array(weights)
  loss = functools.partial(FUNCTIONS[name], weights=weights)
  gradient = np.asarray(jax.grad(loss)(jnp.asarray(logits), truth, scored))
  for index in np.ndindex(logits.shape):
    step = np.zeros_like(logits)
    step[index] = 1e-5
    more, less = (overlap(OF_LESION[name], logits + s, truth, scored, weights) for s in (step, -step))
    np.testing.assert_allclose(gradient[index], (more - less) / 2e-5, atol=1e-6)


@each_name
def test_a_small_lesion_weighs_as_much_as_a_large_one(name):
  """Each is found by half; 9 pixels and 900 move the loss about alike, where a pooled Dice would hardly see the 9."""
  truth = np.zeros((2000, 2), bool)
  truth[:9, 0] = truth[:900, 1] = True
  logits = jnp.where(truth, 0.0, -20.0)
  losses = LOSSES_OF[name](overlap_sums(logits, truth))
  assert 0.85 < losses[0] / losses[1] < 1
  slope = np.asarray(jax.grad(lambda z: LOSSES_OF[name](overlap_sums(z, truth)).mean())(logits)).sum(axis=0)
  assert 0.8 < slope[0] / slope[1] < 1.1


def test_missing_a_pixel_costs_more_than_marking_one_too_many_in_tversky_alone():
  truth = np.arange(100)[:, None] < 20
  missing, marking = (jnp.where(np.arange(100)[:, None] < last, 50.0, -50.0) for last in (15, 25))
  tversky = [focal_tversky_losses(overlap_sums(logits, truth))[0] for logits in (missing, marking)]
  np.testing.assert_allclose(tversky, [(3.5 / 19.5)**0.75, (1.5 / 22.5)**0.75], rtol=1e-6)
  overlap_alone = [dice_losses(overlap_sums(logits, truth))[0] for logits in (missing, marking)]
  np.testing.assert_allclose(overlap_alone, [5 / 36, 5 / 46], rtol=1e-6)


@each_name
def test_is_pooled_over_the_batch_and_not_a_mean_of_images(name, rng):
  logits, truth = rng.normal(size=(2, 50, 1)), rng.random((2, 50, 1)) < np.array([[[0.05]], [[0.9]]])
  whole, scored = FUNCTIONS[name](jnp.asarray(logits), truth), np.ones((50, 1), bool)
  assert abs(whole - np.mean([overlap(OF_LESION[name], logits[i], truth[i], scored) for i in range(2)])) > 0.02


@each_loss
def test_a_lesion_without_a_positive_is_moved_by_the_cross_entropy_alone(loss, outputs, targets):
  """Neither a positive that is not scored nor one of another lesion counts."""
  logits, truth, scored = arrays_of(outputs, targets)
  truth = truth.at[..., 5].set(~scored[..., 5])
  gradient, entropy = (jax.grad(f)(logits, truth, scored) for f in (loss, cross_entropy_loss))
  np.testing.assert_allclose(gradient[..., 5], entropy[..., 5], rtol=1e-5)
  assert np.all(np.asarray(gradient[..., 5])[np.asarray(scored[..., 5])] > 0)
  assert np.abs(gradient - entropy)[..., 4].max() > 1e-4
  rest = [j for j in range(8) if j != 5]
  without = loss(*(x[..., rest] for x in (logits, truth, scored))) - cross_entropy_loss(
      *(x[..., rest] for x in (logits, truth, scored)))
  with_it = loss(logits, truth, scored) - cross_entropy_loss(logits, truth, scored)
  np.testing.assert_allclose(with_it, without, rtol=1e-5)


@each_name
def test_a_batch_of_negatives_alone_teaches_by_the_cross_entropy(name, outputs, targets):
  healthy = targets.replace(lesions=jnp.zeros_like(targets.lesions))
  parts = parts_of(name, outputs, healthy)
  assert parts['segmentation'] == 0
  np.testing.assert_allclose(parts['loss'], cross_entropy_loss(*arrays_of(outputs, healthy)), rtol=1e-6)
  value, gradient = jax.value_and_grad(FUNCTIONS[name])(*arrays_of(outputs, healthy))
  expected = jax.grad(cross_entropy_loss)(*arrays_of(outputs, healthy))
  np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-12)
  assert np.all(np.asarray(gradient)[np.asarray(healthy.scored)] > 0)
  assert FUNCTIONS[name](outputs.maps - 100 * gradient, healthy.lesions, healthy.scored) < value


@each_loss
@pytest.mark.parametrize('size', [12.0, 30.0, 87.0, 120.0, 1e4])
def test_right_and_wrong_extremes_have_a_finite_gradient(loss, size):
  """At TI = 1, where the slope of (1 - TI)^0.75 is infinite, and on the way there."""
  truth = np.arange(32).reshape(4, 8) % 3 == 0
  right, slope = jax.jit(jax.value_and_grad(loss))(jnp.where(truth, size, -size), truth)
  assert right < 1e-3 and np.all(np.abs(slope) < 1e-3)
  assert size < 1e4 or right == 0 and not np.any(slope)
  wrong, slope = jax.jit(jax.value_and_grad(loss))(jnp.where(truth, -size, size), truth)
  assert np.isfinite(wrong) and wrong > size
  np.testing.assert_allclose(slope, np.where(truth, -1, 1) / 32, rtol=1e-3, atol=2e-6)


def test_the_gradient_of_focal_tversky_falls_to_zero_with_the_last_error():
  """No cancellation on the way: 1 - TI of one pixel in 20, at errors far below the spacing of float32 at 1."""
  truth = np.arange(20)[:, None] < 4
  logits = jnp.where(truth, 100.0, -100.0)
  slope = jax.grad(lambda z: focal_tversky_losses(overlap_sums(logits.at[0, 0].set(z), truth))[0])
  for z in (5.0, 20.0, 40.0, 80.0):
    q = np.exp(-np.float64(z)) / (1 + np.exp(-np.float64(z)))
    rest = 0.7 * q / (5 - 0.3 * q)
    expected = -0.75 * rest**-0.25 * 0.7 * 5 / (5 - 0.3 * q)**2 * q * (1 - q)
    np.testing.assert_allclose(slope(z), expected, rtol=1e-4)


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
  sums = jax.jit(overlap_sums)(jnp.full((20, 1000, 1000, 1), 7.0), jnp.ones((20, 1000, 1000, 1), bool))
  assert sums.count == sums.positives == 2e7  # 2^24 is 1.7e7
  miss = 1 / (1 + np.exp(7))
  np.testing.assert_allclose([sums.found[0], sums.missed[0], sums.wrong[0], sums.nats[0]],
                             [2e7 * (1 - miss), 2e7 * miss, 0, -2e7 * np.log(1 - miss)], rtol=1e-6)


@each_loss
def test_shapes_that_differ_are_refused(loss):
  with pytest.raises(ValueError, match=r'logits \(4, 2\).*\(4, 1\).*one shape'):
    loss(jnp.zeros((4, 2)), jnp.zeros((4, 1)))
