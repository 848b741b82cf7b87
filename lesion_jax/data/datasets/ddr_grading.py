"""DDR, the grading part: 13,673 photographs, of which 12,522 have a grade. No lesion is annotated."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import tensorflow_datasets as tfds

from lesion_jax.data.builders.base import Release
from lesion_jax.data.builders.layout import collect_grades, list_photographs
from lesion_jax.data.builders.left_out import UNGRADABLE
from lesion_jax.data.builders.records import GradedPhotograph, GradingBuilder
from lesion_jax.data.datasets.ddr import CITATION, FOLDERS, HOMEPAGE, LICENCE

ROOT = 'DR_grading'
NO_GRADE = '5'  # the sixth class of the raw dataset


class DdrGrading(GradingBuilder):
  """`source_dir` is the folder that holds DR_grading ('DDR-dataset' as unpacked). The split is the official one.

  Verified in several loaders of the raw dataset: the lists `DR_grading/{train,valid,test}.txt` of lines 'name.jpg label'
  without a header, the folders of photographs of the same names beside them, and that label 5 means ungradable. The
  counts are those of the lists and of the paper; they were not counted again. 13,673 photographs are of 9,598 patients,
  whom the raw dataset does not name (the published files were not at hand; case of endings is free): each photograph counts as its own, so that both eyes of a patient may be in
  different official sets.
  """

  VERSION = tfds.core.Version('1.1.0')
  READS = (ROOT,)
  RELEASE_NOTES = {'1.1.0': 'With an index of the photographs.', '1.0.0': 'First version.'}
  DEALT = ()
  PUBLISHED = {
      'train photographs': 6835, 'validation photographs': 2733, 'test photographs': 4105, UNGRADABLE: 1151,
  }
  DESCRIPTION = (
      'The grading part of DDR: photographs from 147 hospitals in 23 provinces of China with a grade 0..4, here '
      'cropped to the square field of view. Those that the raw dataset calls ungradable are skipped. The split is the '
      'official one.')
  CITATION = CITATION
  HOMEPAGE = HOMEPAGE
  LICENCE = LICENCE

  def release(self) -> Release:
    """Lists photographs in DR_grading/<set>, their grades in DR_grading/<set>.txt."""
    splits, counts = {}, {UNGRADABLE: 0}
    for split, official_set in FOLDERS.items():
      splits[split], ungradable = self._list(official_set)
      counts[f'{split} photographs'] = len(splits[split]) + ungradable
      counts[UNGRADABLE] += ungradable
    return Release(splits, counts)

  def _list(self, official_set: str) -> tuple[list[GradedPhotograph], int]:
    """The photographs that have a grade, and how many have none."""
    root = self.builder_config.source_dir / ROOT
    paths = list_photographs(root / official_set, '*.jpg')
    table = root / f'{official_set}.txt'
    labels = list(_read_lines(table))
    labels = [(where, name.lower(), label) for where, name, label in labels]  # files may have endings of another case
    grades = collect_grades(row for row in labels if row[2] != NO_GRADE)
    without = {name for _, name, label in labels if label == NO_GRADE}
    if missing := [path.name for path in paths if path.name.lower() not in grades | dict.fromkeys(without)]:
      raise ValueError(f'{table} has no line for {len(missing)} photographs: {", ".join(missing[:5])}')
    graded = [GradedPhotograph(path, path.stem, grades[path.name.lower()]) for path in paths
              if path.name.lower() not in without]
    return graded, len(paths) - len(graded)


def _read_lines(path: pathlib.Path) -> Iterator[tuple[str, str, str]]:
  """(where, name of the photograph, label) of each line."""
  if not path.is_file():
    raise FileNotFoundError(f'no list {path}; source_dir must be the folder that holds {ROOT}')
  for number, line in enumerate(path.read_text('utf-8-sig').splitlines(), start=1):
    if not line.strip():
      continue
    words = line.rsplit(maxsplit=1)
    if len(words) != 2:
      raise ValueError(f"{path}, line {number}: {line!r} is not of the form 'name.jpg label'")
    yield f'{path}, line {number}', words[0].strip(), words[1]
