"""Grades of a held-out split beyond the confusion matrix: who is to be referred, and grades at cut points."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from lesion_jax import metrics
from lesion_jax.core import NUM_GRADES, REFERABLE_GRADE, UNKNOWN_GRADE
from lesion_jax.evaluate.interval import LEVEL, check_draws, percentiles
from lesion_jax.evaluate.scale import UNKNOWN, by_grade
from lesion_jax.evaluate.totals import PATIENT, REFERABLE

Figure = tuple[Callable[[np.ndarray], metrics.Score], dict[str, int]]  # of the rows of a resample, and what is said beside it


def referral(
    counts: Mapping[str, np.ndarray], *, resamples: int, seed: int, threshold: float | None = None,
) -> dict[str, Any]:
  """Returns how well DR2 and above are told from the rest, with intervals by patient.

  Args:
    counts: of `image_counts`, of a network that grades, with 'grade'. Where they have no 'patient', every image is one.
    resamples: of the bootstrap, in which P of the P patients are drawn, each with all images.
    seed: of the draws.
    threshold: of `operating_point`, of the validation split.

  Returns:
    Ready for JSON: 'photographs' and 'referable', how many are graded and how many of them DR2 and above; 'auc', of the
    probability of DR2 and above, and 'sensitivity' and 'specificity', of the grade that is given, each {'value',
    'interval', 'reason'}, the last two with 'count' and 'of'; with a threshold 'at_operating_point', sensitivity and
    specificity likewise where a photograph is called from that probability of DR2 and above on, and the 'threshold';
    'level' and 'resamples'.
  """
  known, truth, probability = _known(counts)
  called = np.argmax(counts['grade_probabilities'][known], axis=1) >= REFERABLE_GRADE
  drawn = _resamples(counts.get(PATIENT, np.arange(len(known)))[known], resamples, seed)
  figures: dict[Any, Figure] = {'auc': (lambda rows: metrics.area_under_roc(probability[rows], truth[rows]), {})} | _calls(called, truth)
  if threshold is not None:
    figures |= {(POINT, name): figure for name, figure in _calls(probability >= threshold, truth).items()}
  found = _with_intervals(figures, len(truth), drawn)
  if threshold is not None:
    found[POINT] = {'threshold': float(threshold)} | {name: found.pop((POINT, name)) for name in ('sensitivity', 'specificity')}
  return {'photographs': len(truth), 'referable': int(truth.sum()), **found, 'level': LEVEL, 'resamples': resamples}


def operating_point(counts: Mapping[str, np.ndarray]) -> dict[str, Any] | None:
  """Returns the probability of DR2 and above from which photographs are called referable, of a validation split: that
  with the largest sum of sensitivity and specificity (Youden's index; W. J. Youden, "Index for rating diagnostic
  tests", Cancer 3, 1950).

  It lies in the middle between two probabilities that occur; of several with one sum it is the lowest, which misses
  least (our choice).

  Args:
    counts: of `referral`.

  Returns:
    For config.json: {'threshold', 'validation': {'sensitivity', 'specificity', 'referable', 'photographs'}}; None where
    the photographs that are graded are all referable, or none is.
  """
  _, truth, probability = _known(counts)
  if not truth.any() or truth.all():
    return None
  levels = np.unique(probability)
  points = np.concatenate([levels[:1] / 2, (levels[1:] + levels[:-1]) / 2])
  sick, well = np.sort(probability[truth]), np.sort(probability[~truth])
  sensitivity = 1 - np.searchsorted(sick, points) / len(sick)
  specificity = np.searchsorted(well, points) / len(well)
  best = int(np.argmax(np.round(sensitivity + specificity, 12)))
  return {'threshold': float(points[best]), 'validation': {
      'sensitivity': float(sensitivity[best]), 'specificity': float(specificity[best]), 'referable': int(truth.sum()),
      'photographs': len(truth)}}


SENSITIVE, SPECIFIC = 'high-sensitivity', 'high-specificity'
OPERATING_POINTS = (SENSITIVE, SPECIFIC)  # by name
POINT = 'at_operating_point'
PROMISED = 0.95  # of the one or the other on validation; our choice


def named_points(probability: np.ndarray, truth: np.ndarray) -> dict[str, dict[str, Any]]:
  """Returns from which probability on a photograph is called at each of OPERATING_POINTS.

  At SENSITIVE it is the highest at which at least PROMISED of the sick are called, at SPECIFIC the lowest at which at least PROMISED
  of the well are not. Each lies in the middle between two probabilities that occur; that at which nobody is called may be just above 1.

  Args:
    probability: float [N], of a validation split.
    truth: bool [N], whom to call.

  Returns:
    By name {'threshold', 'sensitivity', 'specificity'}; {} where all are sick, or all are well.
  """
  probability, truth = np.asarray(probability, np.float64), np.asarray(truth, bool)
  if not truth.any() or truth.all():
    return {}
  levels = np.unique(probability)
  none = np.maximum((levels[-1:] + 1) / 2, np.nextafter(levels[-1:], np.inf))  # above a probability of 1 too
  points = np.concatenate([levels[:1] / 2, (levels[1:] + levels[:-1]) / 2, none])
  sick, well = np.sort(probability[truth]), np.sort(probability[~truth])
  sensitivity = 1 - np.searchsorted(sick, points) / len(sick)
  specificity = np.searchsorted(well, points) / len(well)
  chosen = {SENSITIVE: int(np.flatnonzero(sensitivity >= PROMISED)[-1]), SPECIFIC: int(np.flatnonzero(specificity >= PROMISED)[0])}
  return {name: {'threshold': float(points[at]), 'sensitivity': float(sensitivity[at]), 'specificity': float(specificity[at])}
          for name, at in chosen.items()}


def _known(counts: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Of which images it is known, bool [N], whether these are DR2 and above, bool [n], and the probability of that, float64 [n]."""
  sick = by_grade(counts, REFERABLE)
  known = sick != UNKNOWN
  return known, sick[known] == 1, counts['grade_probabilities'][known][:, REFERABLE_GRADE:].sum(axis=1, dtype=np.float64)


def _calls(called: np.ndarray, truth: np.ndarray) -> dict[str, Figure]:
  """Sensitivity and specificity of calls, bool [N], with counts."""
  return {
      'sensitivity': (lambda rows: _share(called[rows], truth[rows], 'no image has referable DR'),
                      {'count': int((called & truth).sum()), 'of': int(truth.sum())}),
      'specificity': (lambda rows: _share(~called[rows], ~truth[rows], 'every image has referable DR'),
                      {'count': int((~called & ~truth).sum()), 'of': int((~truth).sum())})}


def _with_intervals(figures: Mapping[Any, Figure], length: int, drawn: Iterable[np.ndarray]) -> dict[Any, dict[str, Any]]:
  """The figures of N images, each with its interval; each resample is drawn once for all of them."""
  values = np.array([[figure(rows).value for figure, _ in figures.values()] for rows in drawn], float)  # None becomes NaN
  return {name: figure(np.arange(length))._asdict() | {'interval': percentiles(column)} | beside
          for (name, (figure, beside)), column in zip(figures.items(), values.T, strict=True)}


def at_cut_points(
    counts: Mapping[str, np.ndarray], points: Sequence[float], *, resamples: int, seed: int,
) -> dict[str, Any]:
  """Returns the metrics of the grades that cut points make of the expected grade, see `metrics.cut_points`.

  Args:
    counts, resamples, seed: of `referral`.
    points: four, of the validation split.

  Returns:
    Ready for JSON: 'points', 'confusion' (rows are the ground truth), and 'kappa' and 'accuracy', {'value', 'interval', 'reason'}.
  """
  known = counts['grade'] != UNKNOWN_GRADE
  truth = counts['grade'][known]
  given = metrics.cut(metrics.expected_grade(counts['grade_probabilities'][known]), points)
  cells = truth * NUM_GRADES + given
  confusion = lambda rows: np.bincount(cells[rows], minlength=NUM_GRADES ** 2).reshape(NUM_GRADES, NUM_GRADES)
  drawn = _resamples(counts.get(PATIENT, np.arange(len(known)))[known], resamples, seed)
  figures: dict[Any, Figure] = {'kappa': (lambda rows: metrics.quadratic_weighted_kappa(confusion(rows)), {}),
                                'accuracy': (lambda rows: metrics.accuracy(confusion(rows)), {})}
  return {'points': [float(point) for point in points], 'confusion': confusion(slice(None)).tolist()} | _with_intervals(
      figures, len(truth), drawn)


def _share(yes: np.ndarray, among: np.ndarray, reason: str) -> metrics.Score:
  return metrics.Score(float(yes[among].mean())) if among.any() else metrics.Score(None, reason)


def _resamples(patients: np.ndarray, resamples: int, seed: int) -> Iterator[np.ndarray]:
  """The rows of one resample after the other: those of P patients drawn from P."""
  check_draws(resamples=resamples, seed=seed)
  owner = np.unique(patients, return_inverse=True)[1]
  number = int(owner.max()) + 1 if len(owner) else 0
  generator = np.random.Generator(np.random.Philox([seed, number]))
  rows = np.split(np.argsort(owner, kind='stable'), np.cumsum(np.bincount(owner, minlength=number))[:-1])
  for _ in range(resamples):
    yield np.concatenate([rows[each] for each in generator.integers(number, size=number)]) if number else np.zeros(0, int)
