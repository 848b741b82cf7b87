"""The files of predicted photographs: an overlay, masks and a record of each, and one table of all."""

from __future__ import annotations

import csv
import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from lesion_jax.core import GRADE_KEYS, GRADES, LESION_KEYS, LESIONS, REFERABLE_GRADE
from lesion_jax.data.fundus import Crop
from lesion_jax.report.overlay import draw_overlay

SCHEMA_VERSION = 1
OVERLAY, RECORD = 'overlay.png', 'result.json'
COLUMNS = ('file', 'folder', 'error', 'grade', *GRADE_KEYS, *LESION_KEYS)


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
  """What a network found in one photograph; None where it has no such head.

  Attributes:
    crop: the square that it saw.
    maps: float32 [S, S, 8], probabilities.
    lesions: float32 [8].
    grades: float32 [5].
  """

  crop: Crop
  maps: np.ndarray | None
  lesions: np.ndarray | None
  grades: np.ndarray | None


def describe(found: Found, file: str, config: Mapping[str, Any], thresholds: Sequence[float]) -> dict[str, Any]:
  """The record of one photograph, ready for JSON.

  Lesions that the training data do not annotate are left out: that part of the network was never trained.

  Args:
    found: the prediction.
    file: the photograph, as the reader of the record will look for it.
    config: the bundle's config.json.
    thresholds: [8], from which probability a lesion is present.
  """
  record: dict[str, Any] = {
      'schema_version': SCHEMA_VERSION,
      'file': file,
      'photograph': {'height': found.crop.height, 'width': found.crop.width},
      'crop': {'top': found.crop.top, 'left': found.crop.left, 'side': found.crop.side},
      'grade': None if found.grades is None else _grade(found.grades),
      'lesions': None,
      'model': {'name': config['model']['name'], 'size': config['preprocessing']['size'],
                'provenance': config.get('provenance', {})},
  }
  if found.lesions is not None:
    record['lesions'] = {
        lesion.key: {
            'name': lesion.name,
            'probability': round(float(probability), 6),
            'threshold': float(threshold),
            'present': bool(probability >= threshold),
        }
        for lesion, probability, threshold in zip(LESIONS, found.lesions, thresholds, strict=True)
        if lesion.key in config['annotated']
    }
  return record


def write_result(folder: str | pathlib.Path, display: np.ndarray, found: Found, record: Mapping[str, Any]) -> None:
  """Writes overlay.png, `<lesion>.png` for each lesion that is present, and result.json.

  The masks are 0 and 255 in the photograph's own pixels; masks of an earlier run in the same folder are removed. The
  record comes last, so that a folder with one is complete.

  Args:
    folder: made where it does not exist.
    display: uint8 [D, D, 3], the square `found.crop` of the photograph at any size; the overlay is drawn on it.
    found: the prediction.
    record: of `describe`.
  """
  folder = pathlib.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  for old in (RECORD, OVERLAY, *(f'{key}.png' for key in LESION_KEYS)):
    (folder / old).unlink(missing_ok=True)
  judged = record['lesions'] or {}
  present = [key for key, lesion in judged.items() if lesion['present']]
  if found.maps is not None:
    thresholds = [judged[key]['threshold'] if key in present else np.inf for key in LESION_KEYS]
    Image.fromarray(draw_overlay(display, found.maps, thresholds=thresholds, keys=present)).save(folder / OVERLAY)
    for key in present:
      mask = found.crop.invert(found.maps[..., LESION_KEYS.index(key)]) >= judged[key]['threshold']
      Image.fromarray(mask.astype(np.uint8) * np.uint8(255)).save(folder / f'{key}.png')
  (folder / RECORD).write_text(json.dumps(record, indent=2, allow_nan=False) + '\n', encoding='utf-8')


def table_row(record: Mapping[str, Any], folder: str) -> dict[str, Any]:
  """A record as a row of `write_table`: the grade, and the probabilities by grade and lesion."""
  row = {'file': record['file'], 'folder': folder}
  if record['grade']:
    row |= {'grade': record['grade']['value'], **record['grade']['probabilities']}
  return row | {key: lesion['probability'] for key, lesion in (record['lesions'] or {}).items()}


def write_table(path: str | pathlib.Path, rows: Sequence[Mapping[str, Any]]) -> None:
  """Writes rows of COLUMNS as CSV; what a row does not have stays empty."""
  with pathlib.Path(path).open('w', newline='', encoding='utf-8') as file:
    writer = csv.DictWriter(file, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)


def _grade(probabilities: np.ndarray) -> dict[str, Any]:
  value = int(np.argmax(probabilities))
  return {
      'value': value,
      'key': GRADES[value].key,
      'name': GRADES[value].name,
      'referable': value >= REFERABLE_GRADE,
      'probabilities': {key: round(float(p), 6) for key, p in zip(GRADE_KEYS, probabilities, strict=True)},
  }
