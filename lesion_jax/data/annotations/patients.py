"""Whose eye a photograph shows: the split is by patient, so it has to be known."""

from __future__ import annotations

import csv
import pathlib
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

COLUMNS = ('photograph', 'patient', 'eye')
EYES = ('left', 'right')
_NAMED = re.compile(rf'(?P<patient>.+)_(?P<eye>{"|".join(EYES)})')
_PATIENT = re.compile(r'[\w][\w.-]*')
_TEACH = ('name photographs <patient>_left and <patient>_right, or give a table with the columns '
          f'{", ".join(COLUMNS)}: --patients FILE.csv')


class Identity(NamedTuple):
  """What a photograph is called in the release, <patient>_<left|right>, and the patient."""

  id: str
  patient: str


def read_patients(path: pathlib.Path) -> dict[str, Identity]:
  """Reads a table of photographs.

  Args:
    path: CSV with the columns COLUMNS: the file's name with or without its suffix, the patient, and 'left' or 'right'.

  Returns:
    The photograph as the table names it -> who it is.

  Raises:
    FileNotFoundError: there is no such table.
    ValueError: naming file and row, where a column is missing or a row holds something else.
  """
  found: dict[str, Identity] = {}
  with path.open(newline='', encoding='utf-8-sig') as file:
    reader = csv.DictReader(file, skipinitialspace=True)
    if missing := [column for column in COLUMNS if column not in (reader.fieldnames or ())]:
      raise ValueError(f'{path} has no column {", ".join(missing)}; expected {", ".join(COLUMNS)}')
    for number, row in enumerate(reader, start=2):
      photograph, patient, eye = ((row[column] or '').strip() for column in COLUMNS)
      if eye not in EYES or not _PATIENT.fullmatch(patient):
        raise ValueError(f'{path}, row {number}: patient {patient!r}, eye {eye!r}; a patient is letters, digits, dots '
                         f'and hyphens, an eye is {" or ".join(EYES)}')
      if photograph in found:
        raise ValueError(f'{path}, row {number}: {photograph} has a row already')
      found[photograph] = Identity(f'{patient}_{eye}', patient)
  return found


def identify(paths: Iterable[pathlib.Path], table: Mapping[str, Identity]) -> dict[pathlib.Path, Identity]:
  """Who each photograph is, by the table, or else by its name.

  Raises:
    ValueError: for photographs of which neither says it, or two that would have the same name.
  """
  found = {path: table.get(path.name) or table.get(path.stem) or _by_name(path) for path in paths}
  if strange := [path.name for path, identity in found.items() if identity is None]:
    raise ValueError(f'{len(strange)} photographs do not say whose eye they show ({", ".join(sorted(strange)[:5])}); '
                     f'{_TEACH}')
  owner: dict[str, pathlib.Path] = {}
  for path, identity in found.items():
    other = owner.setdefault(identity.id.casefold(), path)  # some file systems hold names that differ in case as equal
    if other != path:
      raise ValueError(f'{other} and {path} would both be {identity.id}: two photographs of one eye. Keep one of them')
  return found


def _by_name(path: pathlib.Path) -> Identity | None:
  match = _NAMED.fullmatch(path.stem)
  return Identity(path.stem, match['patient']) if match else None
