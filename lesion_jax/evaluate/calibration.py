"""How far the probabilities of a network can be taken at their word on a held-out split, ready for JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from lesion_jax import metrics
from lesion_jax.core import LESION_KEYS, UNKNOWN_GRADE
from lesion_jax.metrics.kappa import NO_GRADE
from lesion_jax.metrics.summary import NOT_ANNOTATED

# A calibration ready for JSON, or None and the reason.
ResultOrReason = tuple[dict[str, Any] | None, str | None]

NO_PIXEL = 'no pixel is scored'
NO_IMAGE = 'no image is scored'
NOT_FINITE = 'the network outputs something that is not a number'


def calibration(counts: Mapping[str, np.ndarray], scored: Iterable[str]) -> dict[str, Any]:
  """Computes the calibration of pixels, of the presence of lesions in images, and of grades; see `metrics.calibration`.

  An image's probability of a lesion is that of its most probable scored pixel, as its F1 has it (Eq. 1), or what a
  classifier says; an image without a scored pixel for a lesion does not count for it.

  Args:
    counts: of `image_counts`, or as the file of counts holds them (without the calibration of pixels then).
    scored: keys of the lesions that are evaluated; the others are NOT_ANNOTATED.

  Returns:
    A JSON object with those of the keys that the network computes: 'pixel' and 'image', each {'lesions': {key:
    calibration | None}, 'undefined': {key: reason}, 'mean': {'ece', 'brier'} over the lesions for which they are
    defined, 'pooled': the calibration of all scored lesions together}; and 'grade', that of the most probable grade. A
    calibration is {'ece', 'ece_error', 'brier', 'brier_error', 'reliability': {'count', 'confidence', 'frequency'}}
    with lists over the bins, None where a bin is empty; 'pooled' and 'grade' are {'ece': None, 'brier': None, 'reason'}
    where there is none.
  """
  scored = tuple(scored)
  columns = [LESION_KEYS.index(key) for key in scored]
  result: dict[str, Any] = {}
  if 'histogram' in counts:
    histogram = counts['histogram'][:, columns]
    result['pixel'] = _lesions({key: _pixels(histogram[:, [j]]) for j, key in enumerate(scored)}, _pixels(histogram))
  if 'lesion_probabilities' in counts:
    result['image'] = _lesions({key: _images(counts, [j]) for j, key in zip(columns, scored, strict=True)},
                               _images(counts, columns))
  if 'grade_probabilities' in counts:
    result['grade'] = _or_reason(*_grades(counts))
  return result


def _pixels(histogram: np.ndarray) -> ResultOrReason:
  """Of the lesions of a histogram [2, L, bins], taken together."""
  return _describe(metrics.histogram_calibration(histogram.sum(axis=1)), NO_PIXEL)


def _images(counts: Mapping[str, np.ndarray], lesions: list[int]) -> ResultOrReason:
  """Of the presence of lesions in the images that count for them, taken together."""
  tp, fp, fn, tn = (counts[f'image_{kind}'][:, lesions] for kind in ('tp', 'fp', 'fn', 'tn'))
  counted, present = tp + fp + fn + tn > 0, tp + fn > 0
  probabilities = counts['lesion_probabilities'][:, lesions][counted]
  if not np.isfinite(probabilities).all():
    return None, NOT_FINITE
  return _describe(metrics.binary_calibration(probabilities, present[counted]), NO_IMAGE)


def _grades(counts: Mapping[str, np.ndarray]) -> ResultOrReason:
  confusion, probabilities = counts['confusion'], counts['grade_probabilities']
  if not np.isfinite(probabilities).all():
    return None, NOT_FINITE
  truth = np.where(confusion.any(axis=(1, 2)), confusion.sum(axis=2).argmax(axis=1), UNKNOWN_GRADE)
  return _describe(metrics.top_label_calibration(probabilities, truth), NO_GRADE)


def _lesions(found: Mapping[str, ResultOrReason], pooled: ResultOrReason) -> dict[str, Any]:
  """Calibrations, or the reasons why there are none, of the scored lesions; the others are NOT_ANNOTATED."""
  found = {key: found.get(key, (None, NOT_ANNOTATED)) for key in LESION_KEYS}
  defined = [one for one, _ in found.values() if one]
  mean = {name: metrics.mean_defined(np.array([one[name] for one in defined])) for name in ('ece', 'brier')}
  return {'mean': mean, 'pooled': _or_reason(*pooled),
          'lesions': {key: one for key, (one, _) in found.items()},
          'undefined': {key: reason for key, (one, reason) in found.items() if one is None}}


def _or_reason(found: dict[str, Any] | None, reason: str | None) -> dict[str, Any]:
  return found or {'ece': None, 'brier': None, 'reason': reason}


def _describe(found: metrics.Calibration | None, reason: str) -> ResultOrReason:
  """(the calibration ready for JSON, None), or (None, why there is none)."""
  if found is None:
    return None, reason
  curve = {'count': found.count.tolist()} | {
      name: [None if np.isnan(each) else float(each) for each in getattr(found, name)]
      for name in ('confidence', 'frequency')}
  return {'ece': found.ece, 'ece_error': found.ece_error, 'brier': found.brier, 'brier_error': found.brier_error,
          'reliability': curve}, None
