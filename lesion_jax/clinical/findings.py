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

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import ndimage

from lesion_jax.photograph.field import Field

QUADRANTS: tuple[str, ...] = ('upper_left', 'upper_right', 'lower_left', 'lower_right')
TOUCHING = np.ones((3, 3), bool)  # eight neighbours


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
  labels, _ = ndimage.label(mask, TOUCHING)
  rows, columns = np.nonzero(labels)
  of = labels[rows, columns]
  sizes = np.bincount(of)[1:]
  # Centres of pixels are at + 0.5, and the line is between two pixels; a centroid on it is in the lower or right one.
  lower = np.bincount(of, rows + 0.5)[1:] >= field.row * sizes
  right = np.bincount(of, columns + 0.5)[1:] >= field.column * sizes
  regions = np.bincount(2 * lower + right, minlength=4)
  pixel = (side / mask.shape[0]) ** 2
  whole = max(1, np.count_nonzero(field.inside))
  halves = [(slice(None, middle), slice(middle, None)) for middle in (field.row, field.column)]
  quadrants = {}
  for number, (name, part) in enumerate(zip(QUADRANTS, itertools.product(*halves), strict=True)):
    inside = np.count_nonzero(mask[part] & field.inside[part])
    quadrants[name] = {'regions': int(regions[number]), 'pixels': round(np.count_nonzero(mask[part]) * pixel),
                       'share': round(float(inside / whole), 8)}
  total = {key: sum(quadrant[key] for quadrant in quadrants.values()) for key in ('regions', 'pixels', 'share')}
  return total | {'share': round(total['share'], 8), 'quadrants': quadrants}


def regions_by_quadrant(lesions: Mapping[str, Any], key: str = 'iHE') -> list[int] | None:
  """The regions of a lesion, those that Table I counts unless told otherwise, in the order of QUADRANTS.

  Args:
    lesions: of a record, each with what `measure` found of it or None.
    key: of the lesion.

  Returns:
    Four numbers; None where the lesion is not judged, or not counted.
  """
  counted = lesions.get(key, {}).get('found')
  return counted and [counted['quadrants'][name]['regions'] for name in QUADRANTS]
