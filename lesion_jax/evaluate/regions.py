"""Metrics by lesion, not by pixel: how many regions of the ground truth are found, and how many that are found are right.

A region is a connected part of a mask, pixels that touch at a corner being connected, at the network's own size. The
rule by which regions match is ours, after the shares of overlap by which papers on exudates and microaneurysms count (X.
Zhang et al., "Exudate detection in color retinal images for mass screening of diabetic retinopathy", Medical Image
Analysis 18, 2014, has 0.2 as well):

- a region of the ground truth is found where what is predicted covers at least SHARE of its pixels;
- a predicted region is right where at least SHARE of its pixels lie in the ground truth, and a false positive otherwise.

So one large prediction may find several small regions, and a region in two pieces is found once, both pieces being
right. Sensitivity is found over all of the ground truth, precision right over all that are predicted, F1 their harmonic mean.
Pixels that must not be scored belong to no mask, neither of the ground truth nor of the prediction.

FROC: sensitivity against false positives a photograph as the threshold of the pixels goes down (P. Bunch et al., "A free
response approach to the measurement and characterization of radiographic observer performance", 1977). At a number of
false positives it is the largest sensitivity of the thresholds that have no more of them, without interpolation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

from lesion_jax import metrics
from lesion_jax.clinical.findings import TOUCHING, Smallest
from lesion_jax.core import LESION_KEYS, NUM_LESIONS, Array, unpack_bits
from lesion_jax.evaluate.bootstrap import RESAMPLES, SEED
from lesion_jax.evaluate.healthy import drawn_shares
from lesion_jax.evaluate.interval import LEVEL, percentiles
from lesion_jax.evaluate.totals import PATIENT
from lesion_jax.metrics.summary import FALSE_ALARMS, NO_POSITIVE, NOT_ANNOTATED
from lesion_jax.photograph.field import Field, find_field_of_view
from lesion_jax.photograph.threads import ordered_map

SHARE = 0.2
RULE = (f'a region of the ground truth is found where at least {SHARE:g} of its pixels are predicted; a predicted region is right '
        f'where at least {SHARE:g} of its pixels are in the ground truth')
FROC_THRESHOLDS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.98)
RATES = (0.125, 0.25, 0.5, 1, 2, 4, 8)  # false positives a photograph, as challenges on small lesions have them
SIZES = (2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 96, 128)  # smallest regions, in pixels, to choose from (our choice)


class Matches(NamedTuple):
  """The regions of one lesion in one photograph.

  Attributes:
    sizes: int64 [P], pixels of each predicted region.
    right: bool [P].
    found: int64 [T], of each region of the ground truth the smallest size below which predicted regions may be dropped without
      losing it; 0 where it is not found at all.
  """

  sizes: np.ndarray
  right: np.ndarray
  found: np.ndarray

  def counts(self, least: int = 1) -> tuple[int, int, int, int]:
    """Returns (found, truth, right, predicted), where predicted regions of fewer than `least` pixels are excluded."""
    kept = self.sizes >= least
    return int(np.count_nonzero(self.found >= max(least, 1))), len(self.found), int(np.count_nonzero(self.right & kept)), int(
        np.count_nonzero(kept))


def match(predicted: np.ndarray, truth: np.ndarray) -> Matches:
  """Matches the regions of two masks, bool [H, W], by the rule of the module's docstring."""
  ours, count = ndimage.label(predicted, TOUCHING)
  theirs, number = ndimage.label(truth, TOUCHING)
  both = (ours > 0) & (theirs > 0)
  sizes, wholes = np.bincount(ours[predicted], minlength=count + 1), np.bincount(theirs[truth], minlength=number + 1)
  inside = np.bincount(ours[both], minlength=count + 1)
  pairs, overlap = np.unique(theirs[both].astype(np.int64) * (count + 1) + ours[both], return_counts=True)
  region, piece = pairs // (count + 1), pairs % (count + 1)
  order = np.lexsort((-sizes[piece], region))  # of each region of the ground truth the largest piece first
  region, piece, covered = region[order], piece[order], np.cumsum(overlap[order])
  first = np.flatnonzero(np.diff(region, prepend=0))
  before = np.concatenate([[0], covered])[first]
  covered = covered - np.repeat(before, np.diff(np.append(first, len(region))))
  enough = covered >= SHARE * wholes[region] - 1e-9
  found = np.zeros(number + 1, np.int64)
  # The first piece with which it is enough is the largest of those written here.
  np.maximum.at(found, region[enough], sizes[piece[enough]])
  return Matches(sizes[1:], inside[1:] >= SHARE * sizes[1:] - 1e-9, found[1:])


def region_counts(
    predict: Callable[[np.ndarray], Array], examples: Iterable[Mapping[str, Any]], lesions: Sequence[str], thresholds: Array | float,
    *, smallest: Mapping[str, Smallest] | None = None,
) -> dict[str, np.ndarray]:
  """Returns what is found of the regions of each photograph. NumPy on the host; two photographs are held at a time.

  Args:
    predict: uint8 [S, S, 3] -> lesion maps [S, S, 8], probabilities.
    examples: of a data set, `core.Example` without a batch.
    lesions: keys of those that are counted.
    thresholds: from which probability a pixel is positive, a number or [8].
    smallest: smallest region that counts, by lesion; predicted ones below it are excluded, at every threshold.

  Returns:
    region_found, region_truth, region_right, region_called int64 [N, 8] and froc_found, froc_false int64 [N, 8, K], K of
    FROC_THRESHOLDS; region_known bool [N, 8], whether the photograph is annotated for the lesion; nothing is counted
    where it is not; region_undecided bool [N, 8], whether all that may show it there must not be scored, as `core.Targets` has it.

  Raises:
    FloatingPointError: a probability is not a number.
  """
  indices = [LESION_KEYS.index(key) for key in lesions]
  limits = np.broadcast_to(np.asarray(thresholds, np.float64), NUM_LESIONS)
  rows: list[dict[str, np.ndarray]] = []
  for example, maps, field in _predicted(predict, examples):
    row = _empty()
    annotated = unpack_bits(np.uint8(example['annotated']))

    def count(j: int, example=example, maps=maps, field=field, row=row) -> None:
      values, truth = _scored(example, maps, j)
      least = smallest[LESION_KEYS[j]].pixels(field) if smallest and LESION_KEYS[j] in smallest else 1
      row['region_known'][j] = True
      row['region_undecided'][j] = not truth.any() and (values < 0).any()
      tally = match(values >= limits[j], truth).counts(least)
      for name, value in zip(('found', 'truth', 'right', 'called'), tally, strict=True):
        row[f'region_{name}'][j] = value
      for place, threshold in enumerate(FROC_THRESHOLDS):
        found, _, right, called = match(values >= threshold, truth).counts(least)
        row['froc_found'][j, place], row['froc_false'][j, place] = found, called - right

    list(ordered_map(count, [j for j in indices if annotated[j]]))
    rows.append(row)
  return {name: np.stack([row[name] for row in rows]) for name in _empty()}


def _empty() -> dict[str, np.ndarray]:
  froc = (NUM_LESIONS, len(FROC_THRESHOLDS))
  return {f'region_{name}': np.zeros(NUM_LESIONS, np.int64) for name in ('found', 'truth', 'right', 'called')} | {
      f'region_{name}': np.zeros(NUM_LESIONS, bool) for name in ('known', 'undecided')} | {
      f'froc_{name}': np.zeros(froc, np.int64) for name in ('found', 'false')}


def _predicted(
    predict: Callable[[np.ndarray], Array], examples: Iterable[Mapping[str, Any]],
) -> Iterable[tuple[Mapping[str, Any], np.ndarray, Field]]:
  """Each example with its maps, float [S, S, 8], and its field; the device works on the next one meanwhile."""
  late = None
  for example in examples:
    found = predict(np.asarray(example['image']))
    if late:
      yield _collected(*late)
    late = example, found
  if late:
    yield _collected(*late)


def _collected(example: Mapping[str, Any], maps: Array) -> tuple[Mapping[str, Any], np.ndarray, Field]:
  maps = np.asarray(maps)
  if not np.isfinite(maps).all():
    raise FloatingPointError(f'the network outputs something that is not a number on {example.get("id")}; its weights are not fit '
                             'for use')
  return example, maps, find_field_of_view(np.asarray(example['image']), maps.shape[0])


def _scored(example: Mapping[str, Any], maps: np.ndarray, j: int) -> tuple[np.ndarray, np.ndarray]:
  """Probabilities and ground truth of one lesion; what must not be scored is in neither."""
  bit = np.uint8(1 << j)
  known = (np.asarray(example['ignore']) & bit) == 0
  return np.where(known, maps[..., j], -1), ((np.asarray(example['lesions']) & bit) > 0) & known


def choose_smallest(
    predict: Callable[[np.ndarray], Array], examples: Iterable[Mapping[str, Any]], lesions: Sequence[str], thresholds: Array | float,
) -> dict[str, Any]:
  """Returns the smallest region that counts, by lesion: that of SIZES with which the F1 by region over a validation
  split is largest.

  Args:
    predict: as of `region_counts`.
    examples: of the validation split.
    lesions: keys of those that are evaluated on it.
    thresholds: of the pixels, as they were chosen before.

  Returns:
    For config.json, {key: {'value': pixels, 'unit': 'pixels'}} of the lesions of which leaving out small regions helps;
    of several sizes with one F1 the smallest.
  """
  limits = np.broadcast_to(np.asarray(thresholds, np.float64), NUM_LESIONS)
  sizes = (1, *SIZES)
  tallies = np.zeros((NUM_LESIONS, len(sizes), 4), np.int64)
  for example, maps, _ in _predicted(predict, examples):
    annotated = unpack_bits(np.uint8(example['annotated']))
    for j in (LESION_KEYS.index(key) for key in lesions):
      if annotated[j]:
        values, truth = _scored(example, maps, j)
        matches = match(values >= limits[j], truth)
        tallies[j] += [matches.counts(least) for least in sizes]
  chosen = {}
  for key in lesions:
    found, truth, right, called = tallies[LESION_KEYS.index(key)].T
    if not truth[0]:
      continue
    best = int(np.argmax(np.nan_to_num(f1_of(found, truth, right, called))))  # the first of several
    if best:
      chosen[key] = Smallest(sizes[best])._asdict()
  return chosen


def f1_of(found: Array, truth: Array, right: Array, called: Array) -> np.ndarray:
  """Returns the harmonic mean of found / truth and right / called, float64; NaN where there is no ground truth, 0 where
  nothing is called."""
  found, truth, right, called = (np.asarray(each, np.float64) for each in (found, truth, right, called))
  sensitivity = np.divide(found, truth, out=np.full(np.shape(truth), np.nan), where=truth > 0)
  precision = np.divide(right, called, out=np.zeros(np.shape(called)), where=called > 0)
  total = sensitivity + precision
  return np.divide(2 * sensitivity * precision, total, out=np.where(np.isnan(total), np.nan, 0.0), where=total > 0)


def evaluate_regions(
    counts: Mapping[str, np.ndarray], scored: Sequence[str], *, resamples: int = RESAMPLES, seed: int = SEED,
    smallest: Mapping[str, Smallest] | None = None,
) -> dict[str, Any]:
  """Computes metrics by region.

  Args:
    counts: of `region_counts`, with PATIENT where patients are known.
    scored: keys of the lesions that are evaluated.
    resamples: of the bootstrap over patients.
    seed: likewise.
    smallest: those with which it was counted, to be said.

  Returns:
    Ready for JSON: 'rule', the sentence of RULE; 'smallest' {key: text}; 'level', 'resamples'; 'mean_f1', over the
    lesions that occur in the ground truth; 'undefined' {key: reason}; and 'lesions' {key: ...} with 'photographs', 'truth',
    'found', 'predicted', 'right', 'f1', 'sensitivity' and 'precision', each {'value', 'interval'}, None without a region
    in the ground truth (of precision: without a predicted one), 'false_per_photograph' {'value', 'interval'}, 'clean' {'value',
    'count', 'of'}: of the photographs without the lesion, the undecided left out, the share in which no region is predicted (the specificity),
    and 'froc': {'thresholds', 'sensitivity', 'false_per_photograph', 'at': {rate: sensitivity}, 'mean': over RATES},
    None without a region in the ground truth.
  """
  lesions, undefined = {}, {key: NOT_ANNOTATED for key in LESION_KEYS if key not in scored}
  patients = np.unique(counts.get(PATIENT, np.arange(len(counts['region_known']))), return_inverse=True)[1]
  for key in scored:
    j = LESION_KEYS.index(key)
    known = counts['region_known'][:, j]
    lesions[key] = _evaluate_lesion(counts, j, known, patients, resamples, seed)
    if lesions[key]['f1'] is None:
      undefined[key] = FALSE_ALARMS if lesions[key]['predicted'] else NO_POSITIVE
  values = [each['f1']['value'] for each in lesions.values() if each['f1']]
  return {
      'rule': RULE, 'smallest': {key: str(each) for key, each in (smallest or {}).items()}, 'level': LEVEL, 'resamples': resamples,
      'mean_f1': metrics.mean_defined(np.array(values)), 'undefined': undefined, 'lesions': lesions}


def _evaluate_lesion(
    counts: Mapping[str, np.ndarray], j: int, known: np.ndarray, patients: np.ndarray, resamples: int, seed: int,
) -> dict[str, Any]:
  found, truth, right, called = (counts[f'region_{name}'][:, j] * known for name in ('found', 'truth', 'right', 'called'))
  above, below = np.column_stack([found, right, called - right]), np.column_stack([truth, called, known])
  drawn = drawn_shares(patients, above, below, below, resamples, seed)
  sensitivity, precision, false = drawn.T
  total = sensitivity + np.nan_to_num(precision)
  f1 = np.divide(2 * sensitivity * np.nan_to_num(precision), total, out=np.where(np.isnan(total), np.nan, 0.0), where=total > 0)
  sums = [int(each.sum()) for each in (found, truth, right, called)]
  number, some = int(known.sum()), sums[1] > 0
  told = lambda value, column: {'value': float(value), 'interval': percentiles(column)}
  clean = known & (truth == 0) & ~counts['region_undecided'][:, j]
  return {
      'photographs': number, 'truth': sums[1], 'found': sums[0], 'predicted': sums[3], 'right': sums[2],
      'f1': told(f1_of(*sums), f1) if some else None,
      'sensitivity': told(sums[0] / sums[1], sensitivity) if some else None,
      'precision': told(sums[2] / sums[3], precision) if sums[3] else None,
      'false_per_photograph': told((sums[3] - sums[2]) / number, false) if number else None,
      'clean': {'value': float(np.mean(called[clean] == 0)) if clean.any() else None, 'count': int(np.sum(called[clean] == 0)),
                'of': int(clean.sum())},
      'froc': _froc(counts, j, known, sums[1]) if some else None,
  }


def _froc(counts: Mapping[str, np.ndarray], j: int, known: np.ndarray, truth: int) -> dict[str, Any]:
  sensitivity = counts['froc_found'][known, j].sum(axis=0) / truth
  false = counts['froc_false'][known, j].sum(axis=0) / known.sum()
  at = [float(np.max(sensitivity[false <= rate], initial=0)) for rate in RATES]
  return {'thresholds': list(FROC_THRESHOLDS), 'sensitivity': sensitivity.tolist(), 'false_per_photograph': false.tolist(),
          'at': {f'{rate:g}': value for rate, value in zip(RATES, at, strict=True)}, 'mean': float(np.mean(at))}
