"""Figures of the risk of edema, against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, cohen_kappa_score

from lesion_jax.evaluate.edema import edema_report, edema_rows


def test_accuracy_kappa_and_confusion_are_scikit_learn_s(rng):
  truth, told = rng.integers(0, 3, 80), rng.integers(0, 3, 80)
  told = np.where(rng.random(80) < 0.6, truth, told)
  found = edema_report(truth, told.tolist(), resamples=20)
  np.testing.assert_allclose(found['accuracy']['value'], accuracy_score(truth, told))
  np.testing.assert_allclose(found['kappa']['value'], cohen_kappa_score(truth, told, weights='quadratic'))
  assert np.sum(found['confusion']) == 80 and found['untold'] == [0, 0, 0] and found['patients'] is None
  low, high = found['accuracy']['interval']
  assert low < found['accuracy']['value'] < high


def test_what_cannot_be_told_is_wrong_and_as_far_from_the_truth_as_can_be():
  found = edema_report([0, 0, 1, 2, 2], [0, None, None, 2, None], resamples=5)
  assert found['accuracy']['value'] == 2 / 5 and found['untold'] == [1, 1, 1]
  np.testing.assert_allclose(found['kappa']['value'], cohen_kappa_score([0, 0, 1, 2, 2], [0, 2, 2, 2, 0], weights='quadratic'))
  assert edema_rows(found) == [['risk', '0', '1', '2', 'cannot be told'], ['0', '1', '0', '0', '1'], ['1', '0', '0', '0', '1'],
                               ['2', '0', '0', '1', '1']]


def test_grade_and_risk_are_right_together():
  found = edema_report([0, 1, 2, 2], [0, 1, 1, 2], ['a', 'a', 'b', 'b'], grades=([0, 2, 3, 4], [0, 1, 3, 4]), resamples=5)
  assert found['joint']['value'] == 2 / 4 and found['patients'] == 2


def test_a_grade_that_is_not_predicted_is_not_right_and_each_photograph_needs_its_true_one():
  found = edema_report([0, 1], [0, 1], grades=([0, 4], [None, 4]), resamples=5)
  assert found['joint']['value'] == 1 / 2
  for grades in (([-1, 0], [None, 0]), ([0], [0]), ([0, 1], [0])):
    with pytest.raises(ValueError, match='for each of 2 photographs'):
      edema_report([0, 1], [0, 1], grades=grades, resamples=5)


@pytest.mark.parametrize('truth, told', [([], []), ([0], [0, 1]), ([3], [0]), ([-1], [0]), ([0], [3]), ([0], [7])])
def test_what_is_no_risk_is_refused(truth, told):
  with pytest.raises(ValueError, match='for each the risk 0..2'):
    edema_report(truth, told)
