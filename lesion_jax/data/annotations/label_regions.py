"""Regions of Label Studio, in percent of the photograph, as shapes in its pixels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lesion_jax.data.annotations.shapes import Ellipse, Polygon, Shape, rotate


def to_shapes(value: Mapping[str, Any], lesions: Sequence[str], size: tuple[int, int], where: str) -> list[Shape]:
  """One shape for each lesion that the region is labelled with.

  Args:
    value: of a result: with radiusX and radiusY an ellipse, with points a polygon, with width and height a rectangle.
    lesions: keys.
    size: (height, width) of the photograph.
    where: says in errors where it stands.

  Raises:
    ValueError: for a value that is none of these, or has something else than numbers.
  """
  percent = np.array([size[1], size[0]]) / 100  # pixels in a percent of the width, of the height
  if 'points' in value:
    points = _numbers(value['points'], where)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3:
      raise ValueError(f'{where}: a polygon needs at least three points [x, y]; got {value["points"]}')
    outline = points * percent - 0.5
  elif 'radiusX' in value:
    x, y, *axes = _numbers([value.get(key) for key in ('x', 'y', 'radiusX', 'radiusY')], where)
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
                     f'{", ".join(sorted(value)) or "nothing"}')
  return [Polygon(key, tuple((float(x), float(y)) for x, y in outline)) for key in lesions]


def _numbers(values: Any, where: str) -> np.ndarray:
  try:
    numbers = np.asarray(values, np.float64)
  except (TypeError, ValueError):
    numbers = np.array(np.nan)
  if not np.isfinite(numbers).all():
    raise ValueError(f'{where}: {values} should be numbers')
  return numbers
