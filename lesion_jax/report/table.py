"""One row a photograph: results.csv."""

from __future__ import annotations

import csv
import dataclasses
import io
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from lesion_jax.clinical.evidence import VERDICTS
from lesion_jax.clinical.findings import Smallest
from lesion_jax.clinical.look import REASONS, is_referable, look
from lesion_jax.clinical.patients import seen_eye
from lesion_jax.clinical.record import Run, warnings_of
from lesion_jax.clinical.unsure import is_unsure
from lesion_jax.core import EDEMA, GRADE_KEYS, GRADES, LANDMARKS, LESION_KEYS, LESIONS
from lesion_jax.report.files import write_whole

FORMULA = ('=', '+', '-', '@', '\t', '\r')  # how what a spreadsheet runs begins
PREDICTED, SKIPPED, FAILED = 'predicted', 'skipped', 'failed'
WAITING = 'waiting'  # to be predicted; no row of a table has it
NOT_NEEDED = 'not needed'
COLUMNS = ('file', 'folder', 'status', 'error', 'look', 'quality', 'grade', 'evidence', *GRADE_KEYS, *LESION_KEYS,
           *(f'{key} {what}' for key in LESION_KEYS for what in ('regions', 'share')),
           *(f'{key} state' for key in LESION_KEYS), 'warning', 'referable', 'unsure')
MM2 = tuple(f'{key} mm2' for key in LESION_KEYS)  # columns where a photograph says its scale
WHOSE = ('patient', 'eye', 'eye by')  # columns where anything says whose eye any photograph shows
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
  or, where these say nothing, landmarks; where a network looked for landmarks, MACULA says which eye it is, whether disc and fovea
  were found, the risk of macular edema 0..2 and how far the nearest hard exudate is from the fovea; where the network tells that risk
  itself, BY_NETWORK has it and its probabilities; where a smallest region was chosen, SMALLEST says below which size regions do not
  count.

  `referable` and `unsure` are yes or no. A text that a spreadsheet would take for a formula has an apostrophe before it: anybody can name a file '=...'.
  Beside the table a second one, `dictionary_path`, says what each column means.
  """
  text = io.StringIO(newline='')
  lesions = [lesion for entry in entries if entry.record for lesion in (entry.record['lesions'] or {}).values()]
  more = MM2 if any('mm2' in (lesion['found'] or {}) for lesion in lesions) else ()
  more += WHOSE if any(entry.whose or 'whose' in (entry.record or {}) for entry in entries) else ()
  if any('landmarks' in entry.record for entry in entries if entry.record):
    more += tuple(name for name in MACULA if name not in more)
  more += BY_NETWORK if any('edema_by_network' in entry.record for entry in entries if entry.record) else ()
  more += (SMALLEST,) if any('smallest' in lesion for lesion in lesions) else ()
  writer = csv.DictWriter(text, COLUMNS + more, extrasaction='ignore')
  writer.writeheader()
  writer.writerows(_row(entry) for entry in entries)
  write_whole(path, text.getvalue())
  write_dictionary(dictionary_path(path), COLUMNS + more)


def dictionary_path(path: pathlib.Path) -> pathlib.Path:
  """Returns where the data dictionary of a table lies: results.csv has results_columns.csv."""
  return path.with_name(f'{path.stem}_columns{path.suffix}')


def write_dictionary(path: pathlib.Path, columns: Sequence[str]) -> None:
  """Writes a table of columns: column, meaning, unit, values; of `columns` in their order."""
  text = io.StringIO(newline='')
  writer = csv.writer(text)
  writer.writerow(('column', 'meaning', 'unit', 'values'))
  writer.writerows((column, *describe_column(column)) for column in columns)
  write_whole(path, text.getvalue())


_MEANINGS = {
    'file': ('the photograph as it was named on the command line, or found in a folder', '', 'text'),
    'folder': ('folder of its results, beside the table', '', 'text; empty where it failed'),
    'status': ('what this run did', '', f'{PREDICTED}, {SKIPPED} (the results are of an earlier run), {FAILED}'),
    'error': ('why it failed', '', 'text'),
    'look': ('why a person should look', '', f'{", ".join(REASONS)}, separated by commas; {NOT_NEEDED}'),
    'quality': ('what speaks against the quality of the photograph', '', 'gradable, or reasons separated by commas'),
    'grade': ('predicted grade of diabetic retinopathy (ICDR)', '', '0 to 4; empty where the network does not grade'),
    'evidence': ('what the lesions found say of the grade, by Table I of the paper', '', f'{", ".join(VERDICTS)}'),
    'warning': ('what is to be said of the network with every result', '', 'text'),
    'referable': ('whether it is called referable: by the operating point where one was chosen, else where the predicted grade is DR2 or above', '',
                  'yes, no; empty without a grade'),
    'unsure': ('whether the two likeliest grades are nearer to each other than the probabilities are off on average', '', 'yes, no; empty without a grade'),
    'patient': ('whose eye it is', '', 'text'),
    'eye': ('which eye it is', '', 'right, left'),
    'eye by': ('what says which eye it is', '', 'table, name, dicom, landmarks'),
    'disc': ('whether the optic disc was found', '', 'found, not found'),
    'fovea': ('whether the fovea was found', '', 'found, not found'),
    'edema risk': ('risk of macular edema by rule, from hard exudates', '', '0 none, 1 not within one disc diameter of the fovea, 2 within it; empty where it cannot be told'),
    BY_NETWORK[0]: ('risk of macular edema as the network tells it', '', '0 none, 1 not within one disc diameter of the fovea, 2 within it'),
    **{column: (f'probability of risk {risk} of macular edema, by the network', '', '0 to 1') for risk, column in enumerate(BY_NETWORK[1:])},
    'edema distance': ('from the fovea to the nearest hard exudate', 'disc diameters', '0 and above'),
    SMALLEST: ('below which size regions do not count', '', 'by lesion'),
}
_OF_LESIONS = {
    '': ('probability that {} is there', '', '0 to 1; empty where it is not evaluated'),
    ' regions': ('number of regions of {}', 'count', '0 and above'),
    ' share': ('area of {} over the area of the field of view', 'fraction', '0 to 1'),
    ' state': ('whether {} is there', '', 'present, absent, not evaluated, ungradable (not found, in a photograph that quality speaks against)'),
    ' mm2': ('area of {}, the retina taken as flat, by the pixel spacing of the DICOM file', 'mm2', '0 and above'),
}


def describe_column(column: str) -> tuple[str, str, str]:
  """Returns (meaning, unit, values) of a column of the table; of one that is not known, nothing but its name's words."""
  if column in _MEANINGS:
    return _MEANINGS[column]
  if column in GRADE_KEYS:
    return f'probability of {GRADES[GRADE_KEYS.index(column)].name}', '', '0 to 1; the five sum to 1'
  key, gap, what = column.partition(' ')
  if key in LESION_KEYS and gap + what in _OF_LESIONS:
    meaning, unit, values = _OF_LESIONS[gap + what]
    return meaning.format(LESIONS[LESION_KEYS.index(key)].name), unit, values
  return column, '', ''


def _row(entry: Entry) -> dict[str, Any]:
  row = {'file': inert(entry.file), 'folder': inert(entry.folder), 'status': entry.status,
         'error': inert(entry.error)}
  whose = (entry.record.get('whose') if entry.record else entry.whose) or {}
  row |= {'patient': inert(whose.get('patient') or ''), 'eye': whose.get('eye'), 'eye by': whose['source'] if whose.get('eye') else ''}
  if entry.record is None:
    return row
  if not row['eye']:
    row['eye'], row['eye by'] = seen_eye(entry.record)
  row['look'] = ', '.join(look(entry.record)['reasons']) or NOT_NEEDED
  row['warning'] = ' '.join(warnings_of(entry.record))
  row['quality'] = ', '.join(entry.record['quality']['reasons']) or 'gradable'
  if entry.record['grade']:
    row |= {'grade': entry.record['grade']['value'], **entry.record['grade']['probabilities']}
    row |= {'referable': _yes(is_referable(entry.record)), 'unsure': _yes(is_unsure(entry.record))}
  if entry.record['evidence']:
    row['evidence'] = entry.record['evidence']['verdict']
  for key, lesion in (entry.record['lesions'] or {}).items():
    row[key] = lesion['probability']
    if lesion['found']:
      row |= {f'{key} regions': lesion['found']['regions'], f'{key} share': lesion['found']['share'],
              f'{key} mm2': lesion['found'].get('mm2')}
  if marks := entry.record.get('landmarks'):
    row |= {**{name: 'found' if marks[name]['found'] else 'not found' for name in LANDMARKS}}
    row |= {'edema risk': entry.record['edema']['value'], 'edema distance': entry.record['edema']['nearest']}
  if told := entry.record.get('edema_by_network'):
    row |= dict(zip(BY_NETWORK, (told['value'], *told['probabilities'].values()), strict=True))
  row[SMALLEST] = ', '.join(f'{key} {Smallest.of(lesion["smallest"])}' for key, lesion in (entry.record['lesions'] or {}).items()
                            if 'smallest' in lesion)
  return row | {f'{key} state': state for key, state in entry.record['states'].items()}


def inert(text: str) -> str:
  """Returns a text that no spreadsheet takes for a formula."""
  return f"'{text}" if text.startswith(FORMULA) else text


def _yes(value: bool) -> str:
  return 'yes' if value else 'no'
