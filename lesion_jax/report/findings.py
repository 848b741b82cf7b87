"""Counts and areas of the lesions on a map: of all of it, and by quadrant of the field of view.

Three things are our choice, as neither the paper nor a guideline settles them for a picture without annotated disc and
fovea:

- A region is a connected part of a mask at the network's own size; pixels that touch at a corner are connected. None is
  too small to count, and lesions that touch count once.
- The quadrants are those of the picture, upper and lower, left and right of the centre of the field of view. A region
  belongs to the quadrant of its centroid, an area pixel by pixel to the quadrant of the pixel.
- Areas are counted at the network's size and given in the photograph's pixels. A mask brought to the photograph has a
  smooth edge, so its own count differs a little; for a lesion of a few of the network's pixels, by a third.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from lesion_jax.data.field import find_box, find_mask

QUADRANTS: tuple[str, ...] = ('upper_left', 'upper_right', 'lower_left', 'lower_right')
TOUCHING = np.ones((3, 3), bool)  # eight neighbours
FIELD_SIDE = 512  # The field is looked for on a copy of at most this side, as `data.fundus` does.


@dataclasses.dataclass(frozen=True, eq=False)
class Field:
  """The field of view within the square that the network saw, at the network's size S.

  Attributes:
    inside: bool [S, S].
    row: the first row of the lower quadrants.
    column: the first column of the right ones.
  """

  inside: np.ndarray
  row: int
  column: int


def find_field_of_view(square: np.ndarray, size: int) -> Field:
  """The field of view in a square of the photograph, by the same rules by which it is cropped, see `data.field`.

  Its centre is that of the box around it. A square without any bright part is all field.

  Args:
    square: uint8 [D, D, 3], the square of the photograph at any size.
    size: the network's.
  """
  side = min(FIELD_SIDE, size)
  luminance = Image.fromarray(square).convert('L').resize((side, side), Image.Resampling.BOX)
  inside = find_mask(np.asarray(luminance))
  inside = inside if inside.any() else np.ones((side, side), bool)
  top, bottom, left, right = find_box(inside)
  row, column = ((low + high) * size // (2 * side) for low, high in ((top, bottom), (left, right)))
  nearest = (np.arange(size) * side) // size
  return Field(inside[nearest][:, nearest], row, column)


def measure(mask: np.ndarray, field: Field, side: int) -> dict[str, Any]:
  """Regions and areas of one lesion.

  Args:
    mask: bool [S, S], where the lesion is, at the network's size.
    field: of the same square.
    side: of the square, in the photograph's pixels.

  Returns:
    {'regions': int, 'pixels': int, 'share': float, 'quadrants': {each of QUADRANTS: {'regions', 'pixels', 'share'}}}:
    `pixels` is the area in the photograph's pixels, `share` the part inside the field of view, over the area of the
    field of view.

  Raises:
    ValueError: mask and field are not of one size.
  """
  if mask.shape != field.inside.shape:
    raise ValueError(f'the mask is {list(mask.shape)}, the field of view {list(field.inside.shape)}; both must be of '
                     'the size of the network')
  regions = _count_regions(mask, field)
  pixel = (side / mask.shape[0]) ** 2
  whole = max(1, np.count_nonzero(field.inside))
  quadrants = {}
  for number, (name, part) in enumerate(zip(QUADRANTS, _parts(field), strict=True)):
    inside = np.count_nonzero(mask[part] & field.inside[part])
    quadrants[name] = {'regions': int(regions[number]), 'pixels': round(np.count_nonzero(mask[part]) * pixel),
                       'share': round(float(inside / whole), 8)}
  total = {key: sum(quadrant[key] for quadrant in quadrants.values()) for key in ('regions', 'pixels', 'share')}
  return total | {'share': round(total['share'], 8), 'quadrants': quadrants}


def _parts(field: Field) -> list[tuple[slice, slice]]:
  """The four quadrants of an array, in the order of QUADRANTS."""
  rows, columns = ((slice(None, middle), slice(middle, None)) for middle in (field.row, field.column))
  return [(row, column) for row in rows for column in columns]


def _count_regions(mask: np.ndarray, field: Field) -> np.ndarray:
  """int [4], the regions whose centroid lies in each quadrant; one on a dividing line is in the lower or right one."""
  labels, _ = ndimage.label(mask, TOUCHING)
  rows, columns = np.nonzero(labels)
  of = labels[rows, columns]
  pixels = np.bincount(of)[1:]
  # Centres of pixels are at + 0.5, and the line is between two pixels.
  lower = np.bincount(of, rows + 0.5)[1:] >= field.row * pixels
  right = np.bincount(of, columns + 0.5)[1:] >= field.column * pixels
  return np.bincount(2 * lower + right, minlength=4)
