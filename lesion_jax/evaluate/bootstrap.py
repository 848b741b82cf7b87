"""How far the metrics of a test set would move with other patients: the bootstrap over patients.

Pixels of one photograph depend on one another, and so do the two eyes of one patient: whole patients are resampled, P of P
with replacement, each with all of his images, and each metric is computed again from what was resampled (the cluster
bootstrap: A. C. Davison and D. V. Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8; drawing images
as if the two eyes knew nothing of each other makes intervals too narrow). Where a raw dataset names no patients each
photograph is its own. The quantiles of the metric over the resamples are its interval: the percentile bootstrap
(B. Efron, "Nonparametric standard errors and confidence intervals", Canadian Journal of Statistics 9, 1981).
It covers the choice of test patients alone, not that of the training images, the seed or the annotators; with few
positive patients it is too narrow.

AUPR has an interval where the histogram of the scores of each image was kept, 189 kB an image.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from lesion_jax import metrics
from lesion_jax.core import LESION_KEYS, NUM_GRADES, NUM_LESIONS, lesion_index
from lesion_jax.evaluate.interval import LEVEL, check_draws, percentiles
from lesion_jax.evaluate.totals import HISTOGRAMS, NAMES, PATIENT

Replicates = dict[str, np.ndarray]
RESAMPLES = 1000  # of normally distributed metrics, each end of a 95 % interval then has a standard deviation of 2 % of its width
SWAPS = 10_000  # p near 0.05 then has a standard deviation of 0.002
SEED = 2020
BLOCK = 2**22  # multiplicities held at a time: 32 MB
SUMMED = 250  # histograms held at a time: 12 MB

_LEVELS = ('pixel', 'image')
_KINDS = ('tp', 'fp', 'fn')
COMPARED = ('mean_pixel_f1', 'mean_image_f1', 'kappa', 'accuracy')
BY_LESION = ('pixel_f1', 'image_f1')
_COUNTED = (*(f'{level}_{kind}' for level in _LEVELS for kind in _KINDS), 'confusion')


def bootstrap(
    counts: Mapping[str, np.ndarray], annotated: Iterable[str], *, resamples: int = RESAMPLES, seed: int = SEED
) -> Replicates:
  """Returns the metrics of `resamples` sets of P patients, drawn with replacement from the P patients of a split.

  **Two models are compared pair by pair**: which images resample r holds depends on `seed`, r and whose each image is
  alone. So with the counts of both on the same images in the same order, `a['kappa'] - b['kappa']` is the difference
  between the models over resamples that they share, and the quantiles of it are the interval of the difference
  (`intervals` takes such differences too). It is far narrower than what two single intervals suggest. (Shared on one
  version of NumPy: NumPy promises the bits of Philox for ever, but not how integers are made of them.)

  Lesions too are the same for all models: one without a positive in the ground truth of a resample has no value in it, whatever
  the model predicts, and the means of the resample are over the others.

  Args:
    counts: of `image_counts`, or as `test_counts.npz` holds them (without what the AUPR needs). PATIENT says whose each
      image is; without it every image is drawn by itself. Other names are not looked at.
    annotated: keys of the lesions that the data set annotates; the others are NaN.
    resamples: R, how many sets.
    seed: of the draws, 0 or above.

  Returns:
    float64 by name, those that the network computes: pixel_f1, pixel_iou, image_f1 and aupr [R, 8], their means over the
    annotated lesions that occur in the ground truth of that resample (as `metrics.summarize`; a lesion of few images is missing
    in some) mean_pixel_f1, mean_pixel_iou, mean_image_f1 and mean_aupr [R], kappa [R] and accuracy [R]. NaN where a
    metric is undefined.
    Computed from exact integer sums, so equal on every machine.

  Raises:
    ValueError: no images, no resamples, a seed below 0, nothing to resample, counts of different numbers of images, or a
      key that is no lesion.
  """
  check_draws(resamples=resamples, seed=seed)
  known = [lesion_index(key) for key in annotated]
  names, matrix = _columns(counts)
  owner = _owners(counts)
  # Sums of integers below 2^53 are exact in float64, in whatever order they are added.
  total = np.concatenate([block @ matrix for block in _multiplicities(owner, resamples, seed)])
  result = _metrics(counts, names, total, known)
  if HISTOGRAMS in counts:
    scores = _average_precisions(counts[HISTOGRAMS], known, owner, resamples, seed)
    result |= {'aupr': scores, 'mean_aupr': _mean_defined(scores)}
  return result


def intervals(replicates: Mapping[str, np.ndarray], level: float = LEVEL) -> dict[str, Any]:
  """Computes percentile intervals, ready for JSON: from the (1 - level) / 2 quantile of the resamples to the (1 +
  level) / 2.

  Where a metric is undefined in some resamples the quantiles are over the others; where it is in all, there is no
  interval.

  Args:
    replicates: of `bootstrap`, or the difference of two such, metric by metric.
    level: in (0, 1).

  Returns:
    {'level', 'resamples', 'pixel_f1': {'mean': [low, high] | None, 'lesions': {key: [low, high] | None}},
    'pixel_iou', 'image_f1' and 'aupr' in the same form, 'kappa': [low, high] | None, 'accuracy': the same}, with those
    metrics that `replicates` has.

  Raises:
    ValueError: for a level outside (0, 1).
  """
  check_draws(level=level)
  result: dict[str, Any] = {'level': level, 'resamples': len(next(iter(replicates.values())))}
  for name in ('pixel_f1', 'pixel_iou', 'image_f1', 'aupr'):
    if name in replicates:
      lesions = {key: percentiles(replicates[name][:, j], level) for j, key in enumerate(LESION_KEYS)}
      result[name] = {'mean': percentiles(replicates[f'mean_{name}'], level), 'lesions': lesions}
  return result | {name: percentiles(replicates[name], level) for name in ('kappa', 'accuracy') if name in replicates}


def compare(
    one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray], annotated: Iterable[str], *,
    resamples: int = RESAMPLES, swaps: int = SWAPS, seed: int = SEED, level: float = LEVEL, lesions: bool = False,
) -> dict[str, dict[str, Any]]:
  """Returns the differences between two systems on the same images, ready for JSON.

  Two things are asked of a difference before it is called one. Its interval over resampled patients (`bootstrap`) does
  not contain 0; by itself that calls equal systems different a little more often than it should, in 5 to 7 of 100
  comparisons in simulations with rare lesions. And it is larger than where the two systems swap what they say of a
  patient, patient by patient, at random, which of equal systems changes nothing: p is the share of the swaps whose
  difference is at least as large, 1 added to both counts (approximate randomization: E. W. Noreen,
  "Computer-Intensive Methods for Testing Hypotheses", 1989; A. Yeh, "More accurate tests for the statistical
  significance of result differences", COLING 2000), exact for systems that are equal in every respect.

  Args:
    one, other: counts of the two, as of `bootstrap`, of the same images in the same order.
    annotated: keys of the lesions on which both are evaluated. Where counts say under 'annotated' on which they were (as
      `counts.npz` does), these must be among them.
    resamples: of the bootstrap.
    swaps: how many, at least 1.
    seed: of the draws.
    level: of the interval; a difference has p below 1 - level.
    lesions: compare each lesion by itself too.

  Returns:
    {'mean_pixel_f1', 'mean_image_f1', 'kappa', 'accuracy': {'difference': of `one` less `other`, 'interval': [low,
    high], 'p', 'different': bool}}, those that both have; None where a metric is undefined. With `lesions` also
    'pixel_f1' and 'image_f1', {key: the same} of those in `annotated`.

  Raises:
    ValueError: of `bootstrap`; no swaps, another level, or where the images or patients of the two are not the same, or one of them
      was not evaluated on a lesion.
  """
  check_draws(resamples=resamples, swaps=swaps, seed=seed, level=level)
  for name in NAMES:
    if name in one and name in other and not np.array_equal(one[name], other[name]):
      raise ValueError(f'the two systems were not evaluated on the same images in the same order: {name!r} differs; evaluate both on '
                       'one split')
  annotated = tuple(annotated)
  for title, counts in (('first', one), ('second', other)):
    if missing := [key for key in annotated if key not in counts.get('annotated', annotated)]:
      raise ValueError(f'the {title} of the two systems was not evaluated on {", ".join(missing)}: it did not learn it, or its data do '
                       'not annotate it; compare the lesions of both')
  names = [name for name in _COUNTED if name in one and name in other]
  owners = {PATIENT: named[0]} if (named := [counts[PATIENT] for counts in (one, other) if PATIENT in counts]) else {}  # one may say them for both
  pair = [{name: counts[name] for name in names} | owners for counts in (one, other)]
  replicates = [bootstrap(counts, annotated, resamples=resamples, seed=seed) for counts in pair]
  observed, swapped = _swapped(*pair, [lesion_index(key) for key in annotated], swaps, seed)
  draws = {name: replicates[0][name] - replicates[1][name] for name in observed}
  result = {name: _difference(observed[name], draws[name], swapped[name], level) for name in COMPARED if name in observed}
  for name in BY_LESION if lesions else ():
    if name in observed:
      result[name] = {key: _difference(observed[name][j], draws[name][:, j], swapped[name][:, j], level)
                      for j, key in enumerate(LESION_KEYS) if key in annotated}
  return result


def resampled_confusions(counts: Mapping[str, np.ndarray], *, resamples: int = RESAMPLES, seed: int = SEED) -> np.ndarray:
  """Returns the confusion matrices of the sets of patients that `bootstrap` draws, int64 [R, 5, 5].

  Args:
    counts: with 'confusion' [N, 5, 5] and, where it is known whose each image is, PATIENT.
    resamples: R, how many sets.
    seed: of the draws, 0 or above.

  Raises:
    ValueError: of `bootstrap`.
  """
  check_draws(resamples=resamples, seed=seed)
  counts = {name: counts[name] for name in ('confusion', PATIENT) if name in counts}
  _, matrix = _columns(counts)
  total = np.concatenate([block @ matrix for block in _multiplicities(_owners(counts), resamples, seed)])
  return total.astype(np.int64).reshape(-1, NUM_GRADES, NUM_GRADES)


def resampled_sums(
    columns: np.ndarray, patient: np.ndarray | None, *, resamples: int = RESAMPLES, seed: int = SEED,
) -> np.ndarray:
  """Sums of columns over the sets of patients that `bootstrap` draws, float64 [R, columns].

  Args:
    columns: float [N, columns], finite, a row an image.
    patient: whose each image is, [N]; None: each its own.
    resamples: R, how many sets.
    seed: of the draws, 0 or above.

  Raises:
    ValueError: no images, no resamples, a seed below 0, or rows and patients are not as many.
  """
  check_draws(resamples=resamples, seed=seed)
  columns = np.asarray(columns, np.float64)
  if not len(columns) or patient is not None and len(patient) != len(columns):
    raise ValueError(f'{len(columns)} images and {"no" if patient is None else len(patient)} patients: there must be an image, and a '
                     'patient for each')
  owner = np.arange(len(columns)) if patient is None else _owners({PATIENT: patient})
  return np.concatenate([block @ columns for block in _multiplicities(owner, resamples, seed)])


def _difference(observed: Any, draws: np.ndarray, swapped: np.ndarray, level: float) -> dict[str, Any]:
  """What is said of one difference: as it is, over the resamples [R], and over the swaps [R]."""
  ends = percentiles(draws, level)
  defined = ends is not None and not np.isnan(observed)
  as_large = np.abs(swapped[~np.isnan(swapped)]) >= abs(observed) - 1e-12
  p = float((1 + as_large.sum()) / (1 + len(as_large))) if defined else None
  return {'difference': float(observed) if defined else None, 'interval': ends if defined else None, 'p': p,
          'different': bool(defined and not ends[0] <= 0 <= ends[1] and p < 1 - level)}


def _swapped(
    one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray], known: list[int], swaps: int, seed: int,
) -> tuple[dict[str, Any], Replicates]:
  """The differences as they are, and [swaps, ...] where patients are swapped at random."""
  (names, mine), (_, theirs) = (_columns(counts) for counts in (one, other))
  if mine.shape != theirs.shape:
    raise ValueError(f'the two systems were evaluated on {len(mine)} and {len(theirs)} images; evaluate both on one split')
  owner = _owners(one)
  patients = int(owner.max()) + 1
  generator = np.random.Generator(np.random.Philox([seed, patients, 1]))
  change = theirs - mine
  rows = max(1, BLOCK // len(owner))
  moved = np.concatenate([np.zeros((1, mine.shape[1])), *(
      generator.integers(2, size=(min(rows, swaps - start), patients))[:, owner].astype(np.float64) @ change
      for start in range(0, swaps, rows))])
  both = [_metrics(counts, names, matrix.sum(axis=0) + sign * moved, known)
          for counts, matrix, sign in ((one, mine, 1), (other, theirs, -1))]
  differences = {name: both[0][name] - both[1][name] for name in (*COMPARED, *BY_LESION) if name in both[0]}
  return {name: value[0] for name, value in differences.items()}, {name: value[1:] for name, value in differences.items()}


def _metrics(
    counts: Mapping[str, np.ndarray], names: list[str], total: np.ndarray, known: list[int]) -> Replicates:
  """The metrics of sums [R, columns], as `bootstrap` returns them."""
  widths = [int(np.prod(np.shape(counts[name])[1:])) for name in names]
  parts = np.split(total.astype(np.int64), np.cumsum(widths)[:-1], axis=1) if names else []
  sums, result = dict(zip(names, parts, strict=True)), {}
  for level, name, score in (('pixel', 'f1', metrics.f1), ('pixel', 'iou', metrics.iou), ('image', 'f1', metrics.f1)):
    if f'{level}_tp' in sums:
      scores = np.full((len(total), NUM_LESIONS), np.nan)
      scores[:, known] = metrics.in_truth(score, *(sums[f'{level}_{kind}'] for kind in _KINDS))[:, known]
      result |= {f'{level}_{name}': scores, f'mean_{level}_{name}': _mean_defined(scores)}
  if 'confusion' in sums:
    matrices = sums['confusion'].reshape(-1, NUM_GRADES, NUM_GRADES)
    result |= {'kappa': metrics.quadratic_weighted_kappas(matrices), 'accuracy': metrics.accuracies(matrices)}
  return result


def _columns(counts: Mapping[str, np.ndarray]) -> tuple[list[str], np.ndarray]:
  """The names of the counts that add up, and all of them side by side, float64 [N, columns]."""
  names = [name for name in _COUNTED if name in counts]
  counted = [name for name in (*names, HISTOGRAMS) if name in counts]
  lengths = {len(counts[name]) for name in (*counted, PATIENT) if name in counts} if counted else set()
  if len(lengths) != 1 or not (length := lengths.pop()):
    raise ValueError(f'the counts {", ".join(names) or "(none)"} with one row an image: there must be a count and an image, and the '
                     f'same images in each; got { {name: list(np.shape(counts[name])) for name in names} }')
  columns = [np.asarray(counts[name], np.float64).reshape(length, -1) for name in names]
  return names, np.concatenate([np.zeros((length, 0)), *columns], axis=1)


def _average_precisions(
    histograms: np.ndarray, known: list[int], owner: np.ndarray, resamples: int, seed: int) -> np.ndarray:
  """The AUPR of each lesion over each resample, float64 [R, 8]; NaN where no positive was drawn."""
  scores, length = np.full((resamples, NUM_LESIONS), np.nan), len(histograms)
  for j in known:
    filled = histograms[:, :, j].any(axis=(0, 1))
    if not filled.any():  # annotated, and in none of these images
      continue
    lesion = histograms[:, :, j, filled].astype(np.float64).reshape(length, -1)
    multiplicities = itertools.chain.from_iterable(_multiplicities(owner, resamples, seed))
    for start in range(0, resamples, SUMMED):
      drawn = np.stack(list(itertools.islice(multiplicities, SUMMED)))
      scores[start:start + len(drawn), j] = metrics.average_precisions((drawn @ lesion).reshape(len(drawn), 2, -1))
  return scores


def patients(counts: Mapping[str, np.ndarray]) -> int | None:
  """Returns how many patients the images are of; None where the counts do not say."""
  return len(np.unique(counts[PATIENT])) if PATIENT in counts else None


def _owners(counts: Mapping[str, np.ndarray]) -> np.ndarray:
  """The number of each image's patient, int [N], in the order in which patients come first. Without PATIENT, or where
  every image is another patient's, 0..N-1: these draw alike."""
  if PATIENT not in counts:
    return np.arange(len(next(counts[name] for name in (*_COUNTED, HISTOGRAMS) if name in counts)))
  _, first, inverse = np.unique(np.asarray(counts[PATIENT]), return_index=True, return_inverse=True)
  return np.argsort(np.argsort(first))[inverse]


def _multiplicities(owner: np.ndarray, resamples: int, seed: int) -> Iterator[np.ndarray]:
  """How often each resample holds each image, float64 [r, N], in blocks of at most BLOCK entries (or one row)."""
  length, patients = len(owner), int(owner.max()) + 1
  generator = np.random.Generator(np.random.Philox([seed, patients]))
  rows = max(1, BLOCK // length)
  for start in range(0, resamples, rows):
    drawn = generator.integers(patients, size=(min(rows, resamples - start), patients))
    drawn += np.arange(len(drawn))[:, None] * patients  # each row has numbers of its own
    yield np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape)[:, owner].astype(np.float64)


def _mean_defined(scores: np.ndarray) -> np.ndarray:
  """`metrics.mean_defined` of each row, NaN where nothing is."""
  defined = ~np.isnan(scores)
  count = defined.sum(axis=1)
  return np.divide(np.where(defined, scores, 0).sum(axis=1), count, out=np.full(len(scores), np.nan), where=count > 0)
