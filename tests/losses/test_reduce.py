"""Any split of the batch, over devices or over micro-batches, gives the loss and the gradient of the whole batch."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lesion_jax.core import Outputs
from lesion_jax.losses import (
    LOSSES, WITH_LESION_WEIGHTS, across_devices, dice_loss, get_loss, share, weighted_cross_entropy_loss)

DEVICES = 4
WEIGHTS = (4.0, 1.0, 0.25, 2.0, 0.0, 7.0, 1.0, 0.5)
each_loss = pytest.mark.parametrize(('name', 'lesion_weights'), [
    *((name, ()) for name in LOSSES), *((name, WEIGHTS) for name in WITH_LESION_WEIGHTS)])


def network(weights, inputs):
  """A stand-in for a network: a few parameters that move every output of every image."""
  return jax.tree.map(lambda x: weights[0] * x + weights[1] * jnp.tanh(x) + weights[2] * x**2, inputs)


def split(tree):
  return jax.tree.map(lambda x: x.reshape(DEVICES, -1, *x.shape[1:]), tree)


def for_loss(name, outputs):
  """The outputs of a network that the loss is for; a classifier with a further head where the loss trains one."""
  if name not in ('presence_dice', 'grade_cross_entropy'):
    return outputs
  classifier = outputs.replace(maps=None)
  return classifier.replace(auxiliary=jax.tree.map(lambda x: x[::-1] / 2, classifier))


@pytest.fixture
def weights():
  return jnp.array([0.9, 0.3, -0.2])


def whole_batch(loss, weights, inputs, targets):
  return jax.jit(jax.value_and_grad(lambda w: loss.value(loss.sums(network(w, inputs), targets), 0.8)['loss']))(weights)


@pytest.fixture
def targets(targets):
  """With a lesion whose positives are all on one device, and one that has none at all."""
  return targets.replace(lesions=targets.lesions.at[2:, ..., 1].set(False).at[..., 6].set(False))


@each_loss
def test_four_devices_equal_one(name, lesion_weights, weights, outputs, targets):
  loss, inputs = get_loss(name, lesion_weights=lesion_weights), for_loss(name, outputs)

  def step(weights, inputs, targets):
    def objective(w):
      return loss.value(across_devices(loss.sums(network(w, inputs), targets), 'batch'), 0.8)['loss']

    value, gradient = jax.value_and_grad(objective)(weights)
    return value, jax.lax.psum(gradient, 'batch')

  value, gradient = whole_batch(loss, weights, inputs, targets)
  values, gradients = jax.pmap(step, axis_name='batch', in_axes=(None, 0, 0))(weights, split(inputs), split(targets))
  np.testing.assert_allclose(values, np.full(DEVICES, value), rtol=1e-5)
  np.testing.assert_allclose(gradients, np.tile(gradient, (DEVICES, 1)), rtol=1e-5)


@each_loss
def test_accumulated_micro_batches_equal_the_full_batch(name, lesion_weights, weights, outputs, targets):
  loss, inputs = get_loss(name, lesion_weights=lesion_weights), for_loss(name, outputs)
  parts = [jax.tree.map(lambda x, i=i: x[i], (split(inputs), split(targets))) for i in range(DEVICES)]
  local_sums = jax.jit(lambda x, t: loss.sums(network(weights, x), t))
  totals = jax.tree.map(lambda *s: sum(s), *(local_sums(x, t) for x, t in parts))

  @jax.jit
  @jax.value_and_grad
  def objective(w, x, t):
    return loss.value(share(loss.sums(network(w, x), t), totals), 0.8)['loss']

  pieces = [objective(weights, x, t) for x, t in parts]
  value, gradient = whole_batch(loss, weights, inputs, targets)
  np.testing.assert_allclose([piece[0] for piece in pieces], np.full(DEVICES, value), rtol=1e-5)
  np.testing.assert_allclose(sum(piece[1] for piece in pieces), gradient, rtol=1e-5)


def test_the_weights_of_lesions_are_those_of_the_global_batch(outputs, targets):
  arrays = split((outputs.maps.at[:4].add(-3.0), targets.lesions, targets.scored))
  whole = weighted_cross_entropy_loss(*jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), arrays))
  pooled = jax.pmap(functools.partial(weighted_cross_entropy_loss, axis_name='batch'), axis_name='batch')(*arrays)
  alone = jax.pmap(weighted_cross_entropy_loss)(*arrays)
  np.testing.assert_allclose(pooled, np.full(DEVICES, whole), rtol=1e-6)
  assert abs(alone.mean() - whole) > 0.01


def test_the_mean_of_dice_per_device_is_another_number(outputs, targets):
  p, t, mask = jax.nn.sigmoid(outputs.maps), targets.lesions, targets.scored
  pooled = jax.pmap(functools.partial(dice_loss, axis_name='batch'), axis_name='batch')(split(p), split(t), split(mask))
  alone = jax.pmap(dice_loss)(split(p), split(t), split(mask))
  np.testing.assert_allclose(pooled, np.full(DEVICES, dice_loss(p, t, mask)), rtol=1e-6)
  assert abs(alone.mean() - pooled[0]) > 1e-4


def test_share_has_exactly_the_value_of_the_totals(rng):
  local, totals = (jnp.asarray(rng.random(100), jnp.float32) for _ in range(2))
  np.testing.assert_array_equal(share(local, totals * 1e6), totals * 1e6)


def test_one_device_needs_no_axis():
  sums = (jnp.ones(()),)
  assert across_devices(sums, None) is sums


def test_a_change_of_lam_compiles_nothing(outputs, targets):
  loss = get_loss('dual_dice')
  value = jax.jit(loss.value)
  sums = loss.sums(outputs, targets)
  first = value(sums, jnp.float32(1.0))['loss']
  assert value(sums, jnp.float32(0.8))['loss'] != first
  assert value._cache_size() == 1


def test_every_loss_names_its_parts_and_is_a_float32_scalar(outputs, targets):
  parts = {
      'dual_dice': {'loss', 'segmentation', 'classification'},
      'dice': {'loss', 'segmentation'},
      'presence_dice': {'loss', 'classification'},
      'grade_cross_entropy': {'loss', 'grading'},
      'cross_entropy': {'loss', 'segmentation'},
      'weighted_cross_entropy': {'loss', 'segmentation'},
      'focal': {'loss', 'segmentation'},
      'dice_cross_entropy': {'loss', 'segmentation', 'cross_entropy'},
      'focal_tversky': {'loss', 'segmentation', 'cross_entropy'},
      'joint': {'loss', 'segmentation', 'classification', 'grading'},
  }
  assert set(parts) == set(LOSSES)
  for name, keys in parts.items():
    value = get_loss(name).value(get_loss(name).sums(outputs, targets), 0.8)
    assert set(value) == keys
    assert all(v.shape == () and v.dtype == jnp.float32 for v in value.values())


def test_every_loss_refuses_a_network_without_its_head(targets):
  for name in LOSSES:
    with pytest.raises(ValueError, match='needs outputs'):
      get_loss(name).sums(Outputs(), targets)


def test_an_unknown_loss_is_answered_with_the_names():
  with pytest.raises(ValueError, match="'dise'.*dual_dice, dice, presence_dice, grade_cross_entropy"):
    get_loss('dise')
