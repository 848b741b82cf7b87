"""The expected grade, cut points on it, and the area under the ROC curve."""

import itertools

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from lesion_jax import metrics


def test_the_expected_grade_is_the_mean_of_the_grades_by_their_probabilities():
  probabilities = np.float32([[1, 0, 0, 0, 0], [0, 0.5, 0, 0.5, 0], [0.2] * 5, [0, 0, 0, 0, 1]])
  np.testing.assert_allclose(metrics.expected_grade(probabilities), [0, 2, 2, 4], atol=1e-6)


def test_a_grade_is_given_from_its_cut_point_on():
  assert metrics.cut([0, 0.49, 0.5, 1.7, 3.99, 4], [0.5, 1.5, 2.5, 3.5]).tolist() == [0, 0, 1, 2, 4, 4]
  assert metrics.cut([0.7, 3.9], [0.5, 0.5, 0.5, 5]).tolist() == [3, 3]


@pytest.mark.parametrize('points', [[1, 2, 3], [2, 1, 3, 4], [[1, 2, 3, 4]]])
def test_cut_points_out_of_order_or_number_are_refused(points):
  with pytest.raises(ValueError, match='4 cut points'):
    metrics.cut([1.0], points)


def by_trial(expected, truth):
  """The best accuracy, and the least absolute error with it, of all cut points there are."""
  values = np.unique(expected)
  places = np.concatenate([[0], (values[1:] + values[:-1]) / 2, [5]])
  best = max((np.sum(given == truth), -np.sum(np.abs(given - truth)))
             for points in itertools.combinations_with_replacement(places, 4)
             for given in [metrics.cut(expected, points)])
  return best


@pytest.mark.parametrize('seed', range(12))
def test_cut_points_are_the_best_there_are(seed):
  rng = np.random.default_rng(seed)
  truth = rng.integers(0, 5, 12)
  expected = np.clip(truth + rng.normal(0, 1.2, 12), 0, 4).round(1 if seed % 2 else 3)  # with ties, and without
  given = metrics.cut(expected, metrics.cut_points(expected, truth))
  assert (np.sum(given == truth), -np.sum(np.abs(given - truth))) == by_trial(expected, truth)


def test_photographs_without_a_grade_have_no_say_in_cut_points():
  expected, truth = np.array([0.1, 0.9, 2.1, 3.2, 3.9]), np.array([0, 1, 2, 3, 4])
  more = metrics.cut_points(np.append(expected, 0.2), np.append(truth, -1))
  assert more == metrics.cut_points(expected, truth)
  assert metrics.cut_points(expected, np.full(5, -1)) is None


def test_a_grade_that_nobody_has_gets_no_place():
  points = metrics.cut_points([0.2, 0.4, 2.0, 2.2], [0, 0, 2, 2])
  assert metrics.cut([0.3, 1.1, 1.3, 2.1, 4.0], points).tolist() == [0, 0, 2, 2, 2]


@pytest.mark.parametrize('seed', range(5))
def test_the_area_under_the_roc_curve_is_scikit_learns(seed):
  rng = np.random.default_rng(seed)
  positive = rng.random(60) < 0.4
  scores = (rng.normal(size=60) + positive).round(1)  # with ties
  assert metrics.area_under_roc(scores, positive).value == pytest.approx(roc_auc_score(positive, scores), abs=1e-12)


def test_without_a_pair_there_is_no_area_and_a_reason():
  assert metrics.area_under_roc([0.1, 0.2], [True, True]) == (None, 'every image is positive')
  assert metrics.area_under_roc([0.1, 0.2], [False, False]) == (None, 'every image is negative')
  with pytest.raises(ValueError, match='same N photographs'):
    metrics.area_under_roc([0.1], [True, False])


def test_cut_points_part_neighbours_between_which_there_is_no_number():
  for lower in np.random.default_rng(0).uniform(0, 4, 50):
    expected = np.array([lower, np.nextafter(lower, 5)])
    assert metrics.cut(expected, metrics.cut_points(expected, [1, 2])).tolist() == [1, 2]


def test_a_score_that_is_not_a_number_ranks_nowhere():
  assert metrics.area_under_roc([np.nan, 0.2, 0.3], [True, False, False]) == (None, 'some scores are not numbers')
  assert metrics.area_under_roc([np.inf, 0.2, -np.inf], [True, True, False]).value == 1
