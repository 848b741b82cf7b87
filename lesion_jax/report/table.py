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
from lesion_jax.core import EDEMA, GRADE_KEYS, LANDMARKS, LESION_KEYS
from lesion_jax.report.files import write_whole

FORMULA = ('=', '+', '-', '@', '\t', '\r')  # how what a spreadsheet runs begins
PREDICTED, SKIPPED, FAILED = 'predicted', 'skipped', 'failed'
WAITING = 'waiting'  # to be predicted; no row of a table has it
NOT_NEEDED = 'not needed'
COLUMNS = ('file', 'folder', 'status', 'error', 'look', 'quality', 'grade', 'evidence', *GRADE_KEYS, *LESION_KEYS,
           *(f'{key} {what}' for key in LESION_KEYS for what in ('regions', 'share')),
           *(f'{key} state' for key in LESION_KEYS), 'warning')
MM2 = tuple(f'{key} mm2' for key in LESION_KEYS)  # columns where a photograph says its scale
MACULA = ('eye', 'disc', 'fovea', 'edema risk', 'edema distance')  # columns where a network looked for landmarks in any photograph
BY_NETWORK = ('edema risk by network', *(f'edema {risk} by network' for risk in range(len(EDEMA))))  # columns where a network tells it
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
  """

  file: str
  folder: str
  status: str
  record: Mapping[str, Any] | None = None
  error: str = ''
  run: Run | None = None

  def failed(self, error: str) -> Entry:
    """Returns the same photograph, as one that failed."""
    return dataclasses.replace(self, folder='', status=FAILED, record=None, error=error)


def write_table(path: pathlib.Path, entries: Sequence[Entry]) -> None:
  """Writes rows of COLUMNS as CSV: why a person should look, what speaks against the quality of the photograph, the
  predicted grade and what its evidence is, the probabilities by grade and lesion, and number of regions and share of the
  field of view by lesion. What a photograph does not have stays empty. Last, each lesion is present, absent, not
  evaluated or ungradable, and what `warnings_of` says of the network; where a photograph says its scale, MM2 are the areas
  in mm2; where a network looked for landmarks, MACULA says which eye it is, whether disc and fovea were found, the risk of
  macular edema 0..2 and how far the nearest hard exudate is from the fovea; where the network tells that risk itself, BY_NETWORK
  has it and its probabilities; where a smallest region was chosen, SMALLEST says below which size regions do not count.

  A text that a spreadsheet would take for a formula has an apostrophe before it: anybody can name a file '=...'.
  """
  text = io.StringIO(newline='')
  lesions = [lesion for entry in entries if entry.record for lesion in (entry.record['lesions'] or {}).values()]
  more = MM2 if any('mm2' in (lesion['found'] or {}) for lesion in lesions) else ()
  more += MACULA if any('landmarks' in entry.record for entry in entries if entry.record) else ()
  more += BY_NETWORK if any('edema_by_network' in entry.record for entry in entries if entry.record) else ()
  more += (SMALLEST,) if any('smallest' in lesion for lesion in lesions) else ()
  writer = csv.DictWriter(text, COLUMNS + more, extrasaction='ignore')
  writer.writeheader()
  writer.writerows(_row(entry) for entry in entries)
  write_whole(path, text.getvalue())


def _row(entry: Entry) -> dict[str, Any]:
  row = {'file': _inert(entry.file), 'folder': _inert(entry.folder), 'status': entry.status,
         'error': _inert(entry.error)}
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
    row |= {'eye': marks['eye'], **{name: 'found' if marks[name]['found'] else 'not found' for name in LANDMARKS}}
    row |= {'edema risk': entry.record['edema']['value'], 'edema distance': entry.record['edema']['nearest']}
  if told := entry.record.get('edema_by_network'):
    row |= dict(zip(BY_NETWORK, (told['value'], *told['probabilities'].values()), strict=True))
  row[SMALLEST] = ', '.join(f'{key} {Smallest.of(lesion["smallest"])}' for key, lesion in (entry.record['lesions'] or {}).items()
                            if 'smallest' in lesion)
  return row | {f'{key} state': state for key, state in entry.record['states'].items()}


def _inert(text: str) -> str:
  return f"'{text}" if text.startswith(FORMULA) else text
