"""Reports on data whose grades are coarser than DR0 to DR4."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from lesion_jax.data.scales import ICDR, read_scale
from lesion_jax.evaluate.scale import fit_scale

REPORT = {
    'kappa': {'value': 0.5, 'reason': None}, 'accuracy': {'value': 0.5, 'reason': None}, 'confusion': [[1]],
    'referable': {'sensitivity': {'value': 1.0, 'reason': None}, 'specificity': {'value': 0.5, 'reason': None}},
    'intervals': {'kappa': [0, 1], 'accuracy': [0, 1], 'patients': 3}, 'calibration': {'grade': {'ece': 0.1, 'brier': 0.2}},
    'healthy': {'clean': 1}, 'pixel_f1': {'mean': 0.3}}


def _counts(truth, seed=0):
  rng = np.random.default_rng(seed)
  probabilities = np.round(rng.dirichlet(np.ones(5), len(truth)), 1).astype(np.float32)  # with ties
  confusion = np.zeros((len(truth), 5, 5), np.int64)
  for row, grade in enumerate(truth):
    if grade >= 0:
      confusion[row, grade, probabilities[row].argmax()] = 1
  return {'confusion': confusion, 'grade_probabilities': probabilities}


def test_the_five_steps_change_nothing():
  assert fit_scale(REPORT, {}, ICDR) == REPORT


def test_referable_gives_its_area_and_no_kappa():
  truth = np.array([0, 2, 2, 0, -1, 2, 0, 0, 2])
  counts = _counts(truth)
  found = fit_scale(REPORT, counts, read_scale('referable').describe())
  known = truth >= 0
  expected = roc_auc_score(truth[known] == 2, counts['grade_probabilities'][known, 2:].astype(float).sum(axis=1))
  assert found['referable']['auc']['value'] == pytest.approx(expected)
  assert found['referable']['sensitivity'] == REPORT['referable']['sensitivity']
  for name in ('kappa', 'accuracy'):
    assert found[name]['value'] is None and 'the scale referable' in found[name]['reason']
    assert found['intervals'][name] is None
  assert 'confusion' not in found and 'healthy' not in found and found['calibration']['grade']['ece'] is None
  assert found['pixel_f1'] == REPORT['pixel_f1'] and found['intervals']['patients'] == 3


def test_three_classes_tell_healthy_eyes_and_not_referable_ones():
  found = fit_scale(REPORT, _counts([0, 1, 4]), read_scale('three').describe())
  assert found['healthy'] == REPORT['healthy'] and found['referable']['sensitivity']['value'] is None
  assert 'auc' not in found['referable']


def test_one_side_alone_has_no_area():
  found = fit_scale(REPORT, _counts([2, 2]), read_scale('referable').describe())
  assert found['referable']['auc'] == {'value': None, 'reason': 'no image is referable, or all are'}
