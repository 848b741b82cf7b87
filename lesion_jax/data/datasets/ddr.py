"""DDR's segmentation part: 757 photographs with the masks of four lesions. It does not say their grades."""

from __future__ import annotations

import tensorflow_datasets as tfds

from lesion_jax.data.builders.base import Release
from lesion_jax.data.builders.layout import find_alike, list_photographs, require_folder, require_masks
from lesion_jax.data.builders.records import MaskBuilder, MaskedPhotograph, make_native
from lesion_jax.data.native import Native
from lesion_jax.data.packing import read_mask
from lesion_jax.photograph.crop import read_field

# What the segmentation and the grading part of DDR share.
# Split of this library -> folder of the raw dataset.
FOLDERS = {'train': 'train', 'validation': 'valid', 'test': 'test'}
HOMEPAGE = 'https://github.com/nkicsl/DDR-dataset'
LICENCE = 'CC BY-NC-SA 4.0'
CITATION = """
@article{li2019ddr,
  title={Diagnostic Assessment of Deep Learning Algorithms for Diabetic Retinopathy Screening},
  author={Li, Tao and Gao, Yingqi and Wang, Kai and Guo, Song and Liu, Hanruo and Kang, Hong},
  journal={Information Sciences},
  volume={501},
  pages={511--522},
  year={2019}
}"""

ROOT = 'lesion_segmentation'
MASKS = {'train': 'label', 'valid': 'segmentation label', 'test': 'label'}  # the raw dataset names it so
MASK_NAMES = {'MA': 'MA', 'iHE': 'HE', 'HaEx': 'EX', 'CWS': 'SE'}
ABSENT, PRESENT = 0, 255


class Ddr(MaskBuilder):
  """`source_dir` is the folder that holds 'lesion_segmentation'. All three splits are the official ones.

  Seen in public loaders: the folders, their other name in the validation set, the endings, and 0 and 255 in the masks. The
  true raw dataset was not at hand: case and spelling of endings are therefore free.
  """

  VERSION = tfds.core.Version('1.1.0')
  READS = (ROOT,)
  RELEASE_NOTES = {'1.1.0': 'With an index of the photographs.', '1.0.0': 'First version.'}
  DEALT = ()
  CROPPED = True
  ANNOTATED = tuple(MASK_NAMES)
  GRADED = False
  PUBLISHED = {'train photographs': 383, 'validation photographs': 149, 'test photographs': 225}
  DESCRIPTION = (
      'The segmentation part of DDR: 757 photographs with masks of microaneurysms, hemorrhages, hard and soft '
      'exudates, here cropped to the square field of view. Every photograph has all four masks, so a missing file is '
      'an error and an absent lesion is an empty mask; the folder of the masks has another name in the validation '
      'set. The other four lesions are unknown, not absent, and so are the grades. The three splits are the official '
      'ones; the raw dataset names no patients.')
  CITATION = CITATION
  HOMEPAGE = HOMEPAGE
  LICENCE = LICENCE

  def release(self) -> Release:
    """Lists photographs in lesion_segmentation/{train,valid,test}/image, masks beside them in a folder for each
    lesion."""
    splits = {split: self._list(folder) for split, folder in FOLDERS.items()}
    return Release(splits, {f'{split} photographs': len(photographs) for split, photographs in splits.items()})

  def read_native(self, item: MaskedPhotograph) -> Native:
    """Reads photograph and masks."""
    image, crop = read_field(item.path)
    masks = {
        key: read_mask(path, shape=image.shape[:2], levels=(ABSENT, PRESENT)) == PRESENT
        for key, path in item.masks.items()
    }
    # No patient is named, so every photograph counts as its own.
    return make_native(image, crop, present=masks, id=item.path.stem, patient=item.path.stem)

  def _list(self, folder: str) -> list[MaskedPhotograph]:
    root = self.builder_config.source_dir / ROOT / folder
    masks_root = require_folder(root / MASKS[folder])
    photographs = []
    for path in list_photographs(root / 'image', '*.jpg'):
      masks = {key: find_alike(masks_root / name / f'{path.stem}.tif') for key, name in MASK_NAMES.items()}
      require_masks(masks)
      photographs.append(MaskedPhotograph(path, masks))
    return photographs
