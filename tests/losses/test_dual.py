"""Dual Dice loss against Eq. 1 to 4 in NumPy, image by image and lesion by lesion."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lesion_jax.core import Outputs, Targets
from lesion_jax.losses.dual import DualSums, classification_sums, dual_dice_loss, dual_sums, dual_value, presence


def sigmoid(x):
  return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


def dice(pairs):
  p, t = np.array(pairs, np.float64).T
  return 1 - 2 * np.sum(p * t) / (np.sum(p**2) + np.sum(t**2))


def reference(maps, targets):
  """(Eq. 3, Eq. 4) by plain loops over what is scored."""
  p, t, scored = sigmoid(maps), np.asarray(targets.lesions), np.asarray(targets.scored)
  maxima = []
  for image in range(p.shape[0]):
    for lesion in range(8):
      where = scored[image, ..., lesion]
      if where.any():
        maxima.append((p[image, ..., lesion][where].max(), t[image, ..., lesion][where].max()))
  return dice(np.stack([p[scored], t[scored]], 1)), dice(maxima)


def test_equals_equations_2_to_4(outputs, targets):
  segmentation, classification = reference(outputs.maps, targets)
  value = dual_value(dual_sums(outputs, targets), 0.8)
  expected = {
      'loss': 0.8 * segmentation + 0.2 * classification,
      'segmentation': segmentation,
      'classification': classification,
  }
  assert set(value) == set(expected)
  for part, number in expected.items():
    np.testing.assert_allclose(value[part], number, atol=1e-6)  # 1 - ratio: the rounding of 1 stays
  np.testing.assert_allclose(dual_dice_loss(outputs.maps, targets), value['loss'])


@pytest.mark.parametrize(('lam', 'part'), [(1.0, 'segmentation'), (0.0, 'classification')])
def test_lam_chooses_between_the_parts(outputs, targets, lam, part):
  value = dual_value(dual_sums(outputs, targets), lam)
  assert value['loss'] == value[part]


def test_only_one_lesion_annotated_equals_that_lesion_alone(outputs, targets):
  alone = targets.scored.at[..., :3].set(False).at[..., 4:].set(False)
  loss = dual_dice_loss(outputs.maps, targets.replace(scored=alone))
  shuffled = outputs.maps.at[..., :3].set(5.0).at[..., 4:].set(-5.0)
  assert loss == dual_dice_loss(shuffled, targets.replace(scored=alone))


def test_a_padding_row_changes_nothing(outputs, targets):
  other = outputs.maps.at[-1].set(100.0)
  assert dual_dice_loss(other, targets) == dual_dice_loss(outputs.maps, targets)


def test_nothing_scored_is_zero_with_zero_gradient(outputs, targets):
  nothing = targets.replace(scored=jnp.zeros_like(targets.scored))
  loss, gradient = jax.value_and_grad(dual_dice_loss)(outputs.maps, nothing)
  assert loss == 0
  np.testing.assert_array_equal(gradient, 0)


def test_bfloat16_logits_are_summed_in_float32(outputs, targets):
  maps = outputs.maps.astype(jnp.bfloat16)
  loss = dual_dice_loss(maps, targets)
  assert loss.dtype == jnp.float32
  np.testing.assert_allclose(loss, dual_dice_loss(maps.astype(jnp.float32), targets), rtol=1e-6)


def test_presence_is_the_maximum_over_scored_pixels(rng):
  scores, mask = rng.normal(size=(3, 6, 6, 8)), rng.random((3, 6, 6, 8)) < 0.3
  mask[1, ..., 2] = False
  maxima, scored_any = presence(jnp.asarray(scores), jnp.asarray(mask))
  np.testing.assert_array_equal(scored_any, mask.any((1, 2)))
  expected = np.where(mask.any((1, 2)), np.where(mask, scores, -np.inf).max((1, 2)), 0)
  np.testing.assert_allclose(maxima, expected, rtol=1e-6)


def test_presence_has_a_finite_gradient_at_the_maximum_alone(rng):
  scores, mask = jnp.asarray(rng.normal(size=(2, 5, 5, 8)), jnp.float32), np.ones((2, 5, 5, 8), bool)
  mask[0] = False
  gradient = jax.grad(lambda s: presence(s, jnp.asarray(mask))[0].sum())(scores)
  np.testing.assert_array_equal(gradient[0], 0)
  np.testing.assert_array_equal(gradient[1].sum((0, 1)), 1)
  assert np.count_nonzero(gradient) == 8


def test_a_classifier_is_scored_on_its_own_logits(outputs, targets):
  maxima, _ = presence(outputs.maps, targets.scored)
  classifier = classification_sums(Outputs(lesions=maxima), targets)
  np.testing.assert_allclose(classifier, classification_sums(outputs, targets), rtol=1e-6)


def test_a_network_without_the_head_is_told_so(targets):
  with pytest.raises(ValueError, match='needs outputs.maps'):
    dual_sums(Outputs(lesions=jnp.zeros((8, 8))), targets)
  with pytest.raises(ValueError, match='has neither'):
    classification_sums(Outputs(), targets)


class TestUndecided:
  """Image 0 has a lesion, image 1 nothing of it but ignored pixels, image 2 none."""

  def targets(self):
    lesions = jnp.zeros((3, 4, 4, 8), bool).at[0, 1, 1, 0].set(True)
    scored = jnp.zeros((3, 4, 4, 8), bool).at[..., 0].set(True).at[1, 2, 2, 0].set(False)
    undecided = jnp.zeros((3, 8), bool).at[1, 0].set(True)
    return Targets(lesions, scored, jnp.zeros(3, jnp.int32), undecided)

  @pytest.mark.parametrize('head', ['maps', 'lesions'])
  def test_they_are_left_out_of_equation_4_for_networks_of_both_kinds(self, rng, head):
    shape = (3, 4, 4, 8) if head == 'maps' else (3, 8)
    logits, targets = jnp.asarray(rng.normal(size=shape), jnp.float32), self.targets()
    value = lambda x, targets: dual_value(
        DualSums(*[classification_sums(Outputs(**{head: x}), targets)] * 2), 0)['classification']
    loss, gradient = jax.value_and_grad(value)(logits, targets)
    without = jax.tree.map(lambda x: x[jnp.array([0, 2])], targets)
    expected, of_others = jax.value_and_grad(value)(logits[jnp.array([0, 2])], without)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    np.testing.assert_allclose(gradient[jnp.array([0, 2])], of_others, rtol=1e-5, atol=1e-8)
    assert not np.any(np.asarray(gradient[1])), 'nobody is taught that the lesion is absent there'

  def test_equation_3_has_their_scored_pixels_all_the_same(self, rng):
    maps = jnp.asarray(rng.normal(size=(3, 4, 4, 8)), jnp.float32)
    whole = dual_sums(Outputs(maps=maps), self.targets()).segmentation
    plain = dual_sums(Outputs(maps=maps), self.targets().replace(undecided=None)).segmentation
    for mine, other in zip(whole, plain, strict=True):
      assert mine == other
