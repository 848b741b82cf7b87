"""How well the risk of macular edema is told, on the host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lesion_jax import metrics
from lesion_jax.core import EDEMA, NUM_GRADES
from lesion_jax.evaluate.bootstrap import RESAMPLES, SEED, resampled_sums
from lesion_jax.evaluate.interval import LEVEL, percentiles

STEPS = len(EDEMA)


def edema_report(
    truth: Sequence[int], told: Sequence[int | None], patient: Sequence[str] | None = None, *,
    grades: tuple[Sequence[int], Sequence[int | None]] | None = None, resamples: int = RESAMPLES, seed: int = SEED,
) -> dict[str, Any]:
  """Accuracy, kappa and confusion, with intervals by patient.

  A photograph of which the risk cannot be told is not right, and stands in a column of its own; kappa, which needs a step for it,
  counts it as the step that is farthest from the truth (our choice, so that saying nothing never pays).

  Args:
    truth: 0..2, of each photograph.
    told: 0..2, or None where it cannot be told.
    patient: whose each is; None: each its own.
    grades: (truth, predicted) DR grades of the same photographs, 0..4 (a predicted one that is None is not right), for the joint
      accuracy, IDRiD's sub-challenge 2 (P. Porwal et al., Medical Image Analysis 59, 2020): both right.
    resamples, seed: of the bootstrap.

  Returns:
    Ready for JSON: 'photographs', 'patients' (None where nobody says), 'confusion' [3][3], rows the truth, 'untold' [3], how many of
    each step cannot be told, 'accuracy' and 'kappa' (quadratic weights) and, with grades, 'joint', each {'value', 'interval'}.

  Raises:
    ValueError: there is no photograph, lengths differ, or a truth is none of 0..2 (of grades, 0..4), or what is told neither that nor None.
  """
  truth = np.asarray(truth)
  if (not len(truth) or len(told) != len(truth) or not np.isin(truth, range(STEPS)).all()
      or any(each is not None and each not in range(STEPS) for each in told)):
    raise ValueError(f'{len(truth)} risks, of which {len(told)} are told: there must be a photograph, and for each the risk 0..{STEPS - 1}, '
                     'or None where it is not told')
  given = np.array([STEPS if each is None else each for each in told])
  rows = np.zeros((len(truth), STEPS, STEPS + 1))
  rows[np.arange(len(truth)), truth, given] = 1
  columns = [rows.reshape(len(truth), -1)]
  if grades is not None:
    if any(len(each) != len(truth) for each in grades) or not np.isin(grades[0], range(NUM_GRADES)).all():
      raise ValueError(f'{len(grades[0])} grades, of which {len(grades[1])} are told: there must be one of 0..{NUM_GRADES - 1} for each of '
                       f'{len(truth)} photographs')
    both = (truth == given) & [one == other for one, other in zip(*grades, strict=True)]
    columns.append(both[:, None].astype(float))
  whole = np.concatenate(columns, axis=1)
  drawn = resampled_sums(whole, None if patient is None else np.asarray(patient), resamples=resamples, seed=seed)
  sums = np.concatenate([whole.sum(axis=0, keepdims=True), drawn])  # as it is, then the resamples
  tables = sums[:, :STEPS * (STEPS + 1)].reshape(-1, STEPS, STEPS + 1).astype(np.int64)
  right, confusion = np.trace(tables, axis1=1, axis2=2), tables[0]
  found: dict[str, Any] = {
      'photographs': len(truth), 'patients': None if patient is None else len(set(patient)),
      'confusion': confusion[:, :STEPS].tolist(), 'untold': confusion[:, STEPS].tolist(), 'level': LEVEL, 'resamples': resamples,
      'accuracy': _with_interval(right / tables.sum(axis=(1, 2))), 'kappa': _with_interval(_kappas(tables))}
  if grades is not None:
    found['joint'] = _with_interval(sums[:, -1] / tables.sum(axis=(1, 2)))
  return found


def _kappas(tables: np.ndarray) -> np.ndarray:
  """Of tables [R, 3, 4], float64 [R], NaN where it is undefined."""
  squares = tables[:, :, :STEPS].copy()
  for step in range(STEPS):
    squares[:, step, 0 if 2 * step > STEPS - 1 else STEPS - 1] += tables[:, step, STEPS]
  return np.array([metrics.quadratic_weighted_kappa(square).value for square in squares], float)


def _with_interval(values: np.ndarray) -> dict[str, Any]:
  """Of a figure as it is and then of each resample, [1 + R]."""
  return {'value': None if np.isnan(values[0]) else float(values[0]), 'interval': percentiles(values[1:])}


def edema_rows(found: Mapping[str, Any]) -> list[list[str]]:
  """The confusion as a table of text, its header first; rows are the truth."""
  header = ['risk', *map(str, range(STEPS)), 'cannot be told']
  return [header, *([str(step), *map(str, row), str(found['untold'][step])] for step, row in enumerate(found['confusion']))]
