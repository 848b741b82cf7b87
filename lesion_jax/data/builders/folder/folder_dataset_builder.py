"""Any folder of photographs with masks, grades, or both: data of one's own."""

from __future__ import annotations

import pathlib
from typing import NamedTuple

import tensorflow_datasets as tfds

from lesion_jax.core import LESION_KEYS, UNKNOWN_GRADE
from lesion_jax.data.builders.base import Release
from lesion_jax.data.builders.folder.files import (
    IMAGES, MASKS, PHOTOGRAPHS, TABLE, Entry, list_files, list_masks, read_entries)
from lesion_jax.data.builders.records import MaskBuilder, make_native
from lesion_jax.data.fundus import read_field
from lesion_jax.data.native import Native
from lesion_jax.data.packing import read_mask
from lesion_jax.data.splits import SPLITS, labels_of

UNSCORED = 127  # as in Retinal-Lesions
LEVELS = (0, 1, UNSCORED, 255)


class Photograph(NamedTuple):
  """One photograph, what the folder says of it, and what it annotates."""

  path: pathlib.Path
  patient: str
  grade: int
  masks: dict[str, pathlib.Path]
  annotated: tuple[str, ...]


class Builder(MaskBuilder):
  """`source_dir` is a folder of this layout, of which masks/ or grades.csv may be missing:

    images/<id>.jpg              photographs: every format that `data.photograph` reads; the name is the id
    masks/<lesion>/<id>.png      a folder for each lesion that is annotated, named by its key (MA, iHE, HaEx, CWS, vHE,
                                 pHE, NV, FiP); PNG, TIFF, GIF or BMP of the photograph's own size
    grades.csv                   columns id, and any of grade (0..4, or empty), patient, split

  A lesion with a folder is annotated in every photograph, and absent where its mask is missing; a lesion without a
  folder is unknown. In a mask 0 is absent, 1 or 255 (of a palette, the indices) present, and 127 left out of loss and
  metrics; other values are an error.
  Splits are those of the column `split` (train, validation, test); without it photographs are dealt 70/10/20 with our
  seed, by the column `patient` where there is one, and so that lesions and grades are spread. Photographs are cropped to the field of view, as `predict` does.
  """

  VERSION = tfds.core.Version('1.1.0')
  RELEASE_NOTES = {'1.1.0': 'With an index of the photographs.', '1.0.0': 'First version.'}
  CROPPED = True
  ANNOTATED = LESION_KEYS
  DESCRIPTION = (
      "A folder of one's own: photographs cropped to the square field of view, with masks of the lesions that have a "
      'folder, and grades where its table gives them.')
  CITATION = ''
  HOMEPAGE = ''
  LICENCE = 'That of its photographs and annotations'

  def release(self) -> Release:
    """Photographs in images/, masks in masks/<lesion>/, the rest in grades.csv."""
    root = self.builder_config.source_dir
    paths = list_files(root / IMAGES, PHOTOGRAPHS)
    if not paths:
      raise FileNotFoundError(f'no photograph in {root / IMAGES}; put them there, ending in {" ".join(PHOTOGRAPHS)}')
    masks = list_masks(root / MASKS, paths)
    entries = read_entries(root / TABLE, paths)
    if not masks and all(entry.grade == UNKNOWN_GRADE for entry in entries.values()):
      raise ValueError(f'{root} has neither a folder {MASKS}/<lesion>/ (of {", ".join(LESION_KEYS)}) nor a grade in '
                       f'{TABLE}: there is nothing to learn or to judge')
    photographs = {name: _photograph(path, entries.get(name), masks) for name, path in paths.items()}
    self._given = any(entry.split for entry in entries.values())  # for all photographs or for none
    splits = self._of_the_table(photographs, entries) if self._given else self._deal(list(photographs.values()))
    return Release(splits, {'photographs': len(photographs)})

  def deals(self) -> bool:
    """Unless the table says the splits."""
    return not self._given

  def _of_the_table(self, photographs: dict[str, Photograph], entries: dict[str, Entry]) -> dict[str, list[Photograph]]:
    """The splits of the table."""
    if self.builder_config.folds:
      raise ValueError(f'{self.builder_config.source_dir / TABLE} says of each photograph to which split it belongs, so '
                       'there are no folds; take the column out, or leave folds at 0')
    return {split: [photograph for name, photograph in photographs.items() if entries[name].split == split]
            for split in SPLITS}

  def _deal(self, photographs: list[Photograph]) -> dict[str, list[Photograph]]:
    """Our splits, by patient."""
    patients = [photograph.patient for photograph in photographs]
    labels = [labels_of(photograph.masks, photograph.grade) for photograph in photographs]
    return self.builder_config.dealing.deal(photographs, patients, labels)

  def contents(self, release: Release) -> tuple[tuple[str, ...], bool]:
    """The lesions that have a folder, and whether the table has a grade."""
    photographs = [photograph for split in release.splits.values() for photograph in split]
    return photographs[0].annotated, any(photograph.grade != UNKNOWN_GRADE for photograph in photographs)

  def read_native(self, item: Photograph) -> Native:
    """Photograph and masks."""
    image, crop = read_field(item.path)
    levels = {key: read_mask(path, shape=image.shape[:2], levels=LEVELS) for key, path in item.masks.items()}
    return make_native(
        image, crop,
        present={key: (mask > 0) & (mask != UNSCORED) for key, mask in levels.items()},
        unscored={key: mask == UNSCORED for key, mask in levels.items()},
        id=item.path.stem, patient=item.patient, grade=item.grade, annotated=item.annotated)


def _photograph(path: pathlib.Path, entry: Entry | None, masks: dict[str, dict[str, pathlib.Path]]) -> Photograph:
  own = {key: of_lesion[path.stem] for key, of_lesion in masks.items() if path.stem in of_lesion}
  grade, patient, _ = entry or Entry(UNKNOWN_GRADE, None, None)
  return Photograph(path, patient or path.stem, grade, own, tuple(masks))
