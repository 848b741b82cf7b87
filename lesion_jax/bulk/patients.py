"""Whose eyes the photographs of a run show: by a table of the user, or by the names of the files."""

from __future__ import annotations

import functools
import os
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from lesion_jax.annotation.mistakes import Findings, cut
from lesion_jax.annotation.naming import eye_word
from lesion_jax.annotation.table import composed, read_table
from lesion_jax.clinical.patients import TABLE, Whose, by_name
from lesion_jax.places import real

COLUMNS = ('image', 'patient', 'eye')
ALSO = 'photograph'  # as the tables of annotations call the first column
LONGEST = 64  # characters of a patient, as many as DICOM has room for
_EYES = 'write right or left (OD and OS, R and L do too), or leave the cell empty where it is not known'
SHOWN = 5  # photographs that a sentence names

Said = Callable[[pathlib.Path, Mapping[str, Any] | None], dict[str, Any] | None]


def whose_eyes(
    table: str | os.PathLike | bool | None, files: Sequence[pathlib.Path], notice: Callable[[str], None],
) -> Said:
  """Returns what says of a photograph whose eye it is, as `Whose.to_json`: from the file, and the record that an earlier run
  left of it.

  What a table said stays until a table, or the user, says otherwise.

  Args:
    table: as `read_patients` takes it; None: names say it; False: nothing does.
    files: the photographs of the run.
    notice: told, in a sentence, of which of them the table says nothing.

  Raises:
    FileNotFoundError, ValueError: as of `read_patients`.
  """
  if table is False:
    return lambda file, record: None
  if table is None or table is True:
    return _by_name
  found = read_patients(table, files)
  if without := [file.name for file in files if file not in found]:
    more = f' and {len(without) - SHOWN} more' if len(without) > SHOWN else ''
    notice(f'{len(without)} of {len(files)} photographs have no row in {table}, so that nobody says whose eyes they show: '
           f'{", ".join(without[:SHOWN])}{more}')
  return lambda file, record: found[file].to_json() if file in found else None


def _by_name(file: pathlib.Path, record: Mapping[str, Any] | None) -> dict[str, Any] | None:
  before = (record or {}).get('whose')
  if before and before['source'] == TABLE:
    return dict(before)
  said = by_name(os.fsencode(file).decode('utf-8', 'replace'))
  return said.to_json() if said else None


def read_patients(path: str | os.PathLike, files: Iterable[pathlib.Path]) -> dict[pathlib.Path, Whose]:
  """Reads the table of patients and finds its photographs.

  A row holds a photograph, its patient and its eye, of which one may be empty. A photograph is named by its file name, with or
  without its ending, or by the last parts of its path where two have the same name. A patient may have several photographs of an
  eye. Rows of photographs that lie beside those of the run, or beside the table, and are not predicted now, are passed over.

  Args:
    path: a table as `annotation.table.read_table` reads it, with the columns COLUMNS; others are passed over.
    files: the photographs of the run.

  Returns:
    Those of them that have a row.

  Raises:
    FileNotFoundError: there is no such table.
    ValueError: naming rows and what is wrong in them: an eye that is none, a photograph twice, one that is not there or is not
      the only one of its name, a row that says nothing, a patient of more than LONGEST characters.
  """
  table = read_table(path, COLUMNS)
  image = COLUMNS[0] if table.find(COLUMNS[0]) is not None else ALSO
  if missing := [column for column in (image, *COLUMNS[1:]) if table.find(column) is None]:
    raise ValueError(f'{path} has no column {", ".join(COLUMNS[0] if column == ALSO else column for column in missing)}; expected '
                     f'{", ".join(COLUMNS)}, and it has {cut(", ".join(table.header), 200)} ({table.about})')
  wrong, rows = Findings(), dict[pathlib.Path, str]()
  files, found = list(files), dict[pathlib.Path, Whose]()
  find = _Finder(files, pathlib.Path(path))
  for where, (name, patient, word) in table.filled.cells((image, *COLUMNS[1:])):
    eye = eye_word(word) if word else None
    if word and eye is None:
      wrong.add(where, f'{cut(word)!r} is no eye; {_EYES}')
      continue
    if not patient and not eye:
      wrong.add(where, 'neither a patient nor an eye; fill in one of them, or remove the row')
      continue
    if len(patient) > LONGEST or not patient.isprintable() or '\\' in patient:
      wrong.add(where, f'{cut(patient)!r} is no patient; write at most {LONGEST} letters, digits and signs on one line, without \\')
      continue
    matches = find(name)
    if isinstance(matches, str):
      if matches:
        wrong.add(where, matches)
      continue
    if matches in found:
      wrong.add(where, f'{cut(name)} has a row already ({rows[matches].rpartition(", ")[2]}); keep one of them')
      continue
    found[matches], rows[matches] = Whose(patient or None, eye, TABLE), where
  wrong.require_none()
  return found


class _Finder:
  """Finds the photograph that a cell of a table names."""

  def __init__(self, files: Sequence[pathlib.Path], table: pathlib.Path) -> None:
    self._places = [table.parent, *dict.fromkeys(file.parent for file in files)]
    self._by_name: dict[str, list[tuple[pathlib.Path, tuple[str, ...]]]] = {}
    for file in files:
      parts = tuple(map(_plain, real(file).parts))
      for name in {_plain(file.name), _plain(file.stem), _plain(real(file).name), _plain(real(file).stem)}:
        self._by_name.setdefault(name, []).append((file, parts))

  def __call__(self, cell: str) -> pathlib.Path | str:
    """The photograph; or what is wrong, '' where it is one that is not predicted now."""
    parts = tuple(part for part in map(_plain, cell.replace('\\', '/').split('/')) if part not in ('', '.'))
    if not parts:
      return 'no image; write the name of the file'
    above = parts[:-1]
    named = [(file, place) for file, place in self._by_name.get(parts[-1], ())
             if not above or place[-len(parts):-1] == above]
    exact = [file for file, _ in named if file.name == cell.replace('\\', '/').rpartition('/')[2]]
    files = exact if len(exact) == 1 else [file for file, _ in named]
    if len(files) == 1:
      return files[0]
    if files:
      return (f'{cut(cell)} is the name of {len(files)} photographs ({", ".join(map(str, files[:2]))}); write more of the path, as in '
              f'{"/".join(real(files[0]).parts[-2:])}')
    if not above and parts[-1] in self._others or any(os.path.exists(each / cell) for place in self._places for each in (place, place.parent)):
      return ''
    return 'this image is neither among the photographs nor beside them; correct its name, or remove the row'

  @functools.cached_property
  def _others(self) -> set[str]:
    """Names, with and without endings, of what else lies beside the photographs and the table."""
    names = set[str]()
    for place in self._places:
      try:
        found = os.listdir(place)
      except OSError:
        continue
      names |= {_plain(each) for name in found for each in (name, pathlib.PurePath(name).stem)}
    return names


def _plain(name: str) -> str:
  return composed(name).casefold()
