"""Reading a raw dataset's layout: folders, photographs, tables of grades and copies, with errors that name what is missing."""

from __future__ import annotations

import collections
import fnmatch
import functools
import hashlib
import pathlib
from collections.abc import Hashable, Iterable, Iterator, Sequence

from absl import logging

from lesion_jax.annotation.mistakes import Findings, cut
from lesion_jax.annotation.table import composed, read_table
from lesion_jax.core import NUM_GRADES
from lesion_jax.data.scales import whole_number

ALIKE = (('.jpg', '.jpeg'), ('.tif', '.tiff'))  # endings of one format
PICTURES = ('.jpg', '.jpeg', '.png', '.tif', '.tiff', '.bmp')


def require_folder(path: pathlib.Path) -> pathlib.Path:
  """Returns the folder. Raises FileNotFoundError, naming it, where there is none."""
  if not path.is_dir():
    raise FileNotFoundError(f'no folder {path}; source_dir must be the root of the raw dataset in its own layout')
  return path


def list_photographs(folder: pathlib.Path, pattern: str) -> list[pathlib.Path]:
  """The photographs of a folder, sorted by name. Neither case nor the spelling of an ending counts: one '.JPG' or '.jpeg'
  among '.jpg' is taken, and pictures beside them that are not are counted in a warning.

  Raises:
    FileNotFoundError: where there is no such folder, or nothing in it matches the pattern.
    ValueError: where two files differ in nothing but that.
  """
  names = sorted(path for path in require_folder(folder).iterdir() if not path.name.startswith('.'))
  taken = {path: _form(path.name) for path in names if fnmatch.fnmatchcase(_form(path.name), _form(pattern))}
  if not taken:
    raise FileNotFoundError(f'no photograph {folder / pattern}; was the raw dataset unpacked whole?')
  first: dict[str, pathlib.Path] = {}
  for path, form in taken.items():
    if (other := first.setdefault(form, path)) is not path:
      raise ValueError(f'{other} and {path.name} differ in nothing but case or the spelling of their ending; remove the '
                       'one that is not of the raw dataset')
  if unused := [path.name for path in names if path not in taken and path.suffix.lower() in PICTURES]:
    logging.warning('%s: %d pictures are not used, as their names are not of the form %s: %s', folder, len(unused),
                    pattern, ', '.join(unused[:5]) + (', ...' if len(unused) > 5 else ''))
  return list(taken)


def find_alike(path: pathlib.Path) -> pathlib.Path:
  """The file of that name, or else the one that differs from it in nothing but case or the spelling of its ending; `path`
  itself where there is none."""
  if path.exists() or not path.parent.is_dir():
    return path
  return path.parent / _names(path.parent, path.parent.stat().st_mtime_ns).get(_form(path.name), path.name)


@functools.lru_cache(maxsize=64)
def _names(folder: pathlib.Path, changed: int) -> dict[str, str]:
  """Form of a name -> the name, of the files of a folder that was changed last at that time."""
  del changed  # It is part of the key of what is kept.
  return {_form(path.name): path.name for path in sorted(folder.iterdir())}


def _form(name: str) -> str:
  """A name without what does not count in it."""
  name = composed(name).casefold()
  for first, *others in ALIKE:
    for other in others:
      if name.endswith(other):
        return name.removesuffix(other) + first
  return name


def read_rows(path: pathlib.Path, columns: Sequence[str], *, delimiter: str | None = None) -> Iterator[tuple[str, list[str]]]:
  """Reads columns of a table with a header, as `table.read_table` does. Empty columns and rows do not count.

  Yields:
    (where, cells): file and row, for messages, and the cells in the order of `columns`.

  Raises:
    FileNotFoundError: where there is no such table.
    ValueError: where it cannot be read, a column is missing, or a row too short.
  """
  if not path.is_file():
    raise FileNotFoundError(f'no table {path}; source_dir must be the root of the raw dataset in its own layout')
  yield from read_table(path, columns, separator=delimiter).cells(columns)


def read_grades(
    path: pathlib.Path, *, id_column: str, grade_column: str, steps: int = NUM_GRADES,
) -> dict[str, int]:
  """Reads a table of grades, as `read_rows` does.

  Args:
    path: of the table.
    id_column, grade_column: names of its columns.
    steps: how many grades there are, from 0.

  Returns:
    Photograph id -> grade 0..4, or as far as there are steps.

  Raises:
    FileNotFoundError: where there is no such table.
    ValueError: where a column is missing, a grade is none of these whole numbers, or a photograph has two rows.
  """
  rows = read_rows(path, (id_column, grade_column))
  return collect_grades(((where, *cells) for where, cells in rows), grade_column=grade_column, steps=steps)


def collect_grades(
    rows: Iterable[tuple[str, str, str]], *, grade_column: str = 'the grade', steps: int = NUM_GRADES,
) -> dict[str, int]:
  """Photograph id -> grade 0..4, or as far as there are steps, from (where, id, grade) as text.

  Raises:
    ValueError: where a grade is none of these whole numbers, or a photograph has two rows.
  """
  grades: dict[str, int] = {}
  found = Findings()
  for where, photograph, grade in rows:
    grade = whole_number(grade)
    if grade not in map(str, range(steps)):
      found.add(f'{where} ({photograph})', f'{grade_column} is {cut(grade)!r}; grades are 0..{steps - 1}')
    elif photograph in grades:
      found.add(where, f'{photograph} has a row already')
    else:
      grades[photograph] = int(grade)
  found.require_none()
  return grades


def require_grades(grades: dict[str, int], photographs: Iterable[pathlib.Path], table: pathlib.Path) -> None:
  """Raises ValueError where a photograph has no row in the table of grades, naming the first few."""
  if missing := [path.name for path in photographs if path.stem not in grades]:
    raise ValueError(f'{table} has no row for {len(missing)} photographs: {", ".join(missing[:5])}')


def require_masks(masks: dict[str, pathlib.Path]) -> None:
  """Raises FileNotFoundError, naming the file, where one is missing of a raw dataset that has every mask."""
  if missing := [path for path in masks.values() if not path.is_file()]:
    raise FileNotFoundError(
        f'no mask {missing[0]}; this raw dataset has it for every photograph, all black where the lesion is absent. Was it '
        'unpacked whole?')


def find_copies(paths: Iterable[pathlib.Path]) -> dict[pathlib.Path, pathlib.Path]:
  """Path -> the first of `paths` with the same content, itself where there is no other.

  Only files of one size are read, so that of a raw dataset without copies hardly any is.
  """
  first: dict[Hashable, pathlib.Path] = {}
  found = {}
  by_size = collections.defaultdict(list)
  for path in paths:
    by_size[path.stat().st_size].append(path)
  for size, alike in by_size.items():
    for path in alike:
      content = hashlib.sha256(path.read_bytes()).digest() if len(alike) > 1 else b''
      found[path] = first.setdefault((size, content), path)
  return found
