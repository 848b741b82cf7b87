"""Results of `lesion-jax predict` as pre-annotations for Label Studio: tasks whose predictions an annotator corrects.

The names are those of annotation/label_studio.xml, the labelling interface. A polygon of Label Studio has no
holes: those of a region are left filled.
"""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import numpy as np

from lesion_jax.clinical.record import RECORD, read_record
from lesion_jax.core import LESION_KEYS
from lesion_jax.metrics.presence import NOT_EVALUATED
from lesion_jax.report.files import write_whole
from lesion_jax.report.outlines import read_outlines
from lesion_jax.report.result_folder import OUTLINES

PHOTOGRAPH, POLYGON, GRADE, IMAGE = 'photograph', 'polygon', 'grade', 'image'  # tags, and the key of a task's data
UNSEEN = 'not_evaluated'  # likewise, where there are lesions that the network never learned
LOCAL_FILES = '/data/local-files/?d='  # how Label Studio names a file below its document root
SLACK = 0.25  # of a pixel of the network's map: how far a simplified outline may lie from the traced one (our choice)


def read_results(folder: pathlib.Path, prefix: str = LOCAL_FILES) -> list[dict[str, Any]]:
  """Returns a task for each finished result in a folder of `lesion-jax predict`, by name.

  Args:
    folder: what `--out` was.
    prefix: what goes before the photograph's file name to make its address in Label Studio.

  Raises:
    FileNotFoundError: there is no such folder, or no result in it.
    ValueError: naming the file, where a result is damaged, or two photographs have one name.
  """
  if not folder.is_dir():
    raise FileNotFoundError(f'no folder {folder}; name what was --out of lesion-jax predict')
  tasks, taken = [], {}
  for path in sorted(folder.glob(f'*/{RECORD}')):
    record = read_record(path.parent)
    if record is None:
      raise ValueError(f'{path} is no result of this version of lesion-jax predict; predict again')
    name = pathlib.PurePath(record['file'].replace('\\', '/')).name
    if name in taken:
      raise ValueError(f'{path} and {taken[name]} are of two photographs of the name {name}; annotations could not be '
                       'told apart. Give the photographs different names and predict again')
    taken[name] = path
    outlines = path.with_name(OUTLINES)
    tasks.append(make_task(record, read_outlines(outlines) if outlines.exists() else {}, prefix + quote(name)))
  if not tasks:
    raise FileNotFoundError(f'no result {folder}/*/{RECORD}; name what was --out of lesion-jax predict')
  return tasks


def make_task(record: Mapping[str, Any], outlines: Mapping[str, str], address: str) -> dict[str, Any]:
  """Returns one task in Label Studio's import format.

  Args:
    record: of a result, result.json.
    outlines: by lesion, the `d` of its path as `outlines.Drawing` writes it.
    address: under which Label Studio finds the photograph.

  Returns:
    {'data': ..., 'predictions': [one]}; where the network never learned some lesions, `not_evaluated` in the data names them,
    for a column of Label Studio's table: that they have no outline does not say that they are not there. The
    prediction's score is the probability of the grade, or without a grade that of the
    surest lesion that is present.
  """
  height, width = record['photograph']['height'], record['photograph']['width']
  slack = SLACK * record['crop']['side'] / record['model']['size']
  common = {'to_name': PHOTOGRAPH, 'original_width': width, 'original_height': height, 'image_rotation': 0}
  results = []
  for key, path in outlines.items():
    probability = record['lesions'][key]['probability']
    for ring in rings(path):
      points = np.clip(simplify(ring, slack) * (100 / width, 100 / height), 0, 100)  # the crop may reach past it
      value = {'points': np.round(points, 4).tolist(), 'closed': True, 'polygonlabels': [key]}
      results.append({'id': f'{key}{len(results)}', 'from_name': POLYGON, 'type': 'polygonlabels', **common,
                      'value': value, 'score': probability})
  grade = record['grade']
  if grade is not None:
    results.append({'id': 'grade', 'from_name': GRADE, 'to_name': PHOTOGRAPH, 'type': 'choices',
                    'value': {'choices': [grade['key']]}, 'score': grade['probabilities'][grade['key']]})
  found = [lesion['probability'] for lesion in (record['lesions'] or {}).values() if lesion['present']]
  score = grade['probabilities'][grade['key']] if grade else max(found, default=0.0)
  version = f'lesion_jax {record["model"]["name"]} {record["run"]["model"][:8]}'
  states = record.get('states', {})
  left = [key for key in LESION_KEYS if states.get(key) == NOT_EVALUATED]
  data = {IMAGE: address} | ({UNSEEN: ', '.join(left)} if left else {})
  return {'data': data, 'predictions': [{'model_version': version, 'score': score, 'result': results}]}


def write_tasks(path: pathlib.Path, tasks: list[dict[str, Any]]) -> None:
  """Writes the file to import, whole or not at all."""
  write_whole(path, json.dumps(tasks, indent=1, allow_nan=False) + '\n')


def rings(path: str) -> list[np.ndarray]:
  """Returns the outer rings, float64 [n, 2] each, of a path of `outlines.Drawing`; not holes, which run the other way."""
  found = []
  for part in re.findall(r'M([^z]*)z', path):
    start, _, steps = part.partition('l')
    numbers = [float(number) for text in (start, steps) for number in re.findall(r'-?[\d.]+', text)]
    points = np.cumsum(np.reshape(numbers, (-1, 2)), axis=0)
    if len(points) >= 3 and _area(points) > 0:
      found.append(points)
  return found


def simplify(ring: np.ndarray, slack: float) -> np.ndarray:
  """Drops vertices of a ring [n, 2] within `slack` of the line between those that stay (Douglas and Peucker).

  At least three stay.
  """
  far = int(np.argmax(np.hypot(*(ring - ring[0]).T)))
  closed = np.concatenate([ring, ring[:1]])
  keep = np.zeros(len(closed), bool)
  keep[[0, far, len(ring)]] = True
  todo = [(0, far), (far, len(ring))]
  while todo:
    first, last = todo.pop()
    if last - first < 2:
      continue
    distances = _distances(closed[first + 1:last], closed[first], closed[last])
    middle = first + 1 + int(np.argmax(distances))
    if distances.max() > slack or keep[:-1].sum() < 3:
      keep[middle] = True
      todo += [(first, middle), (middle, last)]
  return closed[:-1][keep[:-1]]


def _distances(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
  """Of points [n, 2] from the segment between two others."""
  along = end - start
  length = along @ along
  at = np.clip((points - start) @ along / length, 0, 1) if length else np.zeros(len(points))
  return np.hypot(*(points - start - at[:, None] * along).T)


def _area(points: np.ndarray) -> float:
  """Signed; positive for a ring as contourpy draws it around what lies above the level."""
  x, y = points.T
  return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2
