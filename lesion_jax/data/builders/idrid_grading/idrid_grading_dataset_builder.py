"""IDRiD, part B: 516 photographs with a grade. No lesion is annotated."""

from __future__ import annotations

import pathlib
from typing import NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from lesion_jax.data.builders.base import LesionBuilder, Record, Release
from lesion_jax.data.builders.idrid.facts import CITATION, HOMEPAGE, LICENCE, TEST, TRAINING
from lesion_jax.data.builders.layout import list_photographs, read_grades, require_grades
from lesion_jax.data.fundus import read_field
from lesion_jax.data.splits import carve_validation

PHOTOGRAPHS = pathlib.Path('B. Disease Grading', '1. Original Images')
TABLES = pathlib.Path('B. Disease Grading', '2. Groundtruths')
TABLE_OF = {
    TRAINING: 'a. IDRiD_Disease Grading_Training Labels.csv',
    TEST: 'b. IDRiD_Disease Grading_Testing Labels.csv',
}


class Photograph(NamedTuple):
  """One photograph of the release and its grade."""

  path: pathlib.Path
  grade: int


class Builder(LesionBuilder):
  """`source_dir` is the folder that holds 'B. Disease Grading'. Validation is carved from the official training set."""

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'First version.'}
  CROPPED = True
  PUBLISHED = {'training photographs': 413, 'test photographs': 103}
  DESCRIPTION = (
      'The grading part of the Indian Diabetic Retinopathy Image Dataset: 516 photographs of 4288x2848 pixels with a '
      'grade 0..4, here cropped to the square field of view. The test set is the official one.')
  CITATION = CITATION
  HOMEPAGE = HOMEPAGE
  LICENCE = LICENCE

  def release(self) -> Release:
    """Photographs in '1. Original Images', one table for each set in '2. Groundtruths'."""
    training, test = (self._list(folder) for folder in (TRAINING, TEST))
    counts = {'training photographs': len(training), 'test photographs': len(test)}
    validation = carve_validation(training, [photograph.path.stem for photograph in training])
    return Release({**validation, 'test': test}, counts)

  def read(self, item: Photograph) -> Record:
    """Crops the photograph; the masks say nothing, as no lesion is annotated."""
    size = self.builder_config.size
    image, crop = read_field(item.path)
    empty = np.zeros((size, size), np.uint8)
    return Record(crop.apply(image, size), empty, empty, item.path.stem, item.path.stem, item.grade)

  def _list(self, official_set: str) -> list[Photograph]:
    root = self.builder_config.source_dir
    paths = list_photographs(root / PHOTOGRAPHS / official_set, 'IDRiD_*.jpg')
    table = root / TABLES / TABLE_OF[official_set]
    grades = read_grades(table, id_column='Image name', grade_column='Retinopathy grade')
    require_grades(grades, paths, table)
    return [Photograph(path, grades[path.stem]) for path in paths]
