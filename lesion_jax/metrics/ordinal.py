"""A grade as a place on a line: the expected grade, cut points on it, and how well it tells the referable from the rest."""

from __future__ import annotations

import numpy as np

from lesion_jax.core import NUM_GRADES, UNKNOWN_GRADE
from lesion_jax.metrics.kappa import NO_GRADE, Score

ABOVE_ALL = float(NUM_GRADES)  # the cut point of a grade that is never given: no expected grade reaches it


def expected_grade(probabilities: np.ndarray) -> np.ndarray:
  """Returns the mean of the grades by their probabilities, float64 [N] in 0..4 of float [N, 5].

  Raises:
    ValueError: for another shape.
  """
  values = np.asarray(probabilities, np.float64)
  if values.ndim != 2 or values.shape[1] != NUM_GRADES:
    raise ValueError(f'expected probabilities [N, {NUM_GRADES}]; got {list(values.shape)}')
  return values @ np.arange(NUM_GRADES)


def cut(expected: np.ndarray, points: np.ndarray) -> np.ndarray:
  """Returns grades, int64 [N] in 0..4: how many of the four cut points each expected grade reaches.

  Args:
    expected: float [N].
    points: float [4], none below the one before it.

  Raises:
    ValueError: for other cut points.
  """
  points = np.asarray(points, np.float64)
  if points.shape != (NUM_GRADES - 1,) or not (np.diff(points) >= 0).all():
    raise ValueError(f'expected {NUM_GRADES - 1} cut points, none below the one before it; got {points.tolist()}')
  return np.searchsorted(points, np.asarray(expected, np.float64), side='right')


def cut_points(expected: np.ndarray, truth: np.ndarray) -> list[float] | None:
  """Returns the four cut points of the largest accuracy; of several, those of the smallest sum of absolute errors.

  Exact, by dynamic programming over the sorted expected grades. Points lie in the middle between neighbours. Our choice; an
  argmax over five classes knows nothing of their order.

  Args:
    expected: float [N], of `expected_grade`.
    truth: int [N], 0..4; photographs of UNKNOWN_GRADE are excluded.

  Returns:
    Float [4]; None where no photograph is graded.

  Raises:
    ValueError: the two are not of one length, or not finite.
  """
  expected, truth = np.asarray(expected, np.float64), np.asarray(truth)
  if expected.shape != truth.shape or expected.ndim != 1 or not np.isfinite(expected).all():
    raise ValueError(f'expected finite numbers and grades of the same N photographs; got {list(expected.shape)} and '
                     f'{list(truth.shape)}')
  known = truth != UNKNOWN_GRADE
  if not known.any():
    return None
  values, groups = np.unique(expected[known], return_inverse=True)
  grades = np.arange(NUM_GRADES)
  error = np.abs(truth[known][:, None] - grades)
  weight = 1 + NUM_GRADES * len(error)  # one right grade outweighs all errors
  gain = np.zeros((len(values) + 1, NUM_GRADES))  # of the first i values, all of them given one grade
  np.add.at(gain, groups + 1, weight * (error == 0) - error)
  gain = np.cumsum(gain, axis=0)
  best, ends = gain[:, 0], []  # of the first i values, with the grades so far
  for grade in grades[1:]:
    ahead = best - gain[:, grade]
    starts = np.maximum.accumulate(ahead)
    first = np.maximum.accumulate(np.where(ahead == starts, np.arange(len(ahead)), 0))  # where the grade begins
    best = starts + gain[:, grade]
    ends.append(first)
  between = np.maximum((values[1:] + values[:-1]) / 2, np.nextafter(values[:-1], np.inf))  # rounding may go down to the lower one
  middle = np.concatenate([[0.0], between, [ABOVE_ALL]])
  place, points = len(values), []
  for first in reversed(ends):
    place = int(first[place])
    points.append(float(middle[place]))
  return points[::-1]


def area_under_roc(scores: np.ndarray, positive: np.ndarray) -> Score:
  """Returns the share of pairs of a positive and a negative in which the positive has the larger score; ties count
  half.

  Equal to `sklearn.metrics.roc_auc_score(positive, scores)` (Mann-Whitney), None where there is no pair, or a score that is
  not a number.

  Args:
    scores: float [N].
    positive: bool [N].

  Raises:
    ValueError: the two are not of one length.
  """
  scores, positive = np.asarray(scores, np.float64), np.asarray(positive, bool)
  if scores.shape != positive.shape or scores.ndim != 1:
    raise ValueError(f'expected scores and truth of the same N photographs; got {list(scores.shape)} and '
                     f'{list(positive.shape)}')
  if np.isnan(scores).any():
    return Score(None, 'some scores are not numbers')
  yes, no = scores[positive], np.sort(scores[~positive])
  if not len(yes) or not len(no):
    return Score(None, NO_GRADE if not len(scores) else f'every image is {"positive" if len(yes) else "negative"}')
  below, upto = np.searchsorted(no, yes, 'left'), np.searchsorted(no, yes, 'right')
  return Score(float((below + upto).sum() / (2 * len(yes) * len(no))))
