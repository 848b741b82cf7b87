"""Whose eye a photograph shows, for what groups photographs by patient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from lesion_jax.clinical.patients import by_name
from lesion_jax.report.table import Entry

EYES = {'right': 'OD', 'left': 'OS'}


class Whose(NamedTuple):
  """A patient, and 'right' or 'left'; '' where it is not known."""

  patient: str = ''
  eye: str = ''


def whose(entries: Sequence[Entry]) -> list[Whose]:
  """Returns whose eye each photograph shows: as its record says it ('whose'), else, of records of before and of photographs that failed, as
  what was asked for or the name of the file says it."""
  said = ((entry.record or {}).get('whose') or entry.whose or _by_name(entry.file) for entry in entries)
  return [Whose(each['patient'] or '', each['eye'] or '') if each else Whose() for each in said]


def _by_name(file: str) -> dict[str, Any] | None:
  named = by_name(file)
  return named.to_json() if named else None
