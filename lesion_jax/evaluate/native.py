"""Lesion maps against the masks of a raw dataset in the photograph's own pixels.

A network's square is smaller than the photograph, and masks made smaller have lost the smallest lesions. So the map is
brought back to the photograph (`Crop.invert`, bilinear) and compared with the raw dataset's own masks at full resolution:
as challenges and most papers count, whatever size a network works at. Outside the square that the network saw its
probability is 0, and a lesion there is missed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from lesion_jax.core import LESION_KEYS, NUM_LESIONS, Array, lesion_index
from lesion_jax.data.native import Native
from lesion_jax.evaluate.bootstrap import RESAMPLES, SEED, bootstrap, intervals
from lesion_jax.evaluate.report import report, scored_lesions
from lesion_jax.evaluate.totals import HISTOGRAMS, Counts, totals
from lesion_jax.metrics.histogram import SCORE_BINS, score_bin

BLOCK = 2**20  # pixels that are counted at a time
NAMES = ('pixel_tp', 'pixel_fp', 'pixel_fn', 'image_tp', 'image_fp', 'image_fn', 'image_tn', 'image_undecided')


def native_counts(
    predict: Callable[[np.ndarray], Array], photographs: Iterable[Native], *, size: int, lesions: Iterable[str],
    thresholds: Array | float = 0.5,
) -> Counts:
  """Returns what a network gets right in each photograph, in its own pixels. NumPy on the host.

  Two photographs are held at a time, the next one while the device works, and the full-size map of one lesion: about
  0.5 GB for photographs of 12 megapixels.

  Args:
    predict: uint8 [size, size, 3] -> lesion maps [size, size, 8], probabilities; asked one photograph ahead.
    photographs: with `annotated` in their labels, see `data.native.NativeSource`.
    size: of the network's square, in pixels.
    lesions: keys of those that are counted; of the others, and of what a photograph does not annotate, nothing is.
    thresholds: from which probability a pixel is positive, a number or [8].

  Returns:
    As `image_counts`: pixel_tp, pixel_fp, pixel_fn, image_tp, image_fp, image_fn, image_tn, image_undecided int64 [N, 8]
    (a photograph is positive where any scored pixel is, Eq. 1, and undecided as `core.Targets` has it),
    `lesion_probabilities` float32 [N, 8], 'histograms' int32 [N, 2, 8, bins] and their sum 'histogram', int64; `patient` and
    `id` str [N].

  Raises:
    FloatingPointError: a probability is not a number.
    ValueError: there was no photograph, or a key is no lesion.
  """
  counted = [lesion_index(key) for key in lesions]
  thresholds = np.broadcast_to(np.asarray(thresholds, np.float32), NUM_LESIONS)
  found: list[dict[str, np.ndarray]] = []
  labels: list[dict[str, Any]] = []
  late: tuple[Native, Array] | None = None
  for photograph in photographs:
    maps = predict(photograph.crop.apply(photograph.image, size))
    labels.append(photograph.labels)
    if late:
      found.append(_count(*late, counted, thresholds))
    late = photograph, maps
  if late is None:
    raise ValueError('there is nothing to evaluate: no photograph came')
  found.append(_count(*late, counted, thresholds))
  counts = {name: np.stack([one[name] for one in found]) for name in found[0]}
  names = {name: np.array([each[name] for each in labels], np.str_) for name in ('patient', 'id')}
  return counts | names | {'histogram': counts[HISTOGRAMS].sum(axis=0, dtype=np.int64)}


def native_report(
    counts: Mapping[str, np.ndarray], annotated: Iterable[str], learned: Iterable[str] = LESION_KEYS, *,
    resamples: int = RESAMPLES, seed: int = SEED,
) -> dict[str, Any]:
  """Returns the metrics of lesions, in the form of `report`, with 'intervals' over the photographs.

  Args:
    counts: of `native_counts`.
    annotated: as of `report`.
    learned: likewise.
    resamples: of `bootstrap`.
    seed: likewise.

  Returns:
    The report, ready for JSON.
  """
  annotated, learned = tuple(annotated), tuple(learned)
  drawn = bootstrap(counts, scored_lesions(annotated, learned), resamples=resamples, seed=seed)
  return report(totals(counts), annotated, learned) | {'intervals': intervals(drawn)}


def _count(photograph: Native, maps: Array, lesions: list[int], thresholds: np.ndarray) -> dict[str, np.ndarray]:
  """The counts of one photograph, by the names of `native_counts`."""
  maps, labels = np.asarray(maps), photograph.labels
  if not np.isfinite(maps).all():
    raise FloatingPointError(f'the network outputs something that is not a number on {labels["id"]}; its weights are '
                             'not fit for use')
  counts = {name: np.zeros(NUM_LESIONS, np.int64) for name in NAMES}
  largest, histogram = np.zeros(NUM_LESIONS, np.float32), np.zeros((2, NUM_LESIONS, SCORE_BINS), np.int32)
  for j in lesions:
    if LESION_KEYS[j] not in labels['annotated']:
      continue
    tp = fp = positive = pixels = 0
    for score, truth in _blocks(photograph, maps[..., j], LESION_KEYS[j]):
      called = score >= thresholds[j]
      tp, fp = tp + np.count_nonzero(called & truth), fp + np.count_nonzero(called & ~truth)
      positive, pixels = positive + np.count_nonzero(truth), pixels + score.size
      cells = score_bin(score) + SCORE_BINS * truth
      histogram[:, j] += np.bincount(cells, minlength=2 * SCORE_BINS).reshape(2, SCORE_BINS).astype(np.int32)
      largest[j] = max(largest[j], score.max(initial=0))
    for name, value in zip(NAMES, (tp, fp, positive - tp), strict=False):
      counts[name][j] = value
    if not positive and pixels < photograph.image.shape[0] * photograph.image.shape[1]:
      counts['image_undecided'][j] = 1  # what must not be scored may be the lesion
    else:
      outcome = ('tp' if positive else 'fp') if tp + fp else ('fn' if positive else 'tn')
      counts[f'image_{outcome}'][j] = 1
  return counts | {'lesion_probabilities': largest, HISTOGRAMS: histogram}


def _blocks(photograph: Native, square: np.ndarray, key: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
  """The scored pixels of one lesion, BLOCK at most at a time: (probabilities float32 [n], truth bool [n])."""
  scores = photograph.crop.invert(square)
  truth = photograph.present.get(key)
  unscored = photograph.unscored.get(key)
  for start in range(0, scores.size, BLOCK):
    part = slice(start, start + BLOCK)
    score = np.clip(scores.reshape(-1)[part], 0, 1)  # interpolation may round past either end
    is_true = np.zeros(score.shape, bool) if truth is None else truth.reshape(-1)[part]
    if unscored is not None:
      known = ~unscored.reshape(-1)[part] | is_true
      score, is_true = score[known], is_true[known]
    yield score, is_true
