"""Where lesions may lie: in the field, off the disc, not hidden behind blood or membranes, near what they favour."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lesion_jax.annotation.shapes import circle
from lesion_jax.data.synthetic.canvas import Frame, normals, stencil
from lesion_jax.data.synthetic.vessels import Landmarks, Vessels

MARGIN = 0.93  # lesions are centred within this share of the field's radius
_MAP = Frame(size=128)
_THIN = 0.012


class Sites:
  """Draws positions [n, 2] in field units. `block` takes an area out of use, for a lesion there would be invisible.

  Args:
    landmarks: of the eye.
    vessels: of the eye.
    cut: where the camera cuts the field, see `Frame`.
  """

  def __init__(self, landmarks: Landmarks, vessels: tuple[Vessels, ...], cut: float):
    self.landmarks = landmarks
    self._top = min(cut, 1.0) - (1 - MARGIN)
    x, y = _MAP.grid()
    self._blocked = (np.hypot(x, y) > MARGIN) | (np.abs(y) > self._top)
    self.block(landmarks.disc + circle(24) * landmarks.disc_radius * 1.15)
    self._all = np.concatenate([v.points.reshape(-1, 2) for v in vessels])
    self._normals = np.concatenate([normals(v.points).reshape(-1, 2) for v in vessels])
    width = np.concatenate([v.width.ravel() for v in vessels])
    alive = np.hypot(*self._normals.T) > 0.5
    self._thin = np.flatnonzero(alive & (width < _THIN))
    self._wide = np.flatnonzero(alive & (width >= _THIN))
    self._half_width = width / 2

  def block(self, outline: np.ndarray) -> None:
    """Blocks the outline [n, 2]: no position inside will be drawn from now on."""
    self._blocked = self._blocked | stencil(_MAP, [outline])

  @property
  def free(self) -> float:
    """The share of the field that is still in use."""
    return float(np.mean(~self._blocked)) / (np.pi / 4 * MARGIN**2)

  def is_free(self, points: np.ndarray) -> np.ndarray:
    """Returns bool [n]: which of the points [n, 2] are in use."""
    column, row = np.clip(np.rint(_MAP.to_pixels(points)), 0, _MAP.size - 1).astype(int).T
    return ~self._blocked[row, column]

  def near_vessels(self, rng: np.random.Generator, count: int, *, wide: bool = False,
                   gap: tuple[float, float] = (0.004, 0.03)) -> np.ndarray:
    """Samples positions beside thin vessels, or beside the wide ones of the arcades, `gap` away from the vessel's
    edge."""
    pool = self._wide if wide and self._wide.size else self._thin

    def propose(n: int) -> np.ndarray:
      at = rng.choice(pool, n)
      away = (self._half_width[at] + rng.uniform(*gap, n)) * rng.choice((-1, 1), n)
      return self._all[at] + self._normals[at] * away[:, None]

    return self._keep(propose, count)

  def around(self, rng: np.random.Generator, count: int, centre: np.ndarray, spread: float) -> np.ndarray:
    """Samples positions normally distributed about a centre [2]."""
    return self._keep(lambda n: centre + rng.normal(0, spread, (n, 2)), count)

  def apart(self, rng: np.random.Generator, count: int, quadrant: tuple[int, int], gap: float) -> np.ndarray:
    """Samples positions scattered over one quadrant (the signs of x and y), at least `gap` from each other."""
    chosen = np.empty((0, 2))
    while len(chosen) < count:
      for point in self._keep(lambda n: rng.uniform(0.03, MARGIN, (n, 2)) * quadrant, 64):
        if len(chosen) < count and np.all(np.hypot(*(chosen - point).T) >= gap):
          chosen = np.vstack([chosen, point])
      gap *= 0.8
    return chosen

  def _keep(self, propose: Callable[[int], np.ndarray], count: int) -> np.ndarray:
    """The first `count` proposals that are in use; after many vain rounds, any inside the field."""
    found = np.empty((0, 2))
    for _ in range(20):
      points = propose(3 * count + 8)
      found = np.concatenate([found, points[self.is_free(points)]])
      if len(found) >= count:
        return found[:count]
    spare = propose(count)
    spare *= np.minimum(1, self._top / np.hypot(*spare.T))[:, None]
    return np.concatenate([found, spare])[:count]
