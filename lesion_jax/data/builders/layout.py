"""Reading a release's layout: folders, photographs, masks and grades, with errors that name what is missing."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable, Mapping

from lesion_jax.data.builders.tables import parse_grade, read_table


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
  grades: dict[str, int] = {}
  for where, cells in read_table(path, (id_column, grade_column)):
    photograph = cells[id_column]
    grade = parse_grade(cells[grade_column], f'{where} ({photograph}): {grade_column}')
    if photograph in grades:
      raise ValueError(f'{where}: {photograph} has a row already')
    grades[photograph] = grade
  return grades


def require_grades(grades: dict[str, int], photographs: Iterable[pathlib.Path], table: pathlib.Path) -> None:
  """Raises ValueError where a photograph has no row in the table of grades, naming the first few."""
  if missing := [path.name for path in photographs if path.stem not in grades]:
    raise ValueError(f'{table} has no row for {len(missing)} photographs: {", ".join(missing[:5])}')


def require_masks(masks: Mapping[str, pathlib.Path]) -> None:
  """Raises FileNotFoundError, naming the file, where a mask is missing of a release that has all of every photograph."""
  if missing := [path for path in masks.values() if not path.is_file()]:
    raise FileNotFoundError(
        f'no mask {missing[0]}; this release has it for every photograph, all black where the lesion is absent. Was it '
        'unpacked whole?')
