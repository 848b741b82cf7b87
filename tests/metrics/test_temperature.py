"""Temperatures against a search for the least negative log likelihood, in float64."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax, logit, softmax

from lesion_jax.metrics import (
    SCORE_BINS, binary_temperature, class_temperature, histogram_calibration, histogram_temperature, temper,
    temper_classes, temper_histogram)
from lesion_jax.metrics.histogram import score_bin
from lesion_jax.metrics.temperature import LIMITS


def cases(rng, true_temperature, size=3000):
  """Logits that are `true_temperature` times too sure, and the truth."""
  right = rng.normal(-0.5, 1.2, size)
  return right * true_temperature, rng.random(size) < expit(right)


def binned(p, truth):
  return np.stack([np.bincount(score_bin(p[truth == side]), minlength=SCORE_BINS) for side in (False, True)])


@pytest.mark.parametrize('true_temperature', [0.5, 1, 3])
def test_the_temperature_is_the_likeliest(rng, true_temperature):
  logits, truth = cases(rng, true_temperature)
  p = expit(logits).astype(np.float32)
  expected = minimize_scalar(lambda t: np.sum(np.logaddexp(0, np.where(truth, -1, 1) * logits / t)), bounds=LIMITS,
                             method='bounded', options={'xatol': 1e-9}).x
  assert binary_temperature(p, ~truth, truth) == pytest.approx(expected, rel=1e-4)
  assert expected == pytest.approx(true_temperature, rel=0.1)
  assert histogram_temperature(binned(p, truth)) == pytest.approx(expected, rel=5e-3)


def test_the_temperature_of_grades_is_the_likeliest(rng):
  logits = rng.normal(0, 2, (2000, 5))
  truth = np.array([rng.choice(5, p=softmax(row)) for row in logits])
  truth[::10] = -1
  known, said = truth >= 0, 2.5 * logits
  expected = minimize_scalar(
      lambda t: -log_softmax(said[known] / t, axis=1)[np.arange(known.sum()), truth[known]].sum(), bounds=LIMITS,
      method='bounded', options={'xatol': 1e-9}).x
  found = class_temperature(softmax(said, axis=1), truth)
  assert found == pytest.approx(expected, rel=1e-4) == pytest.approx(2.5, rel=0.1)
  assert class_temperature(softmax(said, axis=1), np.full(2000, -1)) is None


def test_a_temperature_makes_probabilities_better_calibrated(rng):
  logits, truth = cases(rng, 3, 20_000)
  histogram = binned(expit(logits).astype(np.float32), truth)
  tempered = temper_histogram(histogram, histogram_temperature(histogram))
  assert histogram_calibration(tempered).ece < 0.2 * histogram_calibration(histogram).ece
  np.testing.assert_array_equal(tempered.sum(axis=1), histogram.sum(axis=1))


def test_one_who_is_never_wrong_and_one_who_knows_nothing_stay_within_limits():
  assert binary_temperature(np.array([0.4, 0.6]), [5, 0], [0, 5]) == LIMITS[0]
  assert binary_temperature(np.array([0.1, 0.9]), [5, 5], [5, 5]) == LIMITS[1]
  assert binary_temperature(np.array([0.0, 1.0]), [1, 9], [9, 1]) == LIMITS[1]  # exactly 0 and 1 are finite logits
  assert binary_temperature(np.array([0.5]), [3], [5]) == 1
  assert class_temperature(np.full((4, 5), 0.2), np.arange(4)) == 1
  assert binary_temperature(np.array([0.3]), [3], [0]) is None is binary_temperature(np.array([0.3]), [0], [3])


def test_tempering_is_of_the_logit_and_leaves_the_order(rng):
  p = np.sort(rng.random(500)).astype(np.float32)
  for t in (0.5, 2.0):
    np.testing.assert_allclose(temper(p, t), expit(logit(p.astype(float)) / t), atol=1e-6)
    assert (np.diff(temper(p, t)) >= 0).all() and temper(p, t).dtype == np.float32
  np.testing.assert_array_equal(temper(p, 1.0), p)
  np.testing.assert_array_equal(temper(np.array([0, 0.5, 1], np.float32), 3), [0, 0.5, 1])
  by_lesion = temper(np.tile(p[:8], (3, 1)), np.arange(1, 9))
  np.testing.assert_allclose(by_lesion[2, 4], temper(p[4], 5.0))


def test_grades_are_tempered_before_the_softmax(rng):
  logits = rng.normal(0, 3, (50, 5))
  p = softmax(logits, axis=1).astype(np.float32)
  np.testing.assert_allclose(temper_classes(p, 2.0), softmax(logits / 2, axis=1), atol=1e-6)
  assert (temper_classes(p, 2.0).argmax(1) == p.argmax(1)).all()
  assert temper_classes(p, 1.0) is p
  np.testing.assert_array_equal(temper_classes(np.array([1, 0, 0, 0, 0], np.float32), 2.0), [1, 0, 0, 0, 0])


def test_the_histogram_of_one_lesion_is_taken():
  with pytest.raises(ValueError, match=r'take \[:, lesion\]'):
    histogram_temperature(np.zeros((2, 8, SCORE_BINS), int))


def test_what_is_exactly_0_or_1_stays_so_in_a_histogram_as_it_does_alone():
  p = np.array([0, 0, 1], np.float32)
  truth = np.array([False, True, True])
  for temperature in (0.3, 5):
    np.testing.assert_array_equal(temper(p, temperature), p)
    np.testing.assert_array_equal(temper_histogram(binned(p, truth), temperature), binned(p, truth))
