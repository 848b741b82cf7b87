"""What is in a data set: photographs, patients, grades and lesions by split, and how large the lesions are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

from lesion_jax.core import GRADE_KEYS, LESION_KEYS, UNKNOWN_GRADE, Example, unpack_bits
from lesion_jax.data.progress import Progress, silent
from lesion_jax.data.dataset import Dataset
from lesion_jax.photograph.quality import REASONS, SIDE, Quality, assess
from lesion_jax.photograph.threads import ordered_map

SCHEMA_VERSION = 1
UNKNOWN = 'unknown'
TOUCHING = np.ones((3, 3), bool)  # eight neighbours
QUANTILES = (5, 25, 50, 75, 95)  # per cent
ALL = 'all'
ALWAYS = ('blurred', 'dark', 'overexposed', 'cut')  # doubts that are counted though none has them; others where one has
NOTES = (
    'A region is a connected part (8 neighbours) of the mask of a lesion; lesions that touch count once.',
    'Areas and pixels are of the prepared squares, shares are of the whole square, of the photographs with the lesion.',
    'Gradable is a hint (lesion_jax/photograph/quality.py); nothing is excluded for it.',
    'Unscored counts the photographs with annotation that is neither present nor absent.',
)


class Counted(NamedTuple):
  """What is counted in one example.

  Attributes:
    patient: of the photograph.
    grade: 0..4, or UNKNOWN_GRADE.
    annotated: bool [8].
    unscored: bool [8], whether anything of the lesion is not to be scored.
    areas: one int [regions] a lesion, in pixels.
    quality: of the photograph; None where it is too small to tell.
  """

  patient: str
  grade: int
  annotated: np.ndarray
  unscored: np.ndarray
  areas: list[np.ndarray]
  quality: Quality | None


def count(example: Example) -> Counted:
  """Counts one example."""
  lesions = unpack_bits(example['lesions'])
  unscored = unpack_bits(np.bitwise_or.reduce(example['ignore'], axis=None))
  areas = [_areas(lesions[..., j]) for j in range(len(LESION_KEYS))]
  image = example['image']
  quality = assess(image) if len(image) >= SIDE else None
  return Counted(example['patient'], int(example['grade']), unpack_bits(example['annotated']), unscored, areas, quality)


def count_all(dataset: Dataset, progress: Progress = silent) -> dict[str, list[Counted]]:
  """Counts every example of a preprocessed dataset, by split and in order. Calls `progress` after each."""
  sources, counted, done = {split: dataset.source(split) for split in dataset.splits}, {}, 0
  total = sum(map(len, sources.values()))
  progress(done, total)
  for split, source in sources.items():
    counted[split] = []
    for found in ordered_map(lambda index, source=source: count(source[index]), range(len(source))):
      counted[split].append(found)
      done += 1
      progress(done, total)
  return counted


def sum_up(dataset: Dataset, counted: Mapping[str, Sequence[Counted]]) -> dict[str, Any]:
  """Returns the statistics of a data set.

  Args:
    dataset: whose they are.
    counted: of `count_all`.

  Returns:
    Plain JSON: name, size, crop, annotated, graded, notes, and under 'splits' by split and for 'all': images, patients,
    grades {DR0..DR4, unknown: images}, quality {gradable, doubts {reason: images}, sharpness, light, coverage} or None
    where squares are too small for it, and lesions {key: annotated, images, unscored, pixels, regions, area, share}.
    `area` {p5..p95, max} is of regions, `share` likewise of photographs with the lesion, as are the numbers of quality;
    None where there is none.
  """
  everything = [found for split in counted.values() for found in split]
  return {
      'schema_version': SCHEMA_VERSION, 'name': dataset.name, 'size': dataset.size, 'crop': dataset.crop,
      'annotated': list(dataset.annotated), 'graded': dataset.graded, 'notes': list(NOTES),
      'splits': {split: _sum_up(found, dataset.size) for split, found in {**counted, ALL: everything}.items()},
  }


def choose(counted: Sequence[Counted], number: int) -> list[int]:
  """Positions of at most `number` photographs to look at, ascending.

  First one of each lesion and one of each grade that occur, the rarest first; then others, evenly spread.
  """
  kinds = [[i for i, one in enumerate(counted) if one.areas[j].size] for j in range(len(LESION_KEYS))]
  kinds += [[i for i, one in enumerate(counted) if one.grade == grade] for grade in range(len(GRADE_KEYS))]
  chosen: list[int] = []
  for having in sorted(filter(None, kinds), key=len):
    if not set(having) & set(chosen):
      chosen.append(having[len(having) // 2])
  rest = [i for i in range(len(counted)) if i not in chosen]
  wanted = min(max(number - len(chosen), 0), len(rest))
  chosen += [rest[(2 * k + 1) * len(rest) // (2 * wanted)] for k in range(wanted)]
  return sorted(chosen[:number])


def _sum_up(found: Sequence[Counted], size: int) -> dict[str, Any]:
  grades = {key: sum(one.grade == grade for one in found) for grade, key in enumerate(GRADE_KEYS)}
  grades[UNKNOWN] = sum(one.grade == UNKNOWN_GRADE for one in found)
  return {
      'images': len(found), 'patients': len({one.patient for one in found}), 'grades': grades,
      'quality': _quality([one.quality for one in found if one.quality]),
      'lesions': {key: _lesion(found, j, size) for j, key in enumerate(LESION_KEYS)},
  }


def _quality(found: Sequence[Quality]) -> dict[str, Any] | None:
  if not found:
    return None
  return {
      'gradable': sum(one.gradable for one in found),
      'doubts': {reason: number for reason in REASONS
                 if (number := sum(reason in one.reasons for one in found)) or reason in ALWAYS},
      **{name: _quantiles(np.array([getattr(one, name) for one in found]), digits=3)
         for name in ('sharpness', 'light', 'coverage')},
  }


def _lesion(found: Sequence[Counted], j: int, size: int) -> dict[str, Any]:
  areas = [one.areas[j] for one in found if one.areas[j].size]
  regions = np.concatenate(areas) if areas else np.zeros(0, int)
  return {
      'annotated': sum(bool(one.annotated[j]) for one in found),
      'images': len(areas),
      'unscored': sum(bool(one.unscored[j]) for one in found),
      'pixels': int(regions.sum()),
      'regions': regions.size,
      'area': _quantiles(regions, digits=1),
      'share': _quantiles(np.array([area.sum() for area in areas]) / size**2, digits=6),
  }


def _quantiles(values: np.ndarray, *, digits: int) -> dict[str, float] | None:
  if not values.size:
    return None
  found = np.percentile(values, QUANTILES)
  return {**{f'p{level}': round(float(value), digits) for level, value in zip(QUANTILES, found, strict=True)},
          'max': round(float(values.max()), digits)}


def _areas(mask: np.ndarray) -> np.ndarray:
  if not mask.any():
    return np.zeros(0, int)
  labels, _ = ndimage.label(mask, TOUCHING)
  return np.bincount(labels.ravel())[1:]
