"""What grades tell where the data are graded on a coarser scale than DR0 to DR4.

A photograph keeps the lowest grade that it can be. Whatever the scale does not tell of all photographs is unknown of each
of them, already in the counts: of 'three', which has DR1 to DR3 as one, those that are surely referable are all DR4, and say
nothing of the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from lesion_jax.core import REFERABLE_GRADE, UNKNOWN_GRADE
from lesion_jax.evaluate.totals import HEALTHY, REFERABLE, Counts

UNKNOWN = -1


def on_scale(counts: Mapping[str, np.ndarray], scales: Iterable[tuple[Mapping[str, Any], slice]]) -> Counts:
  """Returns counts in which a grade is known for no use for which its scale is too coarse.

  Args:
    counts: of `image_counts`.
    scales: as `data.scales.Scale.describe` says them, each with the images that are graded on it.

  Returns:
    The counts as they are where all scales have five steps. Else 'grade' is UNKNOWN_GRADE and 'confusion' 0 of images on the
    others, and 'healthy' and 'referable', int64 [N], of all images, say what `by_grade` returns.
  """
  coarse = [(scale, rows) for scale, rows in scales if not scale['steps']]
  if not coarse or 'grade' not in counts:
    return dict(counts)
  names = [name for name in ('grade', 'confusion') if name in counts]
  found = dict(counts) | {name: np.array(counts[name]) for name in names} | {
      name: np.array(by_grade(counts, name)) for name in (HEALTHY, REFERABLE)}
  for scale, rows in coarse:
    for name in names:
      found[name][rows] = UNKNOWN_GRADE if name == 'grade' else 0
    for name in (HEALTHY, REFERABLE):
      if not scale[name]:
        found[name][rows] = UNKNOWN
  return found


def by_grade(counts: Mapping[str, np.ndarray], name: str) -> np.ndarray:
  """Returns whether the grade says of each image that it is HEALTHY, DR0, or REFERABLE, DR2 or above: int64 [N], 1 yes,
  0 no, UNKNOWN.

  Args:
    counts: of `image_counts` or `on_scale`; without grades all is unknown.
    name: HEALTHY or REFERABLE.
  """
  if name in counts:
    return counts[name]
  if 'grade' not in counts:
    return np.full(len(counts['presence_scores']), UNKNOWN)
  grade = counts['grade']
  return np.where(grade == UNKNOWN_GRADE, UNKNOWN, grade == 0 if name == HEALTHY else grade >= REFERABLE_GRADE)


def fit_scale(report: Mapping[str, Any], scale: Mapping[str, Any]) -> dict[str, Any]:
  """Returns a report of counts `on_scale` that says why it has neither kappa nor accuracy.

  Args:
    report: of `full_report`.
    scale: as `data.scales.Scale.describe` says it.

  Returns:
    The report as it is where the scale has all five steps, or nothing was graded. Else kappa, accuracy and the calibration of
    grades have the reason, there is no 'confusion', and 'referable' is that of 'referral', with 'auc', where the scale tells it.
  """
  if scale['steps'] or 'kappa' not in report:
    return dict(report)
  reason = f'the data are graded on the scale {scale["name"]}, which has not five steps'
  none, found = {'value': None, 'reason': reason}, report.get('referral', {})
  referable = {name: {key: found[name][key] for key in none} for name in ('sensitivity', 'specificity', 'auc')} if found else {
      'sensitivity': none, 'specificity': none}
  result = {key: value for key, value in report.items() if key != 'confusion'}
  result |= {'scale': scale['name'], 'kappa': none, 'accuracy': none, 'referable': referable}
  for part in ('calibration', 'tempered'):
    if 'grade' in result.get(part, {}):
      result[part] = result[part] | {'grade': {'ece': None, 'brier': None, 'reason': reason}}
  return result
