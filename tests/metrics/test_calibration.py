"""Calibration against scikit-learn and a plain loop, on raw probabilities and through the histogram of pixel scores."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from lesion_jax.core import UNKNOWN_GRADE
from lesion_jax.metrics import binary_calibration, histogram_calibration, top_label_calibration
from lesion_jax.metrics.calibration import BINS
from lesion_jax.metrics.histogram import SCORE_BINS, TENTHS, score_bin


def sample(kind, seed=0, length=4000):
  """Probabilities of a lesion, and whether it is there."""
  rng = np.random.default_rng(seed)
  p = {
      'spread': lambda: rng.random(length),
      'polarised': lambda: 1 / (1 + np.exp(-rng.normal(-8, 12, length))),
      'certain': lambda: rng.integers(0, 2, length).astype(float),
      'one bin': lambda: rng.uniform(0.31, 0.39, length),
      'tenths': lambda: rng.choice(TENTHS, length),
      'one image': lambda: rng.random(1),
  }[kind]().astype(np.float32)
  return p, rng.random(len(p)) < p**2  # too sure of itself


KINDS = ['spread', 'polarised', 'certain', 'one bin', 'tenths', 'one image']


def looped_ece(p, truth):
  """The definition: bins open below and closed above, zero in the first."""
  error = 0.0
  for k in range(BINS):
    inside = ((p > TENTHS[k]) | ((k == 0) & (p == 0))) & (p <= TENTHS[k + 1])
    if inside.any():
      error += inside.sum() / len(p) * abs(truth[inside].mean() - p[inside].astype(float).mean())
  return error


def histogram(p, truth):
  return np.stack([np.bincount(score_bin(p[truth == label]), minlength=SCORE_BINS) for label in (False, True)])


@pytest.mark.parametrize('kind', KINDS)
def test_the_curve_is_scikit_learns(kind):
  p, truth = sample(kind)
  found = binary_calibration(p, truth)
  # As float32 the tenths are on neither side of scikit-learn's, so a score that is one goes through them as itself.
  frequency, confidence = calibration_curve(truth, p if kind != 'tenths' else np.round(p.astype(float), 1), n_bins=BINS)
  filled = found.count > 0
  np.testing.assert_allclose(found.frequency[filled], frequency)
  np.testing.assert_allclose(found.confidence[filled], confidence, rtol=1e-6)
  assert np.isnan(found.frequency[~filled]).all() and np.isnan(found.confidence[~filled]).all()
  assert found.count.sum() == len(p) and found.count.dtype == np.int64


@pytest.mark.parametrize('kind', KINDS)
def test_ece_is_that_of_a_loop_and_brier_scikit_learns(kind):
  p, truth = sample(kind)
  found = binary_calibration(p, truth)
  assert found.ece == pytest.approx(looped_ece(p, truth), rel=1e-9, abs=1e-12)
  assert found.brier == pytest.approx(brier_score_loss(truth, p.astype(float)))
  assert (found.ece_error, found.brier_error) == (0, 0)


@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('kind', KINDS)
def test_a_histogram_of_pixels_says_the_same_within_the_error_it_states(kind, seed):
  p, truth = sample(kind, seed)
  exact, found = binary_calibration(p, truth), histogram_calibration(histogram(p, truth))
  np.testing.assert_array_equal(found.count, exact.count)
  np.testing.assert_allclose(found.frequency, exact.frequency)
  np.testing.assert_allclose(found.confidence, exact.confidence, rtol=1 / 128)
  assert abs(found.ece - exact.ece) <= found.ece_error + 1e-9 and found.ece_error < 1 / 256
  assert abs(found.brier - exact.brier) <= found.brier_error + 1e-9 and found.brier_error < 1 / 128


def test_the_error_of_a_histogram_can_occur():
  """All scores at the upper end of their cell, and none of them right."""
  end = np.nextafter(np.float32(0.25) * np.float32(1 + 1 / 64), np.float32(0))
  p, truth = np.full(100, end), np.zeros(100, bool)
  exact, found = binary_calibration(p, truth), histogram_calibration(histogram(p, truth))
  assert exact.ece - found.ece == pytest.approx(found.ece_error, rel=1e-6)
  assert exact.brier - found.brier == pytest.approx(found.brier_error, rel=1e-6)


def test_certainty_that_is_right_is_perfect_and_certainty_that_is_wrong_as_bad_as_can_be():
  p = np.array([0, 0, 1, 1], np.float32)
  for truth, error in ((p > 0.5, 0), (p < 0.5, 1)):
    for found in (binary_calibration(p, truth), histogram_calibration(histogram(p, truth))):
      assert (found.ece, found.brier, found.ece_error) == (error, error, 0)
      assert found.count.tolist() == [2] + [0] * 8 + [2]


def test_many_pixels_are_counted_exactly():
  counts = np.zeros((2, SCORE_BINS), np.int64)
  counts[:, score_bin(np.float32(0.5))] = 2**45, 2**45 + 2
  found = histogram_calibration(counts)
  assert found.count.sum() == 2**46 + 2 and found.ece == pytest.approx(0, abs=0.004)


def grades(seed=0, length=300):
  rng = np.random.default_rng(seed)
  p = rng.dirichlet(np.full(5, 0.5), length).astype(np.float32)
  truth = np.where(rng.random(length) < 0.6, p.argmax(1), rng.integers(0, 5, length))
  return p, np.where(rng.random(length) < 0.2, UNKNOWN_GRADE, truth)


@pytest.mark.parametrize('seed', range(3))
def test_grades_are_judged_by_the_likeliest_where_the_truth_is_known(seed):
  p, truth = grades(seed)
  found, known = top_label_calibration(p, truth), truth != UNKNOWN_GRADE
  right = p.argmax(1) == truth
  frequency, confidence = calibration_curve(right[known], p.max(1)[known], n_bins=BINS)
  filled = found.count > 0
  np.testing.assert_allclose(found.frequency[filled], frequency)
  np.testing.assert_allclose(found.confidence[filled], confidence, rtol=1e-6)
  assert found.ece == pytest.approx(looped_ece(p.max(1)[known], right[known]))
  assert found.brier == pytest.approx(brier_score_loss(
      truth[known], p[known].astype(float) / p[known].sum(1, dtype=float, keepdims=True), labels=range(5),
      scale_by_half=False), rel=1e-6)


def test_where_nothing_can_be_judged_there_is_no_calibration():
  assert binary_calibration(np.zeros(0, np.float32), np.zeros(0, bool)) is None
  assert histogram_calibration(np.zeros((2, SCORE_BINS), np.int64)) is None
  assert top_label_calibration(np.full((3, 5), 0.2), np.full(3, UNKNOWN_GRADE)) is None


@pytest.mark.parametrize(('call', 'message'), [
    (lambda: binary_calibration(np.array([0.5, np.nan]), np.array([True, False])), 'not between 0 and 1'),
    (lambda: binary_calibration(np.array([0.5, 1.5]), np.array([True, False])), 'not between 0 and 1'),
    (lambda: binary_calibration(np.zeros((2, 8)), np.zeros(2, bool)), r'probabilities \[n\]'),
    (lambda: top_label_calibration(np.zeros((2, 5)), np.zeros(3, int)), r'probabilities \[n, K\]'),
    (lambda: histogram_calibration(np.zeros((2, 8, SCORE_BINS), int)), r'take \[:, lesion\]'),
])
def test_what_is_no_probability_is_refused(call, message):
  with pytest.raises(ValueError, match=message):
    call()
