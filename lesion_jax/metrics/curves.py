"""Precision against recall from score histograms, on the host: the exact area with bounds, and the 11-threshold one."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lesion_jax.metrics.histogram import SCORE_BINS, TENTHS, score_bin


class AveragePrecision(NamedTuple):
  """Average precision of binned scores, and where that of the raw scores must lie: lower <= exact, value <= upper."""

  value: float
  lower: float
  upper: float


class PrecisionRecall(NamedTuple):
  """Points of a precision-recall curve, float64 [n], from the highest threshold to the lowest.

  Attributes:
    precision: TP / (TP + FP) where a score >= threshold is positive.
    recall: TP / (TP + FN).
    threshold: the smallest probability that counts as positive.
  """

  precision: np.ndarray
  recall: np.ndarray
  threshold: np.ndarray


def average_precision(histogram: np.ndarray) -> AveragePrecision | None:
  """Computes the sum over thresholds of (R_n - R_{n-1}) * P_n, as `sklearn.metrics.average_precision_score`, from
  binned scores.

  `value` treats the scores of one bin as ties. The bounds hold for every arrangement inside the bins, ties included,
  and so for the raw scores. A positive contributes its precision: the share of positives among all that score as
  high. The best arrangement of a bin ties all its positives above its negatives; the worst puts all negatives first
  and the positives one by one, where after i positives of the bin the precision is (TP + i) / (TP + i + FP), TP
  before the bin and FP after it. The sum of that over i is bounded from below by an integral (midpoint rule on a convex
  function), which takes no loop over pixels.

  Args:
    histogram: int [2, bins], negatives and positives, scores rising with the bin.

  Returns:
    The value and its bounds, or None where the ground truth has no positive and there is no such curve.

  Raises:
    ValueError: when the shape is not [2, bins].
  """
  negatives, positives = _rows(histogram)[:, ::-1].astype(np.float64)
  total = positives.sum()
  if total == 0:
    return None
  filled = positives > 0
  tp_after, fp_after = np.cumsum(positives)[filled], np.cumsum(negatives)[filled]
  positives, negatives = positives[filled], negatives[filled]
  tp_before, fp_before = tp_after - positives, fp_after - negatives
  upper = positives * tp_after / (tp_after + fp_before)
  lower = positives - fp_after * np.log1p(positives / (tp_before + fp_after + 0.5))
  lower, upper = (float(part.sum() / total) for part in (lower, upper))
  value = float(average_precisions(histogram))
  return AveragePrecision(value, min(lower, value), max(upper, value))  # rounding must not part them


def average_precisions(histograms: np.ndarray) -> np.ndarray:
  """Returns the `value` of `average_precision` of many histograms at once.

  Args:
    histograms: int or integers in float64, [..., 2, bins].

  Returns:
    float64 [...], NaN where there is no positive.
  """
  negatives, positives = np.moveaxis(np.asarray(histograms, np.float64)[..., ::-1], -2, 0)
  tp, fp = np.cumsum(positives, axis=-1), np.cumsum(negatives, axis=-1)
  # Where the first bins are empty tp is 0, and so is what is divided.
  precise = np.sum(positives * tp / np.maximum(tp + fp, 1), axis=-1)
  total = tp[..., -1]
  return np.divide(precise, total, out=np.full(total.shape, np.nan), where=total > 0)


def average_precision_11(histogram: np.ndarray) -> float | None:
  """Computes the area under the precision-recall curve through 11 thresholds: a coarse number, for comparison only.

  This is how the published code of M2MRF (and papers that follow it) computes the AUPR of IDRiD and DDR: a pixel is
  positive where its probability is > t, for t = 0, 0.1, ..., 1; counts are pooled over the set; precision is 1 where
  nothing is predicted (always so at t = 1); and the points are joined by straight lines (trapezoids over recall).
  What lies at recalls above the one at t = 0 has no area. It may be several points above or below the exact
  `average_precision`, so the two must never share a column.

  Args:
    histogram: int [2, SCORE_BINS], of `score_histogram`.

  Returns:
    The area, or None where the ground truth has no positive.

  Raises:
    ValueError: when the shape is not [2, SCORE_BINS].
  """
  negatives, positives = _rows(histogram, SCORE_BINS)
  if not positives.any():
    return None
  first = score_bin(TENTHS) + 1  # TENTHS are boundaries: scores above one start in the next bin
  tp = np.array([positives[start:].sum() for start in first], np.float64)
  predicted = tp + np.array([negatives[start:].sum() for start in first])
  precision = np.divide(tp, predicted, out=np.ones_like(tp), where=predicted > 0)
  return float(np.trapezoid(precision[::-1], tp[::-1] / positives.sum()))


def precision_recall_curve(histogram: np.ndarray) -> PrecisionRecall:
  """Returns the curve for a plot, one point for each bin that holds a score; no points where the ground truth has no
  positive.

  Args:
    histogram: int [2, SCORE_BINS], of `score_histogram`.

  Raises:
    ValueError: when the shape is not [2, SCORE_BINS].
  """
  negatives, positives = _rows(histogram, SCORE_BINS)[:, ::-1]
  total = positives.sum()
  filled = (negatives + positives > 0) & (total > 0)
  tp, fp = np.cumsum(positives)[filled], np.cumsum(negatives)[filled]
  return PrecisionRecall(tp / (tp + fp), tp / max(total, 1), bin_thresholds()[::-1][filled].astype(np.float64))


def precision_at(histogram: np.ndarray, recalls: Sequence[float]) -> np.ndarray | None:
  """Returns the precision at the highest threshold that reaches each recall: the same curve at fixed places, so that curves of
  several networks can be laid over each other or averaged.

  Args:
    histogram: int [2, SCORE_BINS], of `score_histogram`.
    recalls: [R], in 0..1; 0 gives the precision of the highest score.

  Returns:
    float64 [R], or None where the ground truth has no positive.

  Raises:
    ValueError: when the shape is not [2, SCORE_BINS], or a recall is not in 0..1.
  """
  curve, places = precision_recall_curve(histogram), np.asarray(recalls, np.float64)
  if not np.all((places >= 0) & (places <= 1)):
    raise ValueError(f'recalls are between 0 and 1; got {places.tolist()}')
  return curve.precision[np.searchsorted(curve.recall, places - 1e-9)] if curve.recall.size else None


@functools.cache
def bin_thresholds() -> np.ndarray:
  """Returns float32 [SCORE_BINS]: the smallest probability in each bin (of the next one that any probability falls
  into).

  Found by bisection over the bit patterns of the float32 in [0, 1], which rise with their values. So the bins are
  defined in one place, `score_bin`.
  """
  low = np.zeros(SCORE_BINS, np.int32)
  high = np.full(SCORE_BINS, np.float32(1).view(np.int32))
  while np.any(low < high):
    middle = (low + high) // 2
    reached = score_bin(middle.view(np.float32)) >= np.arange(SCORE_BINS)
    low, high = np.where(reached, low, middle + 1), np.where(reached, middle, high)
  return high.astype(np.int32).view(np.float32)


def _rows(histogram: np.ndarray, bins: int | None = None) -> np.ndarray:
  """`histogram` as int64 [2, bins], or ValueError."""
  counts = np.asarray(histogram)
  if counts.ndim != 2 or counts.shape[0] != 2 or (bins is not None and counts.shape[1] != bins):
    raise ValueError(f'expected a histogram [2, {bins or "bins"}] of one lesion (negatives, positives), got '
                     f'{list(counts.shape)}; of a histogram [2, 8, bins] take [:, lesion]')
  return counts.astype(np.int64)
