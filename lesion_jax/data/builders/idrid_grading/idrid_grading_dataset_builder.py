"""IDRiD, part B: 516 photographs with a grade. No lesion is annotated."""

from __future__ import annotations

import pathlib

import tensorflow_datasets as tfds
from absl import logging

from lesion_jax.data.builders.base import Release
from lesion_jax.data.builders.grading import GradedPhotograph, GradingBuilder
from lesion_jax.data.builders.idrid_grading.visits import CONTRADICTED, TEST_VISITS, TRAINING_VISITS
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
  """`source_dir` is the folder that holds 'B. Disease Grading'. Validation is carved from the official training set by
  visit, see `visits`."""

  VERSION = tfds.core.Version('1.1.0')
  READS = ('B. Disease Grading',)
  RELEASE_NOTES = {'1.1.0': 'With an index of the photographs.', '1.0.0': 'First version.'}
  GRADES_AS_LESIONS = True
  DEALT = ('train', 'validation')
  SPLIT = 'hash'
  PUBLISHED = {'training photographs': 413, 'test photographs': 103}
  DESCRIPTION = (
      'The grading part of the Indian Diabetic Retinopathy Image Dataset: 516 photographs of 4288x2848 pixels with a '
      'grade 0..4, here cropped to the square field of view. The test set is the official one. A visit counts as a '
      'patient; training photographs of a visit that is in the test set are left out, and so are those that are in the '
      'release twice with different grades.')
  CITATION = CITATION
  HOMEPAGE = HOMEPAGE
  LICENCE = LICENCE

  def release(self) -> Release:
    """Photographs in '1. Original Images', one table for each set in '2. Groundtruths'."""
    training = self._list(TRAINING, TRAINING_VISITS, 'train')
    test = self._list(TEST, TEST_VISITS, 'test')
    counts = {'training photographs': len(training), 'test photographs': len(test)}
    of_test = {photograph.patient for photograph in test}
    contradicted = {f'IDRiD_{number:03d}' for part, number in CONTRADICTED if part == 'train'}
    kept = [photograph for photograph in training
            if photograph.patient not in of_test and photograph.path.stem not in contradicted]
    if len(kept) < len(training):
      logging.info('%s: %d training photographs are left out: their visit is in the test set, or they are in the '
                   'release twice with different grades', self.name, len(training) - len(kept))
    validation = self.builder_config.dealing.carve(
        kept, [photograph.patient for photograph in kept], [labels_of(grade=photograph.grade) for photograph in kept])
    return Release({**validation, 'test': test}, counts)

  def _list(self, official_set: str, visits: list[str], part: str) -> list[GradedPhotograph]:
    root = self.builder_config.source_dir
    paths = list_photographs(root / PHOTOGRAPHS / official_set, 'IDRiD_*.jpg')
    table = root / TABLES / TABLE_OF[official_set]
    grades = read_grades(table, id_column='Image name', grade_column='Retinopathy grade')
    require_grades(grades, paths, table)
    return [GradedPhotograph(path, _patient(path.stem, visits, part), grades[path.stem]) for path in paths]


def _patient(photograph: str, visits: list[str], part: str) -> str:
  """The visit as the name of a patient; where none is known the photograph's own, with the part, as both count from 1."""
  number = photograph.rpartition('_')[2]
  visit = visits[int(number) - 1] if number.isdigit() and 0 < int(number) <= len(visits) else '-'
  return f'{part} {photograph}' if visit == '-' else f'visit {visit}'
