"""What the table of a folder says of its photographs: grade, patient, split, fold."""

from __future__ import annotations

import collections
import pathlib
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from lesion_jax.annotation.mistakes import Findings, cut
from lesion_jax.annotation.naming import say_patients
from lesion_jax.annotation.table import Table, composed, read_table
from lesion_jax.data.own.files import IMAGES, SPLIT_NAMES, TABLE, find
from lesion_jax.data.scales import Scale, whole_number
from lesion_jax.data.splits import SPLITS
from lesion_jax.photograph.files import SUFFIXES, is_junk

# How programs write that there is no patient; 'NA' may be somebody's initials.
NOBODY = ('nan', 'null', 'none', '?', '-', 'n/a', '#n/a', 'unknown')
TABLES = ('.csv', '.tsv', '.xlsx', '.xls', '.ods')  # other tables beside the folder's own are named
COLUMNS = ('grade', 'patient', 'split', 'fold')  # of the table, beside 'id'; each may be missing


class Entry(NamedTuple):
  """What the table, or a folder, says of a photograph; None where it does not say it."""

  grade: int
  patient: str | None
  split: str | None
  fold: int | None = None


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
    for where, cells in table.filled.cells(columns):
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
  patient = re.sub(r'^(\d+)\.0$', r'\1', ' '.join(cells.get('patient', '').split()))  # one table of several may hold floats
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
    bare = composed(pathlib.PurePath(text).stem) if pathlib.PurePath(text).suffix.lower() in SUFFIXES else text
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


def _require_one_spelling(patients: Iterable[str], table: pathlib.Path) -> None:
  """Raises ValueError where two patients differ in nothing but case, as one would be dealt to two splits."""
  seen: dict[str, str] = {}
  for patient in patients:
    if (other := seen.setdefault(patient.casefold(), patient)) != patient:
      raise ValueError(f'{table}: the patients {other} and {patient} differ in nothing but case; write one patient one way')


def say_other_tables(folders: Iterable[pathlib.Path]) -> list[str]:
  """A warning for folders that have tables and none of the right name."""
  found = [path for folder in folders if folder.is_dir() and not find(folder, TABLE).is_file() for path in sorted(folder.iterdir())
           if path.suffix.lower() in TABLES and not is_junk(path)]
  return [f'{", ".join(path.name for path in found[:5])} in {found[0].parent} is not read, and there is no {TABLE}: call the table of '
          f'the photographs so (columns id, and any of {", ".join(COLUMNS)}), saved as "CSV UTF-8"'] if found else []
