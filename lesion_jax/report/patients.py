"""One row a patient: patients.csv."""

from __future__ import annotations

import csv
import io
import pathlib
from collections.abc import Sequence
from typing import Any

from lesion_jax.clinical.look import look
from lesion_jax.clinical.patients import EYES, NAME, Patient, Photograph, join, summary
from lesion_jax.report.files import write_whole
from lesion_jax.report.table import FAILED, NOT_NEEDED, Entry, inert

UNKNOWN_EYE = 'eye not known'
COLUMNS = ('patient', 'decision', 'reasons', 'worst eye', 'missing', 'grade', 'edema risk', *EYES, UNKNOWN_EYE, 'failed', 'said by',
           'folder')
NAMED = 5  # patients of whom the sentence names the missing eye


def joined(entries: Sequence[Entry]) -> list[Patient]:
  """The patients of these photographs, of those that failed too."""
  return join(Photograph(entry.file, entry.record.get('whose') if entry.record else entry.whose, entry.record, entry.folder)
              for entry in entries)


def write_patients(path: pathlib.Path, entries: Sequence[Entry]) -> str:
  """Writes rows of COLUMNS as CSV, a row each patient: whether a person should look and why, which eye is the worst and which is
  missing, the worst grade and risk of macular edema, for each eye its folders of results with what is said of each, what failed,
  and who says whose eyes they are. A file that an earlier run wrote is removed where no patient is known; one of somebody else is
  left alone.

  Returns:
    What is to be said where it is left alone; '' else.
  """
  patients = joined(entries)
  if not _is_ours(path):
    return patients and (f'{path} is no table that this program wrote, and stays as it is; move it, and run the same command again for '
                         'one line a patient') or ''
  if not patients:
    path.unlink(missing_ok=True)
    return ''
  text = io.StringIO(newline='')
  writer = csv.DictWriter(text, COLUMNS)
  writer.writeheader()
  writer.writerows(_row(each) for each in patients)
  write_whole(path, text.getvalue())
  return ''


def said_of(entries: Sequence[Entry]) -> str:
  """What is decided of the patients, in a sentence that names missing eyes; '' where no patient is known."""
  patients = joined(entries)
  said = summary(patients)
  if alone := [each for each in patients if each.missing]:
    named = ', '.join(f'{each.patient}: {" and ".join(each.missing)}' for each in alone[:NAMED])
    said += f' (missing: {named}{", ..." if len(alone) > NAMED else ""})'
  return said and said[0].upper() + said[1:]


def _is_ours(path: pathlib.Path) -> bool:
  """Whether a file may be written, or removed: it is not there, or begins as ours."""
  try:
    with path.open('rb') as file:
      return file.readline(4096).decode('utf-8', 'replace').strip() == ','.join(COLUMNS)
  except FileNotFoundError:
    return True
  except OSError:
    return False


def _row(patient: Patient) -> dict[str, Any]:
  named = {eye or UNKNOWN_EYE: '; '.join(f'{each.folder}: {_say(each)}' for each in those if each.record)
           for eye, those in patient.eyes.items()}
  return {
      'patient': inert(patient.patient), 'decision': patient.decision, 'reasons': ', '.join(patient.reasons),
      'worst eye': ' and '.join(patient.worst), 'missing': ' and '.join(patient.missing), 'grade': patient.grade,
      'edema risk': patient.edema, **{eye: inert(said) for eye, said in named.items()},
      'failed': inert('; '.join(patient.failed)), 'said by': patient.source,
      'folder': inert(patient.folder) if patient.source == NAME else ''}


def _say(photograph: Photograph) -> str:
  return ', '.join(look(photograph.record)['reasons']) or NOT_NEEDED if photograph.record else FAILED
