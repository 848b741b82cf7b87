"""Whose eye a photograph shows, for what groups photographs by patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lesion_jax.clinical.patients import Group, groups
from lesion_jax.report.table import Entry

EYES = {'right': 'OD', 'left': 'OS'}


class Whose(NamedTuple):
  """A patient, and 'right' or 'left'; '' where it is not known."""

  patient: str = ''
  eye: str = ''


def whose(entries: Sequence[Entry]) -> list[Whose]:
  """Returns whose eye each photograph shows: as its record says it ('whose'), or, of one that failed, what was asked for. An eye that
  these do not say, a DICOM file may."""
  return [Whose(each['patient'] or '', each['eye'] or _laterality(entry)) if (each := _said(entry)) else Whose() for entry in entries]


def patients(entries: Sequence[Entry]) -> list[int | None]:
  """Returns a number for the patient of each photograph, the same for all of one patient as `clinical.patients.groups` has it; None of
  no known patient. Patients of one name are not always one: '10_left.jpg' of two folders."""
  numbers: dict[Group, int] = {}
  found = groups((entry.file, _said(entry)) for entry in entries)
  return [None if group is None else numbers.setdefault(group, len(numbers)) for group in found]


def _said(entry: Entry) -> Mapping[str, Any] | None:
  return entry.record.get('whose') if entry.record else entry.whose


def _laterality(entry: Entry) -> str:
  return (entry.record or {}).get('photograph', {}).get('laterality') or ''
