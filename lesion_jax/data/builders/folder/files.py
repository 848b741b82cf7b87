"""What lies in a folder of one's own: photographs, masks, and the table; with errors that say what to do."""

from __future__ import annotations

import csv
import pathlib
from typing import NamedTuple

from lesion_jax.core import LESION_KEYS, NUM_GRADES, UNKNOWN_GRADE
from lesion_jax.data.builders.layout import read_rows
from lesion_jax.data.splits import SPLITS

IMAGES, MASKS, TABLE = 'images', 'masks', 'grades.csv'
COLUMNS = ('grade', 'patient', 'split')  # of the table, beside 'id'; each may be missing
PHOTOGRAPHS = ('.jpg', '.jpeg', '.png', '.tif', '.tiff', '.bmp', '.ppm', '.gif', '.webp', '.jp2', '.dcm', '.dicom')
LOSSLESS = ('.png', '.tif', '.tiff', '.gif', '.bmp')
JUNK = ('thumbs.db', 'desktop.ini')  # of file managers, as are hidden files


class Entry(NamedTuple):
  """What the table says of a photograph; None where it has not that column."""

  grade: int
  patient: str | None
  split: str | None


def list_files(folder: pathlib.Path, suffixes: tuple[str, ...]) -> dict[str, pathlib.Path]:
  """The files of a folder by their names without ending, sorted.

  Raises:
    FileNotFoundError: where there is no such folder.
    ValueError: where something else lies in it, or two files have one name.
  """
  if not folder.is_dir():
    raise FileNotFoundError(f'no folder {folder}; source_dir must hold {IMAGES}/, and {MASKS}/ or {TABLE} or both')
  found: dict[str, pathlib.Path] = {}
  for path in sorted(folder.iterdir()):
    if path.name.startswith('.') or path.name.lower() in JUNK:
      continue
    if path.suffix.lower() not in suffixes or not path.is_file():
      raise ValueError(f'{path} does not belong here: this folder holds files ending in {" ".join(suffixes)} and '
                       'nothing else; move it elsewhere, or convert it')
    if path.stem in found:
      raise ValueError(f'{path} and {found[path.stem].name} have one name; the name without its ending names a '
                       'photograph, so rename one of them, and what belongs to it')
    found[path.stem] = path
  return found


def list_masks(folder: pathlib.Path, photographs: dict[str, pathlib.Path]) -> dict[str, dict[str, pathlib.Path]]:
  """Lesion key -> photograph -> mask, in the order of LESION_KEYS; only the lesions that have a folder.

  Raises:
    ValueError: for a folder that is named like no lesion, or a mask of no photograph.
  """
  if not folder.is_dir():
    return {}
  names = {path.name for path in folder.iterdir() if not path.name.startswith('.') and path.name.lower() not in JUNK}
  if strange := sorted(names - set(LESION_KEYS)):
    raise ValueError(f'{folder / strange[0]}: there is no lesion of that name; the folders in {folder} are named '
                     f'{", ".join(LESION_KEYS)}')
  masks = {key: list_files(folder / key, LOSSLESS) for key in LESION_KEYS if key in names}
  for of_lesion in masks.values():
    if strange := [path for name, path in of_lesion.items() if name not in photographs]:
      raise ValueError(f'{strange[0]} is the mask of no photograph: there is no {strange[0].stem} in {IMAGES}/; a mask '
                       'has the name of its photograph, but for the ending')
  return masks


def read_entries(table: pathlib.Path, photographs: dict[str, pathlib.Path]) -> dict[str, Entry]:
  """Photograph -> what the table says of it; empty where there is no table.

  Raises:
    ValueError: where it has no column 'id', a row is of no photograph or a second one, a photograph has none, or a
      value is not allowed; and where a patient is in two splits.
  """
  if not table.exists():
    return {}
  entries: dict[str, Entry] = {}
  split_of: dict[str, str] = {}
  for where, cells in _read_rows(table):
    name = cells['id']
    if name not in photographs:
      raise ValueError(f'{where}: there is no photograph {name!r} in {IMAGES}/; an id is the name of a file there, '
                       'without its ending')
    if name in entries:
      raise ValueError(f'{where}: {name} has a row already')
    entry = entries[name] = _entry(cells, f'{where} ({name})')
    patient = entry.patient or name  # as in the records
    if entry.split and split_of.setdefault(patient, entry.split) != entry.split:
      raise ValueError(f'{where} ({name}): the patient {patient} is in {entry.split} and in {split_of[patient]}; '
                       'all photographs of a patient belong to one split')
  if missing := [name for name in photographs if name not in entries]:
    raise ValueError(f'{table} has no row for {len(missing)} photographs: {", ".join(missing[:5])}; give each one, '
                     'with an empty grade where it is unknown')
  return entries


def _entry(cells: dict[str, str], where: str) -> Entry:
  grade, split = cells.get('grade') or str(UNKNOWN_GRADE), cells.get('split')
  if grade not in map(str, (UNKNOWN_GRADE, *range(NUM_GRADES))):
    raise ValueError(f'{where}: grade is {grade!r}; grades are 0..{NUM_GRADES - 1}, or empty where it is unknown')
  if split is not None and split not in SPLITS:
    raise ValueError(f'{where}: split is {split!r}; the splits are {", ".join(SPLITS)}, for every photograph, or leave '
                     'the column out and photographs are dealt by patient')
  return Entry(int(grade), cells.get('patient') or None, split)


def _read_rows(table: pathlib.Path) -> list[tuple[str, dict[str, str]]]:
  """(where, column -> cell) of each row, with those of COLUMNS that there are."""
  try:
    with table.open(newline='', encoding='utf-8-sig') as file:
      header = [cell.strip() for cell in next(csv.reader(file), [])]
    columns = ['id', *(column for column in COLUMNS if column in header)]
    return [(where, dict(zip(columns, cells, strict=True))) for where, cells in read_rows(table, columns)]
  except (UnicodeDecodeError, csv.Error) as error:
    raise ValueError(f'cannot read the table {table}: {error}; it must be CSV in UTF-8') from error
