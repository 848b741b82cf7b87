"""Calibration, on the host: whether of what is called 70 % probable seven in ten are there.

Probabilities are put into BINS of equal width, [0, 0.1], (0.1, 0.2], ... (0.9, 1]. The reliability curve holds the
share that is there against the mean probability, bin by bin. The expected calibration error (ECE) is the gap between
the two, averaged over the bins with the number of predictions in each as the weight (M. P. Naeini, G. F. Cooper and
M. Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015; C. Guo, G. Pleiss, Y. Sun
and K. Q. Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, Eq. 3, whose intervals these are). Ten bins
are our choice, Guo et al. have 15: tenths are boundaries of `histogram.score_bin`, so no pixel is in a wrong bin.

Two things to know of an ECE. With few predictions it is above 0 even where every probability is right, by the chance in
each bin. And nearly all pixels are background that is rightly called improbable: they make the ECE of pixels small,
whatever is said of lesions. The curve shows that; the single number does not.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lesion_jax.core import UNKNOWN_GRADE
from lesion_jax.metrics.curves import bin_thresholds
from lesion_jax.metrics.histogram import TENTHS, of_one_lesion

BINS = len(TENTHS) - 1


class Calibration(NamedTuple):
  """How far probabilities can be taken at their word.

  Attributes:
    count: int64 [BINS], predictions in each bin; the sum is at least 1.
    confidence: float64 [BINS], their mean probability; NaN where a bin is empty.
    frequency: float64 [BINS], the share of them that is true; NaN where a bin is empty.
    ece: expected calibration error, 0..1.
    brier: mean squared distance of the probabilities from the ground truth; 0..1, of several classes 0..2.
    ece_error: the ECE of the raw probabilities is within this distance; 0 where they were at hand.
    brier_error: likewise.
  """

  count: np.ndarray
  confidence: np.ndarray
  frequency: np.ndarray
  ece: float
  brier: float
  ece_error: float = 0.0
  brier_error: float = 0.0


def binary_calibration(probabilities: np.ndarray, truth: np.ndarray) -> Calibration | None:
  """Computes the calibration of the presence of something, such as a lesion in a photograph.

  Equal to `sklearn.calibration.calibration_curve(truth, probabilities, n_bins=BINS)` where bins hold anything, and to
  `sklearn.metrics.brier_score_loss`.

  Args:
    probabilities: float [n]. Compared with the tenths as float32.
    truth: bool [n].

  Returns:
    The calibration, or None where n is 0: there is nothing to evaluate.

  Raises:
    ValueError: for other shapes, or a probability outside [0, 1].
  """
  p, y = np.asarray(probabilities), np.asarray(truth, bool)
  _check(p, y, 1)
  if not len(p):
    return None
  exact = p.astype(np.float64)
  return _calibration(_tenth(p), np.ones(len(p)), exact, y.astype(np.float64), np.mean((exact - y) ** 2))


def top_label_calibration(probabilities: np.ndarray, truth: np.ndarray) -> Calibration | None:
  """Computes the calibration of the most probable of several classes: how often it is right, against how probable it
  was called.

  Args:
    probabilities: float [n, K]. The largest is the prediction, the first where several tie.
    truth: int [n], 0..K-1, or UNKNOWN_GRADE for one to exclude.

  Returns:
    The calibration, or None where no ground truth is known. Its Brier score is of all classes, as Brier had it in 1950:
    the mean of sum_k (p_k - y_k)^2, which is `sklearn.metrics.brier_score_loss(..., scale_by_half=False)`.

  Raises:
    ValueError: for other shapes, or a probability outside [0, 1].
  """
  p, classes = np.asarray(probabilities), np.asarray(truth)
  _check(p, classes, 2)
  known = classes != UNKNOWN_GRADE
  p, classes = p[known], classes[known]
  if not len(p):
    return None
  distance = p - np.eye(p.shape[1])[classes]
  top, right = p.max(axis=1), p.argmax(axis=1) == classes
  return _calibration(_tenth(top), np.ones(len(p)), top.astype(np.float64), right.astype(np.float64),
                      np.mean(np.sum(distance**2, axis=1)))


def histogram_calibration(histogram: np.ndarray) -> Calibration | None:
  """Computes the calibration of pixels, from the histogram of their scores.

  The bins are exact, as are counts and frequencies. A score is taken to be the middle of its cell, so the means are off
  by half the width of a cell at most, 1/128 of p or of 1 - p; `ece_error` and `brier_error` say what that can come to.

  Args:
    histogram: int [2, SCORE_BINS], of `score_histogram`: negatives, then positives.

  Returns:
    The calibration, or None where no pixel is scored.

  Raises:
    ValueError: for another shape.
  """
  counts = of_one_lesion(histogram)
  cells = counts.sum(axis=0) > 0
  counts = counts[:, cells].astype(np.float64)  # exact below 2^53
  if not counts.size:
    return None
  low, high = (ends[cells] for ends in _cell_ends())
  middle, whole = (low.astype(np.float64) + high) / 2, counts.sum(axis=0)
  truth = np.array([[0.0], [1.0]])
  squares = (middle - truth) ** 2
  # The squared distance rises or falls throughout a cell, so it is furthest from that of the middle at an end.
  off = np.maximum(*(np.abs((end - truth) ** 2 - squares) for end in (low.astype(np.float64), high)))
  total = whole.sum()
  found = _calibration(_tenth(low), whole, whole * middle, counts[1], np.sum(counts * squares) / total)
  return found._replace(ece_error=float(np.sum(whole * (high - middle)) / total),
                        brier_error=float(np.sum(counts * off) / total))


def _calibration(
    bins: np.ndarray, weights: np.ndarray, probable: np.ndarray, true: np.ndarray, brier: float,
) -> Calibration:
  """From items that fall into `bins`: how many predictions each stands for, and the sums over those."""
  count, probable, true = (np.bincount(bins, each, minlength=BINS) for each in (weights, probable, true))
  ece = np.sum(np.abs(true - probable)) / np.sum(count)
  confidence, frequency = (np.divide(each, count, out=np.full(BINS, np.nan), where=count > 0)
                           for each in (probable, true))
  return Calibration(count.astype(np.int64), confidence, frequency, float(ece), float(brier))


def _tenth(probabilities: np.ndarray) -> np.ndarray:
  """The bin of each probability, int64: a tenth itself belongs to the bin below."""
  return np.searchsorted(TENTHS[1:-1], probabilities.astype(np.float32), side='left')


def _cell_ends() -> tuple[np.ndarray, np.ndarray]:
  """float32 [SCORE_BINS] each: the smallest and the largest probability in each cell of `score_histogram`."""
  low = bin_thresholds()
  return low, np.append(np.nextafter(low[1:], np.float32(0)), np.float32(1))


def _check(probabilities: np.ndarray, truth: np.ndarray, dimensions: int) -> None:
  if probabilities.ndim != dimensions or truth.shape != probabilities.shape[:1]:
    raise ValueError(f'expected probabilities {"[n]" if dimensions == 1 else "[n, K]"} and truth [n]; got '
                     f'{list(probabilities.shape)} and {list(truth.shape)}')
  if not np.all((probabilities >= 0) & (probabilities <= 1)):  # NaN is neither
    raise ValueError('some probabilities are not between 0 and 1')
