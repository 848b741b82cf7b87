"""Field coordinates, polygon painting and smooth noise: what every other file of the generator draws with.

Field units: the origin is the centre of the field of view, x grows to the right, y down, and the field's radius is 1.
Every parameter of a scene is in these units, so that the same scene can be painted at any size.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from lesion_jax.annotation.shapes import circle, rotate

DISC_DIAMETER = 2 / 7  # of the optic disc (DD, the clinical yardstick); a field of 45 degrees spans about 7 of them


class Frame(NamedTuple):
  """The square raster: its side in pixels, the field's radius as a share of half that side, and where it is cut.

  Some cameras show nothing above -cut and below +cut (field units).
  """

  size: int
  radius: float = 1.0
  cut: float = 2.0

  @property
  def scale(self) -> float:
    """Pixels per field unit."""
    return self.radius * self.size / 2

  def to_pixels(self, points: np.ndarray) -> np.ndarray:
    """Converts field units [..., 2] -> pixel coordinates [..., 2] in which pixel (i, j) has its centre at (i, j)."""
    return np.asarray(points) * self.scale + (self.size - 1) / 2

  def grid(self) -> tuple[np.ndarray, np.ndarray]:
    """Returns field coordinates of the pixel centres, float32 [1, S] (x) and [S, 1] (y)."""
    axis = ((np.arange(self.size) - (self.size - 1) / 2) / self.scale).astype(np.float32)
    return axis[None, :], axis[:, None]

  def inside(self) -> np.ndarray:
    """Returns bool [S, S]: the field of view."""
    x, y = self.grid()
    return (x * x + y * y <= 1) & (np.abs(y) <= self.cut)


def stream(seed: int, number: int, name: str) -> np.random.Generator:
  """Returns an independent random stream for one purpose, so that a change to one part of a scene leaves the others
  alone."""
  return np.random.default_rng([seed, number, zlib.crc32(name.encode())])


def paint(frame: Frame, polygons: Iterable[np.ndarray], values: Iterable[float], blur: float = 0.0) -> np.ndarray:
  """Returns anti-aliased coverage times value; where polygons overlap, the later one wins.

  Args:
    frame: the raster.
    polygons: outlines [n, 2] in field units.
    values: one in [0, 1] for each polygon.
    blur: standard deviation of a Gaussian, in field units.

  Returns:
    float32 [S, S] in [0, 1], in steps of 1/255.
  """
  # What will be blurred over many pixels needs no more than a small raster.
  soft = blur * frame.scale > 6 and frame.size > 256
  size = 256 if soft else frame.size
  oversampling = 2 if size >= 512 else 4
  fine = Frame(size * oversampling, frame.radius)
  image = Image.new('L', (fine.size, fine.size))
  draw = ImageDraw.Draw(image)
  for polygon, value in zip(polygons, values, strict=True):
    draw.polygon(fine.to_pixels(polygon).ravel().tolist(), fill=round(255 * value))
  image = image.reduce(oversampling)
  if blur * frame.scale > 0.25:
    image = image.filter(ImageFilter.GaussianBlur(blur * frame.scale * size / frame.size))
  if soft:
    image = image.resize((frame.size, frame.size), Image.Resampling.BICUBIC)
  return np.asarray(image, np.float32) / 255


def stencil(frame: Frame, polygons: Iterable[np.ndarray]) -> np.ndarray:
  """Returns bool [S, S]: the pixels that the polygons (field units) touch, so that nothing is too small to be seen."""
  image = Image.new('L', (frame.size, frame.size))
  draw = ImageDraw.Draw(image)
  for polygon in polygons:
    draw.polygon(frame.to_pixels(polygon).ravel().tolist(), fill=1)
  return np.asarray(image).astype(bool)


def smooth_noise(rng: np.random.Generator, cells: int, size: int) -> np.ndarray:
  """Returns float32 [size, size], Gaussian noise with about `cells` independent values along a side; the same at any
  size."""
  coarse = Image.fromarray(rng.standard_normal((cells, cells), dtype=np.float32))
  return np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))


def blend(image: np.ndarray, colour: np.ndarray | Sequence[float], alpha: np.ndarray) -> None:
  """Lays a colour [3] (or a picture [3, H, W]) over the planar image [3, H, W] with opacity alpha [H, W], in place."""
  for plane, value in zip(image, np.asarray(colour, np.float32), strict=True):
    plane += alpha * (value - plane)


def blobs(
    rng: np.random.Generator, centres: np.ndarray, radii: np.ndarray, *, points: int = 16, rough: float = 0.15,
    stretch: float = 1.3,
) -> np.ndarray:
  """Draws irregular rounded outlines.

  Args:
    rng: random stream.
    centres: [m, 2].
    radii: [m], mean radii.
    points: vertices of each outline.
    rough: standard deviation of the harmonics that bend the outline, as a share of the radius.
    stretch: largest ratio of the axes.

  Returns:
    [m, points, 2], field units.
  """
  count = len(centres)
  angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
  orders = np.arange(2, 6)
  weight = rng.normal(0, rough, (count, len(orders))) / (orders - 1)
  phase = rng.uniform(0, 2 * np.pi, (count, len(orders)))
  bend = 1 + (weight[..., None] * np.cos(orders[:, None] * angle + phase[..., None])).sum(1)
  ratio = np.sqrt(rng.uniform(1, stretch, count))
  axes = np.stack([ratio, 1 / ratio], axis=-1)
  outline = circle(points) * np.clip(bend, 0.4, 1.8)[..., None] * axes[:, None]
  outline = rotate(outline, rng.uniform(0, np.pi, (count, 1)))
  return np.asarray(centres)[:, None] + outline * np.asarray(radii)[:, None, None]


def normals(points: np.ndarray) -> np.ndarray:
  """Computes unit normals [..., n, 2] of paths [..., n, 2]; zero where a path stands still."""
  tangent = np.gradient(points, axis=-2)
  tangent /= np.hypot(tangent[..., 0], tangent[..., 1])[..., None] + 1e-9
  return np.stack([-tangent[..., 1], tangent[..., 0]], axis=-1)


def ribbon(points: np.ndarray, width: np.ndarray) -> np.ndarray:
  """Returns the outlines [..., 2n, 2] of strokes along points [..., n, 2] with the full width [..., n] at each."""
  normal = normals(points) * (width[..., None] / 2)
  return np.concatenate([points + normal, (points - normal)[..., ::-1, :]], axis=-2)


def walk(rng: np.random.Generator, start: np.ndarray, heading: np.ndarray, length: np.ndarray, *, steps: int,
         bend: np.ndarray, tortuosity: float) -> np.ndarray:
  """Draws wandering paths.

  Args:
    rng: random stream.
    start: [m, 2].
    heading: [m], the first direction in radians.
    length: [m].
    steps: points of each path.
    bend: [m], the turn over the whole path in radians.
    tortuosity: standard deviation of the random turn at each step, in radians.

  Returns:
    [m, steps, 2].
  """
  wander = np.cumsum(rng.normal(0, tortuosity, (len(start), steps)), axis=1)
  wander -= 0.3 * np.cumsum(wander, axis=1) / steps  # drawn back to the general direction
  turns = np.asarray(heading)[:, None] + np.asarray(bend)[:, None] * np.linspace(0, 1, steps) + wander
  step = np.stack([np.cos(turns), np.sin(turns)], axis=-1) * (np.asarray(length)[:, None, None] / steps)
  step[:, 0] = 0
  return start[:, None] + np.cumsum(step, axis=1)
