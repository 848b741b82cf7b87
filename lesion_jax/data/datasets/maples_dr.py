"""MAPLES-DR: masks for 198 photographs of MESSIDOR, which are had elsewhere."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import NamedTuple

import tensorflow_datasets as tfds

from lesion_jax.data.builders.base import LesionConfig, Release, digest_of
from lesion_jax.data.builders.layout import find_alike, list_photographs, require_masks
from lesion_jax.data.builders.records import MaskBuilder, make_native
from lesion_jax.data.native import Native
from lesion_jax.data.packing import read_mask
from lesion_jax.photograph.crop import read_field
from lesion_jax.photograph.files import is_own
from lesion_jax.places import home, real

MASK_NAMES = {'MA': 'Microaneurysms', 'iHE': 'Hemorrhages', 'HaEx': 'Exudates', 'CWS': 'CottonWoolSpots'}
# Lesions of one of several kinds, which the annotators left open: none of these is scored there.
UNCERTAIN = {'RedUncertains': ('MA', 'iHE'), 'BrightUncertains': ('HaEx', 'CWS')}
LEVELS = (0, 1, 255)
PHOTOGRAPHS = 'MESSIDOR'
SOURCE = 'https://www.adcis.net/en/third-party/messidor/'
SUFFIXES = ('.tif', '.tiff')


@dataclasses.dataclass(eq=False, kw_only=True)
class MaplesConfig(LesionConfig):
  """Labels and photographs come from different places.

  Attributes:
    images_dir: folder of MESSIDOR's photographs (.tif, in it or in any folder below); None: 'MESSIDOR' in `source_dir`.
  """

  images_dir: str | os.PathLike[str] | None = None

  def origin(self) -> str:
    """Names both places."""
    labels = super().origin()
    if self.images_dir is None:
      self.images_dir = self.source_dir / PHOTOGRAPHS
      return labels
    self.images_dir = real(home(self.images_dir))
    return digest_of(self.source_dir, self.images_dir)

  def places(self) -> tuple[pathlib.Path, ...]:
    """Returns both."""
    return self.source_dir, self.images_dir


class Photograph(NamedTuple):
  """One photograph of MESSIDOR, its masks by lesion key, and those of uncertain lesions by name."""

  path: pathlib.Path
  masks: dict[str, pathlib.Path]
  uncertain: dict[str, pathlib.Path]


class MaplesDr(MaskBuilder):
  """`source_dir` is the folder that holds 'train' and 'test' (MAPLES-DR.zip), `images_dir` that of the photographs.

  Validation is carved from the official training set; no patients are named, so that is by photograph.

  What was looked up in the authors' documentation and library (https://liv4d.github.io/MAPLES-DR): twelve folders of
  masks a set, PNG, each mask of the photograph's own size and name; which lesions an uncertain one can be; that
  neovascularization is not told from intraretinal microvascular abnormalities, for which reason it is not annotated
  here; the codes of the grades, R0, R1, R2, R3, R4A, R4S (stable after treatment) and R6 (not gradable).
  Not seen: the published files; case and spelling of endings are free.
  What is assumed: that the masks of lesions are there for every photograph, and that the lesion is 1 or 255 in them.
  The grades are not used: they follow a Canadian scale for screening, drawn from the international one and the Scottish
  one, and that its R1 means microaneurysms alone, as DR1 does, is nowhere said.
  """

  VERSION = tfds.core.Version('1.1.0')
  RELEASE_NOTES = {'1.1.0': 'With an index of the photographs.', '1.0.0': 'First version.'}
  DEALT = ('train', 'validation')
  SPLIT = 'hash'
  CONFIG = MaplesConfig
  CROPPED = True
  ANNOTATED = tuple(MASK_NAMES)
  GRADED = False
  PUBLISHED = {'training photographs': 138, 'test photographs': 60}
  DESCRIPTION = (
      'MAPLES-DR: masks of microaneurysms, hemorrhages, exudates and cotton-wool spots for 198 photographs of '
      'MESSIDOR, here cropped to the square field of view. Where the annotators left the kind of a lesion open, its '
      'candidates are excluded from loss and metrics. Masks of neovascularization also hold intraretinal microvascular '
      'abnormalities and are not used. The other four lesions are unknown, not absent, and so are the grades, which '
      'follow another scale. The test set is the official one.')
  CITATION = """
@article{lepetit2024maples,
  title={MAPLES-DR: MESSIDOR Anatomical and Pathological Labels for Explainable Screening of Diabetic Retinopathy},
  author={Lepetit-Aimon, Gabriel and Playout, Cl{\\'e}ment and Boucher, Marie Carole and Duval, Renaud and
          Brent, Michael H and Cheriet, Farida},
  journal={Scientific Data},
  volume={11},
  number={1},
  pages={914},
  year={2024}
}"""
  HOMEPAGE = 'https://doi.org/10.6084/m9.figshare.24328660'
  LICENCE = 'Labels: as their page on figshare says; photographs: on request from ADCIS, for research and education'

  def release(self) -> Release:
    """Lists masks in {train,test}/<name>, photographs wherever in `images_dir` they lie."""
    photographs = _find_photographs(self.builder_config.images_dir)
    training, test = (self._list(name, photographs) for name in ('train', 'test'))
    counts = {'training photographs': len(training), 'test photographs': len(test)}
    patients = [photograph.path.stem for photograph in training]
    return Release(self.builder_config.dealing.carve(training, patients, test=test), counts)

  def read_native(self, item: Photograph) -> Native:
    """Reads photograph and masks."""
    image, crop = read_field(item.path)
    present, uncertain = (
        {name: read_mask(path, shape=image.shape[:2], levels=LEVELS) > 0 for name, path in masks.items()}
        for masks in (item.masks, item.uncertain))
    unscored = {key: uncertain[name] for name, keys in UNCERTAIN.items() for key in keys}
    return make_native(
        image, crop, present=present, unscored=unscored, id=item.path.stem,
        patient=item.path.stem)

  def _list(self, official_set: str, photographs: dict[str, pathlib.Path]) -> list[Photograph]:
    root = self.builder_config.source_dir / official_set
    names = [path.stem for path in list_photographs(root / MASK_NAMES['MA'], '*.png')]
    if missing := [name for name in names if name not in photographs]:
      raise FileNotFoundError(
          f'{self.builder_config.images_dir} lacks {len(missing)} photographs of {root}: '
          f'{", ".join(f"{name}.tif" for name in missing[:3])}; they are those of MESSIDOR ({SOURCE}): say with '
          'images_dir where they are')
    listed = []
    for name in names:
      masks = {key: find_alike(root / folder / f'{name}.png') for key, folder in MASK_NAMES.items()}
      uncertain = {folder: find_alike(root / folder / f'{name}.png') for folder in UNCERTAIN}
      require_masks(masks | uncertain)
      listed.append(Photograph(photographs[name], masks, uncertain))
    return listed


def _find_photographs(folder: pathlib.Path) -> dict[str, pathlib.Path]:
  """Name -> file, of all photographs below a folder."""
  if not folder.is_dir():
    raise FileNotFoundError(f"no folder {folder}; MAPLES-DR comes without MESSIDOR's photographs ({SOURCE}): say with "
                            'images_dir where they are')
  found: dict[str, pathlib.Path] = {}
  for path in sorted(folder.rglob('*')):
    if path.suffix.lower() in SUFFIXES and is_own(path.relative_to(folder)):
      if path.stem in found:
        raise ValueError(f'{path} and {found[path.stem]} are photographs of one name; keep one of them')
      found[path.stem] = path
  return found
