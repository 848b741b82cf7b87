"""Counts against scikit-learn's confusion matrices, lesion by lesion."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from lesion_jax.core import UNKNOWN_GRADE, Prediction, unpack_targets
from lesion_jax.metrics.counts import confusion, lesion_probabilities, segmentation_counts


def expected(truth, score, counted, threshold, level):
  """The counts of one lesion by scikit-learn over what counts."""
  positive = score[counted] >= threshold
  tn, fp, fn, tp = confusion_matrix(truth[counted], positive, labels=[False, True]).ravel()
  counts = {'tp': tp, 'fp': fp, 'fn': fn, 'tn': tn}
  return {f'{level}_{kind}': count for kind, count in counts.items() if (level, kind) != ('pixel', 'tn')}


@pytest.mark.parametrize('thresholds', [0.5, np.linspace(0.001, 0.2, 8).astype(np.float32)])
def test_pixels_and_images_are_counted_as_by_scikit_learn(prediction, targets, thresholds):
  counts = jax.jit(segmentation_counts)(prediction, targets, thresholds)
  truth, scored, maps = (np.asarray(x) for x in (targets.lesions, targets.scored, prediction.maps))
  for lesion, threshold in enumerate(np.broadcast_to(thresholds, 8)):
    t, s, p = truth[..., lesion], scored[..., lesion], maps[..., lesion]
    oracle = expected(t, p, s, threshold, 'pixel')
    oracle |= expected((t & s).any((1, 2)), np.where(s, p, 0).max((1, 2)), s.any((1, 2)), threshold, 'image')
    assert {name: int(count[lesion]) for name, count in counts.items()} == oracle | {'image_undecided': 0}


@pytest.mark.parametrize('heads', [('maps',), ('lesions',)])
def test_per_image_each_image_is_counted_as_if_alone(prediction, targets, heads):
  prediction = Prediction(**{head: getattr(prediction, head) for head in heads})
  counts = jax.jit(functools.partial(segmentation_counts, per_image=True))(prediction, targets, 0.01)
  assert len(counts) == (8 if prediction.maps is not None else 5)
  for i in range(8):
    alone = segmentation_counts(*jax.tree.map(lambda x, i=i: x[i:i + 1], (prediction, targets)), 0.01)
    for name, count in counts.items():
      assert count.shape == (8, 8) and count.dtype == jnp.int32
      np.testing.assert_array_equal(count[i], alone[name], err_msg=name)


def test_a_classifier_is_counted_by_its_own_scores(prediction, targets):
  counts = segmentation_counts(prediction.replace(maps=None), targets)
  truth, scored = np.asarray(targets.lesions & targets.scored), np.asarray(targets.scored)
  for lesion in range(8):
    present, counted = truth[..., lesion].any((1, 2)), scored[..., lesion].any((1, 2))
    oracle = expected(present, np.asarray(prediction.lesions)[:, lesion], counted, 0.5, 'image')
    assert {name: int(count[lesion]) for name, count in counts.items()} == oracle | {'image_undecided': 0}


def undecided_batch():
  """Image 0 has MA and ignored MA, image 1 ignored MA alone, image 2 nothing; image 3 only pads the batch."""
  lesions, ignore = np.zeros((4, 6, 6), np.uint8), np.zeros((4, 6, 6), np.uint8)
  lesions[[0, 3], 1, 1] = ignore[[0, 1, 3], 4, 4] = 1
  return {'lesions': lesions, 'ignore': ignore, 'annotated': np.full(4, 0b11, np.uint8), 'grade': np.zeros(4, np.int32),
          'weight': np.array([1, 1, 1, 0], np.float32)}


def test_an_image_whose_only_sign_of_a_lesion_is_ignored_counts_for_no_network():
  targets = jax.jit(unpack_targets)(undecided_batch())
  np.testing.assert_array_equal(targets.undecided[:, 0], [False, True, False, False])
  assert not np.any(np.asarray(targets.undecided)[:, 1:])
  # Both fire at what the image shows: the map at the ignored pixel alone, the classifier cannot say where.
  maps = jnp.zeros((4, 6, 6, 8)).at[:2, 4, 4, 0].set(1.0).at[0, 1, 1, 0].set(1.0)
  seen = [segmentation_counts(prediction, targets) for prediction in (
      Prediction(maps=maps), Prediction(lesions=maps.max((1, 2))))]
  for counts in seen:
    found = {kind: int(counts[f'image_{kind}'][0]) for kind in ('tp', 'fp', 'fn', 'tn', 'undecided')}
    assert found == {'tp': 1, 'fp': 0, 'fn': 0, 'tn': 1, 'undecided': 1}
    assert int(counts['image_tn'][1]) == 3 and int(counts['image_undecided'][1]) == 0
    assert not int(counts['image_tn'][2])  # not annotated


def test_a_score_equal_to_the_threshold_is_positive(targets):
  everything = targets.replace(lesions=jnp.ones_like(targets.lesions), scored=jnp.ones_like(targets.scored))
  counts = segmentation_counts(Prediction(maps=jnp.full(targets.lesions.shape, 0.5)), everything, 0.5)
  np.testing.assert_array_equal(counts['pixel_tp'], 800)
  np.testing.assert_array_equal(counts['pixel_fn'], 0)


def test_nothing_scored_counts_nothing(prediction, targets):
  counts = segmentation_counts(prediction, targets.replace(scored=jnp.zeros_like(targets.scored)))
  assert all(np.all(np.asarray(count) == 0) for count in counts.values())


def test_counts_are_int32_and_add_up_over_any_split(prediction, targets):
  whole = segmentation_counts(prediction, targets, 0.01)
  halves = [jax.tree.map(lambda x, i=i: x[i::2], (prediction, targets)) for i in range(2)]
  parts = [segmentation_counts(*half, 0.01) for half in halves]
  for name, count in whole.items():
    assert count.dtype == jnp.int32
    np.testing.assert_array_equal(count, parts[0][name] + parts[1][name])


def test_confusion_has_the_truth_in_rows(rng):
  grades, truth = rng.random((200, 5)), rng.integers(0, 5, 200)
  np.testing.assert_array_equal(
      jax.jit(confusion)(grades, truth), confusion_matrix(truth, grades.argmax(1), labels=range(5)))


def test_ungraded_images_are_left_out(prediction, targets):
  matrix = confusion(prediction.grades, targets.grade)
  assert matrix.dtype == jnp.int32
  assert matrix.sum() == np.sum(np.asarray(targets.grade) != UNKNOWN_GRADE)
  np.testing.assert_array_equal(confusion(prediction.grades, jnp.full(8, UNKNOWN_GRADE)), np.zeros((5, 5)))


def test_per_image_a_confusion_matrix_has_a_single_one_or_nothing(prediction, targets):
  matrices = np.asarray(confusion(prediction.grades, targets.grade, per_image=True))
  assert matrices.shape == (8, 5, 5) and matrices.dtype == np.int32
  for matrix, predicted, truth in zip(matrices, np.asarray(prediction.grades).argmax(1), targets.grade, strict=True):
    assert matrix.sum() == (truth != UNKNOWN_GRADE)
    assert truth == UNKNOWN_GRADE or matrix[truth, predicted] == 1


def test_what_cannot_be_counted_is_refused(prediction, targets):
  with pytest.raises(ValueError, match='both are None'):
    segmentation_counts(Prediction(grades=prediction.grades), targets)
  with pytest.raises(ValueError, match='must have one shape'):
    segmentation_counts(Prediction(maps=prediction.maps[:, :5]), targets)


def test_a_batch_beyond_int32_is_refused(targets):
  huge = jax.ShapeDtypeStruct((2675, 896, 896, 8), bool)
  with pytest.raises(ValueError, match='does not fit int32'):
    segmentation_counts(Prediction(), targets.replace(lesions=huge, scored=huge))


def test_images_are_as_probable_as_their_most_probable_scored_pixel(prediction, targets):
  found = jax.jit(lesion_probabilities)(prediction, targets)
  maps, scored = np.asarray(prediction.maps), np.asarray(targets.scored)
  np.testing.assert_array_equal(found, np.where(scored, maps, 0).max((1, 2)))
  assert not np.any(found[-1]) and not np.any(found[0, 4:])  # padding, and lesions that are not annotated
  counts = segmentation_counts(prediction, targets, 0.3, per_image=True)
  np.testing.assert_array_equal(found >= 0.3, counts['image_tp'] + counts['image_fp'])


def test_without_maps_images_are_as_probable_as_the_network_says(prediction, targets):
  np.testing.assert_array_equal(lesion_probabilities(prediction.replace(maps=None), targets), prediction.lesions)
