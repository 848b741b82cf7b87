"""Regions of Label Studio, in percent of the photograph, as shapes in its pixels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lesion_jax.annotation.mistakes import cut
from lesion_jax.annotation.shapes import Bitmap, Ellipse, Polygon, Shape, rotate

FAR = 1e4  # percent: what lies beyond is no place near a photograph


def to_shapes(value: Mapping[str, Any], lesions: Sequence[str], size: tuple[int, int], where: str) -> list[Shape]:
  """Returns one shape for each lesion that the region is labelled with.

  Args:
    value: of a result: with rle a brush stroke, with radiusX and radiusY an ellipse, with points a polygon, with width and
      height a rectangle.
    lesions: keys.
    size: (height, width) of the photograph.
    where: says in errors where it stands.

  Raises:
    ValueError: for a value that is none of these, or has something else than numbers; for a polygon that was not finished,
      and for a shape that lies outside the photograph.
  """
  percent = np.array([size[1], size[0]]) / 100  # pixels in a percent of the width, of the height
  if 'rle' in value:
    mask = decode_brush(value['rle'], size, where)
    return [Bitmap.of(key, mask) for key in lesions]
  if 'points' in value:
    points = _numbers(value['points'], where)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3:
      raise Wrong('a polygon needs at least three points [x, y]; finish it, or delete it')
    if value.get('closed') is False:
      raise Wrong('a polygon was not finished (closed: false); close it, or delete it')
    outline = points * percent - 0.5
  elif 'radiusX' in value:
    x, y, *axes = _numbers([value.get(key) for key in ('x', 'y', 'radiusX', 'radiusY')], where)
    _require_inside(np.array([[x - abs(axes[0]), y - abs(axes[1])], [x + abs(axes[0]), y + abs(axes[1])]]))
    centre, axes = np.array([x, y]) * percent - 0.5, np.abs(axes) * percent
    angle = math.radians(float(_numbers(value.get('rotation') or 0, where)))
    return [Ellipse(key, (float(centre[0]), float(centre[1])), (float(axes[0]), float(axes[1])), angle)
            for key in lesions]
  elif 'width' in value:
    x, y, width, height = _numbers([value.get(key) for key in ('x', 'y', 'width', 'height')], where)
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)]) * percent
    angle = math.radians(float(_numbers(value.get('rotation') or 0, where)))
    outline = np.array([x, y]) * percent + rotate(corners, angle) - 0.5
  else:
    raise ValueError(f'{where}: a region is neither ellipse, polygon nor rectangle; its value has '
                     f'{cut(", ".join(sorted(value))) or "nothing"}')
  _require_inside((outline + 0.5) / percent)
  return [Polygon(key, tuple((float(x), float(y)) for x, y in outline)) for key in lesions]


class Wrong(ValueError):
  """A mistake of one shape, which is gathered with others of its kind."""


def _require_inside(corners: np.ndarray) -> None:
  """Raises Wrong where a shape lies outside the photograph altogether; corners in percent, float [n, 2]."""
  low, high = corners.min(axis=0), corners.max(axis=0)
  if (np.abs(corners) > FAR).any():
    raise Wrong('a shape is far larger than its photograph, or far away from it; draw it again, or delete it')
  if (high < 0).any() or (low > 100).any():
    raise Wrong('a shape lies outside its photograph; draw it again, or delete it')


def decode_brush(runs: Any, size: tuple[int, int], where: str) -> np.ndarray:
  """Returns a brush stroke of Label Studio as a mask.

  Facts, from the source of its converter: a stream of bits, most significant first. 32 bits are the number of values, 5 the
  bits of a value less 1, four times 4 the bits of the lengths less 1. Then runs: a bit that is set for one value that
  repeats; 2 bits, which of the four lengths; the length less 1; and the value, or as many values. They are RGBA by pixel,
  of which alpha is the stroke.

  Args:
    runs: whole numbers 0..255.
    size: (height, width) of the photograph.
    where: says in errors where it stands.

  Returns:
    bool [H, W].

  Raises:
    ValueError: it is no such stream, or of another size.
  """
  height, width = size
  if not isinstance(runs, list) or not all(isinstance(byte, int) and 0 <= byte <= 255 for byte in runs):
    raise ValueError(f'{where}: a brush stroke is no list of bytes: {cut(runs)}; export it again')
  bits = ''.join(format(byte, '08b') for byte in runs)
  place = 0

  def take(count: int) -> int:
    nonlocal place
    if place + count > len(bits):
      raise ValueError(f'{where}: a brush stroke ends too early; export it again')
    found = int(bits[place:place + count], 2)
    place += count
    return found

  total = take(32)
  if total != 4 * height * width:
    raise ValueError(f'{where}: a brush stroke has {total} values, and a photograph of {width}x{height} pixels '
                     f'{4 * height * width}; export it again')
  word = take(5) + 1
  lengths = [take(4) + 1 for _ in range(4)]
  values = np.zeros(total, np.uint8)
  filled = 0
  while filled < total:
    same = take(1)
    end = filled + take(lengths[take(2)]) + 1
    if end > total:
      raise ValueError(f'{where}: a brush stroke is longer than its photograph; export it again')
    if same:
      values[filled:end] = min(take(word), 255)
    else:
      for index in range(filled, end):
        values[index] = min(take(word), 255)
    filled = end
  return values.reshape(height, width, 4)[..., 3] > 0


def _numbers(values: Any, where: str) -> np.ndarray:
  try:
    numbers = np.asarray(values, np.float64)
  except (TypeError, ValueError, OverflowError, RecursionError):
    numbers = np.array(np.nan)
  if not np.isfinite(numbers).all():
    raise ValueError(f'{where}: {cut(values)} should be numbers')
  return numbers
