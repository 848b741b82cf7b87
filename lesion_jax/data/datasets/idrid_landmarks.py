"""IDRiD, part C: the centres of optic disc and fovea in the photographs of part B, which have a grade and a risk of edema."""

from __future__ import annotations

import pathlib

import tensorflow_datasets as tfds

from lesion_jax.core import LANDMARKS
from lesion_jax.data.builders.layout import read_rows
from lesion_jax.data.builders.records import GradedPhotograph
from lesion_jax.data.datasets.idrid import TEST, TRAINING
from lesion_jax.data.datasets.idrid_grading import IdridGrading

HEIGHT, WIDTH = 2848, 4288  # of the photographs whose pixels the tables count
COLUMNS = ('Image No', 'Y - Coordinate', 'X- Coordinate')  # as the release spells them
TABLES = pathlib.Path('C. Localization', '2. Groundtruths')
TABLES_OF = {
    TRAINING: {'disc': pathlib.Path('1. Optic Disc Center Location', 'a. IDRiD_OD_Center_Training Set_Markups.csv'),
               'fovea': pathlib.Path('2. Fovea Center Location', 'IDRiD_Fovea_Center_Training Set_Markups.csv')},
    TEST: {'disc': pathlib.Path('1. Optic Disc Center Location', 'b. IDRiD_OD_Center_Testing Set_Markups.csv'),
           'fovea': pathlib.Path('2. Fovea Center Location', 'IDRiD_Fovea_Center_Testing Set_Markups.csv')},
}


class IdridLandmarks(IdridGrading):
  """`source_dir` is the folder that holds 'B. Disease Grading' and 'C. Localization'. Photographs, splits and what is left
  out of them are those of `idrid_grading`.

  Seen in the true release: the tables with their names, columns and counts. Coordinates are of photographs of 4288x2848
  pixels; where a copy's photographs are smaller, they are scaled with them.
  """

  VERSION = tfds.core.Version('1.0.0')
  READS = ('B. Disease Grading', 'C. Localization')
  RELEASE_NOTES = {'1.0.0': 'First version.'}
  GRADES_AS_LESIONS = False
  DESCRIPTION = (
      'The localization part of the Indian Diabetic Retinopathy Image Dataset: the centres of optic disc and fovea, marked '
      'by one expert, in the 516 photographs of its grading part, with their grades and risks of macular edema. Every '
      'photograph shows both. Splits and what is left out of them are those of the grading part.')

  def _list(self, official_set: str, visits: list[str], part: str) -> list[GradedPhotograph]:
    tables = self.builder_config.source_dir / TABLES
    places = [read_places(tables / TABLES_OF[official_set][name]) for name in LANDMARKS]
    listed = super()._list(official_set, visits, part)
    for name, found in zip(LANDMARKS, places, strict=True):
      if missing := [item.path.name for item in listed if item.path.stem not in found]:
        raise ValueError(f'{tables / TABLES_OF[official_set][name]} has no row for {len(missing)} photographs: '
                         f'{", ".join(missing[:5])}')
    return [item._replace(landmarks=tuple(found[item.path.stem] for found in places)) for item in listed]


def read_places(path: pathlib.Path) -> dict[str, tuple[float, float]]:
  """Photograph id -> (row, column) of what a table of part C marks, as shares of height and width.

  Raises:
    FileNotFoundError: there is no such table.
    ValueError: a column is missing, a coordinate is no number of a pixel of the photographs, or a photograph has two rows.
  """
  found: dict[str, tuple[float, float]] = {}
  for where, (photograph, row, column) in read_rows(path, COLUMNS):
    if not photograph:  # rows of commas alone
      continue
    if photograph in found:
      raise ValueError(f'{where}: {photograph} has a row already')
    found[photograph] = _share(row, HEIGHT, where, COLUMNS[1]), _share(column, WIDTH, where, COLUMNS[2])
  return found


def _share(text: str, length: int, where: str, column: str) -> float:
  try:
    value = float(text)
  except ValueError:
    value = -1.0
  if not 0 <= value < length:
    raise ValueError(f'{where}: {column} is {text!r}; it must be a number of pixels from 0 to {length - 1}')
  return (value + 0.5) / length
