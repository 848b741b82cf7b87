"""Any folder of photographs with masks, grades, or both: data of one's own."""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from lesion_jax.core import LESION_KEYS, UNKNOWN_GRADE
from lesion_jax.data.builders.base import LesionConfig, Release
from lesion_jax.data.builders.folder.files import (
    IMAGES, MASKS, SETTINGS, SPLIT_NAMES, TABLE, Contents, Entry, read_contents, read_settings)
from lesion_jax.data.builders.records import MaskBuilder, make_native
from lesion_jax.data.findings import Findings
from lesion_jax.data.fundus import read_field
from lesion_jax.data.masks import examine, examine_maps, read_indices, read_values, turned
from lesion_jax.data.native import Native
from lesion_jax.data.packing import read_mask
from lesion_jax.data.scales import asks, read_scale
from lesion_jax.data.splits import SPLITS, labels_of


@dataclasses.dataclass(eq=False, kw_only=True)
class FolderConfig(LesionConfig):
  """What a folder's numbers mean, where the folder does not say it itself (`files.SETTINGS`), before which this goes.

  Attributes:
    scale: of its grades, see `scales`.
    values: of its masks, see `masks.read_values`.
    indices: of its index maps, see `masks.read_indices`.
  """

  scale: str = ''
  values: str = ''
  indices: str = ''

  def __post_init__(self):
    super().__post_init__()
    read_scale(self.scale), read_values(self.values), read_indices(self.indices)  # raise where they are none
    said = [self.scale, self.values, self.indices]
    if any(said):
      self.name += '-' + hashlib.sha256('\0'.join(said).encode()).hexdigest()[:8]


class Photograph(NamedTuple):
  """One photograph, what the folder says of it, what it annotates, and what the numbers of its masks mean."""

  path: pathlib.Path
  name: str
  patient: str
  grade: int
  masks: dict[str, pathlib.Path]
  index_map: pathlib.Path | None
  annotated: tuple[str, ...]
  values: dict[str, list[int]]
  indices: dict[str, str | None]


class Builder(MaskBuilder):
  """`source_dir` is a folder of this layout, of which masks/ or grades.csv may be missing:

    images/<id>.jpg              photographs: every format that `data.photograph` reads; the name is the id
    masks/<lesion>/<id>.png      a folder for each lesion that is annotated, named by its key (MA, iHE, HaEx, CWS, vHE,
                                 pHE, NV, FiP) or as releases name it (HE, EX, SE, whole names); PNG, TIFF, GIF or BMP of the
                                 photograph's own size
    masks/<id>.png               or else index maps, one for all lesions, whose numbers `indices` explains
    grades.csv                   columns id, and any of grade (0..4, or empty), patient, split; see `data.table`
    dataset.json                 any of "scale", "values" and "indices": what the numbers mean

  or the same in folders of splits (train/images/, train/masks/, val/images/ and so on), or photographs in folders of their
  grades (3/x.jpg, train/3/x.jpg).

  A lesion with a folder is annotated in every photograph, and absent where its mask is missing; a lesion without a
  folder is unknown, and so is every lesion of a photograph without an index map. In a mask 0 is absent, 1 or 255 (of a
  palette, the indices) present, and 127 left out of loss and metrics; other values are an error, and so are 1 and 255
  together, unless `values` says what they are.
  Splits are those of the column `split` (train, validation, test) or of the folders; else photographs are dealt 70/10/20
  with our seed, by the column `patient` where there is one, or else by names that are pairs of eyes (`data.naming`), and so
  that lesions and grades are spread. Photographs are cropped to the field of view, as `predict` does.
  """

  CONFIG = FolderConfig
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
    """Everything that the folder holds, in whichever layout it is."""
    config, root = self.builder_config, self.builder_config.source_dir
    settings = read_settings(root)
    said = {key: getattr(config, key) or settings.get(key, '') for key in ('scale', 'values', 'indices')}
    try:
      scale, values, indices = read_scale(said['scale']), read_values(said['values']), read_indices(said['indices'])
    except (ValueError, AttributeError, TypeError) as error:
      raise ValueError(f'{root / SETTINGS}: {error}') from error
    found = read_contents(root, scale, indices)
    if not found.masks and not found.maps and all(entry.grade == UNKNOWN_GRADE for entry in found.entries.values()):
      raise ValueError(f'{root} has neither a folder {MASKS}/<lesion>/ (of {", ".join(LESION_KEYS)}) nor a grade in '
                       f'{TABLE}: there is nothing to learn or to judge')
    self._contents, self._values, self._indices, self.scale = found, values, indices, scale.describe()
    self._asked = asks(scale, [entry.grade for entry in found.entries.values()])
    photographs = {name: self._photograph(name, path) for name, path in found.photographs.items()}
    self._given = any(entry.split for entry in found.entries.values())  # for all photographs or for none
    splits = self._said_splits(photographs) if self._given else self._deal(list(photographs.values()))
    return Release(splits, {'photographs': len(photographs)})

  def examine(self) -> tuple[list[str], list[str]]:
    """Looks at all masks before any is used."""
    found = self._contents
    warnings = [*found.warnings, *([f'{self.name}: {self._asked}'] if self._asked else [])]
    wrong = Findings()
    for name, path in found.photographs.items():
      own = [of_lesion[name] for of_lesion in (*found.masks.values(), found.maps) if name in of_lesion]
      if problem := turned(path, own):
        wrong.add(str(path), problem)
    wrong.require_none()
    warnings += examine({key: of_lesion.values() for key, of_lesion in found.masks.items()}, self._values)
    warnings += examine_maps(list(found.maps.values()), self._indices) if found.maps else []
    return found.notes, warnings

  def reads(self) -> tuple[pathlib.Path, ...]:
    """The folders and tables of the layout; what else lies in the folder does not count."""
    root = self.builder_config.source_dir
    if (root / IMAGES).is_dir():
      return root / IMAGES, root / MASKS, root / TABLE, root / SETTINGS
    inner = [path for path in sorted(root.iterdir()) if path.is_dir()] if root.is_dir() else []
    split = [path for path in inner if path.name.casefold() in SPLIT_NAMES]
    return *(split or inner), root / TABLE, root / SETTINGS

  def deals(self) -> bool:
    """Unless the table or the folders say the splits."""
    return not self._given

  def _photograph(self, name: str, path: pathlib.Path) -> Photograph:
    found = self._contents
    own = {key: of_lesion[name] for key, of_lesion in found.masks.items() if name in of_lesion}
    grade, patient, _ = found.entries.get(name) or Entry(UNKNOWN_GRADE, None, None)
    annotated = self._annotated(found) if not found.maps or name in found.maps else ()
    values = {name: list(getattr(self._values, name)) for name in ('lesion', 'ignore', 'absent')}
    indices = {str(number): meant for number, meant in self._indices.items()}
    return Photograph(path, name, patient or name, grade, own, found.maps.get(name), annotated, values, indices)

  def _annotated(self, found: Contents) -> tuple[str, ...]:
    return tuple(key for key in LESION_KEYS if key in self._indices.values()) if found.maps else tuple(found.masks)

  def _said_splits(self, photographs: dict[str, Photograph]) -> dict[str, list[Photograph]]:
    """The splits of the table or of the folders."""
    root = self.builder_config.source_dir
    if self.builder_config.folds:
      raise ValueError(f'{root / TABLE} or the folders of {root} say of each photograph to which split it belongs, so '
                       'there are no folds; take the column out, or leave folds at 0')
    return {split: [photograph for name, photograph in photographs.items()
                    if self._contents.entries[name].split == split] for split in SPLITS}

  def _deal(self, photographs: list[Photograph]) -> dict[str, list[Photograph]]:
    """Our splits, by patient."""
    patients = [photograph.patient for photograph in photographs]
    labels = [labels_of(photograph.masks, photograph.grade) for photograph in photographs]
    return self.builder_config.dealing.deal(photographs, patients, labels)

  def contents(self, release: Release) -> tuple[tuple[str, ...], bool]:
    """The lesions that have a folder or a number, and whether any photograph has a grade."""
    photographs = [photograph for split in release.splits.values() for photograph in split]
    return self._annotated(self._contents), any(photograph.grade != UNKNOWN_GRADE for photograph in photographs)

  def read_native(self, item: Photograph) -> Native:
    """Photograph and masks."""
    image, crop = read_field(item.path)
    shape = image.shape[:2]
    present, unscored = _take_apart(item, shape) if item.index_map else _read_masks(item, shape)
    return make_native(image, crop, present=present, unscored=unscored, id=item.name, patient=item.patient,
                       grade=item.grade, annotated=item.annotated)


def _read_masks(item: Photograph, shape: tuple[int, int]) -> Any:
  """Present and unscored, lesion key -> bool [H, W], of masks of one lesion each."""
  values = read_values(item.values)
  found = {key: values.split(read_mask(path, shape=shape, levels=values.levels)) for key, path in item.masks.items()}
  return {key: one for key, (one, _) in found.items()}, {key: other for key, (_, other) in found.items()}


def _take_apart(item: Photograph, shape: tuple[int, int]) -> Any:
  """The same of an index map; what it leaves open is so for every lesion."""
  indices = read_indices(item.indices)
  numbers = read_mask(item.index_map, shape=shape, levels={0, *indices})
  of = lambda meant: [number for number, key in indices.items() if key == meant]
  left_open = of('ignore')
  present = {key: np.isin(numbers, of(key)) for key in item.annotated}
  return present, {key: np.isin(numbers, left_open) for key in item.annotated} if left_open else {}
