"""From a photograph and its masks, or its grade alone, to a record, as the data sets share it."""

from __future__ import annotations

import abc
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from lesion_jax.core import UNKNOWN_EDEMA
from lesion_jax.data.builders.base import LesionBuilder, Record
from lesion_jax.data.masks import require_upright
from lesion_jax.data.native import Native
from lesion_jax.data.packing import pack_masks
from lesion_jax.photograph.crop import Crop, read_field, whole
from lesion_jax.photograph.read import read_photograph


class MaskedPhotograph(NamedTuple):
  """One photograph of a raw dataset without patients and grades, and those of its masks that exist, by lesion key."""

  path: pathlib.Path
  masks: dict[str, pathlib.Path]


def read_square(path: pathlib.Path) -> tuple[np.ndarray, Crop]:
  """Reads a photograph that its raw dataset ships square already.

  Returns:
    uint8 [S, S, 3], and the crop of all of it.

  Raises:
    FileNotFoundError: where there is no such file.
    ValueError: naming the file, where it cannot be read or is not square.
  """
  image = read_photograph(path)
  try:
    return image, whole(*image.shape[:2])
  except ValueError as error:
    raise ValueError(f'{path}: {error}') from error


def make_record(
    image: np.ndarray, crop: Crop, size: int, *, present: Mapping[str, np.ndarray],
    unscored: Mapping[str, np.ndarray] | None = None, **labels: Any,
) -> Record:
  """Crops photograph and masks alike.

  Args:
    image: uint8 [H, W, 3].
    crop: of that photograph.
    size: side of the record's square, in pixels.
    present: lesion key -> bool [H, W]; a lesion without a mask is absent.
    unscored: lesion key -> bool [H, W], where the raw dataset leaves open whether the lesion is there. Where a lesion is
      present as well, it counts.
    **labels: the rest of Record but `side`: `id`, `patient`, `grade`, `annotated`.
  """
  shape = image.shape[:2]
  lesions = crop.apply_mask(pack_masks(present, shape), size)
  ignore = crop.apply_mask(pack_masks(unscored or {}, shape), size)
  return Record(crop.apply(image, size), lesions, ignore & ~lesions, side=crop.side, **labels)


def make_native(
    image: np.ndarray, crop: Crop, *, present: Mapping[str, np.ndarray],
    unscored: Mapping[str, np.ndarray] | None = None, **labels: Any,
) -> Native:
  """A photograph with its masks at its own size, from what `make_record` takes but for the size."""
  return Native(image, crop, dict(present), dict(unscored or {}), labels)


class MaskBuilder(LesionBuilder, skip_registration=True):
  """A data set with masks of the photographs' own size. A subclass says in `read_native` what a photograph shows; its
  record is that, cropped."""

  NATIVE = True

  @abc.abstractmethod
  def read_native(self, item: Any) -> Native:
    """See `LesionBuilder.read_native`."""

  def read(self, item: Any) -> Record:
    """Crops photograph and masks alike."""
    require_upright(item.path, _masks_of(item))
    found = self.read_native(item)
    return make_record(found.image, found.crop, self.builder_config.size, present=found.present,
                       unscored=found.unscored, **found.labels)


def _masks_of(item: Any) -> list[pathlib.Path]:
  """The files of an item that are drawn on its photograph, as far as its fields say so."""
  fields = (getattr(item, name, None) for name in ('masks', 'mask', 'index_map', 'annotation', 'uncertain'))
  return [path for field in fields for path in (field.values() if isinstance(field, dict) else [field])
          if isinstance(path, pathlib.Path) and path.is_file()]


class GradedPhotograph(NamedTuple):
  """One photograph of a release, the name of its patient, its grade, and what else the release says of it: the risk of
  macular edema, and (row, column) of each of core.LANDMARKS as shares of its height and width."""

  path: pathlib.Path
  patient: str
  grade: int
  edema: int = UNKNOWN_EDEMA
  landmarks: tuple[tuple[float, float], ...] | None = None


class GradingBuilder(LesionBuilder, skip_registration=True):
  """A data set of grades alone. A subclass lists `GradedPhotograph`s; files are opened in `read` only."""

  CROPPED = True

  def read(self, item: GradedPhotograph) -> Record:
    """Crops the photograph; the masks say nothing, as no lesion is annotated."""
    size = self.builder_config.size
    image, crop = read_field(item.path)
    empty = np.zeros((size, size), np.uint8)
    (height, width), scale = image.shape[:2], size / crop.side
    landmarks = item.landmarks and tuple(
        ((row * height - crop.top) * scale, (column * width - crop.left) * scale) for row, column in item.landmarks)
    return Record(crop.apply(image, size), empty, empty, item.path.stem, item.patient, item.grade, side=crop.side,
                  edema=item.edema, landmarks=landmarks)
