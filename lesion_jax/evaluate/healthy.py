"""How a network classifies whole photographs: which lesions it calls present, and above all, in healthy eyes.

A healthy eye in which something is marked costs a visit, and no pixel metric shows it: of photographs that all have
lesions, none can be told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from lesion_jax import metrics
from lesion_jax.core import LESION_KEYS
from lesion_jax.evaluate.interval import LEVEL, check_draws, percentiles
from lesion_jax.evaluate.scale import by_grade
from lesion_jax.evaluate.totals import HEALTHY, REFERABLE
from lesion_jax.metrics.presence import MAXIMUM, PAPER_RULE, Rule
from lesion_jax.metrics.summary import FALSE_ALARMS, NO_POSITIVE, NOT_ANNOTATED

NO_GRADE = 'no photograph is graded'
TOO_COARSE = 'the scale of the grades does not tell it'
NO_HEALTHY = 'no photograph is graded DR0'
NO_CLEAN = 'no photograph is annotated with none of the lesions'
NO_REFERABLE = 'no photograph is graded DR2 or above'
NO_NEGATIVE = 'every photograph has it'
NO_IMAGE = 'no photograph has it'


def healthy_eyes(counts: Mapping[str, np.ndarray], scored: Iterable[str]) -> np.ndarray:
  """Returns which images are healthy eyes, bool [N]: graded DR0 with none of the scored lesions annotated as present;
  where no image is graded DR0, `clean_images`."""
  columns = [LESION_KEYS.index(key) for key in scored]
  present = (counts['image_tp'] + counts['image_fn'])[:, columns].any(axis=1)
  graded = by_grade(counts, HEALTHY) == 1
  return graded & ~present if graded.any() else clean_images(counts, scored)


def clean_images(counts: Mapping[str, np.ndarray], scored: Iterable[str]) -> np.ndarray:
  """Returns which images are annotated for all scored lesions and have none of them, bool [N]."""
  columns = [LESION_KEYS.index(key) for key in scored]
  absent = (counts['image_fp'] + counts['image_tn'])[:, columns] > 0
  return absent.all(axis=1) if columns else np.zeros(len(absent), bool)


def evaluate_images(
    counts: Mapping[str, np.ndarray], scored: Iterable[str], rule: Rule = PAPER_RULE, *, resamples: int, seed: int,
) -> dict[str, Any]:
  """Computes image-level metrics at a rule for presence, beside those at Eq. 1 and 0.5.

  Args:
    counts: of `image_counts`, of a network that finds lesions.
    scored: keys of the lesions that are evaluated; the others are NOT_ANNOTATED.
    rule: of the bundle.
    resamples: of the bootstrap over patients.
    seed: likewise.

  Returns:
    {'rule', 'thresholds', 'figures': metrics, 'maximum': metrics at PAPER_RULE}, ready for JSON. Metrics are by name,
    'f1', 'sensitivity' and 'specificity', each {'mean': float | None, 'lesions': {key: float | None}, 'undefined': {key:
    reason}, 'intervals': {key: [low, high] | None}}; the mean is over the lesions for which the metric is defined, which the
    truth alone decides, in each resample too: F1 and sensitivity want a photograph with the lesion, specificity one without.
  """
  scored = tuple(scored)
  return rule.to_json() | {
      'figures': _metrics(counts, scored, rule, resamples, seed),
      'maximum': _metrics(counts, scored, PAPER_RULE, resamples, seed)}


def evaluate_healthy(
    counts: Mapping[str, np.ndarray], scored: Iterable[str], rule: Rule = PAPER_RULE, *, resamples: int, seed: int,
) -> dict[str, Any]:
  """Returns what is called present in eyes without lesions, and in those to be referred.

  Every lesion counts that the network learned and that is evaluated; whether the data set draws it in these very
  photographs does not matter where the grade says that it is not there. Intervals are percentiles of a bootstrap over
  patients: N of the N patients of the group are drawn, each with all its photographs.

  Args:
    counts: of `image_counts`, of a network that finds lesions. Where they have no 'patient', every image is one.
    scored: keys of the lesions that are looked at.
    rule: of the bundle.
    resamples: of the bootstrap.
    seed: likewise.

  Returns:
    {'rule', 'level', 'resamples', 'lesions': [key], 'graded': group, 'annotated': group, 'referable': group}, ready for
    JSON: photographs graded DR0; those annotated for all lesions and having none; those graded DR2 to DR4, of which the
    share with any lesion is the sensitivity. A group is {'images', 'patients', 'any': share, 'lesions': {key: share},
    'maximum': {'any': float, 'lesions': {key: float}}}, maximum being the same at Eq. 1 and 0.5; {'images': 0, 'reason'}
    where it is empty. A share is {'value', 'interval'}. Of a network with maps the two healthy groups have 'area' as well,
    {'any': area, 'lesions': {key: area}}: {'pixels': {'mean', 'median', 'p95'}, 'share': the same of the pixels that are
    not ignored}, of what is shown, so 0 where the lesion is not called present; 'any' adds the lesions up. 'separation',
    {'value', 'interval'}, is the area under the ROC curve of telling DR2 to DR4 from DR0 by `margins`, whatever the thresholds
    are raised by together; None where one of the two groups is empty.
  """
  scored = tuple(scored)
  healthy, sick = by_grade(counts, HEALTHY), by_grade(counts, REFERABLE)
  unknown = TOO_COARSE if REFERABLE in counts else NO_GRADE
  groups = {
      'graded': (healthy == 1, NO_HEALTHY if (healthy >= 0).any() else unknown, True),
      'annotated': (clean_images(counts, scored), NO_CLEAN, True),
      'referable': (sick == 1, NO_REFERABLE if (sick >= 0).any() else unknown, False),
  }
  separation = _separation(counts, scored, rule, resamples, seed)
  return {'rule': rule.name, 'level': LEVEL, 'resamples': resamples, 'lesions': list(scored), 'separation': separation} | {
      name: _group(counts, scored, rule, rows, area, resamples, seed) if rows.any() else {'images': 0, 'reason': reason}
      for name, (rows, reason, area) in groups.items()}


def called_present(counts: Mapping[str, np.ndarray], rule: Rule) -> np.ndarray:
  """Returns which lesions the rule calls present in each image, bool [N, 8], by all pixels that are not to be
  ignored."""
  return rule.decide(counts['maximum_scores' if rule.name == MAXIMUM else 'presence_scores'])


def margins(counts: Mapping[str, np.ndarray], scored: Iterable[str], rule: Rule) -> np.ndarray:
  """Returns by how much the lesion that is furthest above its threshold is so, in log odds, float64 [N]; above 0 a
  lesion is present."""
  columns = [LESION_KEYS.index(key) for key in scored]
  scores = counts['maximum_scores' if rule.name == MAXIMUM else 'presence_scores'][:, columns].astype(np.float64)
  return (metrics.log_odds(scores) - metrics.log_odds(np.asarray(rule.thresholds, np.float64)[columns])).max(axis=1)


def _separation(
    counts: Mapping[str, np.ndarray], scored: tuple[str, ...], rule: Rule, resamples: int, seed: int,
) -> dict[str, Any] | None:
  sick = by_grade(counts, REFERABLE) == 1
  rows = sick | (by_grade(counts, HEALTHY) == 1)
  sick = sick[rows]
  if not scored or not sick.any() or sick.all():
    return None
  far = margins(counts, scored, rule)[rows]
  patients = np.unique(_patients(counts)[rows], return_inverse=True)[1]
  of_patient = np.split(np.argsort(patients, kind='stable'), np.cumsum(np.bincount(patients))[:-1])
  generator = np.random.Generator(np.random.Philox([seed, len(of_patient)]))
  drawn = np.full(resamples, np.nan)
  for draw in range(resamples):
    chosen = np.concatenate([of_patient[patient] for patient in generator.integers(len(of_patient), size=len(of_patient))])
    value = metrics.area_under_roc(far[chosen], sick[chosen]).value
    drawn[draw] = np.nan if value is None else value
  return {'value': metrics.area_under_roc(far, sick).value, 'interval': percentiles(drawn)}


def _group(
    counts: Mapping[str, np.ndarray], scored: tuple[str, ...], rule: Rule, rows: np.ndarray, area: bool, resamples: int,
    seed: int,
) -> dict[str, Any]:
  columns = [LESION_KEYS.index(key) for key in scored]
  called = called_present(counts, rule)[rows][:, columns]
  paper = called_present(counts, PAPER_RULE)[rows][:, columns]
  patients = np.unique(_patients(counts)[rows], return_inverse=True)[1]
  calls = np.column_stack([called.any(axis=1), called]).astype(float)
  drawn = drawn_shares(patients, calls, ones := np.ones_like(calls), ones, resamples, seed)
  shares = [{'value': float(value), 'interval': percentiles(column)}
            for value, column in zip(calls.mean(axis=0), drawn.T, strict=True)]
  found = {
      'images': int(rows.sum()), 'patients': int(patients.max()) + 1,
      'any': shares[0], 'lesions': dict(zip(scored, shares[1:], strict=True)),
      'maximum': {'any': float(paper.any(axis=1).mean()),
                  'lesions': dict(zip(scored, map(float, paper.mean(axis=0)), strict=True))}}
  if area and 'called_pixels' in counts:
    pixels = np.where(called, counts['called_pixels'][rows][:, columns], 0)
    known = np.maximum(counts['known_pixels'][rows][:, columns], 1)
    found['area'] = {'any': _area(pixels.sum(axis=1), (pixels / known).sum(axis=1)),
                     'lesions': {key: _area(pixels[:, j], pixels[:, j] / known[:, j]) for j, key in enumerate(scored)}}
  return found


def _area(pixels: np.ndarray, shares: np.ndarray) -> dict[str, Any]:
  describe = lambda values: {'mean': float(np.mean(values)), 'median': float(np.median(values)),
                             'p95': float(np.quantile(values, 0.95))}
  return {'pixels': describe(pixels), 'share': describe(shares)}


def _metrics(
    counts: Mapping[str, np.ndarray], scored: tuple[str, ...], rule: Rule, resamples: int, seed: int,
) -> dict[str, Any]:
  columns = [LESION_KEYS.index(key) for key in scored]
  tp, fp, fn, tn = (counts[f'image_{kind}'][:, columns] > 0 for kind in ('tp', 'fp', 'fn', 'tn'))
  present, absent, called = tp | fn, fp | tn, _called_where_scored(counts, rule)[:, columns]
  cells = {'tp': present & called, 'fn': present & ~called, 'fp': absent & called, 'tn': absent & ~called}
  cells = {name: each.astype(np.int64) for name, each in cells.items()}
  patients = np.unique(_patients(counts), return_inverse=True)[1]
  result = {}
  for name, (above, below, needed, reason) in {
      'f1': (2 * cells['tp'], 2 * cells['tp'] + cells['fp'] + cells['fn'], present, None),
      'sensitivity': (cells['tp'], cells['tp'] + cells['fn'], present, NO_IMAGE),
      'specificity': (cells['tn'], cells['tn'] + cells['fp'], absent, NO_NEGATIVE)}.items():
    drawn = drawn_shares(patients, above, below, needed, resamples, seed)
    whole = dict(zip(scored, zip(above.sum(axis=0), below.sum(axis=0), needed.any(axis=0), drawn.T, strict=True),
                     strict=True))
    values = {key: float(whole[key][0] / whole[key][1]) if key in whole and whole[key][2] else None
              for key in LESION_KEYS}
    reasons = {key: reason or (FALSE_ALARMS if each[1] else NO_POSITIVE) for key, each in whole.items()}
    result[name] = {
        'mean': metrics.mean_defined(np.array([np.nan if value is None else value for value in values.values()])),
        'lesions': values,
        'undefined': {key: reasons.get(key, NOT_ANNOTATED) for key, value in values.items() if value is None},
        'intervals': {key: percentiles(whole[key][3]) if key in whole else None for key in LESION_KEYS}}
  return result


def _called_where_scored(counts: Mapping[str, np.ndarray], rule: Rule) -> np.ndarray:
  """`called_present`, of Eq. 1 by the very probabilities by which the paper's image F1 is counted."""
  return rule.decide(counts['lesion_probabilities']) if rule.name == MAXIMUM else called_present(counts, rule)


def _patients(counts: Mapping[str, np.ndarray]) -> np.ndarray:
  """The patient of each image; where nobody says, every image is one."""
  return counts['patient'] if 'patient' in counts else np.arange(len(counts['presence_scores']))


def drawn_shares(
    patients: np.ndarray, above: np.ndarray, below: np.ndarray, needed: np.ndarray, resamples: int, seed: int,
) -> np.ndarray:
  """Computes sum(above) / sum(below) over patients drawn with replacement, float64 [R, K]; NaN where nothing is
  `needed`.

  Args:
    patients: int [n], of 0..P-1.
    above: [n, K], numbers of each image.
    below: likewise.
    needed: likewise, or bool; where there is some, there is something below.
    resamples: R.
    seed: of the draws, which are equal for equal P, R and seed.

  Raises:
    ValueError: R is below 1, or the seed below 0.
  """
  check_draws(resamples=resamples, seed=seed)
  number = int(patients.max()) + 1 if len(patients) else 0
  sums = np.zeros((number, 3 * above.shape[1]))
  np.add.at(sums, patients, np.column_stack([above, below, needed]))
  generator = np.random.Generator(np.random.Philox([seed, number]))
  whole = np.stack([np.bincount(generator.integers(number, size=number), minlength=number) @ sums
                    for _ in range(resamples)])
  upper, lower, some = np.split(whole, 3, axis=1)
  return np.divide(upper, lower, out=np.full(upper.shape, np.nan), where=some > 0)
