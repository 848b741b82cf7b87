"""Landmarks (optic disc, fovea) and the two vessel trees of a retina, as geometry in field units."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lesion_jax.annotation.shapes import rotate
from lesion_jax.data.synthetic.canvas import DISC_DIAMETER, walk

FOVEA_DISTANCE = 2.5 * DISC_DIAMETER
AVASCULAR_RADIUS = 0.3 * DISC_DIAMETER
_THINNEST = 0.0040  # no vessel below this width branches
_REACH = 1.04  # vessels may run on a little beyond the field, where the camera cuts them


class Landmarks(NamedTuple):
  """Where things are. `temporal` is +1 where the temple is to the right (left eyes), -1 where it is to the left."""

  disc: np.ndarray
  disc_radius: float
  fovea: np.ndarray
  temporal: int
  tilt: float

  def place(self, points: np.ndarray) -> np.ndarray:
    """Converts from the tree's own axes (origin in the disc, x towards the fovea) to field units."""
    return self.disc + rotate(points * (self.temporal, 1), self.tilt)


class Vessels(NamedTuple):
  """m vessels of one order: centre lines [m, n, 2], full widths [m, n], and which are arteries, bool [m].

  A vessel that ends early stands still at its last point.
  """

  points: np.ndarray
  width: np.ndarray
  artery: np.ndarray


def draw_landmarks(rng: np.random.Generator, side: str) -> Landmarks:
  """Draws the landmarks: most photographs are centred near the macula, some near the disc."""
  temporal = 1 if side == 'left' else -1
  distance = FOVEA_DISTANCE * rng.uniform(0.92, 1.08)
  tilt = rng.normal(0, 0.05)
  offset = rotate(np.array([temporal * distance, rng.uniform(0.02, 0.10)]), tilt)
  centred_on_disc = rng.random() < 0.2
  middle = rng.uniform(-0.08, 0.08, 2) if centred_on_disc else -offset * rng.uniform(0.8, 1.0)
  disc = middle + rng.normal(0, 0.03, 2)
  return Landmarks(disc, DISC_DIAMETER / 2 * rng.uniform(0.9, 1.12), disc + offset, temporal, tilt)


def _arcades(rng: np.random.Generator) -> Vessels:
  """Artery and vein of the four arcades: they leave the disc upwards or downwards and arch around the macula.

  The nasal ones arch the other way and run on almost straight.
  """
  up = np.repeat([-1.0, 1.0], 4)
  nasal = np.tile([False, True], 4)
  artery = np.tile([False, False, True, True], 2)
  t = np.linspace(0, 1, 48)
  along = np.repeat(rng.uniform(0.70, 0.95, 2), 4) * rng.uniform(0.86, 1.14, 8)
  above = np.repeat(rng.uniform(0.52, 0.76, 2), 4) * rng.uniform(0.86, 1.14, 8)
  span = np.where(nasal, -rng.uniform(0.8, 1.6, 8), along)
  rise = np.where(nasal, rng.uniform(0.7, 1.1, 8), above)
  angle = np.where(nasal, 1.4, rng.uniform(2.3, 2.9, 8))[:, None] * t
  waves = np.zeros((8, 48))
  for k in (1, 2, 4, 7):
    waves += rng.normal(0, 0.016 / k**0.7, (8, 1)) * np.sin(np.pi * k * (1.6 * t + rng.uniform(0, 2, (8, 1))))
  grown = np.minimum(1, 5 * t)
  x = rng.normal(0, 0.018, (8, 1)) + span[:, None] * (1 - np.cos(angle)) + waves * grown
  y = up[:, None] * rise[:, None] * np.sin(angle) + np.roll(waves, 1, axis=0) * grown
  start = np.where(artery, rng.uniform(0.014, 0.019, 8), rng.uniform(0.021, 0.027, 8)) * np.where(nasal, 0.72, 1)
  emerging = np.minimum(1, 0.3 + 16 * t)  # out of the depth of the cup
  return Vessels(np.stack([x, y], axis=-1), start[:, None] * (1 - 0.80 * t**1.2) * emerging, artery)


def _twigs(rng: np.random.Generator) -> Vessels:
  """Small vessels straight from the disc, most of them towards the macula."""
  count = int(rng.integers(4, 8))
  heading = rng.uniform(-0.7, 0.7, count) + np.where(rng.random(count) < 0.6, 0, np.pi)
  path = walk(rng, rng.normal(0, 0.03, (count, 2)), heading, rng.uniform(0.3, 0.7, count), steps=32,
              bend=rng.uniform(-0.9, 0.9, count), tortuosity=0.11)
  return Vessels(path, np.tile(np.linspace(0.0085, 0.003, 32), (count, 1)), rng.random(count) < 0.5)


def _branch(rng: np.random.Generator, parents: Vessels, each: int, fovea: np.ndarray, steps: int) -> Vessels:
  """Side vessels: they leave at an angle, bend back towards the parent's course, and stop at the avascular zone."""
  count, length = parents.width.shape
  parent = np.repeat(np.arange(count), each)
  at = (rng.uniform(0.13, 0.92, count * each) * length).astype(int)
  width = parents.width[parent, at] * rng.uniform(0.45, 0.75, len(at))
  course = np.gradient(parents.points, axis=1)[parent, at]
  kept = (width >= _THINNEST) & (np.abs(course).sum(-1) > 1e-6)
  parent, at, width, course = parent[kept], at[kept], width[kept], course[kept]
  turn = rng.choice((-1, 1), len(at)) * rng.uniform(0.5, 1.2, len(at))
  reach = (0.16 + 26 * width) * rng.uniform(0.6, 1.3, len(at))
  path = walk(rng, parents.points[parent, at], np.arctan2(course[:, 1], course[:, 0]) + turn, reach, steps=steps,
              bend=-turn * rng.uniform(0.1, 1.1, len(at)), tortuosity=0.14)
  path = _stop(path, np.hypot(*np.moveaxis(path - fovea, -1, 0)) < AVASCULAR_RADIUS)
  taper = np.linspace(1, 0.4, steps)
  return Vessels(path, np.maximum(width[:, None] * taper, 0.0025), parents.artery[parent])


def _stop(path: np.ndarray, forbidden: np.ndarray) -> np.ndarray:
  """Paths [m, n, 2] that stand still from the point before the first forbidden one (bool [m, n])."""
  steps = path.shape[1]
  first = np.where(forbidden.any(1), np.maximum(forbidden.argmax(1) - 1, 0), steps - 1)
  index = np.minimum(np.arange(steps), first[:, None])
  return np.take_along_axis(path, index[..., None], axis=1)


def grow_vessels(rng: np.random.Generator, landmarks: Landmarks) -> tuple[Vessels, ...]:
  """Returns both trees in field units, the finest order first (paint them in this order)."""
  fovea = np.array([np.linalg.norm(landmarks.fovea - landmarks.disc), 0.05])
  arcades, twigs = _arcades(rng), _twigs(rng)
  first = _branch(rng, arcades, 7, fovea, 32)
  second = _branch(rng, first, 3, fovea, 20)
  of_twigs = _branch(rng, twigs, 2, fovea, 20)
  trees = []
  for order in (second, of_twigs, first, twigs, arcades):
    points = landmarks.place(order.points)
    trees.append(order._replace(points=_stop(points, np.hypot(points[..., 0], points[..., 1]) > _REACH)))
  return tuple(trees)
