"""e-ophtha: one part with hard exudates and one with microaneurysms, each with healthy photographs. No grades."""

from __future__ import annotations

import pathlib
from typing import NamedTuple

import tensorflow_datasets as tfds

from lesion_jax.data.builders.base import Release
from lesion_jax.data.builders.layout import require_folder
from lesion_jax.data.builders.records import MaskBuilder, make_native
from lesion_jax.data.native import Native
from lesion_jax.data.packing import read_mask
from lesion_jax.photograph.crop import read_field
from lesion_jax.photograph.files import is_junk


class Part(NamedTuple):
  """One part of the raw dataset: the lesion that it annotates, its folder, and how its masks end."""

  lesion: str
  folder: str
  ending: str


# Name of the part, which its folders carry -> the rest. The misspelling is the raw dataset's.
PARTS = {'EX': Part('HaEx', 'e_optha_EX', '_EX.png'), 'MA': Part('MA', 'e_optha_MA', '.png')}
SUFFIXES = ('.jpg', '.jpeg', '.png')  # in lower case; beside them lie files like Thumbs.db
LEVELS = (0, 1, 255)


class Photograph(NamedTuple):
  """One photograph of a part of the raw dataset; a healthy one has no mask."""

  path: pathlib.Path
  part: str
  mask: pathlib.Path | None

  @property
  def patient(self) -> str:
    """The folder."""
    return self.path.parent.name


class EOphtha(MaskBuilder):
  """`source_dir` is the folder that holds 'e_optha_EX' and 'e_optha_MA'. Split with our seed, as there is no official split.

  The photographs lie in folders E...; each is taken for a patient (our choice: the raw dataset does not say more). The same
  folder can occur in both parts, and the same photograph: the split is over both parts together, so that no folder is
  on two sides, 70/10/20 of the folders. A photograph of both parts is two examples, each of which annotates one
  lesion. Seen in public loaders: the folders with their misspelling, how masks are named, and files beside the photographs.
  The published files were not at hand: case of masks' names and endings of photographs are free.
  """

  VERSION = tfds.core.Version('1.1.0')
  READS = tuple(part.folder for part in PARTS.values())
  RELEASE_NOTES = {'1.1.0': 'With an index of the photographs.', '1.0.0': 'First version.'}
  CROPPED = True
  ANNOTATED = ('MA', 'HaEx')
  GRADED = False
  PUBLISHED = {
      'EX photographs': 47, 'healthy photographs of EX': 35, 'MA photographs': 148, 'healthy photographs of MA': 233,
  }
  DESCRIPTION = (
      'e-ophtha: 82 photographs in which hard exudates are annotated (35 of them healthy) and 381 in which '
      'microaneurysms are (233 healthy), here cropped to the square field of view. One lesion is annotated in each '
      'photograph and absent in the healthy ones; the other seven are unknown, not absent. There is no official split: '
      'this one is by the folders of the raw dataset, 70/10/20, over both parts together.')
  CITATION = """
@article{decenciere2013teleophta,
  title={TeleOphta: Machine learning and image processing methods for teleophthalmology},
  author={Decenci{\\`e}re, Etienne and others},
  journal={IRBM},
  volume={34},
  number={2},
  pages={196--203},
  year={2013}
}"""
  HOMEPAGE = 'https://www.adcis.net/en/third-party/e-ophtha/'
  LICENCE = 'On request from ADCIS, for research and education'

  def release(self) -> Release:
    """Lists of each part: photographs in {EX,MA} with masks in Annotation_{EX,MA}, and in 'healthy' without."""
    photographs, counts = [], {}
    for name, part in PARTS.items():
      root = self.builder_config.source_dir / part.folder
      annotation = require_folder(root / f'Annotation_{name}')
      ill = [Photograph(path, name, _find_mask(annotation / path.parent.name, path.stem + part.ending))
             for path in _list(root / name)]
      healthy = [Photograph(path, name, None) for path in _list(root / 'healthy')]
      counts |= {f'{name} photographs': len(ill), f'healthy photographs of {name}': len(healthy)}
      photographs += ill + healthy
    patients = [photograph.patient for photograph in photographs]
    labels = [{f'part {photograph.part}', *([PARTS[photograph.part].lesion] if photograph.mask else [])}
              for photograph in photographs]
    return Release(self.builder_config.dealing.deal(photographs, patients, labels), counts)

  def read_native(self, item: Photograph) -> Native:
    """Reads photograph and mask."""
    image, crop = read_field(item.path)
    lesion = PARTS[item.part].lesion
    masks = {lesion: read_mask(item.mask, shape=image.shape[:2], levels=LEVELS) > 0} if item.mask else {}
    return make_native(
        image, crop, present=masks, id=f'{item.part}_{item.patient}_{item.path.stem}',
        patient=item.patient, annotated=(lesion,))


def _list(folder: pathlib.Path) -> list[pathlib.Path]:
  """The photographs in the folders of a folder, sorted."""
  paths = sorted(path for path in require_folder(folder).glob('*/*')
                 if path.suffix.lower() in SUFFIXES and not is_junk(path) and not is_junk(path.parent))
  if not paths:
    raise FileNotFoundError(f'no photograph {folder / "E..." / "*.jpg"}; was the raw dataset unpacked whole?')
  return paths


def _find_mask(folder: pathlib.Path, name: str) -> pathlib.Path:
  """Finds a mask whatever the case of its name."""
  found = [path for path in folder.glob('*') if path.name.lower() == name.lower()]
  if not found:
    raise FileNotFoundError(f'no mask {folder / name}; a photograph without the lesion belongs in "healthy"')
  return found[0]
