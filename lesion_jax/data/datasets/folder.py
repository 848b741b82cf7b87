"""Any folder of photographs with masks, grades, or both: data of one's own."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from lesion_jax.annotation.mistakes import Findings, cut
from lesion_jax.annotation.naming import PATTERN, lesion_of, like_series, patients_of, say_patients
from lesion_jax.annotation.table import Table, composed, plain, read_table
from lesion_jax.core import GRADE_KEYS, LESION_KEYS, NUM_GRADES, UNKNOWN_GRADE
from lesion_jax.data.builders.base import LesionConfig, Release
from lesion_jax.data.builders.records import MaskBuilder, make_native
from lesion_jax.data.masks import TEACH_INDICES, Look, examine, examine_maps, look, read_indices, read_values, turned
from lesion_jax.data.native import Native
from lesion_jax.data.packing import read_mask
from lesion_jax.data.scales import Scale, asks, read_scale, whole_number
from lesion_jax.data.splits import SPLITS, labels_of
from lesion_jax.photograph.crop import read_field
from lesion_jax.photograph.threads import ordered_map

IMAGES, MASKS, TABLE, SETTINGS = 'images', 'masks', 'grades.csv', 'dataset.json'
# How programs write that there is no patient; 'NA' may be somebody's initials.
NOBODY = ('nan', 'null', 'none', '?', '-', 'n/a', '#n/a', 'unknown')
TABLES = ('.csv', '.tsv', '.xlsx', '.xls', '.ods')  # other tables beside the folder's own are named
COLUMNS = ('grade', 'patient', 'split', 'fold')  # of the table, beside 'id'; each may be missing
KEYS = ('scale', 'values', 'indices')  # of SETTINGS
PHOTOGRAPHS = ('.jpg', '.jpeg', '.png', '.tif', '.tiff', '.bmp', '.ppm', '.gif', '.webp', '.jp2', '.dcm', '.dicom')
LOSSLESS = ('.png', '.tif', '.tiff', '.gif', '.bmp')
JUNK = ('thumbs.db', 'desktop.ini')  # of file managers, as are hidden files
SPLIT_NAMES = {'train': 'train', 'training': 'train', 'val': 'validation', 'valid': 'validation',
               'validation': 'validation', 'dev': 'validation', 'test': 'test', 'testing': 'test'}
_CLASSES = {str(grade): grade for grade in range(NUM_GRADES)} | {
    plain(key): grade for grade, key in enumerate(GRADE_KEYS)}


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
  with our seed, by the column `patient` where there is one, or else by names that are pairs of eyes (`data.naming`), and so
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
    said = {key: getattr(config, key) or settings.get(key, '') for key in ('scale', 'values', 'indices')}
    try:
      scale, values, indices = read_scale(said['scale']), read_values(said['values']), read_indices(said['indices'])
    except (ValueError, AttributeError, TypeError) as error:
      raise ValueError(f'{root / SETTINGS}: {error}') from error
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
    if (root / IMAGES).is_dir():
      return root / IMAGES, root / MASKS, find_table(root), root / SETTINGS
    inner = [path for path in sorted(root.iterdir()) if path.is_dir()] if root.is_dir() else []
    split = [path for path in inner if path.name.casefold() in SPLIT_NAMES]
    return *(split or inner), find_table(root), root / SETTINGS

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


class Entry(NamedTuple):
  """What the table, or a folder, says of a photograph; None where it does not say it."""

  grade: int
  patient: str | None
  split: str | None
  fold: int | None = None


class Contents(NamedTuple):
  """Everything that a folder holds.

  Attributes:
    photographs: id -> file.
    masks: lesion key -> id -> mask; the lesions that have a folder, in the order of LESION_KEYS.
    maps: id -> index map.
    lesions: id -> keys of the lesions that have a folder where the photograph lies.
    entries: id -> what is said of it.
    notes: what was taken for what, a sentence each.
    warnings: what may be wrong, a sentence each.
  """

  photographs: dict[str, pathlib.Path]
  masks: dict[str, dict[str, pathlib.Path]]
  maps: dict[str, pathlib.Path]
  lesions: dict[str, tuple[str, ...]]
  entries: dict[str, Entry]
  notes: list[str]
  warnings: list[str]


def read_settings(root: pathlib.Path) -> dict[str, Any]:
  """Returns the keys KEYS that the folder's own SETTINGS has; {} where there is none.

  Raises:
    ValueError: it is no JSON object, or has other keys, naming it.
  """
  path = root / SETTINGS
  if not path.is_file():
    return {}
  try:
    found = json.loads(path.read_text('utf-8-sig'))
  except (ValueError, RecursionError) as error:
    raise ValueError(f'{path} is not JSON: {cut(str(error), 200)}') from error
  if not isinstance(found, dict) or (unknown := set(found) - set(KEYS)):
    named = f'has {", ".join(sorted(map(cut, unknown)))}' if isinstance(found, dict) else 'is no object'
    raise ValueError(f'{path} {named}; it is one JSON object with any of {", ".join(KEYS)}, such as '
                     '{"scale": "referable", "values": {"lesion": 1, "ignore": 255}}')
  return found


def read_contents(root: pathlib.Path, scale: Scale, indices: Mapping[int, str | None]) -> Contents:
  """Lists a folder in whichever of its layouts it is.

  Args:
    root: the folder.
    scale: of its grades.
    indices: what the numbers of index maps mean.

  Raises:
    FileNotFoundError: there are no photographs.
    ValueError: something in it is not understood; all mistakes of one kind are counted together.
  """
  parts = _parts(root)
  if parts is None:
    classes = _read_classes(root, scale)
    if classes is not None:
      return classes
    list_files(root / IMAGES, PHOTOGRAPHS)  # raises, as there is no such folder
  photographs: dict[str, pathlib.Path] = {}
  masks: dict[str, dict[str, pathlib.Path]] = {}
  maps: dict[str, pathlib.Path] = {}
  lesions: dict[str, tuple[str, ...]] = {}
  drawn: dict[pathlib.Path, tuple[str, ...]] = {}
  of_folder: dict[str, str] = {}
  notes, tables = [], [find_table(root)]
  for split, folder in parts.items():
    found = list_files(folder / IMAGES, PHOTOGRAPHS)
    if not found:
      raise FileNotFoundError(f'no photograph in {folder / IMAGES}; put them there, ending in {" ".join(PHOTOGRAPHS)}')
    if twice := sorted(found.keys() & photographs.keys()):
      raise ValueError(f'{found[twice[0]]} and {photographs[twice[0]]} have one name, as have {len(twice)} in all; the name '
                       'without its ending names a photograph, so rename one of them, and what belongs to it')
    photographs |= found
    own = list_masks(folder / MASKS, found, notes)
    for key, of_lesion in own.items():
      masks.setdefault(key, {}).update(of_lesion)
    drawn[folder / MASKS] = tuple(own)
    lesions |= dict.fromkeys(found, tuple(own))
    maps |= _list_maps(folder / MASKS, found, indices)
    if split:
      of_folder |= dict.fromkeys(found, split)
      tables.append(find_table(folder))
  masks = {key: masks[key] for key in LESION_KEYS if key in masks}
  if masks and maps:
    raise ValueError(f'{root / MASKS} holds folders of lesions and index maps; give one of the two')
  warnings = _say_other_tables({root, *parts.values()} if not any(table.is_file() for table in tables) else ())
  warnings += [] if maps else _say_unknown(drawn, masks)
  warnings += _say_no_splits(root, parts.values()) if of_folder else []
  places: dict[str, str] = {}
  entries = read_entries([table for table in tables if table.is_file()], photographs, scale, notes, warnings, places)
  if of_folder:
    notes.append('splits are those of the folders ' + ', '.join(folder.name for folder in parts.values()))
    entries = _of_folders(entries, of_folder)
  if any(entry.patient for entry in entries.values()):
    _sides(entries, places).require_none()
  entries = _with_patients(photographs, entries, notes, warnings)
  return Contents(photographs, masks, maps, lesions, entries, list(dict.fromkeys(notes)), warnings)


def _of_folders(entries: Mapping[str, Entry], of_folder: Mapping[str, str]) -> dict[str, Entry]:
  """The entries of photographs whose folders say the split. Raises ValueError where a table says another."""
  wrong = Findings()
  for name, entry in entries.items():
    if entry.split and entry.split != of_folder[name]:
      wrong.add(name, f'the table puts it into {entry.split} and its folder into {of_folder[name]}; take the column split out')
  wrong.require_none()
  return {name: entries.get(name, Entry(UNKNOWN_GRADE, None, None))._replace(split=split) for name, split in of_folder.items()}


def _parts(root: pathlib.Path) -> dict[str, pathlib.Path] | None:
  """{'' : root} where images/ lies in it; split -> folder where folders of splits have images/; else None."""
  if (root / IMAGES).is_dir():
    return {'': root}
  found: dict[str, pathlib.Path] = {}
  for folder in _folders(root):
    split = SPLIT_NAMES.get(folder.name.casefold())
    if split and (folder / IMAGES).is_dir():
      if split in found:
        raise ValueError(f'{found[split]} and {folder.name} are one split ({split}); put them together')
      found[split] = folder
  return found or None


def _say_unknown(drawn: Mapping[pathlib.Path, tuple[str, ...]], masks: Iterable[str]) -> list[str]:
  """A warning for each split whose folder of masks has no folder of a lesion that another split has."""
  return [f'{folder} has no folder {", ".join(lacking)}, as another split has: unknown in the photographs of this one; where a lesion '
          'was looked for in all of them and is in none, give it an empty folder'
          for folder, own in drawn.items() if (lacking := [key for key in masks if key not in own])]


def _say_no_splits(root: pathlib.Path, splits: Collection[pathlib.Path]) -> list[str]:
  """A warning for folders with photographs beside those of splits."""
  others = [folder for folder in _folders(root) if splits and folder not in splits
            and any(path.suffix.lower() in PHOTOGRAPHS for path in folder.glob('*/*'))]
  return [f'{", ".join(map(str, others))} have photographs and are not read, as their names are no splits; those are '
          f'{", ".join(SPLIT_NAMES)}'] if others else []


def _read_classes(root: pathlib.Path, scale: Scale) -> Contents | None:
  """Folders by grade, `train/3/x.jpg` or `3/x.jpg`; None where there are none."""
  splits = {folder: SPLIT_NAMES[folder.name.casefold()] for folder in _folders(root)
            if folder.name.casefold() in SPLIT_NAMES and any(_class(inner.name, scale) for inner in _folders(folder))}
  tops = splits or ({root: None} if any(_class(folder.name, scale) for folder in _folders(root)) else {})
  if not tops:
    return None
  if unread := [path for top in {root, *tops} for path in (find_table(top), top / MASKS) if path.exists()]:
    raise ValueError(f'{", ".join(map(str, sorted(unread)))} would not be read, as the photographs lie in folders of their grades; put them into '
                     f'{IMAGES}/ and their grades into {TABLE}, or take out what is not to be read')
  listed: list[tuple[pathlib.Path, Entry]] = []
  for top, split in tops.items():
    for folder in _folders(top):
      written = _class(folder.name, scale)
      if not written:
        raise ValueError(f'{folder} is no grade; the folders in {top} are named by grades: {", ".join(scale.spans)}')
      grade = scale.grade(written)
      listed += [(path, Entry(grade, None, split)) for path in list_files(folder, PHOTOGRAPHS).values()]
  if not listed:
    return None
  stems = collections.Counter(composed(path.stem) for path, _ in listed)
  whole = max(stems.values()) > 1  # numbered anew in each folder, so a name alone is no id
  name = lambda path: composed('-'.join(path.relative_to(root).with_suffix('').parts)) if whole else composed(path.stem)
  photographs = {name(path): path for path, _ in listed}
  entries = {name(path): entry for path, entry in listed}
  notes = [f'grades are those of the folders they lie in{", and so are the splits" if splits else ""}']
  if whole:
    notes.append(f'names occur in several folders, so an id is made of both, {next(iter(photographs))} for instance')
  warnings = _say_no_splits(root, splits)
  folders: dict[pathlib.Path, dict[str, str]] = collections.defaultdict(dict)
  for path, _ in listed if whole else ():  # two eyes of one number are a pair within a folder alone
    folders[path.parent][composed(path.stem)] = name(path)
  entries = _with_patients(photographs, entries, notes, warnings, list(folders.values()))
  return Contents(photographs, {}, {}, {}, entries, notes, warnings)


def _class(name: str, scale: Scale) -> str:
  """How the scale writes the grade that a folder is named by; '' where it is named by none."""
  if scale.knows(name):
    return name
  written = str(_CLASSES.get(plain(name), ''))
  return written if written in scale.spans else ''


def _folders(root: pathlib.Path) -> list[pathlib.Path]:
  return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith('.')) if root.is_dir() else []


def list_files(folder: pathlib.Path, suffixes: tuple[str, ...]) -> dict[str, pathlib.Path]:
  """Returns the files of a folder by their names without ending (NFC), sorted.

  Raises:
    FileNotFoundError: where there is no such folder.
    ValueError: where something else lies in it, or two files have one name.
  """
  if not folder.is_dir():
    raise FileNotFoundError(f'no folder {folder}; source_dir must hold {IMAGES}/, and {MASKS}/ or {TABLE} or both; or folders '
                            'train, val and test of the same; or a folder for each grade (0/ to 4/), or train/0/ and so on')
  found: dict[str, pathlib.Path] = {}
  wrong = Findings()
  for path in sorted(folder.iterdir()):
    if _is_junk(path):
      continue
    name = composed(path.stem)
    if path.suffix.lower() not in suffixes or not path.is_file():
      wrong.add(str(path), f'does not belong here: this folder holds files ending in {" ".join(suffixes)} and '
                           'nothing else; move it elsewhere, or convert it')
    elif name in found:
      raise ValueError(f'{path} and {found[name].name} have one name; the name without its ending names a '
                       'photograph, so rename one of them, and what belongs to it')
    else:
      found[name] = path
  wrong.require_none()
  return found


def _is_junk(path: pathlib.Path) -> bool:
  return path.name.startswith('.') or path.name.lower() in JUNK


def list_masks(
    folder: pathlib.Path, photographs: Mapping[str, pathlib.Path], notes: list[str],
) -> dict[str, dict[str, pathlib.Path]]:
  """Returns lesion key -> photograph -> mask, in the order of LESION_KEYS; only the lesions that have a folder.

  Args:
    folder: that holds a folder for each lesion, named by its key or as `naming.lesion_of` knows it.
    photographs: id -> file.
    notes: takes which folder was taken for which lesion, where its name is not the key.

  Raises:
    ValueError: for a folder that is named like no lesion, two of one lesion, or masks of no photograph.
  """
  folders: dict[str, pathlib.Path] = {}
  for path in _folders(folder):
    key = path.name if path.name in LESION_KEYS else lesion_of(path.name)
    if key is None:
      raise ValueError(f'{path}: there is no lesion of that name; the folders in {folder} are named '
                       f'{", ".join(LESION_KEYS)} (or HE, EX, SE, or by whole names)')
    if key in folders:
      raise ValueError(f'{path} and {folders[key].name} are both {key}; put their masks into one folder')
    folders[key] = path
  masks = {key: list_files(folders[key], LOSSLESS) for key in LESION_KEYS if key in folders}
  if others := [f'{path.name} as {key}' for key, path in folders.items() if path.name != key]:
    notes.append(f'folders of masks are taken by their names: {", ".join(others)}')
  _require_photographs((path for of_lesion in masks.values() for path in of_lesion.values()), photographs)
  return masks


def _list_maps(
    folder: pathlib.Path, photographs: Mapping[str, pathlib.Path], indices: Mapping[int, str | None],
) -> dict[str, pathlib.Path]:
  """The index maps that lie in the folder of the masks itself."""
  files = [path for path in sorted(folder.iterdir()) if path.is_file() and not _is_junk(path)] if folder.is_dir() else []
  if unknown := [path for path in files if path.suffix.lower() not in LOSSLESS]:
    raise ValueError(f'{unknown[0]} does not belong here: {folder} holds a folder for each lesion, or index maps ending in '
                     f'{" ".join(LOSSLESS)}')
  if files and not indices:
    values = ', '.join(map(str, sorted(look(files[0]).values)[:12]))
    raise ValueError(f'{files[0]} ({len(files)} files) lies in no folder of a lesion, so it is taken for an index map, one for '
                     f'all lesions; its values are {values}: {TEACH_INDICES}; or put masks into {folder}/<lesion>/, of '
                     f'{", ".join(LESION_KEYS)}')
  found: dict[str, pathlib.Path] = {}
  for path in files:
    if (other := found.setdefault(composed(path.stem), path)) is not path:
      raise ValueError(f'{path} and {other.name} have one name; remove one of them')
  _require_photographs(found.values(), photographs)
  return found


def _require_photographs(masks: Iterable[pathlib.Path], photographs: Mapping[str, pathlib.Path]) -> None:
  wrong = Findings()
  for path in masks:
    if composed(path.stem) not in photographs:
      wrong.add(str(path), f'is the mask of no photograph: a mask has the name of its photograph in {IMAGES}/, but for the '
                           'ending')
  wrong.require_none()


def read_entries(
    tables: Iterable[pathlib.Path], photographs: Mapping[str, pathlib.Path], scale: Scale, notes: list[str],
    warnings: list[str], places: dict[str, str],
) -> dict[str, Entry]:
  """Returns photograph -> what the tables say of it; {} where there is no table.

  Args:
    tables: files that there are.
    photographs: id -> file.
    scale: of the grades.
    notes: takes what was taken for what.
    warnings: takes the columns that are not used.
    places: takes file and row of each photograph.

  Raises:
    ValueError: where one has no column 'id', a row is of no photograph or a second one, a photograph has none, or a value
      is not allowed: all such rows, counted.
  """
  find, wrong, entries = _finder(photographs), Findings(), {}
  abouts = []
  for path in tables:
    table = read_table(path, ('id', *COLUMNS))
    abouts.append(path)
    columns = ['id', *(column for column in COLUMNS if table.find(column) is not None)]
    if others := table.others(('id', *COLUMNS)):
      warnings.append(f'{path}: the columns {", ".join(map(cut, others))} are not used; used are {", ".join(columns)}')
    _require_ids(table)
    if {'split', 'fold'} <= set(columns):
      raise ValueError(f'{path} has the columns split and fold; take one of them out, as either says where a photograph belongs')
    without_zeros: list[tuple[str, str]] = []
    for where, cells in table.cells(columns):
      if (bare := cells[0]).isdecimal() and find(bare) is None and (full := _with_zeros(bare, photographs)):
        without_zeros.append((bare, full))
        cells = [full, *cells[1:]]
      if name := _add(dict(zip(columns, cells, strict=True)), where, find, scale, entries, wrong):
        places[name] = f'{where} ({name})'
    if without_zeros:
      notes.append(f'{len(without_zeros)} ids in {path.name} lack the zeros at their beginning, which spreadsheets take away: '
                   f'{without_zeros[0][0]} is taken for {without_zeros[0][1]}')
  wrong.require_none()
  if abouts and (missing := [name for name in photographs if name not in entries]):
    raise ValueError(f'{abouts[0]} has no row for {len(missing)} photographs: {", ".join(missing[:5])}; give each one, '
                     'with an empty grade where it is unknown')
  if abouts and any(entry.patient for entry in entries.values()):
    patients = [entry.patient or name for name, entry in entries.items()]
    if nameless := sum(not entry.patient for entry in entries.values()):
      notes.append(f'{nameless} photographs have no patient in the table, and each of them is taken for a patient of its own')
    _require_one_spelling(patients, abouts[0])
    notes.append(say_patients(patients, 'from the column patient'))
  return entries


def _require_ids(table: Table) -> None:
  if table.find('id') is None:
    raise ValueError(f'{table.path} has no column id; its columns are {cut(", ".join(table.header), 300)} (read as '
                     f'{table.encoding}, cells separated by {cut(repr(table.separator))}); name the column of the photographs '
                     'id, and the others grade, patient, split and fold')


def _add(
    cells: dict[str, str], where: str, find: Any, scale: Scale, entries: dict[str, Entry], wrong: Findings) -> str | None:
  """Takes one row and returns its photograph, or says what is wrong with it."""
  name = find(cells['id'])
  if name is None:
    wrong.add(where, f'there is no photograph {cut(cells["id"])!r} in {IMAGES}/; an id is the name of a file there')
    return None
  where = f'{where} ({name})'
  if name in entries:
    wrong.add(where.rpartition(' (')[0], f'{name} has a row already')
    return None
  try:
    grade = scale.grade(cells.get('grade', ''))
  except ValueError as error:
    wrong.add(where, str(error))
    return None
  split = cells.get('split')
  if split is not None and split.casefold() not in SPLIT_NAMES:
    wrong.add(where, f'split is {cut(split)!r}; the splits are {", ".join(SPLITS)}, for every photograph, or leave '
                     'the column out and photographs are dealt by patient')
    return None
  fold = cells.get('fold')
  if fold is not None and not whole_number(fold).isdecimal():
    wrong.add(where, f'fold is {cut(fold)!r}; a fold is a whole number, for every photograph, or leave the column out')
    return None
  patient = ' '.join(cells.get('patient', '').split())
  entries[name] = Entry(grade, None if patient.casefold() in ('', *NOBODY) else patient,
                        None if split is None else SPLIT_NAMES[split.casefold()], None if fold is None else int(whole_number(fold)))
  return name


def _finder(photographs: Mapping[str, pathlib.Path]) -> Any:
  """Finds the photograph that a table's id means: its name without or with its ending or that of another format, whatever
  the case where that is one photograph alone; None where there is none."""
  exact = dict.fromkeys(photographs)
  full = {composed(path.name): name for name, path in photographs.items()}
  loose = collections.defaultdict(list)
  for name in photographs:
    loose[name.casefold()].append(name)

  def find(text: str) -> str | None:
    text = text.replace('\\', '/').rpartition('/')[2]
    bare = composed(pathlib.PurePath(text).stem) if pathlib.PurePath(text).suffix.lower() in PHOTOGRAPHS else text
    for one in (text, bare):
      if one in exact:
        return one
      if one in full:
        return full[one]
    alike = loose.get(text.casefold(), []) or loose.get(bare.casefold(), [])
    return alike[0] if len(alike) == 1 else None

  return find


def _with_zeros(text: str, photographs: Mapping[str, pathlib.Path]) -> str:
  """The one photograph whose name is this number with zeros before it; '' where there is none, or several."""
  found = [name for name in photographs if name.isdecimal() and len(name) > len(text) and name.lstrip('0') == text.lstrip('0')]
  return found[0] if len(found) == 1 else ''


def find_table(root: pathlib.Path) -> pathlib.Path:
  """Returns where the table of a folder lies, or would lie: TABLE, whatever the case."""
  alike = [path for path in root.iterdir() if path.name.casefold() == TABLE] if root.is_dir() else []
  return alike[0] if len(alike) == 1 else root / TABLE


def _say_other_tables(folders: Iterable[pathlib.Path]) -> list[str]:
  """A warning for folders that have tables and none of the right name."""
  found = [path for folder in folders if folder.is_dir() and not find_table(folder).is_file() for path in sorted(folder.iterdir())
           if path.suffix.lower() in TABLES and not _is_junk(path)]
  return [f'{", ".join(path.name for path in found[:5])} in {found[0].parent} is not read, and there is no {TABLE}: call the table of '
          f'the photographs so (columns id, and any of {", ".join(COLUMNS)}), saved as "CSV UTF-8"'] if found else []


def _require_one_spelling(patients: Iterable[str], table: pathlib.Path) -> None:
  """Raises ValueError where two patients differ in nothing but case, as one would be dealt to two splits."""
  seen: dict[str, str] = {}
  for patient in patients:
    if (other := seen.setdefault(patient.casefold(), patient)) != patient:
      raise ValueError(f'{table}: the patients {other} and {patient} differ in nothing but case; write one patient one way')


def _with_patients(
    photographs: Mapping[str, pathlib.Path], entries: dict[str, Entry], notes: list[str], warnings: list[str],
    folders: Iterable[Mapping[str, str]] = (),
) -> dict[str, Entry]:
  """The entries with patients taken from names, where no column says them. `folders` are name -> id, of photographs whose names say
  nothing outside their own folder."""
  if any(entry.patient for entry in entries.values()):
    return entries
  groups = list(folders) or [{name: name for name in photographs}]
  found = {ids[name]: ids[name].removesuffix(name) + patient for ids in groups for name, patient in patients_of(ids).items()}
  if not found:
    notes.append(f'{len(photographs)} photographs, each taken for a patient of its own, as there is no column patient and names are '
                 f'not of the form {PATTERN}')
    if alike := next(filter(None, map(like_series, groups)), ()):
      warnings.append(f'{", ".join(alike)} may be photographs of one patient, and each is taken for a patient of its own, so '
                      f'that they may lie in two splits; a column patient in {TABLE} says it')
    return entries
  patients = [found.get(name, name) for name in photographs]
  notes.append(say_patients(patients, f'as {len(found)} names are of the form {PATTERN} (or other words for an eye; '
                                      f'{next(iter(found))} is patient {next(iter(found.values()))}) and there is no column patient, which '
                                      'would go before'))
  nothing = Entry(UNKNOWN_GRADE, None, None)
  entries = {name: entries.get(name, nothing)._replace(patient=found.get(name)) for name in photographs}
  if crossing := _sides(entries, {}):
    warnings.append(f'by their names, patients are in two splits, so one eye leaks the other: {crossing.say()}')
  return entries


def _sides(entries: Mapping[str, Entry], places: Mapping[str, str]) -> Findings:
  """Photographs of patients that are in another split already."""
  split_of: dict[str, str] = {}
  wrong = Findings()
  for name, entry in entries.items():
    patient = entry.patient or name  # as in the records
    if entry.split and (other := split_of.setdefault(patient, entry.split)) != entry.split:
      wrong.add(places.get(name, name), f'the patient {cut(patient)} is in {entry.split} and in {other}; all photographs of a '
                                        'patient belong to one split')
  return wrong
