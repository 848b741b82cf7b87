"""Weights of the lesions in the losses that have a term of each, against NumPy float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from loss_oracles import balanced_nats, dice, focal, focal_tversky, mean_of_elements, nats, overlap

from lesion_jax.losses import (
    LOSSES, WITH_LESION_WEIGHTS, cross_entropy_loss, dice_cross_entropy_loss, focal_loss, focal_tversky_loss, get_loss,
    weighted_cross_entropy_loss)

REFERENCES = {
    'cross_entropy': functools.partial(mean_of_elements, nats),
    'weighted_cross_entropy': functools.partial(mean_of_elements, balanced_nats),
    'focal': functools.partial(mean_of_elements, focal),
    'dice_cross_entropy': functools.partial(overlap, dice),
    'focal_tversky': functools.partial(overlap, focal_tversky),
}
FUNCTIONS = {
    'cross_entropy': cross_entropy_loss,
    'weighted_cross_entropy': weighted_cross_entropy_loss,
    'focal': focal_loss,
    'dice_cross_entropy': dice_cross_entropy_loss,
    'focal_tversky': focal_tversky_loss,
}
WITHOUT = ('dual_dice', 'dice', 'presence_dice', 'grade_cross_entropy', 'joint')
WEIGHTS = (4, 1.0, 0.25, 2.0, 0, 7.0, 1.0, 0.5)
each_name = pytest.mark.parametrize('name', WITH_LESION_WEIGHTS)


def value_of(name, outputs, targets, weights=()):
  loss = get_loss(name, lesion_weights=weights)
  return loss.value(loss.sums(outputs, targets), 0.8)['loss']


def test_every_loss_takes_weights_or_refuses_them():
  assert {*WITH_LESION_WEIGHTS} == {*REFERENCES} == {*FUNCTIONS} == {*LOSSES} - {*WITHOUT}


@pytest.mark.parametrize('name', LOSSES)
def test_without_weights_it_is_the_loss_itself(name):
  assert get_loss(name) is get_loss(name, lesion_weights=()) is get_loss(name, lesion_weights=[]) is LOSSES[name]


@each_name
@pytest.mark.parametrize('absent', [None, 3])
def test_equals_the_formula_with_weights(name, absent, outputs, targets):
  truth = targets.lesions if absent is None else targets.lesions.at[..., absent].set(False)
  expected = REFERENCES[name](outputs.maps, truth, targets.scored, WEIGHTS)
  found = value_of(name, outputs, targets.replace(lesions=truth), WEIGHTS)
  np.testing.assert_allclose(found, expected, rtol=2e-6)
  assert abs(expected - REFERENCES[name](outputs.maps, truth, targets.scored)) > 1e-3
  alone = FUNCTIONS[name](outputs.maps, truth, targets.scored, weights=np.array(WEIGHTS))
  np.testing.assert_allclose(alone, found, rtol=1e-6)


@each_name
def test_equal_weights_are_none(name, outputs, targets):
  np.testing.assert_allclose(value_of(name, outputs, targets, (3,) * 8), value_of(name, outputs, targets), rtol=1e-6)


@each_name
@pytest.mark.parametrize('factor', [1e-60, 1e60])
def test_only_the_ratios_count(name, factor, outputs, targets):
  """Even beyond the range of float32, and where the weights of all that is scored add up to less than 1."""
  scaled = [factor * weight for weight in WEIGHTS]
  np.testing.assert_allclose(value_of(name, outputs, targets, scaled), value_of(name, outputs, targets, WEIGHTS),
                             rtol=1e-6)
  few = targets.replace(scored=jnp.zeros_like(targets.scored).at[0, :2, :2, 2].set(True))
  one = (1.0, 1.0, 1e-4, *[1.0] * 5)
  np.testing.assert_allclose(value_of(name, outputs, few, one), value_of(name, outputs, few), rtol=1e-6)


@each_name
def test_a_lesion_of_weight_zero_has_no_gradient(name, outputs, targets):
  gradient = np.abs(jax.grad(lambda maps: value_of(name, outputs.replace(maps=maps), targets, WEIGHTS))(outputs.maps))
  strongest = gradient.max(axis=(0, 1, 2))
  np.testing.assert_array_equal(strongest == 0, np.array(WEIGHTS) == 0)


@each_name
def test_where_nothing_that_weighs_is_scored_it_is_zero_with_zero_gradient(name, outputs, targets):
  weights = (0, 0, 0, 0, 1, 1, 1, 1)
  four = targets.replace(scored=targets.scored.at[..., 4:].set(False))
  value, gradient = jax.value_and_grad(
      lambda maps: value_of(name, outputs.replace(maps=maps), four, weights))(outputs.maps)
  assert value == 0
  np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize('name', WITHOUT)
def test_a_loss_without_terms_of_lesions_refuses_them(name):
  with pytest.raises(ValueError, match=f"'{name}' takes no lesion_weights.* leave them empty, or choose one of "
                                       'cross_entropy, .*dice_cross_entropy'):
    get_loss(name, lesion_weights=WEIGHTS)


@pytest.mark.parametrize('weights', [
    (1.0,), (1.0,) * 7, (1.0,) * 9, (0.0,) * 8, (-1.0, *(1.0,) * 7), (np.nan, *(1.0,) * 7), (np.inf, *(1.0,) * 7),
    ('1', *(1.0,) * 7)], ids=str)
def test_what_are_no_weights_is_refused(weights):
  message = r'lesion_weights=\(.*give 8 numbers of 0 or more, not all 0, in the order MA, iHE'
  with pytest.raises(ValueError, match=message):
    get_loss('dice_cross_entropy', lesion_weights=weights)


def test_an_unknown_loss_is_named_before_its_weights():
  with pytest.raises(ValueError, match="unknown loss 'hinge'"):
    get_loss('hinge', lesion_weights=WEIGHTS)
