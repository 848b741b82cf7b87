"""Any folder of photographs with masks, grades, or both: data of one's own."""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from lesion_jax.annotation.mistakes import Findings
from lesion_jax.core import LESION_KEYS, UNKNOWN_GRADE
from lesion_jax.data.builders.base import LesionConfig, Release
from lesion_jax.data.builders.records import MaskBuilder, make_native
from lesion_jax.data.masks import Look, examine, examine_maps, look, read_indices, read_values, turned
from lesion_jax.data.native import Native
from lesion_jax.data.own.contents import KEYS, Contents, read_contents, read_settings
from lesion_jax.data.own.files import IMAGES, MASKS, SETTINGS, SPLIT_NAMES, TABLE, find, folders_in
from lesion_jax.data.own.table import Entry
from lesion_jax.data.packing import read_mask
from lesion_jax.data.scales import asks, read_scale
from lesion_jax.data.splits import SPLITS, labels_of
from lesion_jax.photograph.crop import read_field
from lesion_jax.photograph.threads import ordered_map


@dataclasses.dataclass(eq=False, kw_only=True)
class FolderConfig(LesionConfig):
  """What a folder's numbers mean, where the folder does not say it itself (`own.files.SETTINGS`), before which this goes.

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


class Folder(MaskBuilder):
  """`source_dir` is a folder of this layout, of which masks/ or grades.csv may be missing:

    images/<id>.jpg              photographs: every format that `photograph.read` reads; the name is the id
    masks/<lesion>/<id>.png      a folder for each lesion that is annotated, named by its key (MA, iHE, HaEx, CWS, vHE,
                                 pHE, NV, FiP) or as raw datasets name it (HE, EX, SE, whole names); PNG, TIFF, GIF or BMP of the
                                 photograph's own size
    masks/<id>.png               or else index maps, one for all lesions, whose numbers `indices` explains
    grades.csv                   columns id, and any of grade (0..4, or empty), patient, split, fold; see `annotation.table`
    dataset.json                 any of "scale", "values" and "indices": what the numbers mean

  or the same in folders of splits (train/images/, train/masks/, val/images/ and so on), or photographs in folders of their
  grades (3/x.jpg, train/3/x.jpg).

  A lesion with a folder is annotated in every photograph (of the split, where there are folders of splits), and absent where
  its mask is missing; a lesion without a folder is unknown, and so is every lesion of a photograph without an index map.
  In a mask 0 is absent, 1 or 255 (of a palette, the indices) present, and 127 excluded from loss and metrics; other values
  are an error, and so are 1 and 255 together, unless `values` says what they are.
  Splits are those of the column `split` (train, validation, test) or of the folders; else photographs are dealt 70/10/20
  with our seed, by the column `patient` where there is one, or else by names that are pairs of eyes (`annotation.naming`), and so
  that lesions and grades are spread. With `folds`, folds are those of the column `fold`, where there is one. Photographs are cropped to the field of view, as `predict` does.
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
    """Lists everything that the folder holds, in whichever layout it is."""
    config, root = self.builder_config, self.builder_config.source_dir
    settings = read_settings(root)
    said = {key: getattr(config, key) or settings.get(key, '') for key in KEYS}
    try:
      scale, values, indices = read_scale(said['scale']), read_values(said['values']), read_indices(said['indices'])
    except (ValueError, AttributeError, TypeError) as error:
      raise ValueError(f'{find(root, SETTINGS)}: {error}') from error
    found = read_contents(root, scale, indices)
    if not found.masks and not found.maps and all(entry.grade == UNKNOWN_GRADE for entry in found.entries.values()):
      raise ValueError(f'{root} has neither a folder {MASKS}/<lesion>/ (of {", ".join(LESION_KEYS)}) nor a grade in '
                       f'{TABLE}: there is nothing to learn or to evaluate')
    self._contents, self._values, self._indices, self.scale = found, values, indices, scale.describe()
    self._looks: dict[pathlib.Path, Look] = {}
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
    warnings += examine({key: self._look(of_lesion.values()) for key, of_lesion in found.masks.items()}, self._values)
    warnings += examine_maps(self._look(found.maps.values()), self._indices) if found.maps else []
    return found.notes, warnings

  def reads(self) -> tuple[pathlib.Path, ...]:
    """Returns the folders and tables of the layout; what else lies in the folder does not count."""
    root = self.builder_config.source_dir
    if find(root, IMAGES).is_dir():
      return find(root, IMAGES), find(root, MASKS), find(root, TABLE), find(root, SETTINGS)
    inner = folders_in(root)
    split = [path for path in inner if path.name.casefold() in SPLIT_NAMES]
    return *(split or inner), find(root, TABLE), find(root, SETTINGS)

  def deals(self) -> bool:
    """Unless the table or the folders say the splits."""
    return not self._given

  def _photograph(self, name: str, path: pathlib.Path) -> Photograph:
    found = self._contents
    own = {key: of_lesion[name] for key, of_lesion in found.masks.items() if name in of_lesion}
    entry = found.entries.get(name) or Entry(UNKNOWN_GRADE, None, None)
    grade, patient = entry.grade, entry.patient
    annotated = found.lesions.get(name, ()) if not found.maps else self._annotated(found) if name in found.maps else ()
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
    dealing = self.builder_config.dealing
    labels = None if dealing.name == 'hash' else self._labels(photographs)
    given = [fold for photograph in photographs if (entry := self._contents.entries.get(photograph.name))
             and (fold := entry.fold) is not None]
    if not given:
      return dealing.deal(photographs, patients, labels)
    if dealing.folds:
      return dealing.deal_folds(photographs, patients, labels, given)
    self._contents.notes.append(f'the column fold has {len(set(given))} folds, which count where folds={len(set(given))} is asked for, '
                                'with the number of the fold that is the test split; here photographs are dealt 70/10/20')
    return dealing.deal(photographs, patients, labels)

  def _labels(self, photographs: list[Photograph]) -> list[frozenset[str]]:
    """What dealing is to spread: grades, and lesions that have a pixel in a mask that can be read."""
    self._look(path for one in photographs for path in (*one.masks.values(), one.index_map) if path)
    values_of = lambda path: self._looks[path].values if path else frozenset()
    lesions = [{key for key, path in one.masks.items() if values_of(path) & set(self._values.lesion)} | {
        key for number in values_of(one.index_map) if (key := self._indices.get(number)) in LESION_KEYS} for one in photographs]
    return [labels_of(keys, one.grade) for keys, one in zip(lesions, photographs, strict=True)]

  def _look(self, paths: Iterable[pathlib.Path]) -> list[Look]:
    """Looks at masks, once for all."""
    paths = list(paths)
    new = [path for path in paths if path not in self._looks]
    self._looks |= dict(zip(new, ordered_map(look, new), strict=True))
    return [self._looks[path] for path in paths]

  def contents(self, release: Release) -> tuple[tuple[str, ...], bool]:
    """Returns the lesions that have a folder or a number, and whether any photograph has a grade."""
    photographs = [photograph for split in release.splits.values() for photograph in split]
    return self._annotated(self._contents), any(photograph.grade != UNKNOWN_GRADE for photograph in photographs)

  def read_native(self, item: Photograph) -> Native:
    """Reads photograph and masks."""
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
