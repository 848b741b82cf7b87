"""What an annotator draws: ellipses and polygons, in the pixels of the photograph; and one annotator's whole opinion.

Coordinates: x counts columns to the right and y rows downwards, and pixel (x, y) has its centre at (x, y). So a
photograph spans -0.5 to width - 0.5, and what is measured from its corner (percent, CVAT) is moved by half a pixel.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np


class Ellipse(NamedTuple):
  """A marked ellipse, in pixels: centre, semi-axes, and the angle of the first axis (radians, clockwise on screen)."""

  lesion: str
  centre: tuple[float, float]
  axes: tuple[float, float]
  angle: float

  def outline(self) -> np.ndarray:
    """Vertices, float64 [32, 2], x and y in pixels."""
    return np.asarray(self.centre) + rotate(circle(32) * self.axes, self.angle)

  def scaled(self, factor: float) -> Ellipse:
    """Returns the same ellipse on a photograph that is `factor` times as large."""
    x, y = _scale(np.array(self.centre), factor)
    return self._replace(centre=(float(x), float(y)), axes=(self.axes[0] * factor, self.axes[1] * factor))


class Polygon(NamedTuple):
  """A marked polygon: vertices (x, y) in pixels."""

  lesion: str
  points: tuple[tuple[float, float], ...]

  def outline(self) -> np.ndarray:
    """Vertices, float64 [n, 2], x and y in pixels."""
    return np.asarray(self.points)

  def scaled(self, factor: float) -> Polygon:
    """Returns the same polygon on a photograph that is `factor` times as large."""
    return self._replace(points=tuple((float(x), float(y)) for x, y in _scale(self.outline(), factor)))


class Bitmap(NamedTuple):
  """What was painted, as a mask: the box around it, bool [h, w], and the row and column of its upper left pixel."""

  lesion: str
  top: int
  left: int
  mask: np.ndarray

  @classmethod
  def of(cls, lesion: str, mask: np.ndarray) -> Bitmap:
    """Makes it from the mask of a whole photograph, bool [H, W]."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
      return cls(lesion, 0, 0, np.zeros((0, 0), bool))
    top, left = int(rows[0]), int(columns[0])
    return cls(lesion, top, left, mask[top:rows[-1] + 1, left:columns[-1] + 1].copy())

  def scaled(self, factor: float) -> Bitmap:
    """Returns the same on a photograph that is `factor` times as large, by the nearest neighbour."""
    def spread(start: int, length: int) -> tuple[int, np.ndarray]:
      low, high = math.floor(start * factor), math.ceil((start + length) * factor)
      return low, np.clip(np.floor((np.arange(low, high) + 0.5) / factor).astype(int) - start, 0, max(length - 1, 0))

    if not self.mask.size:
      return self
    (top, rows), (left, columns) = spread(self.top, self.mask.shape[0]), spread(self.left, self.mask.shape[1])
    return self._replace(top=top, left=left, mask=self.mask[np.ix_(rows, columns)])


Shape = Ellipse | Polygon | Bitmap


class Annotation(NamedTuple):
  """What one annotator says of one photograph.

  Attributes:
    photograph: the name of its file as the export has it, without folders; see `names.py`.
    annotator: who, as the export names them.
    grade: 0..4, or None where the annotator gave none.
    shapes: all marked lesions; none is the opinion that there are none.
    size: (height, width) of the photograph on which the shapes were drawn; None where the export does not say, or
      nothing was drawn.
  """

  photograph: str
  annotator: str
  grade: int | None
  shapes: tuple[Shape, ...]
  size: tuple[int, int] | None = None


@functools.lru_cache(maxsize=64)
def circle(points: int) -> np.ndarray:
  """Returns the unit circle, float64 [points, 2]. Read only."""
  angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
  unit = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
  unit.setflags(write=False)
  return unit


def rotate(points: np.ndarray, angle: float | np.ndarray) -> np.ndarray:
  """Turns points [..., 2] by an angle in radians (clockwise on screen, for y grows down)."""
  cos, sin = np.cos(angle), np.sin(angle)
  x, y = points[..., 0], points[..., 1]
  return np.stack([cos * x - sin * y, sin * x + cos * y], axis=-1)


def _scale(points: np.ndarray, factor: float) -> np.ndarray:
  """Scales about the photograph's corner, which lies at (-0.5, -0.5)."""
  return (points + 0.5) * factor - 0.5
