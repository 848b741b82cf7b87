"""Counts of a whole split, on the host."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

# By name: [N, ...] for the N images of a split, 'histogram' for all of them together.
Counts = dict[str, np.ndarray]
PROBABILITIES = ('lesion_probabilities', 'grade_probabilities', 'presence_scores', 'maximum_scores')
HISTOGRAMS = 'histograms'  # of the single images
PATIENT, ID = 'patient', 'id'  # whose each image is, and which
NAMES = (PATIENT, ID)
HEALTHY, REFERABLE = 'healthy', 'referable'  # what a coarser scale than DR0 to DR4 tells, see `scale.on_scale`
NOT_SUMMED = (*PROBABILITIES, HISTOGRAMS, *NAMES, 'grade', HEALTHY, REFERABLE, 'called_pixels', 'known_pixels')


def image_counts(
    step: Callable[[Any, Any], Any], variables: Any, batches: Iterable[Any], *, keep_histograms: bool = False
) -> Counts:
  """Returns the counts of each image of all batches, without the rows that only pad them.

  Args:
    step: `(variables, batch) -> counts`, see `make_count_step`; it splits and places the batch itself.
    variables: what the step takes, on the devices.
    batches: a finite iterable; rows of weight 0 appear nowhere.
    keep_histograms: keep the histogram of each image too, 189 kB each, without which the AUPR has no interval.

  Returns:
    What the step counts, as int64: [N, 8], [N, 5, 5] or [N] in the order of the images, and the summed 'histogram' [2,
    8, bins] where there is one (int64: a batch's counts fit int32, a data set's sums may not). Probabilities and scores
    stay float32, and what was kept is int32 [N, 2, 8, bins] under 'histograms'. 'id' and 'patient' str [N] come from the
    batches, where they have them; of several processes, each has the names of all images.

  Raises:
    ValueError: there was no batch.
  """
  images: list[Counts] = []
  sums: Counts = {}
  seen: dict[str, list[np.ndarray]] = {}
  reals: list[np.ndarray] = []
  for counts in _one_behind(step, variables, _noting(batches, seen)):
    real = counts.pop('real')
    reals.append(real)
    images.append({name: value[real] for name, value in counts.items() if name != 'histogram'})
    if 'histogram' in counts:
      histograms = counts['histogram'][real]
      sums['histogram'] = histograms.sum(axis=0, dtype=np.int64) + sums.get('histogram', 0)
      if keep_histograms:
        images[-1][HISTOGRAMS] = histograms
  if not images:
    raise ValueError('there is nothing to evaluate: no batch came')
  whole = {name: np.concatenate([part[name] for part in images]) for name in images[0]}
  kept = np.concatenate(reals)
  return {name: value if name in (*PROBABILITIES, HISTOGRAMS) or value.dtype.kind == 'f' else value.astype(np.int64) for name, value in whole.items()} | sums | {
      name: _of_all_processes(np.concatenate(parts))[kept] for name, parts in seen.items()}


def totals(counts: Mapping[str, np.ndarray]) -> Counts:
  """Returns the counts of `image_counts` summed over the images, int64, as `report` takes them."""
  return {name: value if name == 'histogram' else np.sum(value, axis=0, dtype=np.int64)
          for name, value in counts.items() if name not in NOT_SUMMED}


def part_of(counts: Mapping[str, np.ndarray], rows: slice) -> Counts:
  """Returns the counts of some of the images; without 'histogram' where the histograms of the single images were not
  kept."""
  found = {name: value[rows] for name, value in counts.items() if name != 'histogram'}
  return found | ({'histogram': found[HISTOGRAMS].sum(axis=0, dtype=np.int64)} if HISTOGRAMS in found else {})


def _noting(batches: Iterable[Any], seen: dict[str, list[np.ndarray]]) -> Iterator[Any]:
  """The batches, while `seen` takes what NAMES say of their rows."""
  for batch in batches:
    for name in NAMES if isinstance(batch, Mapping) else ():
      if name in batch:
        seen.setdefault(name, []).append(np.asarray(batch[name], np.str_))
    yield batch


def _of_all_processes(names: np.ndarray) -> np.ndarray:
  """The names of the rows of all global batches in their order, str [P * n], from those of the rows of this process,
  str [n]: every P-th one."""
  if jax.process_count() == 1:
    return names
  from jax.experimental import multihost_utils  # imported here: only runs of several processes need it

  # A collective moves numbers of one shape: names in UTF-8, filled up with zeros to the longest of any process.
  encoded = np.char.encode(names, 'utf-8')
  width = int(np.max(multihost_utils.process_allgather(np.array(encoded.dtype.itemsize))))
  rows = encoded.astype(f'S{width}').view(np.uint8).reshape(len(names), width)
  everyone = np.asarray(multihost_utils.process_allgather(rows))  # [P, n, width]
  ordered = np.ascontiguousarray(everyone.transpose(1, 0, 2)).reshape(-1, width)
  return np.char.decode(ordered.view(f'S{width}')[:, 0], 'utf-8')


def _one_behind(step: Callable[[Any, Any], Any], variables: Any, batches: Iterable[Any]) -> Iterator[Counts]:
  """The counts of each batch in NumPy, read when the device has the next batch already."""
  late = None
  for batch in batches:
    counts = step(variables, batch)
    if late is not None:
      yield jax.tree.map(np.asarray, late)
    late = counts
  if late is not None:
    yield jax.tree.map(np.asarray, late)
