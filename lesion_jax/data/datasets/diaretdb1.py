"""DIARETDB1 v2.1: 89 photographs in which four experts marked four lesions. It does not say their grades."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from lesion_jax.annotation.diaretdb1 import LESION_OF, Marking, read_markings
from lesion_jax.annotation.raster import stamp
from lesion_jax.core import LESION_KEYS
from lesion_jax.data.builders.base import Release
from lesion_jax.data.builders.layout import find_alike
from lesion_jax.data.builders.records import MaskBuilder, make_native
from lesion_jax.data.native import Native
from lesion_jax.photograph.crop import read_field

LISTS = {'train': 'ddb1_v02_01_train_plain.txt', 'test': 'ddb1_v02_01_test_plain.txt'}
EXPERTS = 4
CONSENSUS = 0.75  # of the mean confidence of the experts, where one who did not mark a pixel counts 0


class Photograph(NamedTuple):
  """One photograph of the raw dataset and what each expert marked in it, a file an expert."""

  path: pathlib.Path
  markings: tuple[pathlib.Path, ...]


class Diaretdb1(MaskBuilder):
  """`source_dir` is the folder ddb1_v02_01. Validation is carved from the official training set.

  Seen in the published files: each of its 712 XML files has the line `<!DOCTYPE imgannotool>`. Seen in public loaders: the two
  lists with five paths a line, the regions, confidences and types of the XML. Case of files' names in the lists, backslashes
  and line ends are free.
  """

  VERSION = tfds.core.Version('1.1.0')
  RELEASE_NOTES = {'1.1.0': 'With an index of the photographs.', '1.0.0': 'First version.'}
  DEALT = ('train', 'validation')
  SPLIT = 'hash'
  CROPPED = True
  ANNOTATED = tuple(key for key in LESION_KEYS if key in LESION_OF.values())
  GRADED = False
  PUBLISHED = {'training photographs': 28, 'test photographs': 61}
  DESCRIPTION = (
      'DIARETDB1 v2.1: 89 photographs of 1500x1152 pixels, in each of which four experts marked microaneurysms ("red '
      'small dots"), hemorrhages, hard and soft exudates by circles, ellipses and polygons, and said how sure they '
      'were. A pixel is positive where the mean confidence of the experts (high 1, medium 0.75, low 0.25, unmarked '
      '0) is at least 0.75, the published consensus; here cropped to the square field of view. Outlines are '
      'generous. The other four lesions are unknown, not absent, and so are the grades. The test set is the official '
      'one.')
  CITATION = """
@inproceedings{kauppi2007diaretdb1,
  title={The DIARETDB1 Diabetic Retinopathy Database and Evaluation Protocol},
  author={Kauppi, Tomi and Kalesnykiene, Valentina and Kamarainen, Joni-Kristian and Lensu, Lasse and Sorri, Iiris and
          Raninen, Asta and Voutilainen, Raija and Uusitalo, Hannu and K{\\"a}lvi{\\"a}inen, Heikki and
          Pietil{\\"a}, Juhani},
  booktitle={British Machine Vision Conference (BMVC)},
  year={2007}
}"""
  HOMEPAGE = 'https://www.it.lut.fi/project/imageret/diaretdb1/'
  LICENCE = 'For scientific research; not to be redistributed or modified'

  def release(self) -> Release:
    """Lists photographs and the experts' files as the two lists `*_plain.txt` have them."""
    training, test = (_read_list(self.builder_config.source_dir, name) for name in LISTS.values())
    counts = {'training photographs': len(training), 'test photographs': len(test)}
    patients = [photograph.path.stem for photograph in training]
    return Release(self.builder_config.dealing.carve(training, patients, test=test), counts)

  def read_native(self, item: Photograph) -> Native:
    """Lets the experts agree in the photograph's own pixels."""
    image, crop = read_field(item.path)
    shape = image.shape[:2]
    experts = [read_markings(path) for path in item.markings]
    masks = {key: consensus(experts, key, shape) for key in self.ANNOTATED}
    # No patient is named, so every photograph counts as its own.
    return make_native(image, crop, present=masks, id=item.path.stem, patient=item.path.stem)


def consensus(experts: Sequence[Sequence[Marking]], lesion: str, size: tuple[int, int]) -> np.ndarray:
  """Returns the published consensus on one lesion.

  Args:
    experts: the markings of each; where several of one expert overlap, the surest counts.
    lesion: its key.
    size: (height, width) of the photograph.

  Returns:
    bool [H, W], True where the mean confidence is at least CONSENSUS.
  """
  total = np.zeros(size, np.float32)  # sums of quarters are exact
  for markings in experts:
    surest = np.zeros(size, np.float32)
    for shape, confidence in markings:
      if shape.lesion == lesion:
        place, mask = stamp(shape, size)
        np.maximum(surest[place], mask * np.float32(confidence), out=surest[place])
    total += surest
  return total >= CONSENSUS * len(experts)


def _read_list(root: pathlib.Path, name: str) -> list[Photograph]:
  """One line a photograph: its path and those of the experts' files, below the raw dataset's root."""
  path = root / name
  if not path.is_file():
    raise FileNotFoundError(f'no list {path}; source_dir must be the folder ddb1_v02_01 of the raw dataset')
  photographs = []
  for number, line in enumerate(path.read_text('utf-8-sig').splitlines(), start=1):
    files = [find_alike(root / part.replace('\\', '/')) for part in line.split()]
    if not files:
      continue
    if len(files) != 1 + EXPERTS:
      raise ValueError(f'{path}, line {number}: expected a photograph and the files of {EXPERTS} experts; got '
                       f'{line.strip()!r}')
    if missing := [file for file in files if not file.is_file()]:
      raise FileNotFoundError(f'no file {missing[0]}, which {path}, line {number}, lists; was the raw dataset unpacked '
                              'whole?')
    photographs.append(Photograph(files[0], tuple(files[1:])))
  if not photographs:
    raise ValueError(f'{path} lists no photograph')
  return photographs
