"""How far the figures of a test set would move with other images: the bootstrap over images.

Pixels of one photograph depend on one another, so whole images are drawn, N of N with replacement, and each figure is
computed again from what was drawn. The quantiles of the figure over the resamples are its interval: the percentile
bootstrap (B. Efron, "Nonparametric standard errors and confidence intervals", Canadian Journal of Statistics 9, 1981).
It covers the choice of test images alone, not that of the training images, the seed or the annotators; with few
positive images it is too narrow.

AUPR has an interval where the histogram of the scores of each image was kept, 189 kB an image.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from lesion_jax import metrics
from lesion_jax.core import LESION_KEYS, NUM_GRADES, NUM_LESIONS, lesion_index
from lesion_jax.evaluate.totals import HISTOGRAMS
from lesion_jax.metrics.kappa import Score

Replicates = dict[str, np.ndarray]
RESAMPLES = 1000  # of normal figures, each end of a 95 % interval then has a standard deviation of 2 % of its width
SEED = 2020
BLOCK = 2**22  # multiplicities held at a time: 32 MB
SUMMED = 250  # histograms held at a time: 12 MB

_LEVELS = ('pixel', 'image')
_KINDS = ('tp', 'fp', 'fn')


def bootstrap(
    counts: Mapping[str, np.ndarray], annotated: Iterable[str], *, resamples: int = RESAMPLES, seed: int = SEED
) -> Replicates:
  """The figures of `resamples` sets of N images, drawn with replacement from the N images of a split.

  **Two models are compared pair by pair**: which images resample r holds depends on `seed`, N and r alone. So with the
  counts of both on the same images in the same order, `a['kappa'] - b['kappa']` is the difference between the models
  over resamples that they share, and the quantiles of it are the interval of the difference (`intervals` takes such
  differences too). It is far narrower than what two single intervals suggest. (Shared on one version of NumPy:
  NumPy promises the bits of Philox for ever, but not how integers are made of them.)

  Args:
    counts: of `image_counts`, or as `test_counts.npz` holds them (without what the AUPR needs). Other names are not
      looked at.
    annotated: keys of the lesions that the data set annotates; the others are NaN.
    resamples: R, how many sets.
    seed: of the draws, 0 or above.

  Returns:
    float64 by name, those that the network computes: pixel_f1, pixel_iou, image_f1 and aupr [R, 8], their means over the
    annotated lesions for which they are defined in that resample (as `metrics.summarize`; a lesion of few images is
    missing in some) mean_pixel_f1, mean_pixel_iou, mean_image_f1 and mean_aupr [R], kappa [R] and accuracy [R]. NaN where
    a figure is undefined.
    Computed from exact integer sums, so equal on every machine.

  Raises:
    ValueError: no images, no resamples, nothing to resample, counts of different numbers of images, or a key that is
      no lesion.
  """
  known = [lesion_index(key) for key in annotated]
  sums = _resampled(counts, resamples, seed)
  result: Replicates = {}
  for level, name, score in (('pixel', 'f1', metrics.f1), ('pixel', 'iou', metrics.iou), ('image', 'f1', metrics.f1)):
    if f'{level}_tp' in sums:
      scores = np.full((resamples, NUM_LESIONS), np.nan)
      scores[:, known] = score(*(sums[f'{level}_{kind}'] for kind in _KINDS))[:, known]
      result |= {f'{level}_{name}': scores, f'mean_{level}_{name}': _mean_defined(scores)}
  if HISTOGRAMS in counts:
    scores = _average_precisions(counts[HISTOGRAMS], known, resamples, seed)
    result |= {'aupr': scores, 'mean_aupr': _mean_defined(scores)}
  if 'confusion' in sums:
    result['kappa'] = _values(metrics.quadratic_weighted_kappa(matrix) for matrix in sums['confusion'])
    result['accuracy'] = _values(metrics.accuracy(matrix) for matrix in sums['confusion'])
  return result


def intervals(replicates: Mapping[str, np.ndarray], level: float = 0.95) -> dict[str, Any]:
  """Percentile intervals, ready for JSON: from the (1 - level) / 2 quantile of the resamples to the (1 + level) / 2.

  Where a figure is undefined in some resamples the quantiles are over the others; where it is in all, there is no
  interval.

  Args:
    replicates: of `bootstrap`, or the difference of two such, figure by figure.
    level: in (0, 1).

  Returns:
    {'level', 'resamples', 'pixel_f1': {'mean': [low, high] | None, 'lesions': {key: [low, high] | None}},
    'pixel_iou', 'image_f1' and 'aupr' in the same form, 'kappa': [low, high] | None, 'accuracy': the same}, with those
    figures that `replicates` has.

  Raises:
    ValueError: for a level outside (0, 1).
  """
  if not 0 < level < 1:
    raise ValueError(f'level={level}: give the share of resamples inside the interval, above 0 and below 1')
  result: dict[str, Any] = {'level': level, 'resamples': len(next(iter(replicates.values())))}
  for name in ('pixel_f1', 'pixel_iou', 'image_f1', 'aupr'):
    if name in replicates:
      lesions = {key: _interval(replicates[name][:, j], level) for j, key in enumerate(LESION_KEYS)}
      result[name] = {'mean': _interval(replicates[f'mean_{name}'], level), 'lesions': lesions}
  return result | {name: _interval(replicates[name], level) for name in ('kappa', 'accuracy') if name in replicates}


def _resampled(counts: Mapping[str, np.ndarray], resamples: int, seed: int) -> dict[str, np.ndarray]:
  """The counts summed over each resample: int64 [R, 8] by name, and [R, 5, 5]."""
  names = [name for name in (*(f'{level}_{kind}' for level in _LEVELS for kind in _KINDS), 'confusion')
           if name in counts]
  lengths = {len(counts[name]) for name in (*names, HISTOGRAMS) if name in counts}
  if len(lengths) != 1 or not (length := lengths.pop()) or resamples < 1:
    raise ValueError(f'resamples={resamples} of the counts {", ".join(names) or "(none)"} with one row an image: there '
                     f'must be a resample, a count and an image, and the same images in each; got '
                     f'{ {name: list(np.shape(counts[name])) for name in names} }')
  columns = [np.asarray(counts[name], np.float64).reshape(length, -1) for name in names]
  matrix = np.concatenate(columns, axis=1)
  # Sums of integers below 2^53 are exact in float64, in whatever order they are added.
  total = np.concatenate([block @ matrix for block in _multiplicities(length, resamples, seed)]).astype(np.int64)
  parts = np.split(total, np.cumsum([column.shape[1] for column in columns])[:-1], axis=1)
  sums = dict(zip(names, parts, strict=True))
  if 'confusion' in sums:
    sums['confusion'] = sums['confusion'].reshape(-1, NUM_GRADES, NUM_GRADES)
  return sums


def _average_precisions(histograms: np.ndarray, known: list[int], resamples: int, seed: int) -> np.ndarray:
  """The AUPR of each lesion over each resample, float64 [R, 8]; NaN where no positive was drawn."""
  scores, length = np.full((resamples, NUM_LESIONS), np.nan), len(histograms)
  for j in known:
    filled = histograms[:, :, j].any(axis=(0, 1))
    lesion = histograms[:, :, j, filled].astype(np.float64).reshape(length, -1)
    multiplicities = itertools.chain.from_iterable(_multiplicities(length, resamples, seed))
    for start in range(0, resamples, SUMMED):
      drawn = np.stack(list(itertools.islice(multiplicities, SUMMED)))
      scores[start:start + len(drawn), j] = metrics.average_precisions((drawn @ lesion).reshape(len(drawn), 2, -1))
  return scores


def _multiplicities(length: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
  """How often each resample holds each image, float64 [r, length], in blocks of at most BLOCK entries (or one row)."""
  generator = np.random.Generator(np.random.Philox([seed, length]))
  rows = max(1, BLOCK // length)
  for start in range(0, resamples, rows):
    drawn = (generator.integers(length, size=length) for _ in range(min(rows, resamples - start)))
    yield np.stack([np.bincount(images, minlength=length) for images in drawn]).astype(np.float64)


def _mean_defined(scores: np.ndarray) -> np.ndarray:
  """`metrics.mean_defined` of each row, NaN where nothing is."""
  defined = ~np.isnan(scores)
  count = defined.sum(axis=1)
  return np.divide(np.where(defined, scores, 0).sum(axis=1), count, out=np.full(len(scores), np.nan), where=count > 0)


def _values(scores: Iterable[Score]) -> np.ndarray:
  return np.array([score.value for score in scores], np.float64)  # None becomes NaN


def _interval(values: np.ndarray, level: float) -> list[float] | None:
  defined = values[~np.isnan(values)]
  return [float(end) for end in np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])] if defined.size else None
