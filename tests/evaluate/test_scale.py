"""Grades on a coarser scale than DR0 to DR4: what the scale does not tell is unknown, in thresholds, reports and comparisons."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from lesion_jax.core import LESION_KEYS
from lesion_jax.data.scales import ICDR, read_scale
from lesion_jax.evaluate import choose, compare_systems, full_report
from lesion_jax.evaluate.scale import by_grade, on_scale
from lesion_jax.report.terminal import grading_rows

N = 60
WHOLE = slice(None)
THREE, REFERABLE = (read_scale(name).describe() for name in ('three', 'referable'))
UNKNOWN = {'value': None, 'reason': 'the data are graded on the scale referable, which has not five steps'}


def make_counts(grade, seed=0):
  """Of a network that finds MA, the more of it the higher the grade is, and grades with errors."""
  rng = np.random.default_rng(seed)
  grade = np.asarray(grade)
  probabilities = np.round(rng.dirichlet(np.ones(5), len(grade)), 1).astype(np.float32)  # with ties
  said = np.eye(5, dtype=np.int64)[probabilities.argmax(axis=1)]
  scores = np.clip(0.1 + 0.15 * grade[:, None] + rng.random((len(grade), 8)) / 10, 0, 1).astype(np.float32)
  cells = np.zeros((len(grade), 8), np.int64)
  return {
      'grade': grade, 'grade_probabilities': probabilities, 'presence_scores': scores, 'maximum_scores': scores,
      'lesion_probabilities': scores, 'confusion': np.eye(6, dtype=np.int64)[grade][:, :5, None] * said[:, None, :],
      **{f'image_{kind}': cells for kind in ('tp', 'fp', 'fn', 'tn')}, 'id': np.arange(len(grade)).astype(str)}


@pytest.fixture
def true():
  return make_counts(np.arange(N) % 5)


def stored(true, scale):
  """What is kept of the grades: the lowest of each span."""
  lowest = {'three': [0, 1, 1, 1, 4], 'referable': [0, 0, 2, 2, 2]}[scale['name']]
  grade = np.array(lowest)[true['grade']]
  return true | {name: make_counts(grade)[name] for name in ('grade', 'confusion')}


def full(counts, scale):
  return full_report(on_scale(counts, [(scale, WHOLE)]), (), ('MA',), resamples=20, scale=scale)


def test_the_five_steps_change_nothing(true):
  assert on_scale(true, [(ICDR, WHOLE)]) == true
  found = full_report(true, (), ('MA',), resamples=20)
  assert full(true, ICDR) == found and found['kappa']['value'] is not None


def test_referable_or_not_gives_its_area_and_no_kappa(true):
  found, whole = full(stored(true, REFERABLE), REFERABLE), full(true, ICDR)
  assert found['kappa'] == found['accuracy'] == UNKNOWN and 'confusion' not in found and found['scale'] == 'referable'
  assert found['intervals']['kappa'] is None and found['calibration']['grade']['reason'] == UNKNOWN['reason']
  assert found['referral'] == whole['referral']
  expected = roc_auc_score(true['grade'] >= 2, true['grade_probabilities'][:, 2:].astype(float).sum(axis=1))
  assert found['referable']['auc'] == {'value': pytest.approx(expected), 'reason': None}
  assert found['referable']['sensitivity'] == whole['referable']['sensitivity']
  assert ('area under ROC, referable DR', ) == tuple(name for name, _ in grading_rows(found) if 'ROC' in name)


def test_referable_or_not_says_nothing_of_healthy_eyes(true):
  found = full(stored(true, REFERABLE), REFERABLE)['healthy']
  assert found['graded'] == {'images': 0, 'reason': 'the scale of the grades does not tell it'}
  assert found['referable']['images'] == (true['grade'] >= 2).sum() and found['separation'] is None


def test_three_classes_tell_healthy_eyes_and_nothing_of_referable_ones(true):
  found = full(stored(true, THREE), THREE)
  assert found['healthy']['graded'] == full(true, ICDR)['healthy']['graded']
  assert found['healthy']['referable'] == {'images': 0, 'reason': 'the scale of the grades does not tell it'}
  assert found['healthy']['separation'] is None and 'referral' not in found
  assert found['referable']['sensitivity']['value'] is None and 'auc' not in found['referable']


def test_no_threshold_is_raised_by_the_sickest_for_all_of_the_sick(true):
  counts = true | {'grade_probabilities': true['grade_probabilities']}
  assert 0 < choose(counts, ('MA',))['presence']['margin'] < choose(stored(counts, THREE), ('MA',))['presence']['margin']
  found = choose(on_scale(stored(counts, THREE), [(THREE, WHOLE)]), ('MA',))
  assert (found['presence']['referable'], found['presence']['margin']) == (0, 0)
  assert found['presence']['validation']['referable_called'] is None
  assert found['presence']['healthy'] == (true['grade'] == 0).sum() and not {'cut_points', 'referral'} & found.keys()


def test_of_a_mixture_each_part_has_its_own_scale(true):
  half = N // 2
  found = on_scale(true, [(ICDR, slice(0, half)), (REFERABLE, slice(half, N))])
  np.testing.assert_array_equal(found['grade'], np.where(np.arange(N) < half, true['grade'], -1))
  assert found['confusion'].sum(axis=(1, 2)).tolist() == [1] * half + [0] * half
  np.testing.assert_array_equal(by_grade(found, 'referable'), true['grade'] >= 2)
  np.testing.assert_array_equal(by_grade(found, 'healthy'), np.where(np.arange(N) < half, true['grade'] == 0, -1))
  assert (true['grade'] >= 0).all() and true['confusion'].any(axis=(1, 2)).all()  # theirs are as they were


def test_systems_on_a_coarser_scale_are_not_compared_by_kappa(true):
  annotated = {'annotated': np.array(LESION_KEYS[:1])}
  systems = {name: on_scale(stored(true, REFERABLE), [(REFERABLE, WHOLE)]) | annotated for name in ('one', 'other')}
  found = compare_systems(systems, resamples=20)
  assert found['graded'] == 0 and found['systems']['one']['kappa'] == {'value': None, 'interval': None}
  assert found['differences']['other']['kappa']['difference'] is None
  assert found['notes'] == ['photographs graded on a coarser scale than DR0 to DR4 count for neither kappa nor accuracy']
