"""EyePACS, as Kaggle released it for its challenge of 2015: 88,702 photographs with a grade. No lesion is annotated."""

from __future__ import annotations

import collections
import pathlib
from collections.abc import Mapping, Sequence

import tensorflow_datasets as tfds
from absl import logging

from lesion_jax.data.builders.base import Release
from lesion_jax.data.builders.layout import list_photographs, read_grades, read_rows, require_grades
from lesion_jax.data.builders.records import GradedPhotograph, GradingBuilder

TRAINING, SOLUTION = 'trainLabels.csv', 'retinopathy_solution.csv'
SPLIT_OF = {'Public': 'validation', 'Private': 'test'}  # by the column Usage of the solution
EYES = ('left', 'right')


class Eyepacs(GradingBuilder):
  """`source_dir` holds trainLabels.csv, retinopathy_solution.csv, and the photographs in train/ and test/.

  The split is Kaggle's: its training set, and of its test set 'Public' as validation and 'Private', which decided the
  challenge, as test. Verified in several loaders of the raw dataset: the columns `image,level` and
  `image,level,Usage`, names without extension in the tables, and the folders train/ and test/ into which Kaggle's zip
  files unpack. Case and spelling of endings, encoding and separator of the
  tables are free. Not verified, for want of the raw dataset: that no patient is in two splits. It is checked
  whenever the data set is prepared, and a warning names those who are.
  """

  VERSION = tfds.core.Version('1.1.0')
  READS = (TRAINING, SOLUTION, 'train', 'test')
  RELEASE_NOTES = {'1.1.0': 'With an index of the photographs.', '1.0.0': 'First version.'}
  DEALT = ()
  PUBLISHED = {'train photographs': 35126, 'validation photographs': 10906, 'test photographs': 42670}
  DESCRIPTION = (
      'Photographs of the screening programme EyePACS, released by Kaggle for the challenge Diabetic Retinopathy '
      'Detection of 2015, with a grade 0..4 by one clinician, here cropped to the square field of view. Both eyes of '
      "each patient, from many cameras and of all qualities. The split is Kaggle's: training set, and the 'Public' and "
      "'Private' parts of its test set. Retinal-Lesions is made of photographs of this data set.")
  CITATION = """
@misc{diabetic-retinopathy-detection,
  title={Diabetic Retinopathy Detection},
  author={Dugas, Emma and {Jared} and {Jorge} and Cukierski, Will},
  publisher={Kaggle},
  year={2015},
  url={https://kaggle.com/competitions/diabetic-retinopathy-detection}
}"""
  HOMEPAGE = 'https://www.kaggle.com/c/diabetic-retinopathy-detection'
  LICENCE = "As Kaggle's rules of the competition state it"

  def release(self) -> Release:
    """Lists photographs in train/ and test/ as <patient>_<left|right>.jpeg, grades in the two tables."""
    root = self.builder_config.source_dir
    solution = root / SOLUTION
    if not solution.is_file():
      raise FileNotFoundError(f'no table {solution}; Kaggle published it after the challenge, apart from the '
                              f'photographs: put it beside {TRAINING}')
    usage = _read_usage(solution)
    splits = {'train': self._list('train', root / TRAINING), 'validation': [], 'test': []}
    for photograph in self._list('test', solution):
      splits[usage[photograph.path.stem]].append(photograph)
    _report_crossing(splits)
    return Release(splits, {f'{split} photographs': len(photographs) for split, photographs in splits.items()})

  def _list(self, folder: str, table: pathlib.Path) -> list[GradedPhotograph]:
    paths = list_photographs(self.builder_config.source_dir / folder, '*.jpeg')
    grades = read_grades(table, id_column='image', grade_column='level')
    require_grades(grades, paths, table)
    return [GradedPhotograph(path, _patient(path), grades[path.stem]) for path in paths]


def _read_usage(table: pathlib.Path) -> dict[str, str]:
  """Photograph id -> split."""
  splits = {}
  for where, (photograph, usage) in read_rows(table, ('image', 'Usage')):
    if usage not in SPLIT_OF:
      raise ValueError(f'{where} ({photograph}): Usage is {usage!r}; it is one of {", ".join(SPLIT_OF)}')
    splits[photograph] = SPLIT_OF[usage]
  return splits


def _patient(path: pathlib.Path) -> str:
  patient, _, eye = path.stem.rpartition('_')
  if not patient or eye not in EYES:
    raise ValueError(f'{path}: the raw dataset names its photographs <patient>_left.jpeg and <patient>_right.jpeg')
  return patient


def _report_crossing(splits: Mapping[str, Sequence[GradedPhotograph]]) -> None:
  """Warns of patients with photographs in more than one split. The split stays, for published results are of it."""
  sides = collections.defaultdict(set)
  for split, photographs in splits.items():
    for photograph in photographs:
      sides[photograph.patient].add(split)
  if crossing := sorted(patient for patient, found in sides.items() if len(found) > 1):
    logging.warning('eyepacs: %d patients have photographs in more than one split, so one eye leaks the other: %s',
                    len(crossing), ', '.join(crossing[:5]) + (', ...' if len(crossing) > 5 else ''))
