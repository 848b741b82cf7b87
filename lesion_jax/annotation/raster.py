"""Shapes -> masks: a pixel belongs to a shape that its centre lies in, so that areas are right on average.

A library's polygon also takes the pixels that its outline touches (Pillow), which swells small lesions, or
tests every pixel against every edge (matplotlib), which takes seconds for a large photograph. So the rows are filled
here, from the crossings of the edges with the lines through the pixels' centres.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from lesion_jax.annotation.shapes import Bitmap, Ellipse, Polygon, Shape, rotate
from lesion_jax.core import lesion_bits


def rasterise(shapes: Iterable[Shape], size: tuple[int, int]) -> np.ndarray:
  """Draws masks of all shapes; what reaches past the photograph is cut off.

  Args:
    shapes: in the photograph's pixels.
    size: (height, width) of the photograph.

  Returns:
    uint8 [H, W], packed: bit j where a shape of LESIONS[j] covers the pixel.

  Raises:
    ValueError: for a shape of an unknown lesion.
  """
  packed = np.zeros(size, np.uint8)
  for shape in shapes:
    place, mask = stamp(shape, size)
    packed[place] |= mask * np.uint8(lesion_bits([shape.lesion]))
  return packed


def stamp(shape: Shape, size: tuple[int, int]) -> tuple[tuple[slice, slice], np.ndarray]:
  """Returns a shape's own small mask, and where in the photograph it lies.

  A shape so small that it holds no pixel's centre covers the pixel nearest to its middle: nobody marks nothing.

  Returns:
    (rows, columns) of the photograph, and bool [h, w]; both are empty where the shape lies outside.
  """
  if isinstance(shape, Bitmap):
    height, width = (max(0, min(length, extent - start)) for length, extent, start in zip(
        shape.mask.shape, size, (shape.top, shape.left), strict=True))
    place = slice(shape.top, shape.top + height), slice(shape.left, shape.left + width)
    return place, shape.mask[:height, :width]
  low, high = bounding_box(shape)
  top, left = (max(0, math.ceil(at)) for at in low[::-1])
  bottom, right = (min(extent, math.floor(at) + 1) for extent, at in zip(size, high[::-1], strict=True))
  place = slice(top, max(top, bottom)), slice(left, max(left, right))
  corner = np.array([left, top])
  extent = tuple(part.stop - part.start for part in place)
  mask = _ellipse(shape, corner, extent) if isinstance(shape, Ellipse) else _polygon(shape.outline() - corner, extent)
  if mask.any():
    return place, mask
  column, row = (int(at) for at in np.floor((low + high) / 2 + 0.5))
  inside = 0 <= row < size[0] and 0 <= column < size[1]
  # A large shape without a pixel lies outside or has no area; a dot is a pixel.
  if inside and (high - low).max() < 2:
    return (slice(row, row + 1), slice(column, column + 1)), np.ones((1, 1), bool)
  return (slice(0, 0), slice(0, 0)), np.zeros((0, 0), bool)


def bounding_box(shape: Ellipse | Polygon) -> tuple[np.ndarray, np.ndarray]:
  """Returns the lower and the upper corner (x, y) of the bounding box."""
  if not isinstance(shape, Ellipse):
    outline = shape.outline()
    return outline.min(axis=0), outline.max(axis=0)
  cos, sin = math.cos(shape.angle), math.sin(shape.angle)
  reach = np.array([math.hypot(shape.axes[0] * cos, shape.axes[1] * sin),
                    math.hypot(shape.axes[0] * sin, shape.axes[1] * cos)])
  return np.array(shape.centre) - reach, np.array(shape.centre) + reach


def _ellipse(shape: Ellipse, corner: np.ndarray, extent: tuple[int, int]) -> np.ndarray:
  """bool [h, w]: (u / a)^2 + (v / b)^2 <= 1 in the ellipse's own axes."""
  if min(shape.axes) <= 0:
    return np.zeros(extent, bool)
  rows, columns = np.mgrid[:extent[0], :extent[1]]
  points = np.stack([columns, rows], axis=-1) + corner - np.array(shape.centre)
  return (np.square(rotate(points, -shape.angle) / shape.axes)).sum(axis=-1) <= 1


def _polygon(points: np.ndarray, extent: tuple[int, int]) -> np.ndarray:
  """bool [h, w]: inside by the even-odd rule. A centre on a left or upper edge is in, on a right or lower one not."""
  crossings = np.zeros((extent[0], extent[1] + 1), np.int32)
  for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
    if y0 == y1:
      continue  # a row's line runs along it, or misses it
    rows = np.arange(max(0, math.ceil(min(y0, y1))), min(extent[0], math.ceil(max(y0, y1))))
    columns = np.ceil(x0 + (rows - y0) * ((x1 - x0) / (y1 - y0)))
    crossings[rows, np.clip(columns, 0, extent[1]).astype(np.int64)] += 1
  return (np.cumsum(crossings[:, :-1], axis=1) % 2).astype(bool)
