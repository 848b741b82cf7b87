"""Counts to a report that is ready for JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from lesion_jax import metrics
from lesion_jax.core import LESION_KEYS, UNKNOWN_GRADE, lesion_index
from lesion_jax.evaluate.bootstrap import RESAMPLES, SEED, bootstrap, intervals, patients
from lesion_jax.evaluate.calibration import calibration
from lesion_jax.evaluate.healthy import evaluate_healthy, evaluate_images
from lesion_jax.evaluate.referral import at_cut_points, referral
from lesion_jax.evaluate.scale import UNKNOWN, by_grade, fit_scale
from lesion_jax.evaluate.thresholds import tempered
from lesion_jax.evaluate.totals import REFERABLE, Counts, totals
from lesion_jax.metrics.presence import PAPER_RULE, Rule
from lesion_jax.metrics.summary import NOT_ANNOTATED, NOT_LEARNED

RECALLS = tuple(step / 100 for step in range(101))  # at which a report tells precision
DIGITS = 5  # of it


class Evaluation(NamedTuple):
  """What evaluating a network on a split gives.

  Attributes:
    report: of `report` or `full_report`, ready for JSON.
    counts: of `image_counts`, from which other metrics, and differences between networks, can be computed.
  """

  report: dict[str, Any]
  counts: Counts


def full_report(
    counts: Mapping[str, np.ndarray], annotated: Iterable[str], learned: Iterable[str] = LESION_KEYS, *,
    resamples: int = RESAMPLES, seed: int = SEED, rule: Rule = PAPER_RULE,
    temperatures: Mapping[str, Any] | None = None, cut_points: Sequence[float] | None = None,
    scale: Mapping[str, Any] | None = None, operating_point: float | None = None,
) -> dict[str, Any]:
  """Returns what is said of a held-out split: `report`, with 'intervals', 'calibration', where lesions are found
  'presence' and 'healthy', and where photographs are graded 'referral'.

  Args:
    counts: of `image_counts`; with the histograms of the single images the AUPR has an interval too.
    annotated: as of `report`.
    learned: likewise.
    resamples: of `bootstrap`.
    seed: likewise.
    rule: by which lesions are called present, see `evaluate_images`.
    temperatures: of the bundle; the calibration is then told once more of tempered probabilities, as 'tempered'.
    cut_points: of the bundle; the metrics at them are then told as 'at_cut_points', see `at_cut_points`.
    scale: of the grades of the data, where the counts are `on_scale`, see `fit_scale`; None: DR0 to DR4.
    operating_point: of the bundle, see `referral`.

  Returns:
    The report, ready for JSON. intervals['patients'] is how many patients were drawn from; None: images were.
    'precision_recall' has 'recall', RECALLS, and of each lesion that is scored the 'precision' of pixels there, None where
    no image has it, and its 'prevalence', the share of pixels that have it. 'presence' is of `evaluate_images`, 'healthy'
    of `evaluate_healthy`: of all lesions that the network learned where
    the data annotate none, as a grade says too that an eye is healthy.
  """
  annotated, learned = tuple(annotated), tuple(learned)
  scored = scored_lesions(annotated, learned)
  told = {'calibration': calibration(counts, scored)}
  if temperatures:
    told['tempered'] = calibration(tempered(counts, temperatures), scored)
  for found in told.values():
    _mark_unlearned(found.values(), annotated, learned)
  if 'presence_scores' in counts:
    if scored:
      told['presence'] = evaluate_images(counts, scored, rule, resamples=resamples, seed=seed)
      _mark_unlearned(told['presence']['figures'].values(), annotated, learned)
      _mark_unlearned(told['presence']['maximum'].values(), annotated, learned)
    if looked_at := scored or scored_lesions(LESION_KEYS, learned):
      told['healthy'] = evaluate_healthy(counts, looked_at, rule, resamples=resamples, seed=seed)
  if 'grade_probabilities' in counts and 'grade' in counts:
    if np.any(by_grade(counts, REFERABLE) != UNKNOWN):
      told['referral'] = referral(counts, resamples=resamples, seed=seed, threshold=operating_point)
    if cut_points and np.any(counts['grade'] != UNKNOWN_GRADE):
      told['at_cut_points'] = at_cut_points(counts, cut_points, resamples=resamples, seed=seed)
  pooled = totals(counts)
  if 'histogram' in pooled and scored:
    told['precision_recall'] = _curves(pooled['histogram'], scored)
  whole = report(pooled, annotated, learned) | {
      'intervals': intervals(bootstrap(counts, scored, resamples=resamples, seed=seed)) | {'patients': patients(counts)},
  } | told
  return fit_scale(whole, scale) if scale else whole


def report(
    counts: Mapping[str, np.ndarray], annotated: Iterable[str], learned: Iterable[str] = LESION_KEYS
) -> dict[str, Any]:
  """Returns the paper's metrics, and AUPR, from the counts of a whole split.

  Args:
    counts: of `totals`.
    annotated: keys of the lesions that the data set annotates; the others are reported as NOT_ANNOTATED.
    learned: keys of the lesions that the network learned; others that are annotated are reported as NOT_LEARNED.

  Returns:
    A JSON object with those of the keys that the network computes: pixel_f1, pixel_iou, image_f1 (see
    `metrics.summarize`),
    positive_images (how many images have each lesion that is scored), positive_pixels (how many scored pixels of all
    images have it; over the positive images, the average size of the lesion), undecided_images (how many images are left
    out of a lesion's image metrics because all that may show it is ignored, see `core.Targets.evaluated`), aupr and
    aupr_11 (in the form of the F1), kappa, accuracy, referable (sensitivity and specificity), confusion (rows are the
    ground truth). A metric without a value is None, with the reason beside it.
  """
  annotated, learned = tuple(annotated), tuple(learned)
  scored = scored_lesions(annotated, learned)
  result: dict[str, Any] = {}
  if 'image_tp' in counts:
    result |= metrics.summarize(counts, scored)
    result['positive_images'] = _positive(counts, 'image', scored)
  if 'image_undecided' in counts:
    result['undecided_images'] = {key: int(counts['image_undecided'][lesion_index(key)]) for key in scored}
  if 'pixel_tp' in counts:
    result['positive_pixels'] = _positive(counts, 'pixel', scored)
  if 'histogram' in counts:
    result['aupr'], result['aupr_11'] = _aupr(counts['histogram'], scored)
  _mark_unlearned(result.values(), annotated, learned)
  if 'confusion' in counts:
    result |= _grading(counts['confusion'])
  return result


def scored_lesions(annotated: Iterable[str], learned: Iterable[str]) -> tuple[str, ...]:
  """Returns the lesions that can be evaluated, in the order of LESIONS: annotated in the data, and learned by the
  network.

  Raises:
    ValueError: for a key that is no lesion.
  """
  both = {lesion_index(key) for key in annotated} & {lesion_index(key) for key in learned}
  return tuple(LESION_KEYS[index] for index in sorted(both))


def headline(result: Mapping[str, Any]) -> dict[str, float | None]:
  """Returns the three metrics of the paper's Table IV, and mean AUPR: those of them that are in a report."""
  means = {f'mean_{key}': result[key]['mean'] for key in ('pixel_f1', 'image_f1', 'aupr') if key in result}
  return means | ({'kappa': result['kappa']['value']} if 'kappa' in result else {})


def criterion(result: Mapping[str, Any], name: str) -> float | None:
  """Returns the metric by which models are compared, larger is better; None where it is undefined.

  For lesions the mean F1 or AUPR of those that occur in the ground truth, a set that does not depend on the model.

  Args:
    result: a report.
    name: 'pixel_f1', 'image_f1', 'pixel_image_f1' (the mean of the two, None where either is undefined), 'aupr' or
      'kappa'.
  """
  if name == 'kappa':
    return result['kappa']['value']
  if name == 'pixel_image_f1':
    both = [criterion(result, part) for part in ('pixel_f1', 'image_f1')]
    return None if None in both else sum(both) / 2
  found = [result[name]['lesions'][key] for key, images in result['positive_images'].items() if images]
  return metrics.mean_defined(np.array(found, float))


def _mark_unlearned(parts: Iterable[Mapping[str, Any]], annotated: tuple[str, ...], learned: tuple[str, ...]) -> None:
  """Says NOT_LEARNED of lesions that are annotated and not scored, wherever a part of a report gives reasons."""
  for reasons in (part['undefined'] for part in parts if 'undefined' in part):
    reasons |= {key: NOT_LEARNED for key in reasons if key in annotated and key not in learned}


def _positive(counts: Mapping[str, np.ndarray], level: str, annotated: tuple[str, ...]) -> dict[str, int]:
  positive = np.asarray(counts[f'{level}_tp']) + np.asarray(counts[f'{level}_fn'])
  return {key: int(positive[j]) for j, key in enumerate(LESION_KEYS) if key in annotated}


def _curves(histogram: np.ndarray, scored: Sequence[str]) -> dict[str, Any]:
  """Precision against recall of pixels, at fixed recalls, and what chance would reach."""
  rounded = lambda curve: None if curve is None else [round(float(one), DIGITS) for one in curve]
  of = {key: histogram[:, lesion_index(key)] for key in scored}
  return {'recall': list(RECALLS),
          'precision': {key: rounded(metrics.precision_at(each, RECALLS)) for key, each in of.items()},
          'prevalence': {key: float(each[1].sum() / each.sum()) if each.any() else None for key, each in of.items()}}


def _aupr(histogram: np.ndarray, annotated: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
  exact: dict[str, Any] = {'lesions': {}, 'bounds': {}, 'undefined': {}}
  coarse: dict[str, Any] = {'lesions': {}, 'undefined': {}}
  for j, key in enumerate(LESION_KEYS):
    found = metrics.average_precision(histogram[:, j]) if key in annotated else None
    exact['lesions'][key] = None if found is None else found.value
    coarse['lesions'][key] = None if found is None else metrics.average_precision_11(histogram[:, j])
    if found is None:
      exact['undefined'][key] = coarse['undefined'][key] = \
          'no positive in the ground truth' if key in annotated else NOT_ANNOTATED
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
