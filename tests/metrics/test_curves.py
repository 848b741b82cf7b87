"""Areas under the precision-recall curve against scikit-learn on the raw scores."""

import numpy as np
import pytest
from sklearn.metrics import auc, average_precision_score

from lesion_jax.metrics.curves import (
    average_precision,
    average_precision_11,
    average_precisions,
    bin_thresholds,
    precision_at,
    precision_recall_curve,
)
from lesion_jax.metrics.histogram import SCORE_BINS, TENTHS, score_bin


def histogram(truth, scores):
  return np.stack([np.bincount(score_bin(scores[truth == label]), minlength=SCORE_BINS) for label in (False, True)])


def sample(seed, kind):
  """30,000 pixels, 2% of them positive, with scores as they come out of networks."""
  rng = np.random.default_rng(seed)
  truth = rng.random(30_000) < 0.02
  logits = rng.normal(np.where(truth, 1.0, -6.0), 3)
  scores = {
      'spread': 1 / (1 + np.exp(-logits)),
      'polarised': 1 / (1 + np.exp(-8 * logits)),
      'narrow': 0.30 + 1e-3 / (1 + np.exp(-logits)),  # everything in a few bins
      'tied': np.round(1 / (1 + np.exp(-logits)), 2),
      'random': rng.random(30_000),
      'constant': np.full(30_000, 0.3),
  }[kind]
  return truth, scores.astype(np.float32)


@pytest.mark.parametrize('kind', ['spread', 'polarised', 'narrow', 'tied', 'random', 'constant'])
@pytest.mark.parametrize('seed', range(3))
def test_the_bounds_hold_what_scikit_learn_computes(seed, kind):
  truth, scores = sample(seed, kind)
  value, lower, upper = average_precision(histogram(truth, scores))
  exact = average_precision_score(truth, scores)
  assert lower - 1e-12 <= exact <= upper + 1e-12
  assert lower <= value <= upper


def test_bounds_are_tight_on_scores_of_a_network():
  truth, scores = sample(0, 'spread')
  value, lower, upper = average_precision(histogram(truth, scores))
  assert upper - lower < 0.02
  np.testing.assert_allclose(value, average_precision_score(truth, scores), atol=1e-3)


def test_bounds_are_reached_by_the_best_and_the_worst_order():
  truth, scores = sample(1, 'narrow')
  counts = histogram(truth, scores)
  _, lower, upper = average_precision(counts)
  bins = score_bin(scores)
  worst = bins + np.where(truth, np.arange(len(bins)) / (2 * len(bins)), 0.5)
  np.testing.assert_allclose(lower, average_precision_score(truth, worst), atol=1e-4)
  np.testing.assert_allclose(upper, average_precision_score(truth, bins + 0.5 * truth), rtol=1e-12)


def test_scores_with_a_bin_each_leave_nothing_open():
  truth = np.array([1, 0, 1, 1, 0], bool)
  scores = np.array([0.9, 0.8, 0.7, 0.3, 0.1], np.float32)
  exact = average_precision_score(truth, scores)
  value, lower, upper = average_precision(histogram(truth, scores))
  np.testing.assert_allclose([value, upper], exact, rtol=1e-12)
  np.testing.assert_allclose(lower, exact, atol=0.02)  # the integral, which is coarse for single pixels only


def test_many_areas_at_once_are_those_of_one_by_one():
  counts = np.stack([histogram(*sample(seed, kind)) for seed, kind in ((0, 'spread'), (1, 'tied'), (2, 'polarised'))])
  values = average_precisions(counts)
  np.testing.assert_allclose(values, [average_precision(each).value for each in counts], rtol=1e-14)
  np.testing.assert_allclose(values[0], average_precision_score(*sample(0, 'spread')), atol=1e-3)
  assert np.isnan(average_precisions(counts * [[[1], [0]]])).all()


def test_without_a_positive_there_is_no_area():
  counts = histogram(np.zeros(10, bool), np.linspace(0, 1, 10).astype(np.float32))
  assert average_precision(counts) is None
  assert average_precision_11(counts) is None
  assert precision_recall_curve(counts).recall.size == 0


def test_without_a_negative_the_area_is_one():
  counts = histogram(np.ones(10, bool), np.linspace(0, 1, 10).astype(np.float32))
  assert average_precision(counts) == (1, 1, 1)


@pytest.mark.parametrize('kind', ['spread', 'polarised', 'tied', 'random', 'constant'])
def test_the_11_threshold_area_equals_its_definition_on_raw_scores(kind):
  truth, scores = sample(3, kind)
  points = []
  for threshold in TENTHS:
    positive = scores > threshold
    precision = np.mean(truth[positive]) if positive.any() else 1.0
    points.append((np.sum(truth & positive) / truth.sum(), precision))
  np.testing.assert_allclose(average_precision_11(histogram(truth, scores)), auc(*zip(*points, strict=True)))


def test_the_two_areas_are_different_numbers():
  counts = histogram(*sample(0, 'polarised'))
  assert abs(average_precision(counts).value - average_precision_11(counts)) > 0.01


def test_curve_points_are_what_their_thresholds_say():
  truth, scores = sample(4, 'spread')
  precision, recall, threshold = precision_recall_curve(histogram(truth, scores))
  assert np.all(np.diff(recall) >= 0)
  assert np.all(np.diff(threshold) < 0)
  for i in range(0, len(threshold), 97):
    positive = scores >= threshold[i]
    np.testing.assert_allclose([precision[i], recall[i]], [truth[positive].mean(), truth[positive].sum() / truth.sum()])


def test_precision_at_a_recall_is_that_of_the_highest_threshold_that_reaches_it():
  truth, scores = sample(4, 'spread')
  counts, recalls = histogram(truth, scores), [0.0, 0.1, 0.5, 0.93, 1.0]
  lowest = [np.sort(scores[truth])[::-1][max(int(np.ceil(recall * truth.sum() - 1e-6)), 1) - 1] for recall in recalls]
  edges = bin_thresholds()[score_bin(np.array(lowest, np.float32))]  # all of a score's bin counts
  np.testing.assert_allclose(precision_at(counts, recalls)[1:], [truth[scores >= edge].mean() for edge in edges[1:]])
  assert precision_at(counts, recalls)[0] == precision_recall_curve(counts).precision[0]
  assert precision_at(counts * np.array([[1], [0]]), recalls) is None
  for wrong in (1.1, -0.1, np.nan):
    with pytest.raises(ValueError, match='recalls are between 0 and 1'):
      precision_at(counts, [0.5, wrong])


def test_the_area_under_the_steps_of_the_curve_is_the_value():
  counts = histogram(*sample(5, 'spread'))
  precision, recall, _ = precision_recall_curve(counts)
  np.testing.assert_allclose(np.sum(np.diff(recall, prepend=0) * precision), average_precision(counts).value)


def test_bin_thresholds_are_the_smallest_members_of_their_bins():
  thresholds = bin_thresholds()
  assert np.all(score_bin(thresholds) >= np.arange(SCORE_BINS))
  below = np.nextafter(thresholds[1:], np.float32(0))
  assert np.all(score_bin(below) < np.arange(1, SCORE_BINS))


@pytest.mark.parametrize('shape', [(2, 8, SCORE_BINS), (SCORE_BINS,), (3, SCORE_BINS)])
def test_other_shapes_are_refused(shape):
  with pytest.raises(ValueError, match='expected a histogram'):
    average_precision(np.zeros(shape, int))


def test_the_11_thresholds_need_the_bins_of_score_histogram():
  with pytest.raises(ValueError, match=f'2, {SCORE_BINS}'):
    average_precision_11(np.zeros((2, 100), int))
