"""Grading scores against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, cohen_kappa_score, confusion_matrix, recall_score

from lesion_jax.metrics.kappa import accuracies, accuracy, quadratic_weighted_kappa, quadratic_weighted_kappas, referable


@pytest.fixture(params=range(5))
def grades(request):
  rng = np.random.default_rng(request.param)
  truth = rng.integers(0, 5, 60)
  return truth, np.clip(truth + rng.integers(-request.param, request.param + 1, 60), 0, 4)


def matrix(truth, predicted):
  return confusion_matrix(truth, predicted, labels=range(5))


def test_kappa_equals_scikit_learn(grades):
  value, reason = quadratic_weighted_kappa(matrix(*grades))
  np.testing.assert_allclose(value, cohen_kappa_score(*grades, weights='quadratic', labels=range(5)), rtol=1e-12)
  assert reason is None


def test_accuracy_and_referable_equal_scikit_learn(grades):
  truth, predicted = grades
  counts = matrix(truth, predicted)
  np.testing.assert_allclose(accuracy(counts).value, accuracy_score(truth, predicted))
  sensitivity, specificity = referable(counts)
  np.testing.assert_allclose(sensitivity.value, recall_score(truth >= 2, predicted >= 2))
  np.testing.assert_allclose(specificity.value, recall_score(truth < 2, predicted < 2))


def test_counts_of_any_size_do_not_overflow(grades):
  counts = matrix(*grades)
  scaled = quadratic_weighted_kappa(counts.astype(np.int64) * 10**9).value
  np.testing.assert_allclose(scaled, quadratic_weighted_kappa(counts).value, rtol=1e-12)


def test_many_at_once_are_each_by_itself():
  matrices = np.random.default_rng(0).integers(0, 6, (100, 5, 5))
  matrices[0], matrices[1] = 0, np.diag([0, 0, 7, 0, 0])  # no image, and one grade throughout
  for each, together in ((quadratic_weighted_kappa, quadratic_weighted_kappas), (accuracy, accuracies)):
    np.testing.assert_array_equal(together(matrices), np.array([each(matrix).value for matrix in matrices], float))


def test_no_graded_image_is_said():
  empty = np.zeros((5, 5), int)
  assert quadratic_weighted_kappa(empty) == (None, 'no image has a known grade')
  assert accuracy(empty) == (None, 'no image has a known grade')


def test_one_grade_throughout_has_no_kappa_but_an_accuracy():
  counts = matrix([3] * 7, [3] * 7)
  assert quadratic_weighted_kappa(counts) == (None, 'truth and prediction name one and the same grade throughout')
  assert accuracy(counts).value == 1


def test_a_constant_prediction_agrees_no_better_than_chance():
  assert quadratic_weighted_kappa(matrix([0, 1, 2, 3, 4], [2] * 5)).value == 0


@pytest.mark.parametrize(('grade', 'undefined'), [(0, 'sensitivity'), (1, 'sensitivity'), (2, 'specificity')])
def test_referable_says_what_has_no_images(grade, undefined):
  result = referable(matrix([grade] * 3, [0, 2, 4]))
  assert getattr(result, undefined).value is None
  assert 'referable DR' in getattr(result, undefined).reason


@pytest.mark.parametrize('wrong', [np.zeros((5, 4), int), np.zeros((5, 5)), np.zeros(25, int)])
def test_what_is_no_confusion_matrix_is_refused(wrong):
  with pytest.raises(ValueError, match='square matrix of integer counts'):
    quadratic_weighted_kappa(wrong)
