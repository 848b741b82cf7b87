"""Retinal-Lesions, the released part of the paper's data: 1,593 photographs with eight lesions and a grade."""

from __future__ import annotations

import collections
import pathlib
from typing import NamedTuple

import tensorflow_datasets as tfds
from PIL import Image

from lesion_jax.core import GRADE_KEYS, LESION_KEYS
from lesion_jax.data.builders.base import Record, Release
from lesion_jax.data.builders.layout import find_alike, list_photographs, read_grades, require_folder, require_grades
from lesion_jax.data.builders.records import MaskBuilder, make_native
from lesion_jax.data.native import Native
from lesion_jax.data.packing import read_mask
from lesion_jax.data.splits import labels_of
from lesion_jax.photograph.crop import whole
from lesion_jax.photograph.orientation import exif_orientation
from lesion_jax.photograph.read import read_photograph

MASK_NAMES = {
    'MA': 'microaneurysms',
    'iHE': 'retinal_hemorrhage',
    'HaEx': 'hard_exudate',
    'CWS': 'cotton_wool_spots',
    'vHE': 'vitreous_hemorrhage',
    'pHE': 'preretinal_hemorrhage',
    'NV': 'neovascularization',
    'FiP': 'fibrous_proliferation',
}
# 127 marks annotation that does not follow the AAO guideline: neither present nor absent, so it is not scored.
ABSENT, UNSCORED, PRESENT = 0, 127, 255


class Photograph(NamedTuple):
  """One photograph of the raw dataset, its masks by lesion key (those that exist), and its grade."""

  path: pathlib.Path
  patient: str
  masks: dict[str, pathlib.Path]
  grade: int


class RetinalLesions(MaskBuilder):
  """`source_dir` is the folder retinal-lesions-v20191227. Split by patient, 70/10/20, as there is no official split.

  Described by its authors and read by a public loader: folders, names of masks, the columns of the table, the level 127, and
  the counts. The published files were not at hand: case and spelling of endings, encoding and separator of the table are free.
  What `lesion-jax consensus` writes is of this layout.
  """

  VERSION = tfds.core.Version('1.1.0')
  READS = ('images_896x896', 'lesion_segs_896x896', 'dr_grades.csv')
  RELEASE_NOTES = {'1.1.0': 'With an index of the photographs.', '1.0.0': 'First version.'}
  CROPPED = False
  ANNOTATED = LESION_KEYS
  PUBLISHED = {
      'photographs': 1593, 'patients': 1505,
      'DR0': 166, 'DR1': 337, 'DR2': 929, 'DR3': 99, 'DR4': 62,
      'MA masks': 1435, 'iHE masks': 1302, 'HaEx masks': 807, 'CWS masks': 471, 'vHE masks': 13, 'pHE masks': 19,
      'NV masks': 68, 'FiP masks': 28,
  }
  DESCRIPTION = (
      'The released part of the data of Wei et al.: photographs from EyePACS (Kaggle), cropped to 896x896 pixels by '
      'the authors, with the masks of eight lesions and a grade. The grey level 127 of the masks is excluded from loss '
      'and metrics; the grade is the one of the authors, not of Kaggle. All of it belonged to the test set of the '
      'authors, and there is no official split: this one is by patient, 70/10/20.')
  CITATION = """
@inproceedings{wei2020retinal,
  title={Learn to Segment Retinal Lesions and Beyond},
  author={Wei, Qijie and Li, Xirong and Yu, Weihong and Zhang, Xiao and Zhang, Yongpeng and Hu, Bojie and
          Mo, Bin and Gong, Di and Chen, Ning and Ding, Dayong and Chen, Youxin},
  booktitle={International Conference on Pattern Recognition (ICPR)},
  year={2020}
}"""
  HOMEPAGE = 'https://github.com/WeiQijie/retinal-lesions'
  LICENCE = 'On request from the authors, for research'

  def release(self) -> Release:
    """Lists photographs in images_896x896, masks in lesion_segs_896x896/<id>, grades in dr_grades.csv ('our label')."""
    root = self.builder_config.source_dir
    paths = list_photographs(root / 'images_896x896', '*.jpg')
    masks_root = require_folder(root / 'lesion_segs_896x896')
    table = root / 'dr_grades.csv'
    grades = read_grades(table, id_column='image id', grade_column='our label')
    require_grades(grades, paths, table)
    photographs = [
        Photograph(path, _patient(path), _find_masks(masks_root / path.stem), grades[path.stem]) for path in paths
    ]
    patients = [photograph.patient for photograph in photographs]
    labels = [labels_of(photograph.masks, photograph.grade) for photograph in photographs]
    splits = self.builder_config.dealing.deal(photographs, patients, labels)
    return Release(splits, dict(_count(photographs)))

  def read_native(self, item: Photograph) -> Native:
    """Reads photograph and masks."""
    image = read_photograph(item.path)
    shape = image.shape[:2]
    levels = {
        key: read_mask(path, shape=shape, levels=(ABSENT, UNSCORED, PRESENT)) for key, path in item.masks.items()
    }
    try:
      crop = whole(*shape)
    except ValueError as error:
      raise ValueError(f'{item.path}: {error}') from error
    present, unscored = (
        {key: mask == level for key, mask in levels.items()} for level in (PRESENT, UNSCORED))
    return make_native(image, crop, present=present, unscored=unscored, id=item.path.stem, patient=item.patient,
                       grade=item.grade)

  def read(self, item: Photograph) -> Record:
    """Keeps the JPEG's own bytes where the photograph has the size that is asked for."""
    found, size = super().read(item), self.builder_config.size
    with Image.open(item.path) as image:
      kept = image.size == (size, size) and _is_plain(item.path)
    return found._replace(image=item.path.read_bytes()) if kept else found


def _patient(path: pathlib.Path) -> str:
  """Splitting by patient stands on this name, so another form of it is an error."""
  patient, _, side = path.stem.rpartition('_')
  if not patient or side not in ('left', 'right'):
    raise ValueError(f'{path}: the raw dataset names its photographs <patient>_left.jpg and <patient>_right.jpg')
  return patient


def _find_masks(folder: pathlib.Path) -> dict[str, pathlib.Path]:
  """A missing file, or a missing folder, means that the lesion is absent."""
  paths = {key: find_alike(folder / f'{name}.png') for key, name in MASK_NAMES.items()}
  return {key: path for key, path in paths.items() if path.exists()}


def _count(photographs: list[Photograph]) -> collections.Counter[str]:
  counts = collections.Counter(photographs=len(photographs))
  counts['patients'] = len({photograph.patient for photograph in photographs})
  for photograph in photographs:
    counts[GRADE_KEYS[photograph.grade]] += 1
    counts.update(f'{key} masks' for key in photograph.masks)
  return counts


def _is_plain(path: pathlib.Path) -> bool:
  """Whether every decoder makes the same upright RGB picture of the file."""
  with Image.open(path) as image:
    return image.mode == 'RGB' and exif_orientation(image) in (None, 1)
