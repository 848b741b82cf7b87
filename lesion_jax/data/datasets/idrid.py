"""IDRiD, part A: 81 photographs with the masks of four lesions. It does not say their grades."""

from __future__ import annotations

import collections
import pathlib

import tensorflow_datasets as tfds

from lesion_jax.data.builders.base import Release
from lesion_jax.data.builders.layout import find_alike, list_photographs, require_folder
from lesion_jax.data.builders.records import MaskBuilder, MaskedPhotograph, make_native
from lesion_jax.data.native import Native
from lesion_jax.data.packing import read_mask
from lesion_jax.data.splits import labels_of
from lesion_jax.photograph.crop import read_field

# What the segmentation and the grading part of IDRiD share.
TRAINING, TEST = 'a. Training Set', 'b. Testing Set'
HOMEPAGE = 'https://ieee-dataport.org/open-access/indian-diabetic-retinopathy-image-dataset-idrid'
LICENCE = 'CC BY 4.0'
CITATION = """
@article{porwal2018idrid,
  title={Indian Diabetic Retinopathy Image Dataset (IDRiD): A Database for Diabetic Retinopathy Screening Research},
  author={Porwal, Prasanna and Pachade, Samiksha and Kamble, Ravi and Kokare, Manesh and Deshmukh, Girish and
          Sahasrabuddhe, Vivek and Meriaudeau, Fabrice},
  journal={Data},
  volume={3},
  number={3},
  pages={25},
  year={2018}
}"""

PHOTOGRAPHS = pathlib.Path('A. Segmentation', '1. Original Images')
MASKS = pathlib.Path('A. Segmentation', '2. All Segmentation Groundtruths')
# Lesion key -> (folder, suffix of the files). The optic disc is the raw dataset's fifth and no lesion.
MASK_NAMES = {
    'MA': ('1. Microaneurysms', 'MA'),
    'iHE': ('2. Haemorrhages', 'HE'),
    'HaEx': ('3. Hard Exudates', 'EX'),
    'CWS': ('4. Soft Exudates', 'SE'),
}
# Palette and bilevel files mark a lesion with 1; one colour file of the raw dataset marks it with 255.
LEVELS = (0, 1, 255)


class Idrid(MaskBuilder):
  """`source_dir` is the folder that holds 'A. Segmentation'. Validation is carved from the official training set.

  Seen in the published files: all of it, names, folders, sizes, palettes, counts and splits.
  """

  VERSION = tfds.core.Version('1.1.0')
  READS = ('A. Segmentation',)
  RELEASE_NOTES = {'1.1.0': 'With an index of the photographs.', '1.0.0': 'First version.'}
  DEALT = ('train', 'validation')
  SPLIT = 'hash'
  CROPPED = True
  ANNOTATED = tuple(MASK_NAMES)
  GRADED = False
  PUBLISHED = {
      'training photographs': 54, 'test photographs': 27,
      'MA masks': 81, 'iHE masks': 80, 'HaEx masks': 81, 'CWS masks': 40,
  }
  DESCRIPTION = (
      'The segmentation part of the Indian Diabetic Retinopathy Image Dataset: 81 photographs of 4288x2848 pixels with '
      'masks of microaneurysms, hemorrhages, hard and soft exudates, here cropped to the square field of view. The '
      'other four lesions are unknown, not absent, and so are the grades. The test set is the official one. The '
      'raw dataset does not say which photographs of its grading part these are: a network trained on the one part may '
      'have seen the test photographs of the other.')
  CITATION = CITATION
  HOMEPAGE = HOMEPAGE
  LICENCE = LICENCE

  def release(self) -> Release:
    """Lists photographs in '1. Original Images', masks in '2. All Segmentation Groundtruths', each with two sets."""
    training, test = (self._list(folder) for folder in (TRAINING, TEST))
    counts = collections.Counter({'training photographs': len(training), 'test photographs': len(test)})
    counts.update(f'{key} masks' for photograph in training + test for key in photograph.masks)
    patients = [photograph.path.stem for photograph in training]
    labels = [labels_of(photograph.masks) for photograph in training]
    return Release(self.builder_config.dealing.carve(training, patients, labels, test=test), dict(counts))

  def read_native(self, item: MaskedPhotograph) -> Native:
    """Reads photograph and masks."""
    image, crop = read_field(item.path)
    shape = image.shape[:2]
    masks = {key: read_mask(path, shape=shape, levels=LEVELS) > 0 for key, path in item.masks.items()}
    # No patient is named, so every photograph counts as its own.
    return make_native(image, crop, present=masks, id=item.path.stem, patient=item.path.stem)

  def _list(self, official_set: str) -> list[MaskedPhotograph]:
    root = self.builder_config.source_dir
    folders = {key: require_folder(root / MASKS / official_set / name) for key, (name, _) in MASK_NAMES.items()}
    photographs = []
    for path in list_photographs(root / PHOTOGRAPHS / official_set, 'IDRiD_*.jpg'):
      masks = {key: find_alike(folder / f'{path.stem}_{MASK_NAMES[key][1]}.tif') for key, folder in folders.items()}
      masks = {key: mask for key, mask in masks.items() if mask.exists()}  # a missing file: the lesion is absent
      if not masks:
        raise FileNotFoundError(
            f'{path} has none of its masks, for instance {folders["MA"] / path.stem}_MA.tif; was the raw dataset unpacked '
            'whole?')
      photographs.append(MaskedPhotograph(path, masks))
    return photographs
