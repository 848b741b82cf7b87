"""F1 and IoU of lesions from summed counts, on the host, ready for JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from lesion_jax.core import LESION_KEYS, lesion_index

NOT_ANNOTATED = 'not annotated'
NOT_LEARNED = 'not learned'
NO_POSITIVE = 'no positive in the ground truth and none predicted'
FALSE_ALARMS = 'no positive in the ground truth, yet some predicted'


def f1(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray) -> np.ndarray:
  """Computes 2TP / (2TP + FP + FN), the harmonic mean of precision and recall.

  Args:
    tp, fp, fn: int [...], counts over a whole set.

  Returns:
    float64 [...], NaN where there is no positive in the ground truth and none predicted: neither right nor wrong.
  """
  tp, fp, fn = (np.asarray(count, np.int64) for count in (tp, fp, fn))
  whole = 2 * tp + fp + fn
  return np.divide(2.0 * tp, whole, out=np.full(whole.shape, np.nan), where=whole > 0)


def iou(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray) -> np.ndarray:
  """Computes TP / (TP + FP + FN), the intersection over the union; F1 / (2 - F1), so it orders networks as F1 does.

  Args:
    tp, fp, fn: int [...], counts over a whole set.

  Returns:
    float64 [...], NaN where there is no positive in the ground truth and none predicted.
  """
  tp, fp, fn = (np.asarray(count, np.int64) for count in (tp, fp, fn))
  union = tp + fp + fn
  return np.divide(tp, union, out=np.full(union.shape, np.nan), where=union > 0)


def in_truth(
    score: Callable[..., np.ndarray], tp: np.ndarray, fp: np.ndarray, fn: np.ndarray) -> np.ndarray:
  """Returns `score`, which is `f1` or `iou`, where the ground truth has a positive, NaN where it has none: whether it
  is defined depends on the ground truth alone."""
  return np.where(np.asarray(tp) + np.asarray(fn) > 0, score(tp, fp, fn), np.nan)


def mean_defined(values: np.ndarray) -> float | None:
  """Computes the mean of what is not NaN, or None where everything is."""
  values = np.asarray(values, np.float64)
  defined = values[~np.isnan(values)]
  return float(defined.mean()) if defined.size else None


def summarize(counts: Mapping[str, np.ndarray], annotated: Iterable[str]) -> dict[str, dict[str, Any]]:
  """Computes pixel F1 and IoU and image F1 per lesion, and the means over the annotated lesions that occur in the
  ground truth.

  Which lesions those are depends on the set alone, so the means of two networks are of the same lesions. (Were a lesion
  that nobody has in the mean as soon as one pixel is called positive, with an F1 of 0, a single false alarm could take
  an eighth of it.) A lesion without a positive in the ground truth has no F1, and the reason says whether it was predicted.

  Args:
    counts: the counts of `segmentation_counts`, int [8] each, summed over the set. Pixel counts may be absent.
    annotated: keys of the lesions that the set annotates.

  Returns:
    {'pixel_f1': {'mean': float | None, 'lesions': {key: float | None}, 'undefined': {key: reason}}, 'pixel_iou': ...,
    'image_f1': ...}; 'undefined' names exactly the lesions that are None, with NOT_ANNOTATED, NO_POSITIVE or FALSE_ALARMS.

  Raises:
    ValueError: for a key that is no lesion.
  """
  indices = {lesion_index(key) for key in annotated}
  report = {}
  for level, name, score in (('pixel', 'f1', f1), ('pixel', 'iou', iou), ('image', 'f1', f1)):
    if f'{level}_tp' not in counts:
      continue
    scores = in_truth(score, *(counts[f'{level}_{kind}'] for kind in ('tp', 'fp', 'fn')))
    scores = np.where([i in indices for i in range(len(LESION_KEYS))], scores, np.nan)
    lesions = {key: None if np.isnan(score) else float(score) for key, score in zip(LESION_KEYS, scores, strict=True)}
    undefined = {
        key: NOT_ANNOTATED if i not in indices else FALSE_ALARMS if counts[f'{level}_fp'][i] else NO_POSITIVE
        for i, key in enumerate(LESION_KEYS)
        if lesions[key] is None
    }
    report[f'{level}_{name}'] = {'mean': mean_defined(scores), 'lesions': lesions, 'undefined': undefined}
  return report
