"""Reads Label Studio's JSON export: a list of tasks, each with the annotations of one or more people.

Facts, from Label Studio's documentation and source: coordinates are percent of the photograph's width and height; an
ellipse's x and y are its centre (the documentation says the corner, the editor's source the centre), radiusX is
percent of the width and radiusY of the height, and rotation, in degrees clockwise, is applied in pixels. A rectangle
turns about its upper left corner.
"""

from __future__ import annotations

import pathlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

from lesion_jax.annotation.json_file import is_size, read_json
from lesion_jax.annotation.label_regions import Wrong, to_shapes
from lesion_jax.annotation.labels import Labels
from lesion_jax.annotation.mistakes import Findings, cut
from lesion_jax.annotation.names import file_name
from lesion_jax.annotation.shapes import Annotation, Shape
from lesion_jax.annotation.table import plain

# Keys of a result's value under which its labels stand.
_LABEL_KINDS = ('ellipselabels', 'polygonlabels', 'rectanglelabels', 'brushlabels', 'labels')
_REFUSED = {
    'keypointlabels': 'a key point', 'keypoint': 'a key point', 'bitmask': 'a bit mask', 'bitmasklabels': 'a bit mask', 'vectorlabels': 'a vector',
}
# A control of choices gives the grade where its name says so; numbers are chosen for other things as well, quality for one.
_GRADE_CONTROLS = ('grade', 'grading', 'icdr', 'retinopathy', 'severity')
_OTHER_CONTROLS = ('quality', 'gradab')
_SIDE_REMARKS = ('textarea', 'rating', 'number', 'relation', 'datetime')  # say nothing of lesions or grades


def read_label_studio(path: pathlib.Path, labels: Labels) -> tuple[list[Annotation], Counter[str]]:
  """Reads one export.

  Args:
    path: what 'Export' > 'JSON' gives (not 'JSON-MIN', CSV or COCO, which lose who said what).
    labels: what the labels mean.

  Returns:
    The annotations, and what was passed over, counted by reason: cancelled (skipped by the annotator), superseded (the
    same annotator annotated the task again later), tasks without annotation.

  Raises:
    ValueError: naming file, tasks and annotators, for all that cannot be read as an ellipse, polygon, brush stroke or grade,
      counted; or where nobody graded and choices were made of another control than one that is called grade.
  """
  tasks = read_json(path)
  if not isinstance(tasks, list) or not all(isinstance(task, dict) and 'data' in task for task in tasks):
    raise ValueError(f'{path} is no export of Label Studio: expected a list of tasks, each with "data" and '
                     '"annotations"; choose the format JSON (not JSON-MIN) when exporting')
  found, passed_over, wrong = [], Counter(), Findings()
  for number, task in enumerate(tasks, start=1):
    where = f'{path}, task {cut(str(task.get("id", number)))}'
    try:
      found += _read_task(task, where, labels, passed_over, wrong)
    except ValueError as error:
      wrong.add(where, _without(where, error))
  wrong.require_none()
  others = [reason for reason in passed_over if reason.startswith(_OF_CONTROL)]
  if others and not any(annotation.grade is not None for annotation in found):
    raise ValueError(f'{path}: nobody graded: {"; ".join(f"{passed_over[reason]} {reason}" for reason in others[:5])}. Call the '
                     'control of the grades grade in the labelling interface, or say by --labels which choices are grades')
  return found, +passed_over


_OF_CONTROL = 'choices of the control'


def _read_task(
    task: Mapping[str, Any], where: str, labels: Labels, passed_over: Counter[str], wrong: Findings) -> list[Annotation]:
  """The annotations of a task; what is wrong with single ones goes to `wrong`."""
  photograph = _photograph(task['data'], where)
  latest: dict[str, Annotation] = {}
  for entry in sorted(_entries(task, where), key=_moment):
    place = where
    try:
      annotator = _annotator(entry.get('completed_by'), where)
      if entry.get('was_cancelled'):  # Who skips a photograph later takes back what was said of it.
        passed_over['cancelled'] += 1
        passed_over['superseded'] += latest.pop(annotator, None) is not None
        continue
      passed_over['superseded'] += annotator in latest
      place = f'{where} ({cut(photograph)}), annotator {cut(annotator)}'
      latest[annotator] = _read(entry, photograph, annotator, labels, place, passed_over, wrong)
    except ValueError as error:
      wrong.add(place, _without(place, error))
  passed_over['tasks without annotation'] += not latest
  return list(latest.values())


def _without(where: str, error: ValueError) -> str:
  """What an error says, without the place before it."""
  return str(error).removeprefix(where).removeprefix(':').strip()


def _photograph(data: Any, where: str) -> str:
  """The one value of the task's data that names a picture: 'image' where it is there."""
  values = data if isinstance(data, dict) else {}
  texts = [values['image']] if 'image' in values else [value for value in values.values() if isinstance(value, str)]
  if len(texts) != 1 or not isinstance(texts[0], str) or len(texts[0]) > 4096 or not file_name(texts[0]):
    raise ValueError(f'{where}: its data names no single photograph; expected {{"image": "path or address"}}')
  return file_name(texts[0])


def _entries(task: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
  entries = task.get('annotations', [])
  whole = lambda entry: isinstance(entry, dict) and isinstance(entry.get('result'), list)
  if not isinstance(entries, list) or not all(map(whole, entries)):
    raise ValueError(f'{where} has no list of annotations with results; choose the format JSON (not JSON-MIN) when '
                     'exporting')
  return entries


def _moment(entry: Mapping[str, Any]) -> str:
  return str(entry.get('updated_at') or entry.get('created_at') or '')


def _annotator(completed_by: Any, where: str) -> str:
  """The id where it is a number; of a whole user the e-mail, else the id."""
  if isinstance(completed_by, dict):
    completed_by = completed_by.get('email') or completed_by.get('id')
  if not isinstance(completed_by, str | int) or completed_by == '':
    raise ValueError(f'{where}: an annotation does not say who made it (completed_by); write the annotator there, or delete it')
  return str(completed_by)


def _read(
    entry: Mapping[str, Any], photograph: str, annotator: str, labels: Labels, where: str, passed_over: Counter[str],
    wrong: Findings,
) -> Annotation:
  shapes: list[Shape] = []
  sizes, grades = set(), set()
  results = [result for result in entry['result'] if isinstance(result, dict)]
  for result in results:
    if not isinstance(result.get('value') or {}, dict):
      raise ValueError(f'{where}: the value of a region is {cut(result["value"])}, and not an object; export it again')
  labelled = {str(result.get('id')) for result in results if _labels_of(result)}
  for result in results:
    kind = str(result.get('type'))
    if kind == 'choices':
      grades.update(_grades(result, labels, where, passed_over))
    elif kind in _SIDE_REMARKS:
      continue
    elif _labels_of(result) or kind in _REFUSED:
      try:
        drawn = _shapes(result, labels, where)
      except Wrong as error:
        wrong.add(where, str(error))
        continue
      shapes.extend(drawn)
      sizes.update([_size(result, where)] if drawn else [])
    elif str(result.get('id')) not in labelled:  # of a region and its labels in two results, the one with labels has all
      raise ValueError(f'{where}: a {cut(kind)} without a label; give it one, or delete it')
  grades.discard(None)
  if len(grades) > 1 or len(sizes) > 1:
    said = f'the grades {sorted(grades)}' if len(grades) > 1 else f'photographs of the sizes {cut(sorted(sizes))}'
    raise ValueError(f'{where}: one annotation has {said}; expected one')
  return Annotation(photograph, annotator, next(iter(grades), None), tuple(shapes), next(iter(sizes), None))


def _grades(result: Mapping[str, Any], labels: Labels, where: str, passed_over: Counter[str]) -> list[int | None]:
  """The grades that a result of choices gives. Of a control that is not called so only what is a grade by its own name, as
  DR2 is and 2 is not, or what `labels` maps."""
  choices = (result.get('value') or {}).get('choices', [])
  if not isinstance(choices, list):
    raise ValueError(f'{where}: the choices of a region are {cut(choices)}, and not a list; export it again')
  control = str(result.get('from_name') or '')
  name, found = plain(control), []
  graded = not control or (any(part in name for part in _GRADE_CONTROLS) or name in ('dr', 'drlevel')) and not any(
      part in name for part in _OTHER_CONTROLS)
  for choice in map(str, choices):
    if graded or choice in labels.mapping or not choice.strip().isdecimal() and labels.is_grade(choice):
      found.append(labels.grade(choice, where))
    else:
      passed_over[f'{_OF_CONTROL} {cut(control)!r}, which is not called grade'] += 1
  return found


def _labels_of(result: Mapping[str, Any]) -> list[str]:
  value = result.get('value') or {}
  return [str(label) for kind in _LABEL_KINDS if isinstance(value.get(kind), list) for label in value[kind]]


def _shapes(result: Mapping[str, Any], labels: Labels, where: str) -> list[Shape]:
  """The shapes of one region: one for each of its lesions."""
  kind = result.get('type')
  names = _labels_of(result) or [str(label) for label in _listed((result.get('value') or {}).get(kind))]
  lesions = [labels.lesion(name, where) for name in names] if names != [''] else ['']
  if not any(lesion is not None for lesion in lesions):
    return []
  if kind in _REFUSED:
    raise ValueError(f'{where}: {_REFUSED[kind]} is no outline; draw it again as ellipse or polygon, or leave its '
                     'label out (map it to null)')
  if result.get('image_rotation'):
    raise ValueError(f'{where}: it was drawn on a photograph turned by {cut(result["image_rotation"])} degrees; turn it '
                     'back in Label Studio, submit again, and export again')
  return to_shapes(result['value'], [lesion for lesion in lesions if lesion], _size(result, where), where)


def _listed(labels: Any) -> list[Any]:
  return labels if isinstance(labels, list) and labels else ['']


def _size(result: Mapping[str, Any], where: str) -> tuple[int, int]:
  size = result.get('original_height'), result.get('original_width')
  if not is_size(*size):
    raise ValueError(f'{where}: a region does not say how large its photograph is (original_width, original_height: '
                     f'{cut(size[1])}, {cut(size[0])})')
  return int(size[0]), int(size[1])
