"""The grade by rule beside truth and network, held to scikit-learn and to counting by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, cohen_kappa_score, confusion_matrix, recall_score

from lesion_jax.core import UNKNOWN_GRADE
from lesion_jax.evaluate import agreement


@pytest.fixture(scope='module')
def grades():
  rng = np.random.default_rng(0)
  truth = rng.integers(0, 5, 60)
  near = lambda: np.clip(truth + rng.integers(-1, 2, 60), 0, 4)
  return truth, near(), near()


def test_each_pair_is_compared_as_scikit_learn_does(grades):
  truth, rule, network = grades
  found = agreement(truth, rule, network)
  assert json.loads(json.dumps(found)) == found
  for name, one, other in (('truth and rule', truth, rule), ('truth and network', truth, network),
                           ('network and rule', network, rule)):
    assert found[name]['photographs'] == 60
    assert found[name]['kappa']['value'] == pytest.approx(cohen_kappa_score(one, other, weights='quadratic'))
    assert found[name]['accuracy']['value'] == pytest.approx(accuracy_score(one, other))
    assert found[name]['confusion'] == confusion_matrix(one, other, labels=range(5)).tolist()
    referable = found[name]['referable']
    assert referable['sensitivity']['value'] == pytest.approx(recall_score(one >= 2, other >= 2))
    assert referable['specificity']['value'] == pytest.approx(recall_score(one < 2, other < 2))


def test_what_either_misses_is_counted():
  truth = [2, 3, 4, 2, 0, 1, 0, 2]
  network = [2, 1, 4, 0, 2, 0, 0, 3]
  rule = [2, 2, 0, 1, 2, 2, 0, UNKNOWN_GRADE]
  found = agreement(truth, rule, network)
  assert found['referral'] == {
      'photographs': 7, 'second_look': 3,
      'found': {'both': 1, 'network alone': 1, 'rule alone': 1, 'neither': 1},
      'false_alarms': {'both': 1, 'network alone': 0, 'rule alone': 1, 'neither': 1},
      'either': {'sensitivity': {'value': 0.75, 'reason': None},
                 'specificity': {'value': pytest.approx(1 / 3), 'reason': None}},
  }
  assert found['truth and rule']['photographs'] == 7
  assert found['truth and network']['photographs'] == 8


def test_without_a_network_there_is_one_pair(grades):
  truth, rule, _ = grades
  assert agreement(truth, rule).keys() == {'truth and rule'}


def test_where_nothing_is_graded_the_reason_is_said():
  found = agreement([UNKNOWN_GRADE] * 2, [0, 1], [0, 1])
  assert found['truth and rule']['kappa'] == {'value': None, 'reason': 'no image has a known grade'}
  assert found['referral']['either']['sensitivity']['value'] is None


@pytest.mark.parametrize('truth, rule, message', [
    ([0, 1], [0], '2 of truth, 1 of rule'), ([0, 5], [0, 1], 'truth: expected grades'),
    ([0, 1], [0.5, 1.0], r'rule: expected grades, .*; got float64 \[2\]'), ([[0]], [0], r'int64 \[1, 1\]')])
def test_other_arrays_are_refused(truth, rule, message):
  with pytest.raises(ValueError, match=message):
    agreement(truth, rule)
