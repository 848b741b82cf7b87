"""Messidor-2: 1,748 photographs, of which 1,744 have an adjudicated grade. No lesion is annotated."""

from __future__ import annotations

import pathlib

import tensorflow_datasets as tfds

from lesion_jax.data.builders.base import Release
from lesion_jax.data.builders.layout import collect_grades, list_photographs, read_rows
from lesion_jax.data.builders.left_out import UNGRADABLE
from lesion_jax.data.builders.records import GradedPhotograph, GradingBuilder
from lesion_jax.data.splits import labels_of

PHOTOGRAPHS, GRADES, PAIRS = 'IMAGES', 'messidor_data.csv', 'messidor-2.csv'
EXTENSIONS = ('.png', '.jpg')  # in either case
COLUMNS = ('image_id', 'adjudicated_dr_grade', 'adjudicated_gradable')


class Messidor2(GradingBuilder):
  """`source_dir` holds IMAGES/, messidor_data.csv and, where it is at hand, messidor-2.csv. Split by patient, 70/10/20.

  Photographs and grades come from two places: ADCIS gives IMAGES/ and messidor-2.csv, whose rows `left;right` name the
  two photographs of an examination; messidor_data.csv is Google's (Krause et al., 2018), on Kaggle. Verified in
  several loaders: those names, the columns of both tables, and that the case of extensions differs between table and
  files (IM004832.jpg and IM004832.JPG); an ungradable photograph has no grade. With messidor-2.csv both eyes of an
  examination stay together; without it each photograph counts as its own patient, and the warning of differing counts
  says that there were no pairs.
  The numbers are of loaders and audits, not counted again; the published files were not at hand. Encoding and separator of the
  tables are free.
  """

  VERSION = tfds.core.Version('1.1.0')
  READS = (PHOTOGRAPHS, GRADES, PAIRS)
  RELEASE_NOTES = {'1.1.0': 'With an index of the photographs.', '1.0.0': 'First version.'}
  PUBLISHED = {'photographs': 1748, UNGRADABLE: 4, 'pairs of eyes': 874}
  DESCRIPTION = (
      'Messidor-2: examinations of diabetic patients in French hospitals, one photograph of each eye, with a grade '
      '0..4 adjudicated by three retina specialists (Krause et al.), here cropped to the square field of view. '
      'Ungradable photographs are skipped. There is no official split: this one is by examination where the list of '
      'pairs, messidor-2.csv, is at hand, and otherwise by photograph. The data set is mostly used whole, as a test set of '
      'networks that learned elsewhere.')
  CITATION = """
@article{decenciere2014feedback,
  title={Feedback on a Publicly Distributed Image Database: The Messidor Database},
  author={Decenci{\\`e}re, Etienne and Zhang, Xiwei and Cazuguel, Guy and Lay, Bruno and Cochener, B{\\'e}atrice and
          Trone, Caroline and Gain, Philippe and Ord{\\'o}{\\~n}ez-Varela, John-Richard and Massin, Pascale and
          Erginay, Ali and Charton, B{\\'e}atrice and Klein, Jean-Claude},
  journal={Image Analysis \\& Stereology},
  volume={33},
  number={3},
  pages={231--234},
  year={2014}
}
@article{krause2018grader,
  title={Grader Variability and the Importance of Reference Standards for Evaluating Machine Learning Models for
         Diabetic Retinopathy},
  author={Krause, Jonathan and Gulshan, Varun and Rahimy, Ehsan and Karth, Peter and Widner, Kasumi and
          Corrado, Greg S. and Peng, Lily and Webster, Dale R.},
  journal={Ophthalmology},
  volume={125},
  number={8},
  pages={1264--1272},
  year={2018}
}"""
  HOMEPAGE = 'https://www.adcis.net/en/third-party/messidor2/'
  LICENCE = 'For research and education, as ADCIS states it with the raw dataset'

  def release(self) -> Release:
    """Lists photographs in IMAGES/, their grades in messidor_data.csv, pairs of eyes in messidor-2.csv."""
    root = self.builder_config.source_dir
    paths = [path for path in list_photographs(root / PHOTOGRAPHS, '*') if path.suffix.lower() in EXTENSIONS]
    _require_distinct(paths)
    grades, without = _read_grades(root / GRADES)
    if missing := [path.name for path in paths if path.name.lower() not in grades.keys() | without]:
      raise ValueError(f'{root / GRADES} has no row for {len(missing)} photographs: {", ".join(missing[:5])}')
    patients = _read_pairs(root / PAIRS) if (root / PAIRS).is_file() else {}
    photographs = [GradedPhotograph(path, patients.get(path.name.lower(), path.stem), grades[path.name.lower()])
                   for path in paths if path.name.lower() not in without]
    counts = {'photographs': len(paths), UNGRADABLE: len(paths) - len(photographs),
              'pairs of eyes': len(set(patients.values()))}
    patients = [photograph.patient for photograph in photographs]
    labels = [labels_of(grade=photograph.grade) for photograph in photographs]
    return Release(self.builder_config.dealing.deal(photographs, patients, labels), counts)


def _require_distinct(paths: list[pathlib.Path]) -> None:
  """Raises ValueError where names differ in nothing but case, so that a row of the table could mean either."""
  seen: dict[str, pathlib.Path] = {}
  for path in paths:
    if (other := seen.setdefault(path.name.lower(), path)) is not path:
      raise ValueError(f'{other} and {path.name} differ in nothing but case; remove the one that is not of the raw dataset')


def _read_grades(table: pathlib.Path) -> tuple[dict[str, int], set[str]]:
  """Grades by name in lower case, and the names without one."""
  rows, without = [], set()
  for where, (name, grade, gradable) in read_rows(table, COLUMNS):
    if gradable not in ('0', '1'):
      raise ValueError(f'{where} ({name}): {COLUMNS[2]} is {gradable!r}; it is 0 or 1')
    if gradable == '1':
      rows.append((where, name.lower(), grade))
    else:
      without.add(name.lower())
  return collect_grades(rows, grade_column=COLUMNS[1]), without


def _read_pairs(table: pathlib.Path) -> dict[str, str]:
  """The patient of each photograph by its name in lower case: the stem of the left one of the pair."""
  patients: dict[str, str] = {}
  for where, pair in read_rows(table, ('left', 'right'), delimiter=';'):
    names = [name for name in pair if name]
    for name in names:
      if name.lower() in patients:
        raise ValueError(f'{where}: {name} is in another pair already')
      patients[name.lower()] = pathlib.Path(names[0]).stem
  return patients
