"""Reading a release's tables (CSV), with errors that name file, row and value."""

from __future__ import annotations

import csv
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from lesion_jax.core import NUM_GRADES


class Row(NamedTuple):
  """One row of a table.

  Attributes:
    where: file and number of the row, for errors; the first row is 1, a header included.
    cells: column -> text without spaces around it.
  """

  where: str
  cells: dict[str, str]


def read_table(path: pathlib.Path, columns: Sequence[str], *, header: bool = True) -> list[Row]:
  """Reads a table. Spaces around names and cells, and empty columns and rows, do not count.

  Args:
    path: of a CSV file in UTF-8.
    columns: those that it must have; with a header, the others are read as well.
    header: whether the first row names the columns; otherwise `columns` are the first ones, in order.

  Raises:
    FileNotFoundError: where there is no such table.
    ValueError: where it is no CSV in UTF-8, a column is missing, or a row is too short to hold the columns.
  """
  if not path.is_file():
    raise FileNotFoundError(f'no table {path}; source_dir must be the root of the release in its own layout')
  try:
    with path.open(newline='', encoding='utf-8-sig') as file:
      lines = [[cell.strip() for cell in line] for line in csv.reader(file)]
  except (UnicodeDecodeError, csv.Error) as error:
    raise ValueError(f'cannot read the table {path}: {error}; it must be CSV in UTF-8') from error
  names = (lines[:1] or [[]])[0] if header else list(columns)
  if missing := set(columns) - set(names):
    raise ValueError(f'{path} has no column {", ".join(sorted(missing))}; its columns are {", ".join(names)}')
  needed = max(names.index(column) for column in columns) + 1
  rows = []
  for number, cells in enumerate(lines[header:], start=1 + header):
    if not any(cells):
      continue
    if len(cells) < needed:
      raise ValueError(f'{path}, row {number}: {len(cells)} cells are too few to hold {" and ".join(columns)}')
    rows.append(Row(f'{path}, row {number}', dict(zip(names, cells, strict=False))))
  return rows


def parse_grade(text: str, where: str) -> int:
  """Returns the grade. Raises ValueError, beginning with `where`, unless it is a whole number in 0..4."""
  if text not in map(str, range(NUM_GRADES)):
    raise ValueError(f'{where} is {text!r}; grades are 0..{NUM_GRADES - 1}')
  return int(text)
