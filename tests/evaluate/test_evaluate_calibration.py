"""Calibration of a split: what is counted in it, what is not, and why a figure is missing."""

import json

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss

from lesion_jax.core import LESION_KEYS
from lesion_jax.evaluate import calibration, full_report, report, totals
from lesion_jax.metrics import SCORE_BINS, binary_calibration, histogram_calibration, precision_at
from lesion_jax.metrics.histogram import score_bin

N = 40
SCORED = ('MA', 'iHE', 'CWS', 'vHE')


@pytest.fixture
def truth(rng):
  """bool [N, 8], and which of it counts: MA not in the first ten images, CWS nowhere."""
  counted = np.ones((N, 8), bool)
  counted[:10, LESION_KEYS.index('MA')] = False
  counted[:, LESION_KEYS.index('CWS')] = False
  return (rng.random((N, 8)) < 0.4) & counted, counted


@pytest.fixture
def counts(rng, truth):
  """Counts of N images by a network that segments and grades."""
  present, counted = truth
  probabilities = (rng.random((N, 8)) * counted).astype(np.float32)
  positive = probabilities >= 0.5
  grade = rng.integers(-1, 5, N)
  grades = rng.dirichlet(np.ones(5), N).astype(np.float32)
  confusion = np.eye(25, dtype=int)[np.maximum(grade, 0) * 5 + grades.argmax(1)].reshape(N, 5, 5)
  histogram = rng.integers(0, 50, (2, 8, SCORE_BINS))
  histogram[:, LESION_KEYS.index('CWS')] = 0
  return {
      'image_tp': positive & present, 'image_fp': positive & ~present & counted, 'image_fn': ~positive & present,
      'image_tn': ~positive & ~present & counted, 'lesion_probabilities': probabilities,
      'confusion': confusion * (grade >= 0)[:, None, None], 'grade_probabilities': grades, 'histogram': histogram,
  }


def test_presence_is_judged_over_the_images_that_count_for_a_lesion(counts, truth):
  present, counted = truth
  found = calibration(counts, SCORED)['image']
  for key in ('MA', 'iHE', 'vHE'):
    j = LESION_KEYS.index(key)
    p, y = counts['lesion_probabilities'][counted[:, j], j], present[counted[:, j], j]
    expected = binary_calibration(p, y)
    assert (found['lesions'][key]['ece'], found['lesions'][key]['brier']) == (expected.ece, expected.brier)
    assert sum(found['lesions'][key]['reliability']['count']) == (30 if key == 'MA' else N)
  assert found['mean']['ece'] == pytest.approx(np.mean([found['lesions'][key]['ece'] for key in ('MA', 'iHE', 'vHE')]))


def test_all_lesions_together_are_all_pairs_of_an_image_and_a_scored_lesion(counts, truth):
  present, counted = (array[:, [LESION_KEYS.index(key) for key in SCORED]] for array in truth)
  probabilities = counts['lesion_probabilities'][:, [LESION_KEYS.index(key) for key in SCORED]]
  pooled = calibration(counts, SCORED)['image']['pooled']
  assert sum(pooled['reliability']['count']) == counted.sum() == 3 * N - 10
  assert pooled['brier'] == pytest.approx(brier_score_loss(present[counted], probabilities[counted].astype(float)))


def test_pixels_are_judged_by_their_histogram(counts):
  found = calibration(counts, SCORED)['pixel']
  for key in ('MA', 'vHE'):
    expected = histogram_calibration(counts['histogram'][:, LESION_KEYS.index(key)])
    assert (found['lesions'][key]['ece'], found['lesions'][key]['ece_error']) == (expected.ece, expected.ece_error)
  columns = [LESION_KEYS.index(key) for key in SCORED]
  assert sum(found['pooled']['reliability']['count']) == counts['histogram'][:, columns].sum()


def test_unknown_grades_are_left_out(counts):
  found = calibration(counts, SCORED)['grade']
  assert sum(found['reliability']['count']) == counts['confusion'].sum() < N


def test_what_is_missing_has_a_reason(counts):
  found = calibration(counts | {'confusion': np.zeros((N, 5, 5), int)}, SCORED)
  left_out = dict.fromkeys(('HaEx', 'pHE', 'NV', 'FiP'), 'not annotated')
  assert found['pixel']['undefined'] == left_out | {'CWS': 'no pixel is scored'}
  assert found['image']['undefined'] == left_out | {'CWS': 'no image is scored'}
  assert found['grade'] == {'ece': None, 'brier': None, 'reason': 'no image has a known grade'}
  for part in ('pixel', 'image'):
    assert {key for key, value in found[part]['lesions'].items() if value is None} == found[part]['undefined'].keys()


def test_without_any_lesion_nothing_is_nan(counts):
  found = calibration(counts, ())
  for part, reason in (('pixel', 'no pixel is scored'), ('image', 'no image is scored')):
    assert found[part]['mean'] == {'ece': None, 'brier': None}
    assert found[part]['pooled'] == {'ece': None, 'brier': None, 'reason': reason}


def test_probabilities_that_are_no_numbers_are_said(counts):
  counts['lesion_probabilities'][3, 1] = counts['grade_probabilities'][5, 2] = np.nan
  found, reason = calibration(counts, SCORED), 'the network outputs something that is not a number'
  assert found['image']['undefined']['iHE'] == found['image']['pooled']['reason'] == found['grade']['reason'] == reason
  assert found['image']['lesions']['vHE'] is not None


def test_empty_bins_are_null_and_the_whole_is_json(counts):
  counts['lesion_probabilities'][:] = np.where(counts['lesion_probabilities'] > 0.5, 1, 0)
  found = calibration(counts, SCORED)
  curve = found['image']['lesions']['iHE']['reliability']
  assert curve['count'][1:-1] == [0] * 8 and curve['confidence'] == [0, *[None] * 8, 1]
  assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_there_is_what_the_network_computes_and_no_more(counts):
  grader = {name: counts[name] for name in ('confusion', 'grade_probabilities')}
  assert calibration(grader, ()).keys() == {'grade'}
  classifier = {name: value for name, value in counts.items() if name.startswith('image') or 'lesion' in name}
  assert calibration(classifier, SCORED).keys() == {'image'}


def test_a_full_report_is_a_report_with_intervals_and_calibration(counts):
  counts = {name: value if value.dtype == np.float32 else value.astype(np.int64) for name, value in counts.items()}
  counts |= {f'pixel_{kind}': np.ones((N, 8), int) for kind in ('tp', 'fp', 'fn')}
  found = full_report(counts, SCORED, ('MA', 'CWS', 'vHE'), resamples=20, seed=3)
  assert found['intervals']['resamples'] == 20
  assert found['calibration']['image']['undefined']['iHE'] == 'not learned'
  assert found['calibration']['image']['undefined']['NV'] == 'not annotated'
  assert found['calibration']['image']['lesions']['vHE'] == calibration(counts, SCORED)['image']['lesions']['vHE']
  curves, histogram = found['precision_recall'], totals(counts)['histogram']
  assert curves['recall'][::50] == [0, 0.5, 1] and set(curves['precision']) == set(curves['prevalence']) == {'MA', 'CWS', 'vHE'}
  assert curves['precision']['MA'] == pytest.approx(precision_at(histogram[:, 0], curves['recall']), abs=1e-5)
  assert curves['prevalence']['MA'] == histogram[1, 0].sum() / histogram[:, 0].sum()
  assert curves['precision']['CWS'] is None and curves['prevalence']['CWS'] is None  # nothing of it counts
  assert report(totals(counts), SCORED, ('MA', 'CWS', 'vHE')) == {
      name: value for name, value in found.items() if name not in ('intervals', 'calibration', 'precision_recall')}


def test_a_perfect_network_has_no_error(truth):
  present, _ = truth
  probabilities = present.astype(np.float32)
  histogram = np.zeros((2, 8, SCORE_BINS), int)
  for value in (0, 1):
    histogram[value, :, score_bin(np.float32(value))] = 1000
  found = calibration({
      'image_tp': present, 'image_fp': 0 * present, 'image_fn': 0 * present, 'image_tn': ~present,
      'lesion_probabilities': probabilities, 'histogram': histogram}, LESION_KEYS)
  for part in ('pixel', 'image'):
    assert found[part]['mean'] == {'ece': 0, 'brier': 0}
