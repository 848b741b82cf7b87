"""The hardest pixels of what has not the lesion, against NumPy float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lesion_jax.losses import LOSSES, get_loss
from lesion_jax.losses.hardest import HARDEST, hard_negatives

LARGE = 160  # pixels a side: more tiles than hardest pixels


def mean_of_hardest(logits, truth, scored, judged, weights=np.ones(8)):
  """By sorting, one image and lesion after the other."""
  terms = []
  for image, lesion in np.ndindex(len(logits), 8):
    known = scored[image, ..., lesion]
    if judged[image, lesion] and not (truth[image, ..., lesion] & known).any():
      hardest = np.sort(np.asarray(logits[image, ..., lesion], np.float64)[known])[::-1][:HARDEST]
      terms.append((np.log1p(np.exp(hardest)).mean(), weights[lesion]))
  values, shares = np.array(terms).T
  return (values * shares).sum() / shares.sum()


def part_of(outputs, targets, weights=None):
  loss = hard_negatives(0.25, weights)
  return loss.value(loss.sums(outputs, targets), 1.0)


@pytest.fixture
def large(outputs, targets, rng):
  shape = (2, LARGE, LARGE, 8)
  truth = rng.random(shape) < 1e-5
  scored = rng.random(shape) < 0.9
  truth[0, 3, 3, 0] = scored[0, 3, 3, 0] = True
  return (outputs.replace(maps=jnp.asarray(rng.normal(size=shape), jnp.float32)),
          targets.replace(lesions=jnp.asarray(truth), scored=jnp.asarray(scored)))


@pytest.mark.parametrize('weights', [None, (1.0, 0.0, 0.5, 2.0, 1.0, 1.0, 1.0, 3.0)])
def test_equals_the_mean_over_the_sorted_pixels(large, weights):
  outputs, targets = large
  found = part_of(outputs, targets, weights)
  expected = mean_of_hardest(*map(np.asarray, (outputs.maps, targets.lesions, targets.scored, targets.evaluated)),
                             np.ones(8) if weights is None else weights)
  np.testing.assert_allclose(found['hard_negatives'], expected, rtol=1e-5)
  np.testing.assert_allclose(found['loss'], expected / 4, rtol=1e-5)


def test_of_a_small_map_all_pixels_are_the_hardest(outputs, targets):
  """And what is not scored, however probable, is none."""
  shape = (2, 8, 8, 8)
  logits, scored = jnp.full(shape, -1.0).at[:, 0].set(50.0), jnp.ones(shape, bool).at[:, 0].set(False)
  small = targets.replace(lesions=jnp.zeros(shape, bool), scored=scored)
  np.testing.assert_allclose(part_of(outputs.replace(maps=logits), small)['hard_negatives'], np.log1p(np.exp(-1)), rtol=1e-6)


def test_what_has_the_lesion_and_what_is_not_known_are_left_alone(large):
  outputs, targets = large
  targets = targets.replace(scored=targets.scored.at[1, ..., 2].set(False))
  moved = jax.grad(lambda maps: part_of(outputs.replace(maps=maps), targets)['loss'])(outputs.maps)
  touched = np.asarray((moved != 0).sum(axis=(1, 2)))
  absent = np.asarray(targets.evaluated & ~(targets.lesions & targets.scored).any(axis=(1, 2)))
  assert np.array_equal(touched, np.where(absent, HARDEST, 0)) and not absent[0, 0] and absent.sum() > 4
  assert np.asarray(moved).min() >= 0  # a step against it makes the lesion less probable


def test_where_every_image_has_every_lesion_it_is_silent(outputs, targets):
  everywhere = targets.replace(lesions=jnp.ones_like(targets.lesions), scored=jnp.ones_like(targets.scored))
  loss, slope = jax.value_and_grad(lambda maps: part_of(outputs.replace(maps=maps), everywhere)['loss'])(outputs.maps)
  assert loss == 0 and not np.asarray(slope).any()


def test_is_added_to_a_loss_of_maps(large):
  outputs, targets = large
  plain, with_hard = (get_loss('dice_cross_entropy', hard=hard) for hard in (0.0, 0.5))
  assert plain is LOSSES['dice_cross_entropy']
  parts, alone = with_hard.value(with_hard.sums(outputs, targets), 1.0), plain.value(plain.sums(outputs, targets), 1.0)
  assert set(parts) == {*alone, 'hard_negatives'}
  np.testing.assert_allclose(parts['loss'], alone['loss'] + 0.5 * parts['hard_negatives'], rtol=1e-6)


@pytest.mark.parametrize('name', ['presence_dice', 'grade_cross_entropy'])
def test_a_loss_without_maps_has_none(name):
  with pytest.raises(ValueError, match=f"'{name}' takes no hard_negatives=0.5, for they are pixels of lesion maps"):
    get_loss(name, hard=0.5)


@pytest.mark.parametrize('factor', [-1, float('nan'), 'much'])
def test_the_factor_is_a_number_of_0_or_more(factor):
  with pytest.raises(ValueError, match='give a factor of 0 or more'):
    get_loss('dice', hard=factor)


def test_sums_of_parts_of_a_batch_add_up(large):
  """Which is what makes a loss the same on any split over devices and micro-batches (`losses.reduce`)."""
  loss, halves = hard_negatives(1.0), [jax.tree.map(lambda x: None if x is None else x[part], large)
                                       for part in (slice(0, 1), slice(1, 2))]
  parts = [loss.sums(*half) for half in halves]
  np.testing.assert_allclose(jax.tree.map(lambda *x: sum(x), *parts), loss.sums(*large), rtol=1e-6)
