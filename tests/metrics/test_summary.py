"""F1 and IoU against scikit-learn, and the report of a set that annotates half of the lesions."""

import json

import numpy as np
import pytest
from sklearn.metrics import f1_score, jaccard_score

from lesion_jax.core import LESION_KEYS
from lesion_jax.metrics.summary import NO_POSITIVE, NOT_ANNOTATED, f1, iou, mean_defined, summarize


def test_f1_equals_scikit_learn(rng):
  truth, predicted = rng.random((500, 8)) < 0.3, rng.random((500, 8)) < 0.4
  scores = f1((truth & predicted).sum(0), (~truth & predicted).sum(0), (truth & ~predicted).sum(0))
  np.testing.assert_allclose(scores, f1_score(truth, predicted, average=None))


def test_iou_equals_scikit_learn_and_is_f1_told_otherwise(rng):
  truth, predicted = rng.random((500, 8)) < 0.3, rng.random((500, 8)) < 0.4
  counts = (truth & predicted).sum(0), (~truth & predicted).sum(0), (truth & ~predicted).sum(0)
  np.testing.assert_allclose(iou(*counts), jaccard_score(truth, predicted, average=None))
  np.testing.assert_allclose(iou(*counts), f1(*counts) / (2 - f1(*counts)))
  np.testing.assert_array_equal(iou([0, 0, 0], [0, 3, 0], [0, 0, 3]), [np.nan, 0, 0])


def test_f1_is_undefined_without_any_positive_and_zero_when_all_are_wrong():
  np.testing.assert_array_equal(f1([0, 0, 0], [0, 3, 0], [0, 0, 3]), [np.nan, 0, 0])


def test_f1_counts_beyond_float32_and_int32():
  assert f1(np.int32(2**31 - 1), 0, 0) == 1
  np.testing.assert_allclose(f1(10**12, 10**12, 0), 2 / 3)


def test_the_mean_is_over_what_is_defined():
  assert mean_defined([0.5, np.nan, 1.0]) == 0.75
  assert mean_defined([np.nan]) is None


def test_a_report_tells_not_annotated_from_undefined(rng):
  counts = {f'{level}_{kind}': rng.integers(1, 100, 8) for level in ('pixel', 'image') for kind in ('tp', 'fp', 'fn')}
  for kind in ('tp', 'fp', 'fn'):
    counts[f'pixel_{kind}'][1] = 0
  report = summarize(counts, ['MA', 'iHE', 'HaEx', 'CWS'])
  pixel = report['pixel_f1']
  scores = f1(counts['pixel_tp'], counts['pixel_fp'], counts['pixel_fn'])
  assert pixel['lesions'] == {'MA': scores[0], 'iHE': None, 'HaEx': scores[2], 'CWS': scores[3]} | dict.fromkeys(
      LESION_KEYS[4:])
  assert pixel['undefined'] == {'iHE': NO_POSITIVE} | dict.fromkeys(LESION_KEYS[4:], NOT_ANNOTATED)
  np.testing.assert_allclose(pixel['mean'], scores[[0, 2, 3]].mean())
  assert set(report['image_f1']['undefined']) == set(LESION_KEYS[4:])
  assert json.loads(json.dumps(report)) == report


def test_a_classifier_has_no_pixel_report():
  counts = {f'image_{kind}': np.zeros(8, int) for kind in ('tp', 'fp', 'fn')}
  report = summarize(counts, LESION_KEYS)
  assert set(report) == {'image_f1'}
  assert report['image_f1']['mean'] is None


def test_an_unknown_lesion_is_refused():
  with pytest.raises(ValueError, match="unknown lesion 'HE'"):
    summarize({}, ['HE'])
