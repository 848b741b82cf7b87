"""Whose eye a photograph shows, and both eyes of a patient joined to one decision.

Three sources say whose eye it is: a table of the user, the name of the file, and the laterality of a DICOM file, the first before
the others. Names are read narrowly: what a name does not say beyond doubt it does not say, as two patients taken for one are
worse than one taken for two. Where optic disc and fovea lie is no source: it is held against what was said, in `look`; only
where a patient is known and nothing says the eye, a DICOM file neither, it tells the eyes apart.
"""

from __future__ import annotations

import pathlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from lesion_jax.clinical.look import REASONS, look
from lesion_jax.photograph.landmarks import LEFT, RIGHT

EYES = (RIGHT, LEFT)
TABLE, NAME, DICOM, LANDMARKS = 'table', 'name', 'dicom', 'landmarks'
SOURCES = (TABLE, NAME, DICOM)
LOOK, INCOMPLETE, NOT_NEEDED = 'look', 'incomplete', 'not needed'
# Whole parts of a name that say the eye, whatever their case; and letters that say it as the last part alone, behind a patient
# with a digit.
_WORDS = {'right': RIGHT, 'left': LEFT, 'od': RIGHT, 'os': LEFT}
_LETTERS = {'r': RIGHT, 'l': LEFT}
_GAPS = re.compile(r'[_\-. ]+')
LARGEST_SERIES = 20  # photographs of one patient by names; more are of one study or one camera (our choice)
_AFTER = re.compile(r'eye|fundus|\d+', re.IGNORECASE)  # what may follow: 'left_eye', a second photograph, a date


class Whose(NamedTuple):
  """Whose eye a photograph shows.

  Attributes:
    patient: None where nothing says it.
    eye: RIGHT, LEFT or None.
    source: of SOURCES.
  """

  patient: str | None
  eye: str | None
  source: str

  def to_json(self) -> dict[str, Any]:
    """As it stands in a record."""
    return self._asdict()


def by_name(file: str) -> Whose | None:
  """Returns what a file's name says of patient and eye; None where it says nothing.

  '10_left.jpeg', '123_OD.jpg', 'P7-L.png' and 'P7_right_2.png', a second photograph of the eye, say both; 'left.jpg',
  'OD_0012.jpg' and 'control_left_3.jpg' say the eye alone, as what follows it may count photographs, and a patient has a digit;
  'IDRiD_001.jpg', 'control_r12.png', 'left_right.png', 'r.png' and 'plot_l.png' say nothing.

  Args:
    file: name or path, with or without its ending.
  """
  path = pathlib.PurePath(file)
  stem = path.name if path.suffix and not path.suffix.strip('.0123456789') else path.stem
  parts = [part for part in _GAPS.split(stem) if part]
  said = [place for place, part in enumerate(parts) if part.lower() in _WORDS]
  if len({_WORDS[parts[place].lower()] for place in said}) > 1:
    return None
  if said:
    first, last = said[0], said[-1]
    if any(place not in said for place in range(first, last)) or not all(map(_AFTER.fullmatch, parts[last + 1:])):
      return None
    eye, letter = _WORDS[parts[first].lower()], False
  elif parts and parts[-1].lower() in _LETTERS:
    first, eye, letter = len(parts) - 1, _LETTERS[parts[-1].lower()], True
  else:
    return None
  before = ''.join(_until(stem, first))
  patient = before if re.search(r'\d', before) else None
  return None if letter and patient is None else Whose(patient, eye, NAME)


def _until(stem: str, count: int) -> Iterable[str]:
  """What of a name stands before its part of this number, without the gap between them."""
  pieces = re.split(f'({_GAPS.pattern})', stem)
  parts = [place for place, piece in enumerate(pieces) if piece and not _GAPS.fullmatch(piece)]
  return pieces[parts[0]:parts[count - 1] + 1] if count else ()


def whose_is(said: Mapping[str, Any] | None, laterality: str | None) -> dict[str, Any] | None:
  """What a record says of whose eye it is: what was said before the file was read, or else the laterality of a DICOM file.

  Args:
    said: of `Whose.to_json`, by a table or the name.
    laterality: RIGHT or LEFT, of a DICOM file.
  """
  if said is not None:
    return dict(said)
  return Whose(None, laterality, DICOM).to_json() if laterality else None


class Photograph(NamedTuple):
  """One photograph, for `join`.

  Attributes:
    file: its path.
    whose: what a record says under 'whose', or would say; None where nothing is known.
    record: None of a photograph that could not be done.
    folder: name of the folder of its results.
  """

  file: str
  whose: Mapping[str, Any] | None
  record: Mapping[str, Any] | None
  folder: str = ''


class Patient(NamedTuple):
  """What is said of one patient.

  Attributes:
    patient: as table or name has it.
    source: of SOURCES.
    folder: of the photographs, where their names say the patient: the same name in another folder may be another patient.
    decision: LOOK where a person should look at any photograph; else INCOMPLETE where an eye is missing or a photograph failed;
      else NOT_NEEDED.
    reasons: of `look.REASONS`, of all photographs, in their order.
    eyes: by RIGHT and LEFT, and None where neither anybody nor the photograph says the eye, the photographs.
    missing: eyes of which there is no photograph that was done, whatever of those of which nobody says the eye.
    failed: files that could not be done.
    grade: the worst, None where no network graded any.
    edema: the worst risk of macular edema, by rule or by the network, None where it is known of none.
    worst: eyes of the reasons; where there are none, of the worst grade above 0.
  """

  patient: str
  source: str
  folder: str
  decision: str
  reasons: tuple[str, ...]
  eyes: Mapping[str | None, Sequence[Photograph]]
  missing: tuple[str, ...]
  failed: tuple[str, ...]
  grade: int | None
  edema: int | None
  worst: tuple[str, ...]


class Group(NamedTuple):
  """What tells a patient from all others: who names it, the folder of the photographs where their names do, and the patient."""

  source: str
  folder: str
  patient: str


def groups(photographs: Iterable[tuple[str, Mapping[str, Any] | None]]) -> list[Group | None]:
  """Returns of each photograph, (path, what is known under 'whose'), of which patient it is; None of no known patient.

  A patient of a table is one wherever the files lie. A patient of names is one within a folder, and never one of a table; more
  than LARGEST_SERIES photographs that names give to one are of none.
  """
  found = [None if not whose or whose['patient'] is None else
           Group(whose['source'], str(pathlib.PurePath(file).parent) if whose['source'] == NAME else '', whose['patient'])
           for file, whose in photographs]
  counts = Counter(found)
  return [None if group and group.source == NAME and counts[group] > LARGEST_SERIES else group for group in found]


def join(photographs: Iterable[Photograph]) -> list[Patient]:
  """Joins the photographs of each patient, see `groups`, to one decision, the worst of all: a reason to look at one is a reason to
  look at the patient. In the order in which patients come first; photographs of no known patient are in none."""
  joined: dict[Group, list[Photograph]] = {}
  photographs = list(photographs)
  for each, group in zip(photographs, groups((each.file, each.whose) for each in photographs), strict=True):
    if group:
      joined.setdefault(group, []).append(each)
  return [_join(group.patient, group.source, group.folder, those) for group, those in joined.items()]


def _join(patient: str, source: str, folder: str, group: Sequence[Photograph]) -> Patient:
  eyes = {eye: [each for each in group if _eye(each) == eye] for eye in (*EYES, None)}
  looks = {eye: {reason for each in those if each.record for reason in look(each.record)['reasons']} for eye, those in eyes.items()}
  grades = {eye: _worst(each.record['grade'] and each.record['grade']['value'] for each in those if each.record)
            for eye, those in eyes.items()}
  reasons = tuple(reason for reason in REASONS if any(reason in those for those in looks.values()))
  missing = tuple(eye for eye in EYES if not any(each.record for each in eyes[eye]))
  failed = tuple(each.file for each in group if each.record is None)
  grade = _worst(grades.values())
  worst = tuple(eye for eye in EYES if looks[eye] or not reasons and grade and grades[eye] == grade)
  return Patient(
      patient, source, folder, LOOK if reasons else INCOMPLETE if missing or failed else NOT_NEEDED, reasons, eyes, missing, failed,
      grade, _worst((each.record.get(by) or {}).get('value') for each in group if each.record for by in ('edema', 'edema_by_network')), worst)


def _eye(photograph: Photograph) -> str | None:
  """As it is said, or else by the photograph itself."""
  return photograph.whose and photograph.whose['eye'] or seen_eye(photograph.record or {})[0]


def seen_eye(record: Mapping[str, Any]) -> tuple[str | None, str]:
  """Returns which eye it is and what says so, DICOM or LANDMARKS, where neither a table nor a name does: a table may name the patient
  alone. (None, '') where nothing does."""
  if laterality := record.get('photograph', {}).get('laterality'):
    return laterality, DICOM
  eye = (record.get('landmarks') or {}).get('eye')
  return eye, LANDMARKS if eye else ''


def _worst(values: Iterable[int | None]) -> int | None:
  return max((value for value in values if value is not None), default=None)


def summary(patients: Sequence[Patient]) -> str:
  """What is decided of how many patients, in a sentence without its full stop; '' of none."""
  if not patients:
    return ''
  counts = {decision: sum(each.decision == decision for each in patients) for decision in (LOOK, INCOMPLETE, NOT_NEEDED)}
  alone, failed = sum(bool(each.missing) for each in patients), sum(bool(each.failed and not each.missing) for each in patients)
  return (f'of {len(patients)} patients a person should look at {counts[LOOK]}'
          + (f'; of {alone} an eye is missing' if alone else '')
          + (f'; of {failed}{" others" if alone else ""} a photograph failed' if failed else '')
          + (f', without another reason to look at {counts[INCOMPLETE]}' if counts[INCOMPLETE] else ''))
