"""FGADR, the part with masks: 1,842 photographs with four lesions, some with neovascularization, and a grade."""

from __future__ import annotations

import collections
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import tensorflow_datasets as tfds

from lesion_jax.annotation.table import read_table
from lesion_jax.core import GRADE_KEYS
from lesion_jax.data.builders.base import Release
from lesion_jax.data.builders.layout import (
    collect_grades, find_alike, list_photographs, require_folder, require_grades, require_masks)
from lesion_jax.data.builders.records import MaskBuilder, make_native, read_square
from lesion_jax.data.native import Native
from lesion_jax.data.packing import read_soft_mask
from lesion_jax.data.splits import labels_of

ROOT = 'Seg-set'
# Masks of every photograph. The misspelling is the raw dataset's.
MASK_NAMES = {
    'MA': 'Microaneurysms_Masks',
    'iHE': 'Hemohedge_Masks',
    'HaEx': 'HardExudate_Masks',
    'CWS': 'SoftExudate_Masks',
}
SOME = {'NV': 'Neovascularization_Masks'}  # of few photographs; of the others the raw dataset does not say
POSITIVE = 128  # The masks are anti-aliased; half of a pixel is the lesion's.


class Photograph(NamedTuple):
  """One photograph of the raw dataset, its masks by lesion key (those that exist), and its grade."""

  path: pathlib.Path
  masks: dict[str, pathlib.Path]
  grade: int


class Fgadr(MaskBuilder):
  """`source_dir` is the folder that holds 'Seg-set'. Split 70/10/20 with our seed, as there is no official split.

  The raw dataset names no patients, so the split is by photograph. Seen in a public loader: folders, their misspelt name, the
  table without a header, anti-aliased masks, and the counts, which were not counted again. The published files were not at hand:
  case and spelling of endings, encoding and separator of the table are free.
  """

  VERSION = tfds.core.Version('1.1.0')
  READS = (ROOT,)
  RELEASE_NOTES = {'1.1.0': 'With an index of the photographs.', '1.0.0': 'First version.'}
  CROPPED = False
  ANNOTATED = (*MASK_NAMES, *SOME)
  PUBLISHED = {'photographs': 1842, 'DR0': 101, 'DR1': 212, 'DR2': 595, 'DR3': 647, 'DR4': 287, 'NV masks': 49}
  DESCRIPTION = (
      'The segmentation part of FGADR: 1,842 square photographs of 1280x1280 pixels with a grade and masks of '
      'microaneurysms, hemorrhages, hard and soft exudates. The edges of the masks are anti-aliased: a pixel is the '
      "lesion's from 128 of 255. Neovascularization is annotated only in the photographs that have a mask of it, and "
      'the masks of intraretinal microvascular abnormalities are of no lesion of this library. There is no official '
      'split: this one is by photograph, 70/10/20.')
  CITATION = """
@article{zhou2021fgadr,
  title={A Benchmark for Studying Diabetic Retinopathy: Segmentation, Grading, and Transferability},
  author={Zhou, Yi and Wang, Boyang and Huang, Lei and Cui, Shanshan and Shao, Ling},
  journal={IEEE Transactions on Medical Imaging},
  year={2021}
}"""
  HOMEPAGE = 'https://csyizhou.github.io/FGADR/'
  LICENCE = 'On request from the authors, for non-commercial research'

  def release(self) -> Release:
    """Lists photographs in Original_Images, a folder of masks for each lesion, grades in DR_Seg_Grading_Label.csv."""
    root = self.builder_config.source_dir / ROOT
    paths = list_photographs(root / 'Original_Images', '*.png')
    folders = {key: require_folder(root / name) for key, name in (MASK_NAMES | SOME).items()}
    table = root / 'DR_Seg_Grading_Label.csv'
    grades = collect_grades(_read_rows(table))
    require_grades(grades, paths, table)
    photographs = []
    for path in paths:
      masks = {key: find_alike(folder / path.name) for key, folder in folders.items() if key in MASK_NAMES}
      require_masks(masks)
      some = {key: find_alike(folders[key] / path.name) for key in SOME}
      masks |= {key: mask for key, mask in some.items() if mask.is_file()}
      photographs.append(Photograph(path, masks, grades[path.stem]))
    counts = collections.Counter(photographs=len(photographs))
    for photograph in photographs:
      counts[GRADE_KEYS[photograph.grade]] += 1
      counts.update(f'{key} masks' for key in SOME if key in photograph.masks)
    patients = [photograph.path.stem for photograph in photographs]
    labels = [labels_of(photograph.masks.keys() & SOME.keys(), photograph.grade) for photograph in photographs]
    return Release(self.builder_config.dealing.deal(photographs, patients, labels), dict(counts))

  def read_native(self, item: Photograph) -> Native:
    """Reads photograph and masks; annotated are the lesions that have a mask."""
    image, crop = read_square(item.path)
    masks = {key: read_soft_mask(path, shape=image.shape[:2]) >= POSITIVE for key, path in item.masks.items()}
    return make_native(
        image, crop, present=masks, id=item.path.stem, patient=item.path.stem,
        grade=item.grade, annotated=tuple(item.masks))


def _read_rows(table: pathlib.Path) -> Iterator[tuple[str, str, str]]:
  """(where, photograph, grade) of each row of a table that has no header and names files."""
  if not table.is_file():
    raise FileNotFoundError(f'no table {table}; source_dir must be the folder that holds {ROOT}')
  for number, cells in read_table(table, header=False).rows:
    if len(cells) < 2:
      raise ValueError(f'{table}, row {number}: {cells[0]!r} is not a name and a grade')
    yield f'{table}, row {number}', pathlib.PurePath(cells[0]).stem, cells[1]
