"""How an ophthalmologist marks a lesion: an ellipse or a polygon drawn around it, with an imprecise boundary."""

from __future__ import annotations

import numpy as np
from scipy.spatial import ConvexHull

from lesion_jax.annotation.shapes import Ellipse, Polygon, Shape, rotate
from lesion_jax.core import LESION_KEYS, lesion_index
from lesion_jax.data.synthetic.canvas import Frame, stencil
from lesion_jax.data.synthetic.lesions import Finding

OVERLOOKED = 0.04  # of the microaneurysms and small hemorrhages (our choice)
_SMALL = 0.05  # largest extent, in field units, of what is overlooked
_BODIES = ('vHE', 'pHE', 'FiP')  # marked by following the body's outline
_GROUPS = ('HaEx', 'NV')  # marked around the whole group


def mark(rng: np.random.Generator, frame: Frame, finding: Finding) -> Shape:
  """Draws one lesion's annotation.

  Small lesions get an ellipse with a clear margin (a hand can hardly draw a tighter one around seven pixels), groups
  and large ones a polygon.
  """
  points = np.concatenate(finding.outlines)
  if finding.lesion in _BODIES:
    around = _loosen(rng, finding.outlines[0], rng.uniform(0.010, 0.025))
  elif finding.lesion in _GROUPS and len(finding.outlines) > 3 or finding.lesion != 'MA' and rng.random() < 0.25:
    around = _loosen(rng, points[ConvexHull(points).vertices], rng.uniform(0.008, 0.016))
  else:
    return _ellipse(rng, frame, finding.lesion, points)
  return Polygon(finding.lesion, tuple((float(x), float(y)) for x, y in frame.to_pixels(around)))


def annotate(rng: np.random.Generator, frame: Frame, findings: list[Finding]) -> tuple[Shape, ...]:
  """Marks every lesion but a few tiny ones; the first of a kind is never overlooked."""
  shapes, seen = [], set()
  for finding in findings:
    shape, overlooked = mark(rng, frame, finding), rng.random() < OVERLOOKED
    tiny = finding.lesion in ('MA', 'iHE') and np.ptp(np.concatenate(finding.outlines), axis=0).max() < _SMALL
    if not (tiny and overlooked and finding.lesion in seen):
      shapes.append(shape)
    seen.add(finding.lesion)
  return tuple(shapes)


def rasterise(frame: Frame, shapes: tuple[Shape, ...]) -> np.ndarray:
  """Returns uint8 [S, S] packed: bit j where a shape of LESIONS[j] covers the pixel."""
  return _pack(frame, [(shape.lesion, (shape.outline() - (frame.size - 1) / 2) / frame.scale) for shape in shapes])


def rasterise_findings(frame: Frame, findings: list[Finding]) -> np.ndarray:
  """Returns uint8 [S, S] packed: bit j where a pixel is touched by a lesion LESIONS[j] itself."""
  return _pack(frame, [(finding.lesion, outline) for finding in findings for outline in finding.outlines])


def _pack(frame: Frame, pieces: list[tuple[str, np.ndarray]]) -> np.ndarray:
  """Polygons in field units, one stencil for each lesion that occurs, nothing outside the field."""
  packed = np.zeros((frame.size, frame.size), np.uint8)
  for key in LESION_KEYS:
    polygons = [outline for lesion, outline in pieces if lesion == key]
    if polygons:
      packed |= stencil(frame, polygons).astype(np.uint8) << lesion_index(key)
  return packed * frame.inside()


def _ellipse(rng: np.random.Generator, frame: Frame, lesion: str, points: np.ndarray) -> Ellipse:
  """Along the lesion's principal axes, larger by a share and by a margin that does not shrink with the lesion."""
  middle = (points.min(0) + points.max(0)) / 2
  x, y = (points - points.mean(0)).T
  angle = 0.5 * np.arctan2(2 * (x @ y), x @ x - y @ y)
  half = np.abs(rotate(points - middle, -angle)).max(0) * rng.uniform(1.05, 1.35, 2) + rng.uniform(0.005, 0.012, 2)
  centre = frame.to_pixels(middle + rng.normal(0, 0.0025, 2))
  return Ellipse(lesion, (float(centre[0]), float(centre[1])),
                 (float(half[0] * frame.scale), float(half[1] * frame.scale)), float(angle))


def _loosen(rng: np.random.Generator, outline: np.ndarray, margin: float) -> np.ndarray:
  """A coarse polygon outside the outline: 10 to 18 of its vertices, pushed outwards by about `margin`."""
  edges = np.roll(outline, -1, axis=0) - outline
  travelled = np.concatenate([[0], np.cumsum(np.hypot(*edges.T))])
  at = np.linspace(0, travelled[-1], int(rng.integers(10, 19)), endpoint=False)
  closed = np.concatenate([outline, outline[:1]])
  coarse = np.stack([np.interp(at, travelled, closed[:, axis]) for axis in (0, 1)], axis=-1)
  along = np.roll(coarse, -1, axis=0) - np.roll(coarse, 1, axis=0)
  outward = np.stack([along[:, 1], -along[:, 0]], axis=-1) / (np.hypot(*along.T)[:, None] + 1e-9)
  following = np.roll(coarse, -1, axis=0)
  area = np.sum(coarse[:, 0] * following[:, 1] - coarse[:, 1] * following[:, 0])
  return coarse + np.sign(area) * outward * (margin * rng.uniform(0.6, 1.4, len(coarse)))[:, None]
