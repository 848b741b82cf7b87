"""A photograph on its way: the square of it that a network sees, and what the network says of that square.

The two go together from reading to record and page. Where the field of view is within the square is found when it is
first asked for, once, and stays with it.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from PIL import Image

from lesion_jax.core import lesion_index
from lesion_jax.metrics.presence import Rule
from lesion_jax.photograph.crop import Crop
from lesion_jax.photograph.field import Field, find_field_of_view
from lesion_jax.photograph.landmarks import Landmarks

HEADS = ('maps', 'lesions', 'grades', 'edema', 'attention')


@dataclasses.dataclass(frozen=True, eq=False)
class Square:
  """What the network sees of a photograph.

  Attributes:
    pixels: uint8 [S, S, 3].
    crop: where that square lies in the photograph.
    view: uint8 [D, D, 3], the same square at this size or another, to look at and for what is measured of it.
    doubts: what is to be said of the photograph as a whole, see `crop.locate`.
    spacing: mm on the retina between rows and between columns of the photograph; None where nobody says.
    laterality: which eye a DICOM file says that it shows, 'right' or 'left'; None where none says it.
  """

  pixels: np.ndarray
  crop: Crop
  view: np.ndarray
  doubts: tuple[str, ...] = ()
  spacing: tuple[float, float] | None = None
  laterality: str | None = None

  @functools.cached_property
  def picture(self) -> Image.Image:
    """The view as an image of Pillow's."""
    return Image.fromarray(self.view)

  @functools.cached_property
  def field(self) -> Field:
    """The field of view, at the network's size."""
    return find_field_of_view(self.view, len(self.pixels))


@dataclasses.dataclass(frozen=True, eq=False)
class PhotographPrediction:
  """What a network says of B photographs, NumPy float32 in [0, 1], each None where it has no such head. It is before any temperature:
  a record has the probabilities of lesions and grades calibrated by those of the bundle, see `metrics.temper_classes`.

  Attributes:
    maps: [B, S, S, 8], probabilities at the network's size S.
    lesions: [B, 8], probabilities.
    grades: [B, 5], probabilities.
    attention: [B, h, w], see `core.Prediction`, over the same square as the maps.
    squares: B squares, what the network saw of the photographs.
    rule: by which a lesion is called present; None where nobody said.
    landmarks: B, where optic disc and fovea are; None where no network looked for them.
    edema: [B, 3], probabilities of the risk of macular edema, in the order of `core.EDEMA`.
  """

  maps: np.ndarray | None
  lesions: np.ndarray | None
  grades: np.ndarray | None
  attention: np.ndarray | None
  squares: tuple[Square, ...]
  rule: Rule | None = None
  landmarks: tuple[Landmarks, ...] | None = None
  edema: np.ndarray | None = None

  @property
  def crops(self) -> tuple[Crop, ...]:
    """B squares, where the maps lie in the photographs."""
    return tuple(square.crop for square in self.squares)

  @functools.cached_property
  def presence(self) -> np.ndarray | None:
    """float32 [B, 8], the scores by which the rule decides: its most probable pixels, or `lesions`; computed when asked
    for. None where the network finds no lesions, or there is no rule."""
    return None if self.lesions is None or self.rule is None else self.rule.score(self.maps, self.lesions)

  @property
  def present(self) -> np.ndarray | None:
    """bool [B, 8], which lesions are called present; None as `presence`. A lesion that the network did not learn, see
    `annotated` in the bundle's configuration, never is."""
    return None if self.presence is None else self.rule.decide(self.presence)

  def __len__(self) -> int:
    return len(self.squares)

  def __getitem__(self, index: int | slice) -> PhotographPrediction:
    """One photograph's, with the leading axis kept (B = 1), or those of a slice."""
    row = range(len(self))[index]  # raises IndexError, counts from the end
    rows = index if isinstance(index, slice) else slice(row, row + 1)
    heads = {head: None if (x := getattr(self, head)) is None else x[rows] for head in HEADS}
    return PhotographPrediction(**heads, squares=self.squares[rows],
                                rule=self.rule, landmarks=self.landmarks and self.landmarks[rows])

  def on_photograph(self, lesion: str, index: int = 0) -> np.ndarray:
    """Returns one lesion's map in the photograph's own pixels: float32 [H, W], 0 outside the square that the network
    saw.

    Args:
      lesion: a key of LESIONS.
      index: of the photograph.

    Raises:
      IndexError: there is no such photograph.
      ValueError: there is no such lesion, or the network makes no maps.
    """
    if self.maps is None:
      raise ValueError('this network makes no lesion maps; load the bundle of a segmentation or multi-task network')
    return self.squares[index].crop.invert(self.maps[index, ..., lesion_index(lesion)])
