"""What a report can say where the data are graded on a coarser scale than DR0 to DR4."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.stats import rankdata

from lesion_jax.core import REFERABLE_GRADE

ONE_SIDE = 'no image is referable, or all are'


def fit_scale(report: Mapping[str, Any], counts: Mapping[str, np.ndarray], scale: Mapping[str, Any]) -> dict[str, Any]:
  """Returns a report without the metrics that the scale of the grades cannot give, and with the area under the ROC
  curve of referable DR, where it tells that.

  Args:
    report: of `full_report`.
    counts: of `image_counts`, from which it is.
    scale: as `data.scales.Scale.describe` says it.

  Returns:
    The report as it is where the scale has all five steps. Else kappa, accuracy and the calibration of grades have None and
    a reason, and there is no 'confusion' and nothing 'at_cut_points'; likewise 'referable' where the scale does not tell that, which else has 'auc', and 'referral'; and
    there is no 'healthy' where it does not tell DR0.
  """
  if scale['steps']:
    return dict(report)
  result = {key: value for key, value in report.items()
            if key not in ('confusion', 'at_cut_points') and (key != 'healthy' or scale['healthy'])
            and (key != 'referral' or scale['referable'])}
  reason = f'the data are graded on the scale {scale["name"]}, which has not five steps'
  none = {'value': None, 'reason': reason}
  if 'kappa' in result:
    result |= {'scale': scale['name'], 'kappa': none, 'accuracy': none}
    result['referable'] = {**result['referable'], 'auc': _auc(counts)} if scale['referable'] else {
        'sensitivity': none, 'specificity': none}
  if 'intervals' in result:
    result['intervals'] = result['intervals'] | {key: None for key in ('kappa', 'accuracy') if key in result['intervals']}
  for part in ('calibration', 'tempered'):
    if 'grade' in result.get(part, {}):
      result[part] = result[part] | {'grade': {'ece': None, 'brier': None, 'reason': reason}}
  return result


def _auc(counts: Mapping[str, np.ndarray]) -> dict[str, Any]:
  """Of the probability of DR2 or above, ties counted half (Hanley and McNeil, 1982)."""
  confusion, probabilities = counts['confusion'], counts['grade_probabilities']
  known = confusion.any(axis=(1, 2))
  truth = confusion[known].sum(axis=2).argmax(axis=1) >= REFERABLE_GRADE
  score = probabilities[known, REFERABLE_GRADE:].astype(np.float64).sum(axis=1)
  positive, negative = int(truth.sum()), int((~truth).sum())
  if not positive or not negative:
    return {'value': None, 'reason': ONE_SIDE}
  above = rankdata(score)[truth].sum() - positive * (positive + 1) / 2
  return {'value': float(above / (positive * negative)), 'reason': None}
