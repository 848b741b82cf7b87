"""How well landmarks are found: errors in disc diameters, and whether what is not in the picture is said not to be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from lesion_jax.core import LANDMARKS, Example
from lesion_jax.evaluate.bootstrap import RESAMPLES, SEED, patients, resampled_sums
from lesion_jax.evaluate.interval import percentiles
from lesion_jax.evaluate.totals import PATIENT, Counts
from lesion_jax.metrics.landmarks import DISC_DIAMETER, NEARNESS, WITHIN, landmark_errors
from lesion_jax.models.landmarks import locate

BEYOND = 0.05  # of the side: how far outside the picture a landmark lies in the copies of `Moved`


def make_locate_step(apply: Callable[..., Any], *, axis_name: str | None = None) -> Callable[[Any, Example], dict[str, jax.Array]]:
  """Builds `step(variables, batch) -> {'places' [B, 2, 2], 'confidence' [B, 2], 'landmarks' [B, 2, 2], 'real' [B]}`, of each image
  of the whole global batch in the order of `row`, equal on all devices, as `image_counts` takes it.

  Args:
    apply: of a network of landmarks.
    axis_name: the mapped axis of the devices; None on one.
  """

  def step(variables: Any, batch: Example) -> dict[str, jax.Array]:
    found = locate(apply(variables, batch['image'], train=False).landmarks, batch['image'].shape[1])
    images = {'places': found.places, 'confidence': found.confidence, 'landmarks': batch['landmarks'], 'real': batch['weight'] > 0}
    row = batch['row']
    if axis_name is not None:
      images, row = jax.lax.all_gather((images, row), axis_name, tiled=True)
    order = jax.numpy.argsort(row)
    return {name: value[order] for name, value in images.items()}

  return step


class Moved(Sequence):
  """Each photograph of a source as a camera shows it that looks elsewhere: one landmark lies outside, beyond the nearer side of
  the picture, and the field of view is round again.

  Args:
    source: of examples with landmarks.
    number: which landmark, a position in LANDMARKS; of a photograph without it nothing is moved.
  """

  def __init__(self, source: Sequence[Example], number: int):
    self._source, self._number = source, number

  def __len__(self) -> int:
    return len(self._source)

  def __getitem__(self, index: int) -> Example:
    example = self._source[index]
    image, places = example['image'], np.array(example['landmarks'])
    size, column = len(image), places[self._number, 1]
    if not np.all((places[self._number] >= 0) & (places[self._number] <= size)):  # unknown, or outside already
      return example
    by = round(-column - BEYOND * size) if column < size / 2 else round(size - column + BEYOND * size)
    moved = np.zeros_like(image)
    kept, into = (slice(-by, None), slice(None, by)) if by < 0 else (slice(None, -by), slice(by, None))
    moved[:, into] = image[:, kept]
    at = (np.arange(size) + 0.5 - size / 2) ** 2
    moved[at[:, None] + at[None, :] > (size / 2) ** 2] = 0
    places[:, 1] += by
    outside = ((places - size / 2) ** 2).sum(axis=1) > (size / 2) ** 2
    places[outside] = -size
    return {**example, 'image': moved, 'landmarks': places.astype(np.float32)}


def landmark_report(
    counts: Counts, size: int, threshold: float, *, moved: Sequence[Counts] = (), resamples: int = RESAMPLES, seed: int = SEED,
) -> dict[str, Any]:
  """Figures of both landmarks, ready for JSON.

  Args:
    counts: of `image_counts` with a step of `make_locate_step`.
    size: side of the pictures, in pixels.
    threshold: of the confidence from which a landmark is said to be found.
    moved: the same of the copies of `Moved`, one for each landmark; () leaves 'outside' out.
    resamples, seed: of the bootstrap over patients.

  Returns:
    {'disc_diameter': over the side, 'threshold', 'patients' (None: nobody says), NEARNESS, 'landmarks': {each: {'images', 'error': {'value',
    'interval'} the mean in disc diameters, 'median', 'p95', 'within': the share nearer than WITHIN, 'found': the share said to
    be found, and 'outside' the share of `moved` said not to be there, each as {'value', 'interval', 'count', 'of'}}}}. The errors
    are of all photographs that show the landmark, found or not.

  Raises:
    FloatingPointError: a place or a confidence is not a number.
  """
  for each in (counts, *moved):
    _require_finite(each)
  errors = landmark_errors(counts['places'], counts['landmarks'], size)
  patient = counts.get(PATIENT)
  near = np.where(np.isfinite(errors), np.maximum(0, 1 - errors), np.nan)
  result: dict[str, Any] = {'disc_diameter': DISC_DIAMETER, 'threshold': threshold, 'patients': patients(counts),
                            NEARNESS: float(np.nanmean(near)) if np.isfinite(near).any() else None, 'landmarks': {}}
  draw = {'resamples': resamples, 'seed': seed}
  for number, name in enumerate(LANDMARKS):
    known = np.isfinite(errors[:, number])
    if not known.any():
      result['landmarks'][name] = {'images': 0}
      continue
    error, whose = errors[known, number], None if patient is None else patient[known]
    found = {'images': int(known.sum()), 'error': _mean(error, whose, draw), 'median': float(np.median(error)),
             'p95': float(np.quantile(error, 0.95)), 'within': _share(error <= WITHIN, whose, draw),
             'found': _share(counts['confidence'][known, number] >= threshold, whose, draw)}
    if moved:
      out = moved[number]
      gone = np.any(out['landmarks'][:, number] < 0, axis=-1)
      found['outside'] = _share(out['confidence'][gone, number] < threshold, None if patient is None else out[PATIENT][gone], draw)
    result['landmarks'][name] = found
  return result


def _require_finite(counts: Counts) -> None:
  wrong = ~(np.isfinite(counts['places']).all(axis=(1, 2)) & np.isfinite(counts['confidence']).all(axis=1))
  if wrong.any():
    raise FloatingPointError(f'the network of landmarks outputs something that is not a number on {wrong.sum()} of {len(wrong)} '
                             'photographs; its weights are not fit for use')


def _mean(values: np.ndarray, patient: np.ndarray | None, draw: Mapping[str, int]) -> dict[str, Any]:
  sums = resampled_sums(np.stack([values, np.ones(len(values))], axis=-1), patient, **draw)
  return {'value': float(np.mean(values)), 'interval': percentiles(sums[:, 0] / sums[:, 1])}


def _share(holds: np.ndarray, patient: np.ndarray | None, draw: Mapping[str, int]) -> dict[str, Any]:
  if not len(holds):
    return {'value': None, 'interval': None, 'count': 0, 'of': 0}
  return _mean(holds.astype(float), patient, draw) | {'count': int(holds.sum()), 'of': len(holds)}
