"""Test-time augmentation is the mean of what the network says of turned copies, turned back; and nothing more."""

from __future__ import annotations

import jax
import numpy as np
import pytest
import tiny
from oracle import GREEN, photograph

from lesion_jax.models import ABN, InceptionClassifier, LesionNet, MultiTask
from lesion_jax.predict import load
from lesion_jax.predict.step import compiled, forward
from lesion_jax.predict.tta import TURNS, augmented
from lesion_jax.weights.initialize import initialize

SQUARE = np.arange(2 * 3 * 3 * 2).reshape(2, 3, 3, 2)
NETWORKS = {
    'maps, grades and attention': MultiTask(encoder=tiny.TinyEncoder, lesion=LesionNet(encoder=tiny.TinyEncoder)),
    'lesions without maps': InceptionClassifier(encoder=tiny.TinyEncoder),
    'grades and attention': ABN(encoder=tiny.TinyEncoder, task='grades'),
}


def quarter_turns(x, quarters, mirrored):
  """The same group, said otherwise: turned by 90 degrees so many times, after a mirror."""
  return np.rot90(x[:, :, ::-1] if mirrored else x, quarters, (1, 2))


def back(x, quarters, mirrored):
  x = np.rot90(x, -quarters, (1, 2))
  return x[:, :, ::-1] if mirrored else x


class TestTurns:

  def test_dihedral_is_every_way_to_lay_a_square_on_itself_once(self):
    found = {np.asarray(turn.apply(SQUARE)).tobytes() for turn in TURNS['dihedral']}
    expected = {np.ascontiguousarray(quarter_turns(SQUARE, quarters, mirrored)).tobytes()
                for quarters in range(4) for mirrored in (False, True)}
    assert found == expected and len(found) == len(TURNS['dihedral']) == 8

  def test_flips_are_the_four_without_a_quarter_turn(self):
    found = [np.asarray(turn.apply(SQUARE)) for turn in TURNS['flips']]
    for actual, (rows, columns) in zip(found, ((1, 1), (1, -1), (-1, 1), (-1, -1)), strict=True):
      np.testing.assert_array_equal(actual, SQUARE[:, ::rows, ::columns])

  @pytest.mark.parametrize('turn', TURNS['dihedral'])
  def test_each_is_undone(self, turn):
    np.testing.assert_array_equal(turn.undo(turn.apply(SQUARE)), SQUARE)


@pytest.mark.parametrize('tta, group', [
    ('flips', [(0, False), (0, True), (2, False), (2, True)]),
    ('dihedral', [(quarters, mirrored) for quarters in range(4) for mirrored in (False, True)]),
])
@pytest.mark.parametrize('heads', NETWORKS)
def test_it_is_the_mean_over_single_predictions(heads, tta, group):
  model = NETWORKS[heads]
  images = tiny.random_batch(seed=0, rows=2)['image']
  variables = initialize(model, jax.ShapeDtypeStruct(images.shape, np.uint8), seed=0)
  once, found = compiled(forward(model)), compiled(augmented(forward(model), tta))(variables, images)
  single = [once(variables, np.ascontiguousarray(quarter_turns(images, *turn))) for turn in group]
  mean = lambda head, undo=lambda x, *_: x: np.mean(
      [undo(np.asarray(getattr(one, head)), *turn) for one, turn in zip(single, group, strict=True)], axis=0)
  if found.maps is not None:
    np.testing.assert_allclose(found.maps, mean('maps', back), atol=1e-5)
    np.testing.assert_allclose(found.lesions, found.maps.max((1, 2)), atol=1e-6)
    assert np.abs(found.lesions - mean('lesions')).max() > 1e-4, 'the maximum of the mean, not the mean of the maxima'
  elif found.lesions is not None:
    np.testing.assert_allclose(found.lesions, mean('lesions'), atol=1e-5)
  if found.attention is not None:
    np.testing.assert_allclose(found.attention, mean('attention', back), atol=1e-5)
  if found.grades is not None:
    np.testing.assert_allclose(found.grades, mean('grades'), atol=1e-5)


@pytest.mark.parametrize('tta', TURNS)
def test_a_network_that_turns_with_the_photograph_says_the_same(make_bundle, tta):
  images = [photograph(200 + 20 * i, 300, grade=i, lesions=[(GREEN, (100, 80 + 9 * i, 129, 119))]) for i in range(3)]
  plain, turned = load(make_bundle()), load(make_bundle(), tta=tta)
  expected, found = plain(images), turned(images, batch_size=2)
  for head in ('maps', 'lesions', 'grades'):
    np.testing.assert_allclose(getattr(found, head), getattr(expected, head), atol=1e-6)
  np.testing.assert_allclose(found.on_photograph('MA', 1), expected.on_photograph('MA', 1), atol=1e-6)
  assert turned.config == plain.config | {'tta': tta}
  list(turned.stream(images, batch_size=2))
  assert turned.predict_fn._cache_size() == 1


def test_one_copy_is_held_at_a_time():
  model = NETWORKS['lesions without maps']
  images = jax.ShapeDtypeStruct((4, tiny.SIZE, tiny.SIZE, 3), np.uint8)
  variables = initialize(model, images, seed=0)
  memory = lambda tta: compiled(augmented(forward(model), tta)).lower(
      variables, images).compile().memory_analysis().temp_size_in_bytes
  assert memory('dihedral') < 2 * memory(None)


def test_another_augmentation_is_refused(make_bundle):
  with pytest.raises(ValueError, match="unknown test-time augmentation 'all'; choose one of flips, dihedral, or None"):
    load(make_bundle(), tta='all')
