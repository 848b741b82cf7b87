"""What the data sets of grades alone share: photographs cut to their field of view, and no lesion annotated."""

from __future__ import annotations

import pathlib
from typing import NamedTuple

import numpy as np

from lesion_jax.data.builders.base import LesionBuilder, Record
from lesion_jax.data.fundus import read_field


class GradedPhotograph(NamedTuple):
  """One photograph of a release, the name of its patient, and its grade."""

  path: pathlib.Path
  patient: str
  grade: int


class GradingBuilder(LesionBuilder, skip_registration=True):
  """A data set of grades alone. A subclass lists `GradedPhotograph`s; files are opened in `read` only."""

  CROPPED = True

  def read(self, item: GradedPhotograph) -> Record:
    """Crops the photograph; the masks say nothing, as no lesion is annotated."""
    size = self.builder_config.size
    image, crop = read_field(item.path)
    empty = np.zeros((size, size), np.uint8)
    return Record(crop.apply(image, size), empty, empty, item.path.stem, item.patient, item.grade, side=crop.side)
