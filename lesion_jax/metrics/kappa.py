"""Agreement of DR grades from a confusion matrix, on the host. Rows are the ground truth, columns the prediction."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lesion_jax.core import REFERABLE_GRADE

NO_GRADE = 'no image has a known grade'


class Score(NamedTuple):
  """A number, or the reason why there is none.

  Attributes:
    value: float, or None where the score is undefined.
    reason: None, or why the score is undefined.
  """

  value: float | None
  reason: str | None = None


class Referable(NamedTuple):
  """How well referable DR (DR2 and above) is told from the rest.

  Attributes:
    sensitivity: share of the referable images that are graded as such.
    specificity: share of the other images that are graded as such.
  """

  sensitivity: Score
  specificity: Score


def quadratic_weighted_kappa(confusion: np.ndarray) -> Score:
  """Computes Cohen's kappa with weights (i - j)^2: 1 - observed / expected disagreement, the paper's measure for
  grading.

  Equal to `sklearn.metrics.cohen_kappa_score(truth, predicted, weights='quadratic')`, except that undefined cases are
  said: no graded image, or ground truth and prediction that name one and the same grade throughout (then chance agrees
  perfectly, and 0 / 0 is neither perfect nor poor agreement).

  Args:
    confusion: int [K, K], counts.

  Raises:
    ValueError: when `confusion` is not a square matrix of counts.
  """
  counts = _checked(confusion)
  total = counts.sum()
  if total == 0:
    return Score(None, NO_GRADE)
  value = float(quadratic_weighted_kappas(counts[None])[0])
  return Score(None, 'truth and prediction name one and the same grade throughout') if np.isnan(value) else Score(value)


def quadratic_weighted_kappas(confusions: np.ndarray) -> np.ndarray:
  """Computes `quadratic_weighted_kappa` of many confusion matrices, int [R, K, K], at once: float64 [R], NaN where it is undefined."""
  counts = np.asarray(confusions).astype(np.float64)  # products of int64 counts may overflow
  grades = np.arange(counts.shape[-1])
  weights = (grades[:, None] - grades[None, :]) ** 2
  by_chance = counts.sum(axis=2)[:, :, None] * counts.sum(axis=1)[:, None, :]
  observed, expected = ((weights * each).sum(axis=(1, 2)) for each in (counts, by_chance))
  defined = expected > 0
  expected = np.divide(expected, counts.sum(axis=(1, 2)), out=expected, where=defined)
  return 1 - np.divide(observed, expected, out=np.full(len(counts), np.nan), where=defined)


def accuracy(confusion: np.ndarray) -> Score:
  """Computes the share of the graded images with exactly the right grade. Raises ValueError as
  `quadratic_weighted_kappa` does."""
  counts = _checked(confusion)
  return _ratio(np.trace(counts), counts.sum(), NO_GRADE)


def accuracies(confusions: np.ndarray) -> np.ndarray:
  """Computes `accuracy` of many confusion matrices, int [R, K, K], at once: float64 [R], NaN where no image has a known grade."""
  counts = np.asarray(confusions)
  right, total = counts.trace(axis1=1, axis2=2), counts.sum(axis=(1, 2))
  return np.divide(right, total, out=np.full(len(counts), np.nan), where=total > 0)


def referable(confusion: np.ndarray) -> Referable:
  """Computes sensitivity and specificity for grades >= REFERABLE_GRADE. Raises ValueError as `quadratic_weighted_kappa`
  does."""
  counts = _checked(confusion)
  positive, negative = counts[REFERABLE_GRADE:], counts[:REFERABLE_GRADE]
  reasons = ('no image has referable DR', 'every image has referable DR') if counts.any() else [NO_GRADE] * 2
  return Referable(
      sensitivity=_ratio(positive[:, REFERABLE_GRADE:].sum(), positive.sum(), reasons[0]),
      specificity=_ratio(negative[:, :REFERABLE_GRADE].sum(), negative.sum(), reasons[1]),
  )


def _checked(confusion: np.ndarray) -> np.ndarray:
  """`confusion` as float64 (products of int64 counts may overflow), or ValueError."""
  counts = np.asarray(confusion)
  if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or not np.issubdtype(counts.dtype, np.integer):
    raise ValueError(f'a confusion matrix is a square matrix of integer counts, rows the ground truth; got {counts.dtype} '
                     f'{list(counts.shape)}')
  return counts.astype(np.float64)


def _ratio(part: float, whole: float, reason: str) -> Score:
  return Score(None, reason) if whole == 0 else Score(float(part / whole))
