"""Whose eye a photograph shows, for what groups photographs by patient."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from lesion_jax.annotation.naming import eye_of, patients_of
from lesion_jax.report.table import Entry

EYES = {'right': 'OD', 'left': 'OS'}


class Whose(NamedTuple):
  """A patient, and 'right' or 'left'; '' where it is not known."""

  patient: str = ''
  eye: str = ''


def whose(entries: Sequence[Entry]) -> list[Whose]:
  """Returns whose eye each photograph shows: as its record says it ('whose'), else, of records of before and of photographs that failed, as
  the names of the photographs say it, where they are pairs or series ('10_left.jpg', '10_right.jpg')."""
  stems = [pathlib.PurePosixPath(entry.file.replace('\\', '/')).stem for entry in entries]
  silent = {stem for entry, stem in zip(entries, stems, strict=True) if 'whose' not in (entry.record or {})}
  patients = patients_of(sorted(silent))
  found = []
  for entry, stem in zip(entries, stems, strict=True):
    said = (entry.record or {}).get('whose')
    if said:
      found.append(Whose(said['patient'] or '', said['eye'] or ''))
    else:
      named = eye_of(stem) if stem in patients else None
      found.append(Whose(patients[stem], named.eye) if named else Whose())
  return found
