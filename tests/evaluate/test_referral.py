"""Referable DR told from the rest, and grades at cut points, with intervals by patient."""

import tracemalloc

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, cohen_kappa_score, roc_auc_score

from lesion_jax import metrics
from lesion_jax.evaluate import at_cut_points, choose, operating_point, referral
from lesion_jax.evaluate.referral import OPERATING_POINTS, PROMISED, named_points
from lesion_jax.report.terminal import grading_rows

N = 80
POINTS = (0.5, 1.5, 2.5, 3.5)


def make_counts(seed=0):
  """Grades and what a fair network says of them, two photographs a patient, the last four ungraded."""
  rng = np.random.default_rng(seed)
  grade = rng.integers(0, 5, N)
  logits = rng.normal(size=(N, 5)) + 2 * np.eye(5)[grade]
  probabilities = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32)
  grade[-4:] = -1
  return {'grade': grade, 'grade_probabilities': probabilities, 'patient': (np.arange(N) // 2).astype(str)}


@pytest.mark.parametrize('seed', range(5))
def test_the_named_operating_points_keep_what_they_promise_and_no_more_than_it_takes(seed):
  rng = np.random.default_rng(seed)
  truth = rng.random(120) < 0.4
  probability = np.round(np.clip(rng.normal(0.35 + 0.3 * truth, 0.2), 0, 1), 2)  # with ties
  found = named_points(probability, truth)
  assert tuple(found) == OPERATING_POINTS
  for point in found.values():
    called = probability >= point['threshold']
    assert point['sensitivity'] == pytest.approx(called[truth].mean())
    assert point['specificity'] == pytest.approx((~called)[~truth].mean())
  sensitive, specific = (found[name] for name in OPERATING_POINTS)
  assert sensitive['sensitivity'] >= PROMISED and specific['specificity'] >= PROMISED
  levels = np.unique(probability)
  above, below = levels[levels > sensitive['threshold']], levels[levels < specific['threshold']]
  assert (probability > above[0])[truth].mean() < PROMISED  # the next threshold would break the promise
  assert (probability < below[-1])[~truth].mean() < PROMISED


@pytest.mark.parametrize('certain', [1.0, 1.0000002])  # as sums of probabilities in float32 may be
def test_where_the_well_are_called_with_certainty_the_specific_point_calls_nobody(certain):
  point = named_points(np.array([certain, 0.9, certain]), np.array([True, True, False]))['high-specificity']
  assert (point['sensitivity'], point['specificity']) == (0, 1) and certain < point['threshold'] < 1.000001


def test_there_are_no_operating_points_without_both_sick_and_well():
  assert named_points(np.array([0.2, 0.4]), np.array([True, True])) == {} == named_points(np.array([0.2, 0.4]), np.array([False, False]))


def test_the_figures_are_those_of_scikit_learn_over_the_graded_photographs():
  counts = make_counts()
  known = counts['grade'] >= 0
  truth, probabilities = counts['grade'][known], counts['grade_probabilities'][known]
  found = referral(counts, resamples=50, seed=1)
  sick, called = truth >= 2, probabilities.argmax(1) >= 2
  assert found['photographs'] == N - 4 and found['referable'] == sick.sum()
  assert found['auc']['value'] == pytest.approx(roc_auc_score(sick, probabilities[:, 2:].sum(1)), abs=1e-6)
  assert found['sensitivity']['value'] == called[sick].mean()
  assert found['sensitivity']['count'] == (called & sick).sum() and found['sensitivity']['of'] == sick.sum()
  assert found['specificity']['value'] == (~called)[~sick].mean()
  for name in ('auc', 'sensitivity', 'specificity'):
    low, high = found[name]['interval']
    assert low < found[name]['value'] < high


def test_one_resample_is_held_at_a_time():
  counts = {name: np.concatenate([value] * 50) for name, value in make_counts().items()}
  tracemalloc.start()
  try:
    referral(counts, resamples=300, seed=0)
    _, peak = tracemalloc.get_traced_memory()
  finally:
    tracemalloc.stop()
  assert peak < 300 * 50 * N * 8 / 4  # bytes; all of them together are four times as many


def test_at_cut_points_the_figures_are_those_of_scikit_learn():
  counts = make_counts(1)
  known = counts['grade'] >= 0
  truth = counts['grade'][known]
  given = np.digitize(counts['grade_probabilities'][known] @ np.arange(5), POINTS)
  found = at_cut_points(counts, POINTS, resamples=50, seed=1)
  assert found['accuracy']['value'] == accuracy_score(truth, given)
  assert found['kappa']['value'] == pytest.approx(cohen_kappa_score(truth, given, weights='quadratic'), abs=1e-12)
  assert np.sum(found['confusion']) == N - 4 and found['points'] == list(POINTS)


def test_patients_are_drawn_whole():
  counts = make_counts(2)
  alone = referral({name: value for name, value in counts.items() if name != 'patient'}, resamples=200, seed=0)
  doubled = {name: np.repeat(value, 2, axis=0) for name, value in counts.items() if name != 'patient'}
  twice = referral(doubled | {'patient': np.repeat(np.arange(N), 2).astype(str)}, resamples=200, seed=0)
  assert alone['auc']['value'] == twice['auc']['value']
  width = lambda found: np.diff(found['auc']['interval'])[0]
  assert width(alone) == pytest.approx(width(twice), rel=0.35)  # as photographs that are drawn by themselves: 0.7 of that


def test_where_nothing_is_referable_there_is_no_figure_and_a_reason():
  counts = make_counts() | {'grade': np.zeros(N, int)}
  found = referral(counts, resamples=5, seed=0)
  assert found['auc'] == {'value': None, 'reason': 'every image is negative', 'interval': None}
  assert found['sensitivity']['value'] is None and found['sensitivity']['of'] == 0


def test_cut_points_are_chosen_with_the_thresholds_and_shown_beside_the_likeliest_grade():
  counts = make_counts(3)
  points = choose(counts, ())['cut_points']
  assert points == metrics.cut_points(metrics.expected_grade(counts['grade_probabilities']), counts['grade'])
  confusion = np.zeros((5, 5), int)
  np.add.at(confusion, (counts['grade'][:-4], counts['grade_probabilities'][:-4].argmax(1)), 1)
  grades = {'kappa': metrics.quadratic_weighted_kappa(confusion)._asdict(), 'accuracy': metrics.accuracy(confusion)._asdict(),
            'referable': {name: score._asdict() for name, score in metrics.referable(confusion)._asdict().items()}}
  rows = dict(grading_rows(grades | {'referral': referral(counts, resamples=20, seed=0),
                                     'at_cut_points': at_cut_points(counts, points, resamples=20, seed=0)}))
  assert list(rows)[2:5] == ['kappa, at cut points', 'accuracy, at cut points', 'area under ROC, referable DR']
  assert ' of ' in rows['sensitivity, referable DR'] and '[' in rows['accuracy, at cut points']
  assert list(dict(grading_rows(grades))) == ['quadratic weighted kappa', 'accuracy', 'sensitivity, referable DR',
                                              'specificity, referable DR']


class TestOperatingPoint:

  def test_no_threshold_has_a_larger_sum_of_sensitivity_and_specificity(self):
    counts = make_counts(4)
    known = counts['grade'] >= 0
    sick, probability = counts['grade'][known] >= 2, counts['grade_probabilities'][known][:, 2:].sum(axis=1, dtype=np.float64)
    found = operating_point(counts)
    sums = [(probability[sick] >= t).mean() + (probability[~sick] < t).mean() for t in np.linspace(0, 1, 2001)]
    told = found['validation']
    assert told['sensitivity'] + told['specificity'] == pytest.approx(max(sums))
    assert told['sensitivity'] == (probability[sick] >= found['threshold']).mean()
    assert told['specificity'] == (probability[~sick] < found['threshold']).mean()
    assert (told['photographs'], told['referable']) == (N - 4, sick.sum())

  def test_at_it_sensitivity_and_specificity_have_intervals_and_counts(self):
    counts = make_counts(5)
    found = referral(counts, resamples=50, seed=1, threshold=0.3)
    known = counts['grade'] >= 0
    sick, called = counts['grade'][known] >= 2, counts['grade_probabilities'][known][:, 2:].sum(axis=1) >= 0.3
    point = found['at_operating_point']
    assert point['threshold'] == 0.3
    assert (point['sensitivity']['count'], point['sensitivity']['of']) == ((called & sick).sum(), sick.sum())
    assert point['specificity']['value'] == (~called)[~sick].mean()
    low, high = point['specificity']['interval']
    assert low < point['specificity']['value'] < high
    assert 'at_operating_point' not in referral(counts, resamples=5, seed=1)

  @pytest.mark.parametrize('grade', [0, 3, -1])
  def test_without_both_kinds_there_is_none(self, grade):
    assert operating_point(make_counts() | {'grade': np.full(N, grade)}) is None
