"""Reading a release's layout: folders, photographs and tables of grades, with errors that name what is missing."""

from __future__ import annotations

import csv
import pathlib
from collections.abc import Iterable

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


def read_grades(path: pathlib.Path, *, id_column: str, grade_column: str) -> dict[str, int]:
  """Reads a table of grades. Spaces around names and cells, and empty columns and rows, do not count.

  Returns:
    Photograph id -> grade 0..4.

  Raises:
    FileNotFoundError: where there is no such table.
    ValueError: where a column is missing, a grade is not a whole number in 0..4, or a photograph has two rows.
  """
  if not path.is_file():
    raise FileNotFoundError(f'no table {path}; source_dir must be the root of the release in its own layout')
  grades: dict[str, int] = {}
  with path.open(newline='', encoding='utf-8-sig') as file:
    reader = csv.reader(file)
    header = [cell.strip() for cell in next(reader, [])]
    if missing := {id_column, grade_column} - set(header):
      raise ValueError(f'{path} has no column {", ".join(sorted(missing))}; its columns are {", ".join(header)}')
    id_at, grade_at = header.index(id_column), header.index(grade_column)
    for number, cells in enumerate(reader, start=2):
      cells = [cell.strip() for cell in cells]
      if not any(cells):
        continue
      if len(cells) <= max(id_at, grade_at):
        raise ValueError(f'{path}, row {number}: {len(cells)} cells are too few to hold {id_column} and {grade_column}')
      photograph, grade = cells[id_at], cells[grade_at]
      if grade not in map(str, range(NUM_GRADES)):
        raise ValueError(
            f'{path}, row {number} ({photograph}): {grade_column} is {grade!r}; grades are 0..{NUM_GRADES - 1}')
      if photograph in grades:
        raise ValueError(f'{path}, row {number}: {photograph} has a row already')
      grades[photograph] = int(grade)
  return grades


def require_grades(grades: dict[str, int], photographs: Iterable[pathlib.Path], table: pathlib.Path) -> None:
  """Raises ValueError where a photograph has no row in the table of grades, naming the first few."""
  if missing := [path.name for path in photographs if path.stem not in grades]:
    raise ValueError(f'{table} has no row for {len(missing)} photographs: {", ".join(missing[:5])}')
