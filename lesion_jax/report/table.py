"""One row a photograph: results.csv."""

from __future__ import annotations

import csv
import dataclasses
import io
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from lesion_jax.clinical.findings import Smallest
from lesion_jax.clinical.look import look
from lesion_jax.clinical.record import Run, warnings_of
from lesion_jax.core import GRADE_KEYS, LANDMARKS, LESION_KEYS
from lesion_jax.report.files import write_whole

FORMULA = ('=', '+', '-', '@', '\t', '\r')  # how what a spreadsheet runs begins
PREDICTED, SKIPPED, FAILED = 'predicted', 'skipped', 'failed'
WAITING = 'waiting'  # to be predicted; no row of a table has it
NOT_NEEDED = 'not needed'
COLUMNS = ('file', 'folder', 'status', 'error', 'look', 'quality', 'grade', 'evidence', *GRADE_KEYS, *LESION_KEYS,
           *(f'{key} {what}' for key in LESION_KEYS for what in ('regions', 'share')),
           *(f'{key} state' for key in LESION_KEYS), 'warning')
MM2 = tuple(f'{key} mm2' for key in LESION_KEYS)  # columns where a photograph says its scale
WHOSE = ('patient', 'eye', 'eye by')  # columns where anything says whose eye any photograph shows
MACULA = ('eye', 'disc', 'fovea', 'edema risk', 'edema distance')  # columns where a network looked for landmarks in any photograph
SMALLEST = 'smallest regions'  # a column where a smallest region was chosen, of any photograph


@dataclasses.dataclass(frozen=True)
class Entry:
  """One photograph of a batch, from the search for it to its place in table and page.

  Attributes:
    file: its path, as the user gave it.
    folder: name of the folder with its results, '' where it failed.
    status: WAITING, and in the end PREDICTED, SKIPPED (its results are of an earlier run) or FAILED.
    record: its result.json, None where it waits or failed.
    error: what went wrong, '' where nothing did.
    run: what its result depends on; None where the file cannot be read.
    whose: what a table or its name says of whose eye it is, as `clinical.patients.Whose.to_json`; None where they say nothing.
  """

  file: str
  folder: str
  status: str
  record: Mapping[str, Any] | None = None
  error: str = ''
  run: Run | None = None
  whose: Mapping[str, Any] | None = None

  def failed(self, error: str) -> Entry:
    """Returns the same photograph, as one that failed."""
    return dataclasses.replace(self, folder='', status=FAILED, record=None, error=error)


def write_table(path: pathlib.Path, entries: Sequence[Entry]) -> None:
  """Writes rows of COLUMNS as CSV: why a person should look, what speaks against the quality of the photograph, the
  predicted grade and what its evidence is, the probabilities by grade and lesion, and number of regions and share of the
  field of view by lesion. What a photograph does not have stays empty. Last, each lesion is present, absent, not
  evaluated or ungradable, and what `warnings_of` says of the network; where a photograph says its scale, MM2 are the areas
  in mm2; where anything says whose eye a photograph shows, WHOSE are patient and eye, and who says the eye: table, name, dicom,
  or, where these say nothing, landmarks; where a network looked for landmarks, MACULA says which eye it is, whether disc and fovea were found, the risk of
  macular edema 0..2 and how far the nearest hard exudate is from the fovea; where a smallest region was chosen, SMALLEST says below which size regions do not count.

  A text that a spreadsheet would take for a formula has an apostrophe before it: anybody can name a file '=...'.
  """
  text = io.StringIO(newline='')
  lesions = [lesion for entry in entries if entry.record for lesion in (entry.record['lesions'] or {}).values()]
  more = MM2 if any('mm2' in (lesion['found'] or {}) for lesion in lesions) else ()
  more += WHOSE if any(entry.whose or 'whose' in (entry.record or {}) for entry in entries) else ()
  if any('landmarks' in entry.record for entry in entries if entry.record):
    more += tuple(name for name in MACULA if name not in more)
  more += (SMALLEST,) if any('smallest' in lesion for lesion in lesions) else ()
  writer = csv.DictWriter(text, COLUMNS + more, extrasaction='ignore')
  writer.writeheader()
  writer.writerows(_row(entry) for entry in entries)
  write_whole(path, text.getvalue())


def _row(entry: Entry) -> dict[str, Any]:
  row = {'file': inert(entry.file), 'folder': inert(entry.folder), 'status': entry.status,
         'error': inert(entry.error)}
  whose = (entry.record.get('whose') if entry.record else entry.whose) or {}
  row |= {'patient': inert(whose.get('patient') or ''), 'eye': whose.get('eye'), 'eye by': whose['source'] if whose.get('eye') else ''}
  if entry.record is None:
    return row
  row['look'] = ', '.join(look(entry.record)['reasons']) or NOT_NEEDED
  row['warning'] = ' '.join(warnings_of(entry.record))
  row['quality'] = ', '.join(entry.record['quality']['reasons']) or 'gradable'
  if entry.record['grade']:
    row |= {'grade': entry.record['grade']['value'], **entry.record['grade']['probabilities']}
  if entry.record['evidence']:
    row['evidence'] = entry.record['evidence']['verdict']
  for key, lesion in (entry.record['lesions'] or {}).items():
    row[key] = lesion['probability']
    if lesion['found']:
      row |= {f'{key} regions': lesion['found']['regions'], f'{key} share': lesion['found']['share'],
              f'{key} mm2': lesion['found'].get('mm2')}
  if marks := entry.record.get('landmarks'):
    row |= {} if row['eye'] else {'eye': marks['eye'], 'eye by': 'landmarks' if marks['eye'] else ''}
    row |= {**{name: 'found' if marks[name]['found'] else 'not found' for name in LANDMARKS}}
    row |= {'edema risk': entry.record['edema']['value'], 'edema distance': entry.record['edema']['nearest']}
  row[SMALLEST] = ', '.join(f'{key} {Smallest.of(lesion["smallest"])}' for key, lesion in (entry.record['lesions'] or {}).items()
                            if 'smallest' in lesion)
  return row | {f'{key} state': state for key, state in entry.record['states'].items()}


def inert(text: str) -> str:
  """Returns a text that no spreadsheet takes for a formula."""
  return f"'{text}" if text.startswith(FORMULA) else text
