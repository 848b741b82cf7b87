"""Whose eye a photograph shows: the split is by patient, so it has to be known."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from absl import logging

from lesion_jax.annotation.mistakes import Findings, cut
from lesion_jax.annotation.naming import PATTERN, eye_of, say_patients
from lesion_jax.annotation.table import composed, read_table
from lesion_jax.photograph.files import SUFFIXES

COLUMNS = ('photograph', 'patient', 'eye')
EYES = ('left', 'right')
_ENDING = re.compile(rf'({"|".join(map(re.escape, SUFFIXES))})$')
_PATIENT = re.compile(r'[\w][\w.-]*')
_TEACH = (f'name photographs {PATTERN}, or give a table with the columns '
          f'{", ".join(COLUMNS)}: --patients FILE.csv')


class Identity(NamedTuple):
  """What a photograph is called in the dataset, <patient>_<left|right>, and the patient."""

  id: str
  patient: str


def read_patients(path: pathlib.Path) -> dict[str, Identity]:
  """Reads a table of photographs.

  Args:
    path: as `table.read_table` reads it, with the columns COLUMNS: the file's name with or without its suffix, the patient,
      and 'left' or 'right'. Other columns are named in a warning.

  Returns:
    The photograph as the table names it -> who it is.

  Raises:
    FileNotFoundError: there is no such table.
    ValueError: naming file and rows, where a column is missing or a row holds something else.
  """
  table = read_table(path, COLUMNS)
  if missing := [column for column in COLUMNS if table.find(column) is None]:
    raise ValueError(f'{path} has no column {", ".join(missing)}; expected {", ".join(COLUMNS)}, and it has '
                     f'{cut(", ".join(table.header), 200)} ({table.about})')
  if others := table.others(COLUMNS):
    logging.warning('%s: the columns %s are not used', path, ', '.join(others))
  found: dict[str, Identity] = {}
  named, wrong = set[str](), Findings()
  for where, (photograph, patient, eye) in table.filled.cells(COLUMNS):
    if eye.lower() not in EYES or not _PATIENT.fullmatch(patient):
      wrong.add(where, f'patient {cut(patient)!r}, eye {cut(eye)!r}; a patient is letters, digits, dots '
                       f'and hyphens, an eye is {" or ".join(EYES)}')
    elif photograph.casefold() in named:  # as `identify` looks for it
      wrong.add(where, f'{cut(photograph)} has a row already')
    else:
      named.add(photograph.casefold())
      found[photograph] = Identity(f'{patient}_{eye.lower()}', patient)
  wrong.require_none()
  return found


def identify(paths: Iterable[pathlib.Path], table: Mapping[str, Identity]) -> dict[pathlib.Path, Identity]:
  """Returns who each photograph is, by the table, or else by its name (`naming.eye_of`).

  Raises:
    ValueError: for photographs of which neither says it, or two that would have the same name.
  """
  of_table = {composed(name).casefold(): identity for name, identity in table.items()}
  of_table = {_ENDING.sub('', name): identity for name, identity in of_table.items()} | of_table

  def who(path: pathlib.Path) -> Identity | None:
    names = (composed(name).casefold() for name in (path.name, path.stem))
    return next((of_table[name] for name in names if name in of_table), None)

  found = {path: who(path) or _by_name(path) for path in paths}
  if strange := [path.name for path, identity in found.items() if identity is None]:
    raise ValueError(f'{len(strange)} photographs do not say whose eye they show ({", ".join(sorted(strange)[:5])}); '
                     f'{_TEACH}')
  owner: dict[str, pathlib.Path] = {}
  for path, identity in found.items():
    other = owner.setdefault(identity.id.casefold(), path)  # some file systems hold names that differ in case as equal
    if other != path:
      raise ValueError(f'{other} and {path} would both be {identity.id}: two photographs of one eye. Keep one of them')
  by_name = [path for path in found if who(path) is None]
  if by_name:
    logging.info('%s', say_patients((found[path].patient for path in by_name), f'taken from names of the form {PATTERN}'))
  return found


def _by_name(path: pathlib.Path) -> Identity | None:
  found = eye_of(path.stem)
  return Identity(f'{found.patient}_{found.eye}', found.patient) if found else None
