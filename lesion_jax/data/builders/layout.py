"""Reading a release's layout: folders, photographs and tables of grades, with errors that name what is missing."""

from __future__ import annotations

import csv
import pathlib
from collections.abc import Iterable, Iterator, Sequence

from lesion_jax.core import NUM_GRADES


def require_folder(path: pathlib.Path) -> pathlib.Path:
  """Returns the folder. Raises FileNotFoundError, naming it, where there is none."""
  if not path.is_dir():
    raise FileNotFoundError(f'no folder {path}; source_dir must be the root of the release in its own layout')
  return path


def list_photographs(folder: pathlib.Path, pattern: str) -> list[pathlib.Path]:
  """The photographs of a folder, sorted by name.

  Raises:
    FileNotFoundError: where there is no such folder, or nothing in it matches the pattern.
  """
  paths = sorted(require_folder(folder).glob(pattern))
  if not paths:
    raise FileNotFoundError(f'no photograph {folder / pattern}; was the release unpacked whole?')
  return paths


def read_rows(path: pathlib.Path, columns: Sequence[str], *, delimiter: str = ',') -> Iterator[tuple[str, list[str]]]:
  """Reads columns of a table with a header. Spaces around names and cells, and empty columns and rows, do not count.

  Yields:
    (where, cells): file and row, for messages, and the cells in the order of `columns`.

  Raises:
    FileNotFoundError: where there is no such table.
    ValueError: where a column is missing, or a row too short.
  """
  if not path.is_file():
    raise FileNotFoundError(f'no table {path}; source_dir must be the root of the release in its own layout')
  with path.open(newline='', encoding='utf-8-sig') as file:
    reader = csv.reader(file, delimiter=delimiter)
    header = [cell.strip() for cell in next(reader, [])]
    if missing := set(columns) - set(header):
      raise ValueError(f'{path} has no column {", ".join(sorted(missing))}; its columns are {", ".join(header)}')
    positions = [header.index(column) for column in columns]
    for number, cells in enumerate(reader, start=2):
      cells = [cell.strip() for cell in cells]
      if not any(cells):
        continue
      if len(cells) <= max(positions):
        raise ValueError(f'{path}, row {number}: {len(cells)} cells are too few to hold {" and ".join(columns)}')
      yield f'{path}, row {number}', [cells[position] for position in positions]


def read_grades(path: pathlib.Path, *, id_column: str, grade_column: str) -> dict[str, int]:
  """Reads a table of grades, as `read_rows` does.

  Returns:
    Photograph id -> grade 0..4.

  Raises:
    FileNotFoundError: where there is no such table.
    ValueError: where a column is missing, a grade is not a whole number in 0..4, or a photograph has two rows.
  """
  rows = read_rows(path, (id_column, grade_column))
  return collect_grades(((where, *cells) for where, cells in rows), grade_column=grade_column)


def collect_grades(rows: Iterable[tuple[str, str, str]], *, grade_column: str = 'the grade') -> dict[str, int]:
  """Photograph id -> grade 0..4, from (where, id, grade) as text.

  Raises:
    ValueError: where a grade is not a whole number in 0..4, or a photograph has two rows.
  """
  grades: dict[str, int] = {}
  for where, photograph, grade in rows:
    if grade not in map(str, range(NUM_GRADES)):
      raise ValueError(f'{where} ({photograph}): {grade_column} is {grade!r}; grades are 0..{NUM_GRADES - 1}')
    if photograph in grades:
      raise ValueError(f'{where}: {photograph} has a row already')
    grades[photograph] = int(grade)
  return grades


def require_grades(grades: dict[str, int], photographs: Iterable[pathlib.Path], table: pathlib.Path) -> None:
  """Raises ValueError where a photograph has no row in the table of grades, naming the first few."""
  if missing := [path.name for path in photographs if path.stem not in grades]:
    raise ValueError(f'{table} has no row for {len(missing)} photographs: {", ".join(missing[:5])}')


def require_masks(masks: dict[str, pathlib.Path]) -> None:
  """Raises FileNotFoundError, naming the file, where one is missing of a release that has every mask."""
  if missing := [path for path in masks.values() if not path.is_file()]:
    raise FileNotFoundError(
        f'no mask {missing[0]}; this release has it for every photograph, all black where the lesion is absent. Was it '
        'unpacked whole?')
