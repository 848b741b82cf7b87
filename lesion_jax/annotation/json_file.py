"""JSON from strangers: one sentence for whatever it cannot be."""

from __future__ import annotations

import json
import math
import pathlib
from typing import Any

import numpy as np

from lesion_jax.annotation.label_regions import Wrong
from lesion_jax.annotation.mistakes import cut
from lesion_jax.photograph.read import MAX_PIXELS

LONGEST = 100_000  # pixels of a side: no photograph is larger, nor has one more than MAX_PIXELS of both


def read_json(path: pathlib.Path) -> Any:
  """Returns what a JSON file holds.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: naming it, where it is not JSON, or nested too deep.
  """
  try:
    return json.loads(path.read_text('utf-8-sig'))
  except RecursionError as error:
    raise ValueError(f'{path} is not JSON of an export: it is nested too deep; export it again') from error
  except ValueError as error:
    raise ValueError(f'{path} is not JSON: {cut(str(error), 200)}; export it again') from error


def size_of(height: Any, width: Any, where: str) -> tuple[int, int]:
  """Returns (height, width) of a photograph. Raises ValueError where they are none."""
  if not is_size(height, width):
    raise ValueError(f'{where}: its photograph has the size {cut(width)} x {cut(height)}, which none has; export it again')
  return int(height), int(width)


def is_size(height: Any, width: Any) -> bool:
  """Whether a photograph can be of this height and width: what a mask of it takes is bounded by them."""
  return all(isinstance(side, int | float) and 1 <= side <= LONGEST for side in (height, width)) and height * width <= MAX_PIXELS


def outline(points: Any, size: tuple[int, int]) -> tuple[tuple[float, float], ...]:
  """Returns a polygon's points, measured from the photograph's corner, as `shapes.Polygon` has them.

  Args:
    points: pairs of numbers, three or more.
    size: (height, width) of the photograph.

  Raises:
    Wrong: it is no such list, or lies outside the photograph.
  """
  try:
    found = np.asarray(points, np.float64)
  except (TypeError, ValueError, OverflowError, RecursionError):
    found = np.zeros(0)
  if found.ndim != 2 or found.shape[1] != 2 or not np.isfinite(found).all():
    raise Wrong('the points of a shape are not pairs of numbers; export it again')
  if len(found) < 3:
    raise Wrong('a polygon needs at least three points; finish it, or delete it')
  low, high = found.min(axis=0), found.max(axis=0)
  if (high < 0).any() or (low > (size[1], size[0])).any() or np.abs(found).max() > 100 * max(size):
    raise Wrong('a shape lies outside its photograph; draw it again, or delete it')
  return tuple((float(x) - 0.5, float(y) - 0.5) for x, y in found)


def finite(value: Any) -> bool:
  """Returns whether it is a number that is neither infinite nor missing."""
  return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9 and math.isfinite(value)
