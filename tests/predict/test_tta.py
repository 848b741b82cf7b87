"""Test-time augmentation is the mean of what the network says of turned copies, turned back; and nothing more."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle import GREEN, photograph

from lesion_jax.core import Prediction
from lesion_jax.predict import load
from lesion_jax.predict.step import compiled
from lesion_jax.predict.tta import TURNS, augmented

SIZE = 16
SQUARE = np.arange(2 * 3 * 3 * 2, dtype=np.int32).reshape(2, 3, 3, 2)
HEADS = (('maps', 'lesions', 'grades', 'attention'), ('lesions',), ('grades', 'attention'))


def make_network(heads):
  """`(predict_fn, variables)` of a network whose answers depend on where things are, and which way up."""
  draw = np.random.default_rng(0).normal
  variables = {'first': draw(size=(3, 3, 3, 64)), 'second': draw(size=(3, 3, 64, 8)), 'place': draw(size=(SIZE, SIZE, 8)),
               'grade': draw(size=(SIZE, SIZE, 8, 5)) / SIZE}
  conv = lambda x, kernel: jax.lax.conv_general_dilated(
      x, kernel, (1, 1), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC')) / kernel.shape[2]

  def predict_fn(variables, images):
    hidden = jax.nn.relu(conv(images / 255, variables['first']))
    maps = jax.nn.sigmoid(conv(hidden, variables['second']) + variables['place'])
    found = Prediction(maps, maps.max((1, 2)), jax.nn.softmax(jnp.einsum('bhwc,hwcg->bg', maps, variables['grade'])),
                       maps[:, ::2, 1::2].mean(-1))
    return Prediction(**{head: getattr(found, head) for head in heads})

  return predict_fn, {key: value.astype(np.float32) for key, value in variables.items()}


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
@pytest.mark.parametrize('heads', HEADS)
def test_it_is_the_mean_over_single_predictions(heads, tta, group):
  images = np.random.default_rng(1).integers(0, 256, (2, SIZE, SIZE, 3), np.uint8)
  predict_fn, variables = make_network(heads)
  once, found = compiled(predict_fn), compiled(augmented(predict_fn, tta))(variables, images)
  single = [once(variables, np.ascontiguousarray(quarter_turns(images, *turn))) for turn in group]
  mean = lambda head, undo=lambda x, *_: x: np.mean(
      [undo(np.asarray(getattr(one, head)), *turn) for one, turn in zip(single, group, strict=True)], axis=0)
  for head in ('maps', 'lesions', 'grades', 'attention'):
    if head not in heads:
      assert getattr(found, head) is None
    elif head == 'lesions' and 'maps' in heads:
      np.testing.assert_allclose(found.lesions, found.maps.max((1, 2)))
      assert np.abs(found.lesions - mean('lesions')).max() > 0.01, 'the maximum of the mean, not the mean of the maxima'
    else:
      expected = mean(head, back) if head in ('maps', 'attention') else mean(head)
      np.testing.assert_allclose(getattr(found, head), expected, atol=1e-6)
      assert np.abs(expected - getattr(single[0], head)).max() > 1e-3, 'the copies differ'


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
  predict_fn, variables = make_network(('grades',))
  images = jax.ShapeDtypeStruct((4, SIZE, SIZE, 3), np.uint8)
  memory = lambda tta: compiled(augmented(predict_fn, tta)).lower(
      variables, images).compile().memory_analysis().temp_size_in_bytes
  assert memory('dihedral') < 1.5 * memory(None)


def test_another_augmentation_is_refused(make_bundle):
  with pytest.raises(ValueError, match="unknown test-time augmentation 'all'; choose one of flips, dihedral, or None"):
    load(make_bundle(), tta='all')
