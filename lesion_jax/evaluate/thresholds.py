"""What a bundle ships beside its weights, from the counts of a validation split: thresholds, a rule, temperatures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from lesion_jax import metrics
from lesion_jax.core import LESION_KEYS, NUM_LESIONS, UNKNOWN_GRADE, lesion_index
from lesion_jax.evaluate.half import HALF
from lesion_jax.evaluate.healthy import healthy_eyes
from lesion_jax.evaluate.referral import operating_point
from lesion_jax.evaluate.scale import by_grade
from lesion_jax.evaluate.totals import HISTOGRAMS, REFERABLE
from lesion_jax.metrics.presence import MAXIMUM, TOP

SPECIFICITY = 0.95
SENSITIVITY = 0.95  # for photographs graded DR2 and above, of any lesion


def choose(
    counts: Mapping[str, np.ndarray], scored: Iterable[str], *, specificity: float = SPECIFICITY,
    sick: np.ndarray | None = None,
) -> dict[str, Any]:
  """Thresholds, the rule for presence and temperatures, all of one validation split.

  Everything is said in the network's own probabilities: thresholds and presence scores are never tempered, and a
  temperature changes nothing but the probabilities that are shown to people.

  - `thresholds`: of pixels, by lesion, that of the largest F1 over the split (`metrics.best_f1_threshold`).
  - `presence`: on the mean of the most probable pixels. Negatives of a lesion are the photographs whose annotation has
    none of it, and healthy eyes: those graded DR0, none of whose annotated lesions is there; where no photograph is graded
    DR0, those annotated with none of the scored lesions. Each threshold leaves 1 - specificity of its negatives above it,
    and all are raised together until no more than 1 - specificity of the healthy eyes have any lesion
    (`metrics.joint_ranks`). Where photographs are graded DR2 and above, all are then raised by half of what would leave
    SENSITIVITY of these with any lesion (`metrics.widest_margin`): into the middle between the healthy and the sick, for
    a dozen healthy eyes say little of the next (our choice).
  - `temperatures`: one a lesion, of its pixels (of a classifier, of its probabilities), and one for the grades.
  - `cut_points`: of the expected grade, those of the largest accuracy (`metrics.cut_points`). They are reported beside the
    most probable grade, which is what is predicted.

  Where there is no negative of any lesion, nothing says how much a healthy eye scores: the rule stays Eq. 1, the most
  probable pixel from 0.5 on, and says that it has no negatives. A lesion alone without negatives, or without a positive
  pixel, keeps 0.5.

  Args:
    counts: of `image_counts`, with the summed histogram for a network that makes maps.
    scored: keys of the lesions that are evaluated on the split.
    specificity: above 0 and below 1.
    sick: presence scores, float [M, 8], of more photographs graded DR2 and above, from which nothing was learned: they
      count with those of the split.

  Returns:
    For config.json, with those of the keys for which there is something: 'thresholds' {key: float}; 'presence' {'rule',
    'thresholds' {key: float}, 'specificity', 'negatives' {key: int}, 'healthy': int, 'promised' {key: float}, 'validation':
    {'specificity' {key: float}, 'sensitivity' {key: float | None}, 'healthy_clean', 'referable_called': float | None},
    'referable': int, 'margin': float, in log odds}, where promised is the
    specificity that so few negatives can promise on a further photograph; 'temperatures' {'lesions': {key: float},
    'grades': float}; 'cut_points', four floats; 'referral' of `operating_point`, which is reported beside the most
    probable grade too.

  Raises:
    ValueError: for another specificity, or a key that is no lesion.
  """
  scored = tuple(LESION_KEYS[index] for index in sorted({lesion_index(key) for key in scored}))
  found: dict[str, Any] = {}
  if scored and 'histogram' in counts:
    found['thresholds'] = dict.fromkeys(LESION_KEYS, HALF) | {
        key: best for key in scored
        if (best := metrics.best_f1_threshold(counts['histogram'][:, LESION_KEYS.index(key)])) is not None}
  if scored and 'presence_scores' in counts:
    found['presence'] = _presence(counts, scored, specificity, sick)
  if temperatures := _temperatures(counts, scored):
    found['temperatures'] = temperatures
  if 'grade_probabilities' in counts and 'grade' in counts:
    points = metrics.cut_points(metrics.expected_grade(counts['grade_probabilities']), counts['grade'])
    found |= {'cut_points': points} if points else {}
    point = operating_point(counts)
    found |= {'referral': point} if point else {}
  return found


def tempered(counts: Mapping[str, np.ndarray], temperatures: Mapping[str, Any]) -> dict[str, np.ndarray]:
  """Returns the counts of `image_counts` with the probabilities that a bundle's temperatures make of them.

  The histogram of pixels moves bin by bin, so metrics of it are off by half a bin more. Histograms of single images are
  left out.
  """
  lesions, found = _by_lesion(temperatures), {name: value for name, value in counts.items() if name != HISTOGRAMS}
  if 'lesion_probabilities' in found:
    found['lesion_probabilities'] = metrics.temper(found['lesion_probabilities'], lesions)
  if 'histogram' in found:
    found['histogram'] = np.stack([metrics.temper_histogram(found['histogram'][:, j], lesions[j])
                                   for j in range(NUM_LESIONS)], axis=1)
  if 'grade_probabilities' in found:
    found['grade_probabilities'] = metrics.temper_classes(found['grade_probabilities'], temperatures.get('grades', 1.0))
  return found


def _by_lesion(temperatures: Mapping[str, Any]) -> np.ndarray:
  return np.array([temperatures.get('lesions', {}).get(key, 1.0) for key in LESION_KEYS])


def _presence(
    counts: Mapping[str, np.ndarray], scored: tuple[str, ...], specificity: float, more: np.ndarray | None,
) -> dict[str, Any]:
  columns = [LESION_KEYS.index(key) for key in scored]
  scores, healthy = counts['presence_scores'][:, columns], healthy_eyes(counts, scored)
  tp, fp, fn, tn = (counts[f'image_{kind}'][:, columns] > 0 for kind in ('tp', 'fp', 'fn', 'tn'))
  positive = tp | fn
  negative = fp | tn | (healthy[:, None] & ~positive)
  clean = [scores[negative[:, j], j] for j in range(len(scored))]
  ranks = metrics.joint_ranks(clean, scores[healthy], specificity)
  quantiles = [metrics.clean_threshold(each, specificity, least_rank=rank)
               for each, rank in zip(clean, ranks, strict=True)]
  negatives = dict(zip(scored, map(len, clean), strict=True))
  about = {'specificity': specificity, 'negatives': negatives, 'healthy': int(healthy.sum())}
  if not any(negatives.values()):
    return {'rule': MAXIMUM, 'thresholds': dict.fromkeys(LESION_KEYS, HALF)} | about
  thresholds = dict.fromkeys(LESION_KEYS, HALF) | {
      key: found.threshold for key, found in zip(scored, quantiles, strict=True) if found}
  sick = np.concatenate([scores[by_grade(counts, REFERABLE) == 1], *([] if more is None else [more[:, columns]])])
  evaluated = [j for j, found in enumerate(quantiles) if found]
  margin = metrics.widest_margin(sick[:, evaluated], [thresholds[scored[j]] for j in evaluated], SENSITIVITY) / 2
  thresholds |= {scored[j]: metrics.raised(thresholds[scored[j]], margin) for j in evaluated}
  limits = np.array([thresholds[key] for key in scored])
  called = scores > limits
  share = lambda calls: float(np.mean(calls)) if len(calls) else None
  return {'rule': TOP, 'thresholds': thresholds} | about | {
      'referable': len(sick), 'margin': margin,
      'promised': {key: found.promised for key, found in zip(scored, quantiles, strict=True) if found},
      'validation': {
          'specificity': {key: share(~called[negative[:, j], j]) for j, key in enumerate(scored)},
          'sensitivity': {key: share(called[positive[:, j], j]) for j, key in enumerate(scored)},
          'healthy_clean': share(~called[healthy].any(axis=1)),
          'referable_called': share((sick > limits).any(axis=1)),
      }}


def _temperatures(counts: Mapping[str, np.ndarray], scored: tuple[str, ...]) -> dict[str, Any]:
  lesions = {}
  for key in scored:
    j = LESION_KEYS.index(key)
    if 'histogram' in counts:
      lesions[key] = metrics.histogram_temperature(counts['histogram'][:, j])
    elif 'lesion_probabilities' in counts:
      tp, fp, fn, tn = (counts[f'image_{kind}'][:, j] for kind in ('tp', 'fp', 'fn', 'tn'))
      lesions[key] = metrics.binary_temperature(counts['lesion_probabilities'][:, j], fp + tn, tp + fn)
  found: dict[str, Any] = {'lesions': {key: value for key, value in lesions.items() if value is not None}}
  if 'grade_probabilities' in counts:
    truth = counts.get('grade', np.full(len(counts['grade_probabilities']), UNKNOWN_GRADE))
    found['grades'] = metrics.class_temperature(counts['grade_probabilities'], truth)
  return {name: value for name, value in found.items() if value not in ({}, None)}
