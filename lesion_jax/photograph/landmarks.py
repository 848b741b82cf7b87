"""Where optic disc and fovea are in a photograph, and what follows: which eye it is, and how large a disc diameter."""

from __future__ import annotations

from typing import NamedTuple

from lesion_jax.core import LANDMARKS
from lesion_jax.photograph.crop import Crop

RIGHT, LEFT = 'right', 'left'
APART = 1.0  # disc diameters that disc and fovea lie beside each other at least, for their order to say which eye it is (our choice)


class Landmark(NamedTuple):
  """One landmark.

  Attributes:
    row, column: of its centre, in the photograph's pixels from its upper left corner; where it is not found, of the likeliest place.
    confidence: the probability that it is there, in [0, 1].
    found: whether that reaches the threshold; a landmark outside the field of view is not found.
  """

  row: float
  column: float
  confidence: float
  found: bool


class Landmarks(NamedTuple):
  """Those of one photograph.

  Attributes:
    disc, fovea: the two.
    diameter: of a disc, in the photograph's pixels: a fixed share of the field of view, `metrics.landmarks.DISC_DIAMETER`.
  """

  disc: Landmark
  fovea: Landmark
  diameter: float

  @property
  def eye(self) -> str | None:
    """RIGHT where the disc lies to the right of the fovea, as in a right eye, which looks at the camera; LEFT likewise. None
    where one is not found, or they do not lie beside each other. A mirrored photograph is taken for the other eye."""
    if not (self.disc.found and self.fovea.found):
      return None
    across, down = self.disc.column - self.fovea.column, self.disc.row - self.fovea.row
    if abs(across) < APART * self.diameter or abs(across) <= abs(down):
      return None
    return RIGHT if across > 0 else LEFT

  def to_json(self) -> dict[str, object]:
    """As it stands in a record."""
    return {**{name: {'row': round(each.row, 1), 'column': round(each.column, 1), 'confidence': round(each.confidence, 6),
                      'found': each.found} for name, each in zip(LANDMARKS, self[:2], strict=True)},
            'disc_diameter': round(self.diameter, 1), 'eye': self.eye}

  @classmethod
  def of(cls, found: dict) -> Landmarks:
    """From a record."""
    disc, fovea = (Landmark(**found[name]) for name in LANDMARKS)
    return cls(disc, fovea, found['disc_diameter'])

  def in_square(self, crop: Crop, size: int) -> tuple[tuple[float, float] | None, tuple[float, float] | None, float]:
    """(disc, fovea, diameter) in pixels of a square of `size` pixels; a landmark that is not found is None."""
    scale = size / crop.side
    place = lambda each: ((each.row - crop.top) * scale, (each.column - crop.left) * scale) if each.found else None
    return place(self.disc), place(self.fovea), self.diameter * scale
