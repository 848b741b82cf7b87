"""Counts to a report that is ready for JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from lesion_jax import metrics
from lesion_jax.core import LESION_KEYS
from lesion_jax.evaluate.totals import Counts
from lesion_jax.metrics.summary import NOT_ANNOTATED


class Evaluation(NamedTuple):
  """What evaluating a network on a split gives.

  Attributes:
    report: of `report`, ready for JSON; with 'intervals' (of `bootstrap.intervals`) where they were asked for.
    counts: of `image_counts`, from which other figures, and differences between networks, can be computed.
  """

  report: dict[str, Any]
  counts: Counts


def report(counts: Mapping[str, np.ndarray], annotated: Iterable[str]) -> dict[str, Any]:
  """The paper's figures, and AUPR, from the counts of a whole split.

  Args:
    counts: of `totals`.
    annotated: keys of the lesions that the data set annotates; the others are reported as NOT_ANNOTATED.

  Returns:
    A JSON object with those of the keys that the network computes: pixel_f1, image_f1 (see `metrics.summarize`),
    positive_images (how many images have each annotated lesion), positive_pixels (how many scored pixels of all images
    have it; over the positive images, the average size of the lesion), aupr and aupr_11 (in the form of the F1), kappa,
    accuracy, referable (sensitivity and specificity), confusion (rows are the truth). A figure without a value is None,
    with the reason beside it.
  """
  annotated = tuple(annotated)
  result: dict[str, Any] = {}
  if 'image_tp' in counts:
    result |= metrics.summarize(counts, annotated)
    result['positive_images'] = _positive(counts, 'image', annotated)
  if 'pixel_tp' in counts:
    result['positive_pixels'] = _positive(counts, 'pixel', annotated)
  if 'histogram' in counts:
    result['aupr'], result['aupr_11'] = _aupr(counts['histogram'], annotated)
  if 'confusion' in counts:
    result |= _grading(counts['confusion'])
  return result


def headline(result: Mapping[str, Any]) -> dict[str, float | None]:
  """The three figures of the paper's Table IV, and mean AUPR: those of them that are in a report."""
  means = {f'mean_{key}': result[key]['mean'] for key in ('pixel_f1', 'image_f1', 'aupr') if key in result}
  return means | ({'kappa': result['kappa']['value']} if 'kappa' in result else {})


def criterion(result: Mapping[str, Any], name: str) -> float | None:
  """The figure by which models are compared, larger is better; None where it is undefined.

  For lesions the mean F1 of those that occur in the truth, a set that does not depend on the model. (A reported mean is
  of all that are defined: a single false alarm for a lesion that nobody has would move it.)

  Args:
    result: a report.
    name: 'pixel_f1', 'image_f1' or 'kappa'.
  """
  if name == 'kappa':
    return result['kappa']['value']
  found = [result[name]['lesions'][key] for key, images in result['positive_images'].items() if images]
  return metrics.mean_defined(np.array(found, float))


def _positive(counts: Mapping[str, np.ndarray], level: str, annotated: tuple[str, ...]) -> dict[str, int]:
  positive = np.asarray(counts[f'{level}_tp']) + np.asarray(counts[f'{level}_fn'])
  return {key: int(positive[j]) for j, key in enumerate(LESION_KEYS) if key in annotated}


def _aupr(histogram: np.ndarray, annotated: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
  exact: dict[str, Any] = {'lesions': {}, 'bounds': {}, 'undefined': {}}
  coarse: dict[str, Any] = {'lesions': {}, 'undefined': {}}
  for j, key in enumerate(LESION_KEYS):
    found = metrics.average_precision(histogram[:, j]) if key in annotated else None
    exact['lesions'][key] = None if found is None else found.value
    coarse['lesions'][key] = None if found is None else metrics.average_precision_11(histogram[:, j])
    if found is None:
      exact['undefined'][key] = coarse['undefined'][key] = \
          'no positive in the truth' if key in annotated else NOT_ANNOTATED
    else:
      exact['bounds'][key] = [found.lower, found.upper]
  for result in (exact, coarse):
    values = [np.nan if value is None else value for value in result['lesions'].values()]
    result['mean'] = metrics.mean_defined(np.array(values))
  return exact, coarse


def _grading(confusion: np.ndarray) -> dict[str, Any]:
  referable = metrics.referable(confusion)
  return {
      'kappa': metrics.quadratic_weighted_kappa(confusion)._asdict(),
      'accuracy': metrics.accuracy(confusion)._asdict(),
      'referable': {'sensitivity': referable.sensitivity._asdict(), 'specificity': referable.specificity._asdict()},
      'confusion': confusion.tolist(),
  }
