"""Losses made of others: a further head, and two branches at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lesion_jax.core import Outputs
from lesion_jax.losses import LOSSES, Loss, dual_dice_loss, get_loss, grade_cross_entropy_loss, sum_of, with_auxiliary
from lesion_jax.losses.dice import dice_value
from lesion_jax.losses.dual import classification_sums

WITH_AUXILIARY = ('presence_dice', 'grade_cross_entropy')
each_loss = pytest.mark.parametrize('name', WITH_AUXILIARY)


def value(name, outputs, targets, lam=0.8):
  loss = get_loss(name)
  return loss.value(loss.sums(outputs, targets), lam)


@pytest.fixture
def outputs(outputs):
  """Of a classifier, without lesion maps."""
  return outputs.replace(maps=None)


@pytest.fixture
def further(rng):
  return Outputs(
      lesions=jnp.asarray(rng.normal(size=(8, 8)), jnp.float32),
      grades=jnp.asarray(rng.normal(size=(8, 5)), jnp.float32),
  )


def alone(name, outputs, targets):
  """The loss of one head, by the functions below `LOSSES`."""
  if name == 'presence_dice':
    return dice_value(classification_sums(outputs, targets))
  return grade_cross_entropy_loss(outputs.grades, targets.grade)


@each_loss
def test_a_further_head_adds_its_own_loss(name, outputs, further, targets):
  parts = value(name, outputs.replace(auxiliary=further), targets)
  own, auxiliary = alone(name, outputs, targets), alone(name, further, targets)
  part = {'presence_dice': 'classification', 'grade_cross_entropy': 'grading'}[name]
  assert set(parts) == {'loss', part, 'auxiliary'}
  np.testing.assert_allclose([parts[part], parts['auxiliary'], parts['loss']], [own, auxiliary, own + auxiliary],
                             rtol=1e-6)
  assert abs(own - auxiliary) > 1e-3


@each_loss
def test_a_network_without_a_further_head_has_the_loss_alone(name, outputs, targets):
  parts = value(name, outputs, targets)
  assert 'auxiliary' not in parts
  assert parts['loss'] == alone(name, outputs, targets)


@each_loss
def test_both_heads_are_trained(name, outputs, further, targets):
  gradient = jax.grad(lambda x: value(name, x, targets)['loss'])(outputs.replace(auxiliary=further))
  expected = jax.grad(lambda x: value(name, x, targets)['loss'])(further)
  head = {'presence_dice': 'lesions', 'grade_cross_entropy': 'grades'}[name]
  assert np.any(getattr(gradient, head))
  np.testing.assert_allclose(getattr(gradient.auxiliary, head), getattr(expected, head), rtol=1e-6)


def test_the_other_losses_do_not_look_at_a_further_head(rng, outputs, further, targets):
  full = outputs.replace(maps=jnp.asarray(rng.normal(size=(8, 12, 12, 8)), jnp.float32))
  for name in set(LOSSES) - set(WITH_AUXILIARY):
    assert value(name, full.replace(auxiliary=further), targets) == value(name, full, targets)


def test_a_further_head_passes_lam_on(outputs, targets):
  loss = with_auxiliary(Loss(lambda outputs, targets: outputs.grades.sum(), lambda sums, lam: {'loss': lam * sums}))
  sums = loss.sums(outputs.replace(auxiliary=outputs), targets)
  np.testing.assert_allclose(loss.value(sums, 0.5)['loss'], outputs.grades.sum(), rtol=1e-6)


@pytest.fixture
def both(outputs, rng):
  return outputs.replace(maps=jnp.asarray(rng.normal(size=(8, 12, 12, 8)), jnp.float32))


@pytest.mark.parametrize('lam', [1.0, 0.8, 0.0])
def test_joint_is_the_dual_loss_plus_the_grading_loss(both, targets, lam):
  parts = value('joint', both, targets, lam)
  dual, grading = value('dual_dice', both, targets, lam), value('grade_cross_entropy', both, targets, lam)
  assert parts == {'segmentation': dual['segmentation'], 'classification': dual['classification'],
                   'grading': grading['grading'], 'loss': dual['loss'] + grading['loss']}
  expected = dual_dice_loss(both.maps, targets, lam=lam) + grade_cross_entropy_loss(both.grades, targets.grade)
  np.testing.assert_allclose(parts['loss'], expected, rtol=1e-6)


def test_joint_trains_both_branches(both, targets):
  gradient = jax.grad(lambda x: value('joint', x, targets)['loss'])(both)
  assert np.any(gradient.maps) and np.any(gradient.grades) and not np.any(gradient.lesions)


@pytest.mark.parametrize(('head', 'message'), [
    ('maps', 'needs outputs.maps .* choose a segmentation network'),
    ('grades', 'needs outputs.grades .* choose a grading network')])
def test_joint_names_the_head_that_is_missing(both, targets, head, message):
  with pytest.raises(ValueError, match=message):
    get_loss('joint').sums(both.replace(**{head: None}), targets)


def test_a_sum_keeps_the_names_of_the_parts():
  first = Loss(lambda outputs, targets: 1.0, lambda sums, lam: {'loss': lam * sums, 'a': sums})
  second = Loss(lambda outputs, targets: 2.0, lambda sums, lam: {'loss': sums, 'b': sums})
  loss = sum_of(first, second)
  assert loss.value(loss.sums(None, None), 0.5) == {'loss': 2.5, 'a': 1.0, 'b': 2.0}
