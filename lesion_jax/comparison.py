"""Runs, evaluations and bundles against each other, and predictions against the grades of a person: what `lesion-jax compare`
does, as functions.

    found = compare({'ours': 'first', 'theirs': 'second'})  # folders that `lesion-jax evaluate` wrote
    found['differences']['theirs']['kappa']                 # of theirs less ours
    found = compare_predictions('results', 'grades.csv')    # a folder that `lesion-jax predict` wrote
    found['kappa'], found['different']

`report.comparison` makes tables of what they return.
"""

from __future__ import annotations

import csv
import json
import os
import pathlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from tokenize import TokenError
from typing import Any
from urllib.parse import unquote

import numpy as np

from lesion_jax import assessment, pretrained
from lesion_jax.annotation.json_file import read_json
from lesion_jax.annotation.label_studio import read_label_studio
from lesion_jax.annotation.labels import Labels
from lesion_jax.annotation.mistakes import Findings, cut
from lesion_jax.annotation.names import file_name
from lesion_jax.annotation.naming import PATTERN, patients_of, say_patients
from lesion_jax.annotation.table import composed, read_table
from lesion_jax.bulk.inputs import REPORT as PAGE
from lesion_jax.bulk.inputs import SUFFIXES, TABLE
from lesion_jax.clinical.record import read_record
from lesion_jax.core import GRADE_KEYS, NUM_GRADES, UNKNOWN_GRADE
from lesion_jax.data.progress import Progress, silent
from lesion_jax.data.scales import EMPTY, KNOWN, whole_number
from lesion_jax.evaluate import compare_grades, compare_systems
from lesion_jax.evaluate.bootstrap import RESAMPLES, SEED
from lesion_jax.evaluate.comparison import ANNOTATED
from lesion_jax.evaluate.interval import check_draws
from lesion_jax.report.html import MAX_PICTURES
from lesion_jax.report.run import COUNTS, REPORT, TEST_COUNTS
from lesion_jax.report.table import FAILED, FORMULA
from lesion_jax.weights.archive import DAMAGE

Path = str | os.PathLike
BUNDLE = ('config.json', 'model.safetensors')  # what a folder holds that is one
SHOWN = 5  # examples in a note
FILE, GRADE, PATIENT = 'file', 'grade', 'patient'  # columns of the table of grades


def compare(
    systems: Mapping[str, Path] | Sequence[Path], *, data: Path | None = None, shared: bool = False, resamples: int = RESAMPLES,
    seed: int = SEED, level: float = 0.95, progress: Progress = silent, **settings: Any,
) -> dict[str, Any]:
  """Compares systems on the same test images: the metrics of each, and how each differs from the first.

  Args:
    systems: two or more, by name or by their paths alone. Each is a folder of `lesion-jax evaluate`, a stage of a run (or a
      run with one stage), a file of counts; or, where `data` is given, a bundle, a stage with one in it, or the name of a
      network in this package, which is evaluated first.
    data: the data set on which bundles are evaluated, as of `evaluate`.
    shared: where not all have the same photographs, or not the same lesions, compare those of all.
    resamples: of the bootstrap over patients.
    seed: of the draws.
    level: of the intervals.
    progress: called as photographs are evaluated, as of `evaluate`.
    **settings: of `assessment.Settings`, for bundles.

  Returns:
    Of `evaluate.compare_systems`, with what is to be known of the evaluations among 'notes'.

  Raises:
    FileNotFoundError: there is nothing at a path.
    OSError, FloatingPointError: of `evaluate`.
    ValueError: of `evaluate` and `evaluate.compare_systems`; a path is none of the above, or a bundle without `data`.
  """
  check_draws(resamples=resamples, seed=seed, level=level)  # as all that can be known, before anything takes long
  named = _named(systems)
  if len(named) < 2:
    raise ValueError(f'a comparison is of two systems or more; got {", ".join(named) or "none"}')
  places = {name: _place(path, data is not None) for name, path in named.items()}
  if settings and data is None:
    raise ValueError(f'{", ".join(settings)}: these are for the evaluation of bundles; name the data set too')
  read = {name: place for name, place in places.items() if place.suffix == '.npz'}
  if not shared:
    _require_one_data_set(read)
  counts, notes = {name: read_counts(place) for name, place in read.items()}, []
  jobs = {name: assessment.check(place, data, progress=progress, **settings) for name, place in places.items() if name not in read}
  for name, place in places.items():
    if name in jobs:
      job = jobs.pop(name)
      counts[name] = job.evaluate(resamples=1, progress=progress).counts | {ANNOTATED: np.array(job.scored, np.str_)}
    notes += [f'{name}: {note}' for note in (_notes_beside(place) if name in read else job.notes)]
  counts = {name: counts[name] for name in places}
  found = compare_systems(counts, shared=shared, resamples=resamples, seed=seed, level=level)
  return found | {'notes': notes + found['notes']}


def read_counts(path: Path) -> dict[str, np.ndarray]:
  """Returns the counts of each image of a split, as `report.run.write_figures` writes them.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: it holds something else.
  """
  try:
    with open(path, 'rb') as stream, np.load(stream, allow_pickle=False) as file:
      return {name: file[name] for name in file.files}
  except FileNotFoundError:
    raise
  except (*DAMAGE, TypeError, TokenError) as error:  # that of one array alone, which is no archive; of the head of an array
    raise ValueError(f'{path} does not hold the counts of an evaluation ({error}); evaluate again') from error


def compare_predictions(
    results: Path, grades: Path, *, file_column: str = FILE, grade_column: str = GRADE, resamples: int = RESAMPLES, seed: int = SEED,
    level: float = 0.95,
) -> dict[str, Any]:
  """Compares the grades that `lesion-jax predict` gave with those of a person.

  A row of the person's table names a photograph by its path, as much of it as tells it from the others, with or without
  the ending. Patients are those of the column 'patient', else of names such as 12_left; else each photograph is its own.

  Args:
    results: the folder of results.
    grades: a table with a row a photograph; grades are 0 to 4 or DR0 to DR4, or empty. Or what the page of results saves, as CSV or as
      JSON (of Label Studio's form).
    file_column: its column of photographs.
    grade_column: its column of grades.
    resamples: of the bootstrap over patients.
    seed: of the draws.
    level: of the intervals.

  Returns:
    Ready for JSON: what `evaluate.compare_grades` returns, but 'different' are the photographs on which they differ, the
    furthest first, {'file', 'graded' and 'predicted' (keys of grades), 'probability' of the predicted one, 'look', why a
    person should look, 'quality', 'page', where the report shows it, relative to `results`}; 'not_graded', photographs
    that were predicted and have no grade of the person, 'not_predicted', rows for which there is no prediction; 'notes'.

  Raises:
    FileNotFoundError: there is no folder of results, or no table.
    ValueError: they are something else, no network that grades made the results, a row holds no grade, names several
      photographs or one that has a row already, or no photograph has both grades.
  """
  folder = pathlib.Path(results)
  rows, notes = _read_results(folder), []
  graded, patient, not_predicted = _read_grades(pathlib.Path(grades), [row['file'] for row in rows], file_column, grade_column)
  names = [pathlib.PurePosixPath(row['file'].replace('\\', '/')).stem for row in rows]
  if any(patient):
    notes.append(say_patients([each for each in patient if each], 'from the column patient'))
  elif found := patients_of(names):
    patient = [found.get(name, '') for name in names]
    notes.append(say_patients([each for each in patient if each], f'as their names are of the form {PATTERN}'))
  owners = [each or f'\0{number}' for number, each in enumerate(patient)] if any(patient) else None  # who has none is one alone
  predicted = np.array([row['predicted'] for row in rows])
  result = compare_grades(graded, predicted, patient=owners, resamples=resamples, seed=seed, level=level)
  not_graded = [row['file'] for row, grade in zip(rows, graded, strict=True) if grade == UNKNOWN_GRADE]
  failed = [row['file'] for row, grade in zip(rows, graded, strict=True) if row['predicted'] == UNKNOWN_GRADE != grade]
  for files, said in ((not_graded, 'were predicted and have no grade in the table'), (failed, 'have no predicted grade'),
                      (not_predicted, 'are in the table and were not predicted')):
    if files:
      notes.append(f'{len(files)} photographs {said}: {", ".join(files[:SHOWN])}{", ..." if len(files) > SHOWN else ""}')
  notes += _learned_notes([read_record(folder / row['folder']) or {} for row, grade in zip(rows, graded, strict=True)
                           if UNKNOWN_GRADE not in (grade, row['predicted'])])
  page = (folder / PAGE).is_file()
  different = [{
      'file': rows[number]['file'], 'graded': GRADE_KEYS[graded[number]], 'predicted': GRADE_KEYS[predicted[number]],
      **{key: rows[number][key] for key in ('probability', 'look', 'quality')}, 'page': rows[number]['page'] if page else None,
  } for number in result['different']]
  return result | {'different': different, 'not_graded': not_graded, 'not_predicted': [*not_predicted, *failed], 'notes': notes}


def _named(systems: Mapping[str, Path] | Sequence[Path]) -> dict[str, pathlib.Path]:
  if isinstance(systems, Mapping):
    return {str(name): pathlib.Path(path) for name, path in systems.items()}
  systems = [systems] if isinstance(systems, Path) else systems
  named = {os.fspath(path): pathlib.Path(path) for path in systems}
  if len(named) < len(systems):
    raise ValueError(f'one system is named twice among {", ".join(map(os.fspath, systems))}')
  return named


def _place(path: pathlib.Path, evaluated: bool) -> pathlib.Path:
  """The file of counts of a system, or, where a data set is named, the bundle that is evaluated."""
  if pretrained.is_packaged(path) or _is_bundle(path):
    if not evaluated:
      raise ValueError(f'{path} is a bundle: name the data set on which it is to be evaluated (data), or the folder of an evaluation')
    return path
  if path.is_file() and path.suffix == '.npz':
    return path
  if not path.exists():
    return pretrained.find(path)  # raises, naming the networks that there are
  if evaluated and _is_bundle(path / 'bundle'):
    return path / 'bundle'
  if found := [path / name for name in (COUNTS, TEST_COUNTS) if (path / name).is_file()]:
    return found[0]
  stages = sorted(file.parent for file in path.glob(f'*/{TEST_COUNTS}')) if path.is_dir() else []
  if len(stages) == 1:
    return _place(stages[0], evaluated)
  if stages:
    raise ValueError(f'{path} is a run of {len(stages)} stages; name one of {", ".join(map(str, stages))}')
  raise ValueError(f'{path} is no system that can be compared: neither a folder of `lesion-jax evaluate` with {COUNTS}, nor a '
                   f'finished stage of a run with {TEST_COUNTS}, nor a bundle')


def _is_bundle(path: pathlib.Path) -> bool:
  return path.suffix == '.zip' and path.is_file() or all((path / name).is_file() for name in BUNDLE)


def _require_one_data_set(places: Mapping[str, pathlib.Path]) -> None:
  """Raises ValueError where reports beside the counts name different data sets."""
  named = {}
  for name, place in places.items():
    try:
      data = json.loads((place.parent / REPORT).read_text('utf-8'))['evaluated']['data']
      named[name] = f'{data["name"]}, split {data["split"]}'
    except (OSError, ValueError, KeyError, TypeError):  # a stage of a run, or counts alone: ids and ground truth tell
      continue
  if len(set(named.values())) > 1:
    raise ValueError('the systems were evaluated on different data: ' + '; '.join(f'{name} on {data}' for name, data in named.items())
                     + '. Evaluate all on one split, or compare the photographs of all with shared=True')


def _notes_beside(place: pathlib.Path) -> list[str]:
  """What the report beside counts says of them: of an evaluation or of a stage of a run; [] where there is none."""
  try:
    report = json.loads((place.parent / REPORT).read_text('utf-8'))
    return [str(note) for note in (report['evaluated'] if 'evaluated' in report else report).get('notes', [])]
  except (OSError, ValueError, TypeError, AttributeError):
    return []


def _read_results(folder: pathlib.Path) -> list[dict[str, Any]]:
  """The photographs of a folder of results: 'file', 'predicted' (a grade, or UNKNOWN_GRADE), 'probability', 'look', 'quality' and
  'page', its place in the report."""
  path = folder / TABLE
  if not path.is_file():
    raise FileNotFoundError(f'there is no {path}; name a folder that `lesion-jax predict` wrote')
  with path.open(newline='', encoding='utf-8') as file:
    rows = list(csv.DictReader(file))
  if not rows or not {'file', 'folder', 'status', 'grade', *GRADE_KEYS} <= rows[0].keys():
    raise ValueError(f'{path} is not the table of `lesion-jax predict`; name a folder that it wrote')
  if not any(row['grade'] for row in rows):
    raise ValueError(f'{path} has no grade: the network that made these results does not grade, or every photograph failed')
  found, pictures = [], 0
  for number, row in enumerate(rows, 1):
    grade = int(row['grade']) if row['grade'] in KNOWN['icdr'] else UNKNOWN_GRADE
    pictures += row['status'] != FAILED
    folder = _bare(row['folder'])
    picture = 'overlay.png' if (path.parent / folder / 'overlay.png').is_file() else 'field.jpg'
    page = f'{PAGE}#photo={number}' if pictures <= MAX_PICTURES else f'{folder}/{picture}'
    found.append({'file': _bare(row['file']), 'folder': folder, 'predicted': grade, 'look': row.get('look', ''), 'quality': row.get('quality', ''),
                  'probability': float(row[GRADE_KEYS[grade]]) if grade != UNKNOWN_GRADE else None, 'page': page})
  return found


def _learned_notes(records: Sequence[Mapping[str, Any]]) -> list[str]:
  """What is to be said of photographs from which the network learned, by their records."""
  counts = Counter(record['learned_from'] for record in records if 'learned_from' in record)
  return [f'{counts.total()} of {len(records)} photographs are among those from which the network learned ({counts["train"]}) or by which it '
          f'was chosen ({counts["validation"]}): the metrics may be too good'] if counts else []


def _bare(text: str) -> str:
  """A cell without the apostrophe that keeps a spreadsheet from taking it for a formula."""
  return text[1:] if text.startswith("'") and text[1:].startswith(FORMULA) else text


def _read_grades(
    path: pathlib.Path, files: Sequence[str], file_column: str, grade_column: str,
) -> tuple[np.ndarray, list[str], list[str]]:
  """The person's grade and the patient ('' where it is not said) of each file, and the rows that are of none of them."""
  find, wrong = _finder(files), Findings()
  graded, patients = np.full(len(files), UNKNOWN_GRADE), [''] * len(files)
  others: dict[str, str] = {}  # by where they stand
  rows: dict[int, dict[str, list[str]]] = defaultdict(dict)  # of each file those that may be of it, by where they stand
  for where, (file, text, *patient) in _rows(path, file_column, grade_column):
    file, written = _bare(file), whole_number(text).casefold()
    others[where] = file
    if written not in KNOWN['icdr'] and written not in EMPTY:
      wrong.add(where, f'grade is {cut(text)!r}; grades are 0 to {NUM_GRADES - 1}, {GRADE_KEYS[0]} to {GRADE_KEYS[-1]}, or empty where '
                       'there is none')
      continue
    places = find(file)
    if len(places) > 1:
      wrong.add(where, f'{cut(file)!r} may be {" or ".join(cut(files[place]) for place in places[:SHOWN])}; write more of its path')
    elif places:
      rows[places[0]][where] = [file, written, *patient]
  for place, found in rows.items():
    first, *more = _nearest(files[place], {where: file for where, (file, *_) in found.items()}) or [None]
    for where in more:
      wrong.add(where, f'{cut(files[place])} has a row already')
    if first is not None:
      _, written, *patient = found[first]
      graded[place] = int(written.removeprefix('dr')) if written in KNOWN['icdr'] else UNKNOWN_GRADE
      patients[place] = _bare(' '.join(patient[0].split())) if patient else ''
      others.pop(first)
  wrong.require_none()
  return graded, patients, list(others.values())


def _nearest(file: str, rows: Mapping[str, str]) -> list[str]:
  """Where the rows stand that are of a file, of all that may be; more than one where it has several rows. Whose path names another folder
  is of another photograph where there is a row whose path does not; else those that have most of it in common, if they are of one path."""
  if fitting := [where for where, text in rows.items() if _fits(file, text)]:
    return fitting
  common = {where: _common_tail(_parts(file)[:-1], _parts(text)[:-1]) for where, text in rows.items()}
  nearest = [where for where in rows if common[where] == max(common.values())]
  return nearest if len({tuple(_parts(rows[where])) for where in nearest}) == 1 else []


def _rows(path: pathlib.Path, file_column: str, grade_column: str) -> Iterator[tuple[str, list[str]]]:
  """Yields (where, [file, grade, and patient where there is such a column]) of a table, or of the JSON that the page of results saves."""
  if path.is_file() and path.read_bytes()[:16].removeprefix(b'\xef\xbb\xbf').lstrip()[:1] == b'[':
    yield from _readings(path)
    return
  table = read_table(path, (file_column, grade_column, PATIENT))
  yield from table.filled.cells([file_column, grade_column, *([PATIENT] if table.find(PATIENT) is not None else [])])


def _readings(path: pathlib.Path) -> Iterator[tuple[str, list[str]]]:
  """Likewise, of the JSON of the page, which is an export of Label Studio whose photographs are named by their paths."""
  annotations, _ = read_label_studio(path, Labels())
  people = sorted({annotation.annotator for annotation in annotations})
  if len(people) > 1:
    raise ValueError(f'{path} has the grades of {len(people)} people ({cut(", ".join(people))}), and predictions are compared with those of '
                     'one: export them apart, or make a consensus first (lesion-jax consensus)')
  known = {annotation.photograph: annotation.grade for annotation in annotations}
  if len(known) < len(annotations):
    twice = next(name for name, count in Counter(annotation.photograph for annotation in annotations).items() if count > 1)
    raise ValueError(f'{path} has two photographs of the name {cut(twice)}, which JSON of this form does not tell apart: save a CSV')
  for number, task in enumerate(read_json(path), 1):
    data = task['data']
    file, name = unquote(str(data.get('image', ''))), file_name(str(data.get('image', '')))
    if name in known:
      grade = known[name]
      yield f'{path}, task {number}', [file, '' if grade is None else str(grade), str(data.get(PATIENT) or '')]


def _finder(files: Sequence[str]) -> Any:
  """`find(text) -> places in files` of the photographs that a row may mean: those whose path ends as the row's does, in as many
  of its parts as possible; the name itself with or without its ending, whatever its case and its gaps where nothing else fits: the page
  and spreadsheets make one space of several."""
  plain = lambda name: ' '.join(name.casefold().split())
  parts = [_parts(file) for file in files]
  exact: dict[str, list[int]] = defaultdict(list)
  loose: dict[str, list[int]] = defaultdict(list)
  for place, each in enumerate(parts):
    for name in {each[-1], _without_ending(each[-1])}:
      exact[name].append(place)
      loose[plain(name)].append(place)

  def find(text: str) -> list[int]:
    asked = _parts(text)
    names = asked[-1], _without_ending(asked[-1])
    found = next((known[key] for known, keys in ((exact, names), (loose, map(plain, names))) for key in keys
                  if key in known), [])
    same = {place: _common_tail(parts[place][:-1], asked[:-1]) for place in found}
    best = max(same.values(), default=0)
    near = [place for place, count in same.items() if count == best]
    return near if len(near) == 1 else [place for place in near if _fits(files[place], text)]

  return find


def _parts(path: str) -> list[str]:
  return [part for part in composed(path).replace('\\', '/').split('/') if part not in ('', '.')] or ['']


def _fits(file: str, text: str) -> bool:
  """Whether nothing in two paths speaks against their being of one photograph: the folders that both name are the same."""
  plain = lambda path: [' '.join(part.casefold().split()) for part in reversed(_parts(path)[:-1])]
  return all(one == other for one, other in zip(plain(file), plain(text), strict=False))


def _without_ending(name: str) -> str:
  stem, dot, ending = name.rpartition('.')
  return stem if dot and f'.{ending.lower()}' in SUFFIXES else name


def _common_tail(one: Sequence[str], other: Sequence[str]) -> int:
  count = 0
  for left, right in zip(reversed(one), reversed(other), strict=False):
    if left != right:
      break
    count += 1
  return count
