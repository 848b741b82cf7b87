"""Counts and areas of the lesions on a map: of all of it, and by quadrant of the field of view.

Three things are our choice, as neither the paper nor a guideline settles them for a picture without annotated disc and
fovea:

- A region is a connected part of a mask at the network's own size; pixels that touch at a corner are connected. None is
  too small to count, unless a smallest one was chosen (`Smallest`), and lesions that touch count once.
- The quadrants are those of the picture, upper and lower, left and right of the centre of the field of view. A region
  belongs to the quadrant of its centroid, an area pixel by pixel to the quadrant of the pixel.
- Areas are counted at the network's size and given in the photograph's pixels. A mask brought to the photograph has a
  smooth edge, so its own count differs a little; for a lesion of a few of the network's pixels, by a third.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

from lesion_jax.photograph.field import Field

QUADRANTS: tuple[str, ...] = ('upper_left', 'upper_right', 'lower_left', 'lower_right')
TOUCHING = np.ones((3, 3), bool)  # eight neighbours
TILE = 32  # pixels, see `patches`
PIXELS, DISC_AREAS = 'pixels', 'disc areas'
# The optic disc, of which nobody says where it is, is taken for this share of the field of view: a disc 1.8 mm wide in a
# field of 45 degrees, which are 13 mm of retina (our choice; in a wider field the share is smaller, and so are the
# regions that go).
DISC_SHARE = 0.019


class Smallest(NamedTuple):
  """The smallest region of a lesion that counts; a smaller one is left out of mask, outline, number and area. Whether
  the lesion is called present is another question, see `metrics.presence`.

  Attributes:
    value: above 0.
    unit: PIXELS, of the mask at the network's own size, or DISC_AREAS, see DISC_SHARE.
  """

  value: float
  unit: str = PIXELS

  @classmethod
  def of(cls, found: Any) -> Smallest:
    """From JSON, {'value', 'unit'}.

    Raises:
      ValueError: it is something else.
    """
    value, unit = (found.get('value'), found.get('unit', PIXELS)) if isinstance(found, Mapping) else (None, None)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf or unit not in (PIXELS, DISC_AREAS):
      raise ValueError(f"{found!r} is no smallest region: it is {{'value': number above 0, 'unit': {PIXELS!r} or {DISC_AREAS!r}}}")
    return cls(value, unit)

  def pixels(self, field: Field) -> int:
    """The number of pixels at the network's size below which a region does not count."""
    whole = np.count_nonzero(field.inside) if self.unit == DISC_AREAS else 1
    return max(1, math.ceil(self.value * (DISC_SHARE * whole if self.unit == DISC_AREAS else 1) - 1e-9))

  def __str__(self) -> str:
    return f'{self.value:g} {self.unit if self.value != 1 else self.unit.removesuffix("s")}'


def without_small(mask: np.ndarray, least: int) -> np.ndarray:
  """A mask without its regions of fewer than `least` pixels.

  Args:
    mask: bool [S, S]; it is not changed.
    least: in pixels; 1 leaves everything.

  Returns:
    bool [S, S]; the same array where nothing is too small.
  """
  if least <= 1:
    return mask
  labels, count = ndimage.label(mask, TOUCHING)
  kept = np.bincount(labels.ravel(), minlength=count + 1) >= least
  kept[0] = False
  return mask if kept[1:].all() else kept[labels]


class Patch(NamedTuple):
  """A rectangle of a mask with some of its regions, whole.

  Attributes:
    rows, columns: where it lies in the mask.
    labels: int [h, w], the region of each pixel from 1 on; 0 outside of those that are in this patch.
    count: of regions.
  """

  rows: slice
  columns: slice
  labels: np.ndarray
  count: int


def patches(mask: np.ndarray) -> Iterator[Patch]:
  """Yields the regions of a mask, bool [S, S], a patch after the other; together as `ndimage.label` of the whole finds them, in a
  third of the time where a lesion covers a thousandth, in no less where it covers four per cent.

  Tiles that hold anything and touch each other are looked at together, and no others.
  """
  height, width = mask.shape
  rows, columns = -(-height // TILE), -(-width // TILE)
  if (rows * TILE, columns * TILE) != mask.shape:
    whole = np.zeros((rows * TILE, columns * TILE), bool)
    whole[:height, :width] = mask
    mask = whole
  held = mask.reshape(rows, TILE, -1).any(axis=1).reshape(rows, columns, TILE).any(axis=2)
  groups, _ = ndimage.label(held, TOUCHING)
  for number, place in enumerate(ndimage.find_objects(groups), start=1):
    down, across = (slice(TILE * part.start, min(TILE * part.stop, side)) for part, side in zip(place, (height, width), strict=True))
    own = groups[place] == number
    part = mask[down, across]
    if not own.all():
      part = part & own.repeat(TILE, axis=0).repeat(TILE, axis=1)[:part.shape[0], :part.shape[1]]
    yield Patch(down, across, *ndimage.label(part, TOUCHING))


class Regions(NamedTuple):
  """The regions of a mask, by its pixels: all that is measured is measured of these few.

  Attributes:
    rows, columns: of the pixels that are set, int [n].
    of: the region of each, int [n] from 1 on.
    count: of regions.
    size: S, of the mask.
  """

  rows: np.ndarray
  columns: np.ndarray
  of: np.ndarray
  count: int
  size: int

  @classmethod
  def of_mask(cls, mask: np.ndarray) -> Regions:
    """Those of bool [S, S]."""
    found, before = [np.zeros((3, 0), int)], 0
    for patch in patches(mask):
      rows, columns = np.nonzero(patch.labels)
      found.append(np.stack([rows + patch.rows.start, columns + patch.columns.start, patch.labels[rows, columns] + before]))
      before += patch.count
    rows, columns, of = np.concatenate(found, axis=1)
    return cls(rows, columns, of, before, len(mask))


def measure(found: Regions, field: Field, side: int, spacing: tuple[float, float] | None = None) -> dict[str, Any]:
  """Regions and areas of one lesion.

  Args:
    found: where the lesion is, at the network's size.
    field: of the same square.
    side: of the square, in the photograph's pixels.
    spacing: mm on the retina between rows and between columns of the photograph; None where it is not known.

  Returns:
    {'regions': int, 'pixels': int, 'share': float, 'quadrants': {each of QUADRANTS: {'regions', 'pixels', 'share'}}}:
    `pixels` is the area in the photograph's pixels, `share` the part inside the field of view, over the area of the
    field of view; with a spacing `mm2` too, the area in square millimetres, as if the retina were flat.

  Raises:
    ValueError: mask and field are not of one size.
  """
  rows, columns, of, count, size = found
  if field.inside.shape != (size, size):
    raise ValueError(f'the mask is {[size, size]}, the field of view {list(field.inside.shape)}; both must be of '
                     'the size of the network')
  sizes = np.bincount(of, minlength=count + 1)[1:]
  # Centres of pixels are at + 0.5, and the line is between two pixels; a centroid on it is in the lower or right one.
  lower = np.bincount(of, rows + 0.5, minlength=count + 1)[1:] >= field.row * sizes
  right = np.bincount(of, columns + 0.5, minlength=count + 1)[1:] >= field.column * sizes
  regions = np.bincount(2 * lower + right, minlength=4)
  pixel = (side / size) ** 2
  whole = max(1, np.count_nonzero(field.inside))
  place = 2 * (rows >= field.row) + (columns >= field.column)
  pixels, inside = np.bincount(place, minlength=4), np.bincount(place[field.inside[rows, columns]], minlength=4)
  quadrants = {}
  for number, name in enumerate(QUADRANTS):
    quadrants[name] = {'regions': int(regions[number]), 'pixels': round(int(pixels[number]) * pixel),
                       'share': round(float(inside[number] / whole), 8)}
    if spacing:
      quadrants[name]['mm2'] = round(float(pixels[number] * pixel * spacing[0] * spacing[1]), 6)
  total = {key: sum(quadrant[key] for quadrant in quadrants.values()) for key in quadrants[QUADRANTS[0]]}
  return total | {key: round(total[key], digits) for key, digits in (('share', 8), ('mm2', 6)) if key in total} | {
      'quadrants': quadrants}


def regions_by_quadrant(lesions: Mapping[str, Any], key: str = 'iHE') -> list[int] | None:
  """The regions of a lesion, those that Table I counts unless told otherwise, in the order of QUADRANTS.

  Args:
    lesions: of a record, each with what `measure` found of it or None.
    key: of the lesion.

  Returns:
    Four numbers, by the landmarks where these are known (in the order of `zones.QUADRANTS`); None where the lesion is not judged,
    or not counted.
  """
  counted = lesions.get(key, {}).get('found')
  if by_landmarks := counted and (counted.get('by_landmarks') or {}).get('quadrants'):
    return [quadrant['regions'] for quadrant in by_landmarks.values()]
  return counted and [counted['quadrants'][name]['regions'] for name in QUADRANTS]
