"""Lesions by the eye's own landmarks: quadrants, distance to the fovea, disc diameters.

Our choice, as guidelines draw no line in a photograph:

- The line from disc to fovea parts superior and inferior, and the line across it through the fovea nasal (where the disc is) and
  temporal, as the visual field is divided. Where that line is steeper than 45 degrees nobody knows which side is up, and
  there are no quadrants. A photograph upside down gets them the wrong way round.
- A region belongs to the quadrant of its centroid, an area pixel by pixel to that of the pixel, as in `findings`.
- A region is as near to the fovea as its nearest pixel.
- A disc diameter is a fixed share of the field of view, see `metrics.landmarks`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from lesion_jax.clinical.findings import Regions
from lesion_jax.core import EDEMA, SEVERE_HEMORRHAGES
from lesion_jax.metrics.presence import ABSENT, NOT_EVALUATED, PRESENT
from lesion_jax.photograph.crop import Crop
from lesion_jax.photograph.field import Field
from lesion_jax.photograph.landmarks import Landmarks

QUADRANTS = ('superior_nasal', 'superior_temporal', 'inferior_nasal', 'inferior_temporal')
NEAR = 1.0  # disc diameters, of the risk of macular edema (core.EDEMA)
BY_LANDMARKS, BY_PICTURE = 'landmarks', 'picture'
UNSEEN = ('Of the 4-2-1 rule this is the arm of hemorrhages alone: venous beading and IrMA, the other two, cannot be seen by this '
          'network.')


class Zones(NamedTuple):
  """What of the landmarks is needed to measure a mask, in pixels of the network's square.

  Attributes:
    fovea: (row, column), or None where it is not found.
    nasal: unit vector (row, column) from the fovea to the disc; None where one is not found, or the line is too steep.
    diameter: of a disc.
  """

  fovea: tuple[float, float] | None
  nasal: tuple[float, float] | None
  diameter: float

  @classmethod
  def of(cls, landmarks: Landmarks, crop: Crop, size: int) -> Zones:
    """The zones in the square of `size` pixels that a crop cuts out of the photograph."""
    disc, fovea, diameter = landmarks.in_square(crop, size)
    nasal = None
    if disc and fovea:
      down, across = disc[0] - fovea[0], disc[1] - fovea[1]
      if abs(across) > abs(down):
        length = math.hypot(down, across)
        nasal = down / length, across / length
    return cls(fovea, nasal, diameter)

  def quadrant(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The position in QUADRANTS of places in pixels, int [...]. Only with `nasal`."""
    down, across = rows - self.fovea[0], columns - self.fovea[1]
    along = down * self.nasal[0] + across * self.nasal[1]
    # The line's other side, turned so that it points up in the picture.
    up = math.copysign(1, self.nasal[1]) * (across * self.nasal[0] - down * self.nasal[1])
    return 2 * (up < 0).astype(int) + (along < 0)


def measure_zones(found: Regions, field: Field, side: int, zones: Zones) -> dict[str, Any]:
  """What `findings.measure` does, by landmarks.

  Args:
    found: where the lesion is, at the network's size.
    field: of the same square.
    side: of the square, in the photograph's pixels.
    zones: in the same square.

  Returns:
    quadrants: {each of QUADRANTS: {'regions', 'pixels', 'share'}}, as of `measure`; None where disc or fovea is not found.
    nearest: disc diameters from the fovea to the nearest pixel of the lesion; None without one, or where the fovea is not found.
    near_fovea: {'regions', 'pixels', 'share'} of what lies within NEAR disc diameters of the fovea, `regions` being those that reach
      into it; None where the fovea is not found.
    disc_areas: the area over that of a disc.
  """
  rows, columns, of, count, size = found
  pixel, whole = (side / size) ** 2, max(1, np.count_nonzero(field.inside))
  inside = field.inside[rows, columns]

  def part(regions: int, chosen: np.ndarray) -> dict[str, Any]:
    return {'regions': int(regions), 'pixels': round(np.count_nonzero(chosen) * pixel),
            'share': round(float(np.count_nonzero(inside & chosen) / whole), 8)}

  result: dict[str, Any] = {'quadrants': None, 'nearest': None, 'near_fovea': None,
                            'disc_areas': round(float(len(rows) / (math.pi / 4 * zones.diameter ** 2)), 6)}
  if zones.nasal is not None:
    sizes = np.bincount(of, minlength=count + 1)[1:]
    centres = [np.bincount(of, at + 0.5, minlength=count + 1)[1:] / np.maximum(sizes, 1) for at in (rows, columns)]
    regions = np.bincount(zones.quadrant(*centres), minlength=4)
    pixels = zones.quadrant(rows + 0.5, columns + 0.5)
    result['quadrants'] = {name: part(regions[number], pixels == number) for number, name in enumerate(QUADRANTS)}
  if zones.fovea is not None:
    distance = np.hypot(rows + 0.5 - zones.fovea[0], columns + 0.5 - zones.fovea[1]) / zones.diameter
    near = distance <= NEAR
    result['near_fovea'] = part(len(np.unique(of[near])), near)
    result['nearest'] = _rounded(float(distance.min())) if len(distance) else None
  return result


def _rounded(distance: float) -> float:
  """A distance in disc diameters to four places, or all of them where fewer would move it across NEAR."""
  few = round(distance, 4)
  return few if (few <= NEAR) == (distance <= NEAR) else distance


def say_distance(distance: float) -> str:
  """A distance in disc diameters with two places, or as many as say on which side of NEAR it is."""
  return next((said for said in (f'{distance:.{places}f}' for places in range(2, 9)) if (float(said) <= NEAR) == (distance <= NEAR)), repr(distance))


def severe_hemorrhages(lesions: Mapping[str, Any]) -> dict[str, Any] | None:
  """The arm of hemorrhages of the 4-2-1 rule: more than SEVERE_HEMORRHAGES in each of four quadrants.

  Args:
    lesions: of a record.

  Returns:
    {'by': BY_LANDMARKS or BY_PICTURE, 'regions': {quadrant: number}, 'met': bool, 'note': UNSEEN}; None where hemorrhages are not
    counted.
  """
  found = (lesions.get('iHE') or {}).get('found')
  if not found:
    return None
  by_landmarks = (found.get('by_landmarks') or {}).get('quadrants')
  regions = {name: quadrant['regions'] for name, quadrant in (by_landmarks or found['quadrants']).items()}
  return {'by': BY_LANDMARKS if by_landmarks else BY_PICTURE, 'regions': regions,
          'met': min(regions.values()) > SEVERE_HEMORRHAGES, 'note': UNSEEN}


def edema_by_rule(states: Mapping[str, str], lesions: Mapping[str, Any] | None, *, fovea: bool, reliable: bool) -> dict[str, Any]:
  """The risk of macular edema by its own definition: hard exudates, and whether any lies within a disc diameter of the fovea.

  Args:
    states: of a record.
    lesions: likewise.
    fovea: whether it was found.
    reliable: whether what is not found in the photograph is not there; else one that is nearer may be missing.

  Returns:
    value: 0..2, a position in core.EDEMA; None where it cannot be told.
    least: of what cannot be told, the least that it is; else the value.
    name: of EDEMA; None without a value.
    nearest: disc diameters from the fovea to the nearest hard exudate; None without both.
    sentence: what it rests on.
  """
  state, lesion = states.get('HaEx', NOT_EVALUATED), (lesions or {}).get('HaEx') or {}
  measured = lesion.get('found')
  nearest = measured['by_landmarks']['nearest'] if measured and measured.get('by_landmarks') else None

  def said(value: int | None, least: int | None, sentence: str) -> dict[str, Any]:
    return {'value': value, 'least': least, 'name': None if value is None else EDEMA[value], 'nearest': nearest, 'sentence': sentence}

  if state == ABSENT:
    return said(0, 0, 'No hard exudate was found.')
  if state != PRESENT:
    why = 'are not evaluated by this network' if state == NOT_EVALUATED else 'were not found, in a photograph that cannot be relied on'
    return said(None, None, f'Hard exudates {why}.')
  if measured is None:
    return said(None, 1, 'Hard exudates were found; where they are is not known, as this network makes no maps.')
  if not fovea:
    return said(None, 1, 'Hard exudates were found; how near to the fovea is not known, as it was not found.')
  if nearest is None:
    why = 'no region is as large as the smallest that counts' if 'smallest' in lesion else 'no pixel reaches the threshold of the mask'
    return said(None, 1, f'Hard exudates were found, but {why}: where they are is not known.')
  where = f'{say_distance(nearest)} disc diameters from the fovea, {"within" if nearest <= NEAR else "beyond"} {NEAR:g}'
  if nearest <= NEAR:
    return said(2, 2, f'The nearest hard exudate is {where}.')
  if not reliable:
    return said(None, 1, f'The nearest hard exudate that was found is {where}; in a photograph that cannot be relied on a nearer one may be missed.')
  return said(1, 1, f'The nearest hard exudate is {where}.')
