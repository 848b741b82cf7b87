"""TJDR: 561 photographs with one map of four lesions each. It does not say their grades."""

from __future__ import annotations

import pathlib
from typing import NamedTuple

import tensorflow_datasets as tfds
from absl import logging

from lesion_jax.data.builders.base import Release
from lesion_jax.data.builders.layout import find_alike, find_copies, list_photographs, require_folder, require_masks
from lesion_jax.data.builders.records import MaskBuilder, make_native, read_square
from lesion_jax.data.native import Native
from lesion_jax.data.packing import read_mask

# Lesion key -> its value in the map; 0 is the background. Not the order of other raw datasets.
VALUES = {'MA': 3, 'iHE': 2, 'HaEx': 1, 'CWS': 4}


class Photograph(NamedTuple):
  """One photograph of the raw dataset, the first one with the same content, and its map."""

  path: pathlib.Path
  original: pathlib.Path
  annotation: pathlib.Path


class Tjdr(MaskBuilder):
  """`source_dir` is the folder that holds 'train' and 'test'. Validation is carved from the official training set.

  The raw dataset names no patients, so that is by photograph. By a public audit, six photographs occur twice, byte for
  byte, with different maps, and two of these pairs cross the official split. They are looked for: a photograph of the
  training set that is a copy of a test photograph is excluded, and copies within the training set are dealt to one
  side. Folders, endings and the numbers of the maps are as its authors' repository describes them and a public loader reads
  them; the published files were not at hand, so case and spelling of endings are free.
  """

  VERSION = tfds.core.Version('1.1.0')
  READS = ('train', 'test')
  RELEASE_NOTES = {'1.1.0': 'With an index of the photographs.', '1.0.0': 'First version.'}
  DEALT = ('train', 'validation')
  SPLIT = 'hash'
  CROPPED = False
  ANNOTATED = tuple(VALUES)
  GRADED = False
  PUBLISHED = {'training photographs': 448, 'test photographs': 113}
  DESCRIPTION = (
      'TJDR: 561 square photographs of 2048x2048 and, in a wider field, 3912x3912 pixels, with a map of '
      'microaneurysms, hemorrhages, hard and soft exudates; no pixel has two. The other four lesions are unknown, not '
      'absent, and so are the grades. The test set is the official one; photographs of the training set that are '
      'copies of test photographs are excluded.')
  CITATION = """
@article{mao2023tjdr,
  title={TJDR: A High-Quality Diabetic Retinopathy Pixel-Level Annotation Dataset},
  author={Mao, Jingxin and Ma, Xiaoyu and Bi, Yanlong and Zhang, Rongqing},
  journal={arXiv preprint arXiv:2312.15389},
  year={2023}
}"""
  HOMEPAGE = 'https://github.com/NekoPii/TJDR'
  LICENCE = "Apache-2.0 (of the authors' repository; the data themselves come without a licence)"

  def release(self) -> Release:
    """Lists photographs in {train,test}/image, maps of the same names in {train,test}/annotation."""
    paths = {name: list_photographs(self.builder_config.source_dir / name / 'image', '*.png')
             for name in ('test', 'train')}
    originals = find_copies([*paths['test'], *paths['train']])
    training, test = ([_photograph(path, originals) for path in paths[name]] for name in ('train', 'test'))
    counts = {'training photographs': len(training), 'test photographs': len(test)}
    held_out = {photograph.original for photograph in test}
    kept = [photograph for photograph in training if photograph.original not in held_out]
    if leaking := [photograph.path.name for photograph in training if photograph.original in held_out]:
      logging.warning('%s: %d photographs of the training set are copies of test photographs and are excluded: %s',
                      self.name, len(leaking), ', '.join(leaking))
    patients = [photograph.original.stem for photograph in kept]
    return Release(self.builder_config.dealing.carve(kept, patients, test=test), counts)

  def read_native(self, item: Photograph) -> Native:
    """Reads the photograph, and the masks into which the map is taken apart."""
    image, crop = read_square(item.path)
    labels = read_mask(item.annotation, shape=image.shape[:2], levels=(0, *VALUES.values()))
    masks = {key: labels == value for key, value in VALUES.items()}
    return make_native(
        image, crop, present=masks, id=item.path.stem, patient=item.original.stem)


def _photograph(path: pathlib.Path, originals: dict[pathlib.Path, pathlib.Path]) -> Photograph:
  annotation = find_alike(require_folder(path.parents[1] / 'annotation') / path.name)
  require_masks({'all four lesions': annotation})
  return Photograph(path, originals[path], annotation)
