"""The record of one photograph, result.json: what it says is described by result.schema.json beside this file."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import lesion_jax
from lesion_jax.core import GRADE_KEYS, GRADES, LESION_KEYS, LESIONS, REFERABLE_GRADE
from lesion_jax.data.fingerprint import fingerprint
from lesion_jax.data.fundus import Crop
from lesion_jax.data.likeness import judge
from lesion_jax.data.quality import assess
from lesion_jax.metrics.presence import ABSENT, NOT_EVALUATED, PRESENT, TOP, UNGRADABLE, Rule
from lesion_jax.metrics.temperature import temper, temper_classes
from lesion_jax.report.evidence import weigh
from lesion_jax.report.findings import QUADRANTS, Field, find_field_of_view, measure
from lesion_jax.report.look import look
from lesion_jax.weights.origin import SENTENCES, is_synthetic, synthetic_note

SCHEMA = pathlib.Path(__file__).with_name('result.schema.json')
SCHEMA_VERSION = 4
RECORD = 'result.json'
NOT_CALIBRATED = 'The probabilities are not calibrated.'
CALIBRATED = ('Probabilities are calibrated by one temperature a head, on the validation photographs of the network. '
              'Thresholds and presence scores are in the network\'s own probabilities, before it.')
NOTES = (
    'For research only. This is no medical device, and nothing here may decide about a patient.',
    NOT_CALIBRATED,
    'A region is a connected part (8 neighbours) of a lesion\'s mask at the size of the network; lesions that touch '
    'count once.',
    'Quadrants are those of the picture about the centre of the field of view: optic disc and fovea are not known. A '
    'region is in the quadrant of its centroid, an area is divided pixel by pixel.',
    'Areas are counted at the size of the network and given in pixels of the photograph; shares are of the field of '
    'view.',
)


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
  """What a network found in one photograph; None where it has no such head.

  Attributes:
    crop: the square that it saw.
    square: uint8 [D, D, 3], that square of the photograph at any size, for people to look at.
    maps: float32 [S, S, 8], probabilities.
    lesions: float32 [8].
    grades: float32 [5].
    attention: float32 [h, w].
  """

  crop: Crop
  square: np.ndarray
  maps: np.ndarray | None = None
  lesions: np.ndarray | None = None
  grades: np.ndarray | None = None
  attention: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Run:
  """What a result depends on. A photograph whose record has the same is not predicted again.

  Attributes:
    photograph: SHA-256 of the file.
    model: what tells the bundle from every other one.
    options: what the user chose that changes results, plain JSON.
    place: SHA-256 of the file's absolute path. Tells which folder is whose; results do not depend on it.
  """

  photograph: str
  model: str
  options: Mapping[str, Any]
  place: str = ''

  def to_json(self) -> dict[str, Any]:
    """As it stands in a record."""
    return {'lesion_jax': lesion_jax.__version__, **dataclasses.asdict(self)}


def describe(
    found: Found, config: Mapping[str, Any], thresholds: Sequence[float], *, file: str, run: Run,
) -> dict[str, Any]:
  """The record of one photograph but for its list of files, ready for JSON.

  Lesions that the training data do not annotate are left out: that part of the network was never trained. What is said
  to be there, and so every mask, count and outline, goes by the bundle's rule for presence; without one, by Eq. 1.

  Args:
    found: the prediction.
    config: the bundle's config.json.
    thresholds: [8], from which probability a pixel is taken for the lesion; without a rule of the bundle's own also that
      from which a lesion is present.
    file: the photograph, as the reader of the record will look for it.
    run: where it comes from.

  Raises:
    ValueError: the network answered with something else than finite numbers.
  """
  for head in ('maps', 'lesions', 'grades', 'attention'):
    values = getattr(found, head)
    if values is not None and not np.isfinite(values).all():
      raise ValueError(f'{file}: the network answered with numbers that are not finite ({head}); its weights are '
                       'damaged, or its dtype is too small for them')
  size = config['preprocessing']['size']
  field = find_field_of_view(found.square, size)
  rule, temperatures = Rule.of(config, thresholds), config.get('temperatures', {})
  lesions = None if found.lesions is None else _lesions(
      found, config['annotated'], thresholds, field, rule, temperatures.get('lesions', {}))
  grade = None if found.grades is None else _grade(found.grades, temperatures.get('grades', 1.0))
  quality, likeness = assess(found.square), judge(config.get('likeness'), fingerprint(found.square))
  record = {
      'schema_version': SCHEMA_VERSION,
      'file': file,
      'photograph': {'height': found.crop.height, 'width': found.crop.width},
      'crop': {'top': found.crop.top, 'left': found.crop.left, 'side': found.crop.side},
      'field': _field(field, found.crop),
      'quality': quality.to_json(),
      'likeness': None if likeness is None else likeness.to_json(),
      'grade': grade,
      'lesions': lesions,
      'states': {key: _state((lesions or {}).get(key), gradable=quality.gradable) for key in LESION_KEYS},
      'evidence': None if lesions is None else _evidence(lesions, grade),
      'attention': None if found.attention is None else {
          'minimum': round(float(found.attention.min()), 6), 'maximum': round(float(found.attention.max()), 6),
          'height': found.attention.shape[0], 'width': found.attention.shape[1]},
      'model': {'name': config['model']['name'], 'size': size, 'annotated': list(config['annotated']),
                'data': config.get('data', {}).get('name'), 'provenance': config.get('provenance', {}),
                'rule': rule.name, 'temperatures': temperatures, 'synthetic': is_synthetic(config)},
      'notes': _notes(rule, synthetic_note(config), calibrated=bool(temperatures)),
      'run': run.to_json(),
  }
  return record | {'look': look(record)}


def read_record(folder: pathlib.Path) -> dict[str, Any] | None:
  """The record in a folder, or None where there is none of this version."""
  try:
    record = json.loads((folder / RECORD).read_text('utf-8'))
  except (OSError, ValueError):
    return None
  if not isinstance(record, dict) or record.get('schema_version') != SCHEMA_VERSION:
    return None
  return record if isinstance(record.get('run'), dict) and isinstance(record.get('files'), list) else None


def is_done(record: Mapping[str, Any] | None, folder: pathlib.Path, run: Run) -> bool:
  """Does the folder hold the result of this run, all files of it?"""
  if record is None:
    return False
  same = {**record['run'], 'place': run.place} == run.to_json()
  return same and all((folder / name).is_file() for name in record['files'])


def _lesions(
    found: Found, annotated: Sequence[str], thresholds: Sequence[float], field: Field, rule: Rule,
    temperatures: Mapping[str, float],
) -> dict[str, dict[str, Any]]:
  scores = rule.score(None if found.maps is None else found.maps[None], found.lesions[None])[0]
  called, lesions = rule.decide(scores), {}
  for j, (lesion, threshold) in enumerate(zip(LESIONS, thresholds, strict=True)):
    if lesion.key not in annotated:
      continue
    present, probability = bool(called[j]), temper(found.lesions[j], temperatures.get(lesion.key, 1.0))
    mask = None if found.maps is None else (found.maps[..., j] >= threshold) & present
    lesions[lesion.key] = {
        'name': lesion.name,
        'probability': round(float(probability), 6),
        'threshold': float(threshold),
        'presence': {'score': round(float(scores[j]), 6), 'threshold': float(rule.thresholds[j])},
        'present': present,
        'found': None if mask is None else measure(mask, field, found.crop.side),
    }
  return lesions


def _state(lesion: Mapping[str, Any] | None, *, gradable: bool) -> str:
  """PRESENT, ABSENT, NOT_EVALUATED or UNGRADABLE. What is found is found whatever the photograph; that nothing is there
  takes one that can be graded."""
  if lesion is None:
    return NOT_EVALUATED
  return PRESENT if lesion['present'] else ABSENT if gradable else UNGRADABLE


def _notes(rule: Rule, warning: str, *, calibrated: bool) -> list[str]:
  notes = [CALIBRATED if calibrated and note == NOT_CALIBRATED else note for note in NOTES]
  notes += [warning] if warning else []
  return [*notes, rule.describe()] if rule.name == TOP else notes


def _evidence(lesions: Mapping[str, Any], grade: Mapping[str, Any] | None) -> dict[str, Any]:
  counted = lesions.get('iHE', {}).get('found')
  hemorrhages = counted and [counted['quadrants'][name]['regions'] for name in QUADRANTS]
  present = {key: lesion['present'] for key, lesion in lesions.items()}
  return weigh(present, hemorrhages, None if grade is None else grade['value'])


def _field(field: Field, crop: Crop) -> dict[str, Any]:
  """Area and centre of the field of view in the photograph's pixels."""
  scale = crop.side / field.inside.shape[0]
  return {
      'pixels': round(np.count_nonzero(field.inside) * scale ** 2),
      'centre': {'row': round(crop.top + field.row * scale), 'column': round(crop.left + field.column * scale)},
  }


def _grade(probabilities: np.ndarray, temperature: float) -> dict[str, Any]:
  value = int(np.argmax(probabilities))
  probabilities = temper_classes(probabilities, temperature)
  return {
      'value': value,
      'key': GRADES[value].key,
      'name': GRADES[value].name,
      'referable': value >= REFERABLE_GRADE,
      'probabilities': {key: round(float(p), 6) for key, p in zip(GRADE_KEYS, probabilities, strict=True)},
  }


def warnings_of(record: Mapping[str, Any]) -> list[str]:
  """The notes of a record that are to be said loudly: that its network learned from synthetic data alone, wholly or in a
  part."""
  return [note for note in record['notes'] if note in SENTENCES]


def not_evaluated(record: Mapping[str, Any]) -> list[str]:
  """Keys of the lesions of which a record says nothing, as its network never learned them, in the order of LESIONS."""
  return [key for key in LESION_KEYS if record['states'][key] == NOT_EVALUATED]


def present_lesions(record: Mapping[str, Any]) -> list[str]:
  """Keys of the lesions that a record says are there, in the order of LESIONS."""
  lesions = record['lesions'] or {}
  return [key for key in LESION_KEYS if key in lesions and lesions[key]['present']]
