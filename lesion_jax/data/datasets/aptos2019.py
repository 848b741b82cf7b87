"""APTOS 2019: 3,662 photographs with a grade. No lesion is annotated."""

from __future__ import annotations

import tensorflow_datasets as tfds

from lesion_jax.core import GRADE_KEYS
from lesion_jax.data.builders.base import Release
from lesion_jax.data.builders.layout import find_copies, list_photographs, read_grades, require_grades
from lesion_jax.data.builders.records import GradedPhotograph, GradingBuilder
from lesion_jax.data.splits import labels_of

TABLE, PHOTOGRAPHS = 'train.csv', 'train_images'


class Aptos2019(GradingBuilder):
  """`source_dir` holds train.csv and train_images/. The split is ours, 70/10/20, as the test set has no public grades.

  Verified in several loaders of the raw dataset: the columns `id_code,diagnosis` and the files `<id_code>.png`. No patient
  is named, so every photograph counts as its own; but files that are copies of one another, byte by byte, count as of
  one patient and stay in one split (our choice; how many the raw dataset holds was not counted). The true raw dataset was
  not at hand: case of endings, encoding and separator of the table are free.
  """

  VERSION = tfds.core.Version('1.1.0')
  READS = (TABLE, PHOTOGRAPHS)
  RELEASE_NOTES = {'1.1.0': 'With an index of the photographs.', '1.0.0': 'First version.'}
  PUBLISHED = {'photographs': 3662, 'DR0': 1805, 'DR1': 370, 'DR2': 999, 'DR3': 193, 'DR4': 295}
  DESCRIPTION = (
      'Photographs of the Aravind Eye Hospital, India, released by the Asia Pacific Tele-Ophthalmology Society and '
      "Kaggle for the challenge Blindness Detection of 2019, with a grade 0..4, here cropped to the square field of "
      "view. It is the challenge's training set; the grades of its test set are not public. The split is ours, by "
      'photograph, as no patient is named; copies of one photograph stay together.')
  CITATION = """
@misc{aptos2019-blindness-detection,
  title={APTOS 2019 Blindness Detection},
  author={{Karthik} and {Maggie} and Dane, Sohier},
  publisher={Kaggle},
  year={2019},
  url={https://kaggle.com/competitions/aptos2019-blindness-detection}
}"""
  HOMEPAGE = 'https://www.kaggle.com/c/aptos2019-blindness-detection'
  LICENCE = "As Kaggle's rules of the competition state it"

  def release(self) -> Release:
    """Lists photographs in train_images/, their grades in train.csv."""
    root = self.builder_config.source_dir
    paths = list_photographs(root / PHOTOGRAPHS, '*.png')
    grades = read_grades(root / TABLE, id_column='id_code', grade_column='diagnosis')
    require_grades(grades, paths, root / TABLE)
    first = find_copies(paths)
    photographs = [GradedPhotograph(path, first[path].stem, grades[path.stem]) for path in paths]
    counts = {'photographs': len(photographs)}
    for grade, key in enumerate(GRADE_KEYS):
      counts[key] = sum(photograph.grade == grade for photograph in photographs)
    patients = [photograph.patient for photograph in photographs]
    labels = [labels_of(grade=photograph.grade) for photograph in photographs]
    return Release(self.builder_config.dealing.deal(photographs, patients, labels), counts)
