"""IDRiD, part B: 516 photographs with a grade. No lesion is annotated."""

from __future__ import annotations

import pathlib

import tensorflow_datasets as tfds

from lesion_jax.data.builders.base import Release
from lesion_jax.data.builders.grading import GradedPhotograph, GradingBuilder
from lesion_jax.data.builders.idrid.facts import CITATION, HOMEPAGE, LICENCE, TEST, TRAINING
from lesion_jax.data.builders.layout import list_photographs, read_grades, require_grades
from lesion_jax.data.splits import labels_of

PHOTOGRAPHS = pathlib.Path('B. Disease Grading', '1. Original Images')
TABLES = pathlib.Path('B. Disease Grading', '2. Groundtruths')
TABLE_OF = {
    TRAINING: 'a. IDRiD_Disease Grading_Training Labels.csv',
    TEST: 'b. IDRiD_Disease Grading_Testing Labels.csv',
}


class Builder(GradingBuilder):
  """`source_dir` is the folder that holds 'B. Disease Grading'. Validation is carved from the official training set."""

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'First version.'}
  DEALT = ('train', 'validation')
  SPLIT = 'hash'
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
    patients = [photograph.path.stem for photograph in training]
    validation = self.builder_config.dealing.carve(training, patients, [labels_of(grade=photograph.grade) for photograph in training])
    return Release({**validation, 'test': test}, counts)

  def _list(self, official_set: str) -> list[GradedPhotograph]:
    root = self.builder_config.source_dir
    paths = list_photographs(root / PHOTOGRAPHS / official_set, 'IDRiD_*.jpg')
    table = root / TABLES / TABLE_OF[official_set]
    grades = read_grades(table, id_column='Image name', grade_column='Retinopathy grade')
    require_grades(grades, paths, table)
    # No patient is named, so every photograph counts as its own.
    return [GradedPhotograph(path, path.stem, grades[path.stem]) for path in paths]
