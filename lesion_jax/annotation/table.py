"""The one reader of tables: whatever a spreadsheet or a program writes as text becomes columns and rows, or a sentence.

  encoding    UTF-8 with or without its mark, UTF-16 and UTF-32 with a mark, UTF-16 without one (every other byte of Latin
              text is zero), and what is none of these as Windows-1252, which is logged, as it may be another
  separator   comma, semicolon, tab or vertical bar: the one by which the header has most of the wanted columns, then most
              columns at all; a first line 'sep=;', as Excel understands it, says it
  columns     whatever the case of their names, spaces, hyphens and underscores
  text        composed (NFC), without spaces around it: a name that a Mac decomposes is the same name

A stray quotation mark swallows rows, or stays in a cell and makes two names of one: it is refused, with its row.
"""

from __future__ import annotations

import csv
import io
import os
import pathlib
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from absl import logging

from lesion_jax.annotation.mistakes import cut

SEPARATORS = {',': 'commas', ';': 'semicolons', '\t': 'tabs', '|': 'vertical bars'}
MAX_BYTES = 200_000_000  # a table of a million photographs has less
WINDOWS = 'Windows-1252'
_MARKS = ((b'\xef\xbb\xbf', 'utf-8-sig', 'UTF-8'), (b'\xff\xfe\x00\x00', 'utf-32', 'UTF-32'),
          (b'\x00\x00\xfe\xff', 'utf-32', 'UTF-32'), (b'\xff\xfe', 'utf-16', 'UTF-16'), (b'\xfe\xff', 'utf-16', 'UTF-16'))
_WORKBOOKS = (b'PK\x03\x04', b'\xd0\xcf\x11\xe0')
_QUOTES = 'remove it, or, where it belongs to the text, write it twice and put quotation marks around the whole cell'


class Table(NamedTuple):
  """A table as it was read.

  Attributes:
    path: of the file.
    encoding: in which it was read.
    separator: of its cells.
    header: the names of its columns as written; () of a table without a header.
    rows: (number, cells), numbers from 1 with the header counted; rows without any text are left out.
  """

  path: pathlib.Path
  encoding: str
  separator: str
  header: tuple[str, ...]
  rows: list[tuple[int, list[str]]]

  @property
  def about(self) -> str:
    """The file, and how it was read, for messages."""
    return f'{self.path} (read as {self.encoding}, separated by {SEPARATORS[self.separator]})'

  @property
  def filled(self) -> Table:
    """The same, with empty cells at the end of rows that are too short: Excel leaves out the separators behind the last cell that
    says something."""
    width = len(self.header)
    return self._replace(rows=[(number, cells + [''] * (width - len(cells))) for number, cells in self.rows])

  def find(self, column: str) -> int | None:
    """Returns the position of a column, whatever its case; None where there is none.

    Raises:
      ValueError: two columns have that name, naming the table and both.
    """
    exact = [place for place, name in enumerate(self.header) if name == column]
    found = exact or [place for place, name in enumerate(self.header) if plain(name) == plain(column)]
    if len(found) > 1:
      named = ' and '.join(repr(self.header[place]) for place in found)
      raise ValueError(f'{self.about} has the column {column} twice ({named}); take one of them out')
    return found[0] if found else None

  def others(self, columns: Collection[str]) -> list[str]:
    """Returns the columns that are none of these, as written."""
    known = {plain(column) for column in columns}
    return [name for name in self.header if name and plain(name) not in known]

  def cells(self, columns: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Yields (where, cells in the order of `columns`) of each row.

    Raises:
      ValueError: a column is missing, or a row is too short.
    """
    places = {column: self.find(column) for column in columns}
    if missing := sorted(column for column, place in places.items() if place is None):
      raise ValueError(f'{self.path} has no column {", ".join(missing)}; its columns are '
                       f'{cut(", ".join(self.header), 300)} (read as {self.encoding}, separated by '
                       f'{SEPARATORS[self.separator]})')
    for number, cells in self.rows:
      if len(cells) <= max(places.values()):
        raise ValueError(f'{self.path}, row {number}: {len(cells)} cells are too few to hold {" and ".join(columns)}')
      yield f'{self.path}, row {number}', [cells[place] for place in places.values()]


def plain(name: str) -> str:
  """Returns a name without what does not count in it: case, spaces, hyphens and underscores; composed (NFC)."""
  return ''.join(letter for letter in composed(name).casefold() if letter not in ' -_')


def composed(text: str) -> str:
  """Normalises to NFC, without spaces around it. File systems and programs differ in whether an accent is a letter of
  its own."""
  return unicodedata.normalize('NFC', text).strip()


def read_table(
    path: str | os.PathLike[str], columns: Sequence[str] = (), *, separator: str | None = None, header: bool = True,
) -> Table:
  """Reads a table.

  Args:
    path: of a text file.
    columns: that are wanted; they help to find the separator, and `Table.cells` asks for them.
    separator: None: that which the file has.
    header: whether its first row names the columns.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: it is no text, or no table, naming the file, the row and what is wrong there.
  """
  path = pathlib.Path(path)
  text, encoding = _decode(path)
  lines = list(io.StringIO(text, newline=''))
  skipped = 0
  if lines and lines[0].strip()[:4].lower() == 'sep=' and len(lines[0].strip()) <= 5:
    separator, skipped = (lines[0].strip('\r\n')[4:] or '\t'), 1
  if separator not in SEPARATORS:
    separator = _separator(next((line for line in lines[skipped:] if line.strip()), ''), columns)
  rows, names = [], None if header else ()
  reader = csv.reader(lines[skipped:], delimiter=separator, strict=True, skipinitialspace=separator != '\t')
  number, start = skipped, 0
  while True:
    number += 1
    try:
      cells = next(reader)
    except StopIteration:
      break
    except csv.Error as error:
      line = lines[skipped + start] if skipped + start < len(lines) else ''
      why = f'a quotation mark stands where none belongs in {cut(line.strip())!r}; {_QUOTES}' if '"' in line else str(error)
      raise ValueError(f'{path}, row {number}: {why} (read as {encoding})') from error
    raw, start = lines[skipped + start:skipped + reader.line_num], reader.line_num
    _refuse_stray_quote(path, number, cells, raw, separator)
    cells = [composed(cell) for cell in cells]
    if not any(cells):
      continue
    if names is None:
      names = tuple(cells)
      continue
    if header and any(cells[len(names):]):
      raise ValueError(f'{path}, row {number}: it has {len(cells)} cells and the header {len(names)}; a cell with a '
                       f'separator in it ({SEPARATORS[separator]}) needs quotation marks around it')
    rows.append((number, cells))
  return Table(path, encoding, separator, names or (), rows)


def _decode(path: pathlib.Path) -> tuple[str, str]:
  """The text of a file, and the name of its encoding."""
  if path.stat().st_size > MAX_BYTES:
    raise ValueError(f'{path} has more than {MAX_BYTES:,} bytes, which is no table of photographs')
  data = path.read_bytes()
  if data.startswith(_WORKBOOKS):
    raise ValueError(f'{path} is a workbook or an archive, not text; save the sheet as "CSV UTF-8"')
  found = next(((codec, name) for mark, codec, name in _MARKS if data.startswith(mark)), None)
  if found is None and (zeros := data[:2000].count(0)):
    at_even = data[:2000:2].count(0)
    found = ('utf-16-be' if 2 * at_even > zeros else 'utf-16-le', 'UTF-16')
  for codec, name in [found] if found else [('utf-8', 'UTF-8'), ('cp1252', WINDOWS)]:
    try:
      text = data.decode(codec)
    except UnicodeDecodeError:
      continue
    if '\0' in text:
      break
    if name == WINDOWS:
      logging.warning('%s is neither UTF-8 nor UTF-16 and was read as %s; save it as "CSV UTF-8" where letters came out '
                      'wrong', path, WINDOWS)
    return text, name
  named = found[1] if found else f'UTF-8 or {WINDOWS}'
  raise ValueError(f'cannot read the table {path}: it is no text in {named}; save it as "CSV UTF-8"')


def _separator(line: str, columns: Sequence[str]) -> str:
  wanted = {plain(column) for column in columns}

  def score(separator: str) -> tuple[int, int]:
    try:
      cells = next(csv.reader([line], delimiter=separator), [])
    except csv.Error:
      return 0, 0
    return len(wanted & {plain(cell) for cell in cells}), len(cells)

  return max(SEPARATORS, key=score)


def _refuse_stray_quote(path: pathlib.Path, number: int, cells: list[str], raw: list[str], separator: str) -> None:
  """Raises ValueError where a quotation mark swallowed rows, or stands alone in one."""
  swallowed = [cell for cell in cells if separator in cell and ('\n' in cell or '\r' in cell)]
  if swallowed:
    raise ValueError(f'{path}, row {number}: a quotation mark (") opens before {cut(swallowed[0].splitlines()[0])!r} and '
                     f'closes {len(raw) - 1} lines later, so that {len(raw)} rows would be one; {_QUOTES}')
  if sum(line.count('"') for line in raw) % 2:
    raise ValueError(f'{path}, row {number}: a single quotation mark (") stands in {cut("".join(raw).strip())!r}; {_QUOTES}')
