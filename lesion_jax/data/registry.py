"""The data sets by name: `load_dataset` prepares one, once, and opens it."""

from __future__ import annotations

import contextlib
import dataclasses
import logging as std_logging
import os
import pathlib
from collections.abc import Callable
from typing import Any

from absl import logging

from lesion_jax import plugins
from lesion_jax.data import origin
from lesion_jax.data.builders.base import LesionBuilder, LesionConfig
from lesion_jax.data.builders.resume import prepare, put_back, set_aside
from lesion_jax.data.dataset import Dataset
from lesion_jax.data.datasets.aptos2019 import Aptos2019
from lesion_jax.data.datasets.ddr import Ddr
from lesion_jax.data.datasets.ddr_grading import DdrGrading
from lesion_jax.data.datasets.diaretdb1 import Diaretdb1
from lesion_jax.data.datasets.e_ophtha import EOphtha
from lesion_jax.data.datasets.eyepacs import Eyepacs
from lesion_jax.data.datasets.fgadr import Fgadr
from lesion_jax.data.datasets.folder import Folder
from lesion_jax.data.datasets.idrid import Idrid
from lesion_jax.data.datasets.idrid_grading import IdridGrading
from lesion_jax.data.datasets.idrid_landmarks import IdridLandmarks
from lesion_jax.data.datasets.maples_dr import MaplesDr
from lesion_jax.data.datasets.messidor2 import Messidor2
from lesion_jax.data.datasets.retinal_lesions import RetinalLesions
from lesion_jax.data.datasets.synthetic import Synthetic
from lesion_jax.data.datasets.tjdr import Tjdr
from lesion_jax.data.progress import Progress, silent
from lesion_jax.data.scales import ICDR
from lesion_jax.data.splits import SPLIT_SEED, SPLITS, Dealing
from lesion_jax.extras import needs
from lesion_jax.photograph.crop import FIELD_OF_VIEW, SQUARE
from lesion_jax.places import home, real

with needs('train'):
  import tensorflow_datasets as tfds

DATASETS: dict[str, type[LesionBuilder]] = {
    'synthetic': Synthetic,
    'retinal_lesions': RetinalLesions,
    'idrid': Idrid,
    'idrid_grading': IdridGrading,
    'idrid_landmarks': IdridLandmarks,
    'ddr': Ddr,
    'ddr_grading': DdrGrading,
    'fgadr': Fgadr,
    'tjdr': Tjdr,
    'e_ophtha': EOphtha,
    'maples_dr': MaplesDr,
    'diaretdb1': Diaretdb1,
    'eyepacs': Eyepacs,
    'aptos2019': Aptos2019,
    'messidor2': Messidor2,
    'folder': Folder,
}

# TFDS warns of these at every start, and they are as they should be: each configuration is made from its options.
EXPECTED = ('Using custom data configuration',)


def _is_news(record: std_logging.LogRecord) -> bool:
  return not str(record.msg).startswith(EXPECTED)


logging.get_absl_logger().addFilter(_is_news)


def load_dataset(
    name: str,
    *,
    data_dir: str | os.PathLike[str],
    size: int = 896,
    source_dir: str | os.PathLike[str] | None = None,
    quiet: bool = False,
    progress: Progress | None = None,
    split: str = '',
    split_seed: int = SPLIT_SEED,
    folds: int = 0,
    fold: int = 0,
    anew: bool = False,
    **options: Any,
) -> Dataset:
  """Opens a data set, after preparing it once under `data_dir`.

  What is prepared lies in data_dir/name/configuration/version, where the configuration names the size and where the
  data came from. Where the raw dataset was changed in place since (`origin.change`), that is refused, or with `anew` prepared
  again. It appears there whole or not at all; what an
  interrupted preparation has finished lies in data_dir/.preparing, and the next one resumes from there. Of several
  processes one prepares, and the others wait. Nothing is written elsewhere and nothing is downloaded.

  Args:
    name: one of DATASETS.
    data_dir: where preprocessed datasets are kept.
    size: side of the square examples, in pixels.
    source_dir: root of the raw dataset, for the data sets that have one.
    quiet: show no progress while it is prepared; else a bar on stderr, if that is a terminal.
    progress: called instead, with how many photographs are done and how many there are.
    split: how photographs are dealt where the raw dataset does not say, 'hash' or 'stratified'; '' is the data set's own way.
      Where all splits are the raw dataset's it changes nothing.
    split_seed: of that.
    folds, fold: of `splits.Dealing`; of a data set with an official test set they deal its training set.
    anew: prepare again what is damaged or was made from what has changed since.
    **options: of the data set; 'synthetic' takes `seed` and `count`, 'maples_dr' takes `images_dir`, 'folder' takes `scale`,
      `values` and `indices`.

  Raises:
    FileNotFoundError: where a file of the raw dataset's layout is missing, naming it.
    ValueError: for another name or option, or a raw dataset that does not keep its own rules, naming file and value; for
      preprocessed data that are damaged, or old, unless `anew`.
  """
  builder_class = require_known(name)
  allowed = _fields(builder_class.CONFIG) - _fields(LesionConfig)
  if unknown := options.keys() - allowed:
    raise ValueError(
        f'{name} has no option {", ".join(sorted(unknown))}; it takes {", ".join(sorted(allowed)) or "none"}')
  dealing = _dealing(name, builder_class, split, split_seed, folds, fold)
  config = builder_class.CONFIG(size=size, source_dir=source_dir, split=dealing.name, split_seed=dealing.seed,
                                folds=folds, fold=fold, **options)
  root = real(home(data_dir))
  if inside := [place for place in config.places() if root.is_relative_to(place)]:
    raise ValueError(f'data_dir={root} lies inside the raw dataset {inside[0]}, which is never written; choose another')
  open_builder = lambda: builder_class(config=config, data_dir=root, file_format='array_record')
  target = root / name / config.name / str(builder_class.VERSION)
  put_back(target)
  with _fresh(target, open_builder, config.places(), anew):
    prepare(builder := open_builder(), progress or (silent if quiet else None))
  return _dataset(name, builder)


def _fresh(
    target: pathlib.Path, open_builder: Callable[[], LesionBuilder], places: tuple[pathlib.Path, ...], anew: bool,
) -> contextlib.AbstractContextManager[None]:
  """Puts preprocessed data aside that cannot be taken. Raises ValueError where there are such, and not `anew`."""
  stale = _stale(target, open_builder, places) if target.exists() else ''
  if stale and not anew:
    raise ValueError(f'{stale}; `lesion-jax prepare` of the same source and size prepares it anew, or delete {target}')
  if stale:
    logging.warning('%s; it is prepared anew', stale)
  return set_aside(target) if stale else contextlib.nullcontext()


def _stale(target: pathlib.Path, open_builder: Callable[[], LesionBuilder], places: tuple[pathlib.Path, ...]) -> str:
  """Why preprocessed data cannot be taken, '' where they can."""
  if wrong := origin.damage(target):
    return f'the preprocessed data in {target} are damaged: {wrong}'
  if changed := origin.change(target, open_builder().reads()):
    return f'{" and ".join(map(str, places))} has changed since {target} was prepared from it: {changed}'
  return ''


def _dealing(name: str, builder: type[LesionBuilder], split: str, seed: int, folds: int, fold: int) -> Dealing:
  """How a data set is dealt when that is asked for. Raises ValueError for folds of one whose splits are all official."""
  dealing = Dealing(split or builder.SPLIT, seed, folds, fold)
  if folds and not builder.DEALT:
    raise ValueError(f'{name} has official splits for training, validation and test, on which results are compared, so it has no '
                     'folds; leave folds at 0')
  return dealing if builder.DEALT else Dealing()  # prepared once, whatever is asked for


def find_prepared(name: str, *, data_dir: str | os.PathLike[str], size: int = 896) -> Dataset:
  """Opens what was prepared of a data set at that size, wherever the raw dataset lies now.

  Raises:
    FileNotFoundError: nothing was.
    ValueError: for an unknown name, or where several raw datasets were, naming them.
  """
  builder_class = require_known(name)
  folder = real(home(data_dir)) / name
  found = sorted(folder.glob(f'{size}-*/{builder_class.VERSION}'))
  if not found:
    raise FileNotFoundError(f'nothing is prepared in {folder}/{size}-*/{builder_class.VERSION}; prepare it, or give '
                            'source_dir of the raw dataset or an option of the data set')
  if wrong := [f'{path}: {what}' for path in found if (what := origin.damage(path))]:
    raise ValueError(f'preprocessed data are damaged: {wrong[0]}; prepare them again with source_dir, or delete that folder')
  if len(found) > 1:
    raise ValueError(f'{name} is prepared from {len(found)} places: {", ".join(map(str, found))}; say which, by '
                     'source_dir or an option')
  return _dataset(name, tfds.builder_from_directory(found[0]))


def _dataset(name: str, builder: tfds.core.DatasetBuilder) -> Dataset:
  kind, info = DATASETS[name], builder.info
  return Dataset(
      name=name, annotated=tuple(info.metadata.get('annotated', kind.ANNOTATED)),
      graded=info.metadata.get('graded', kind.GRADED), crop=FIELD_OF_VIEW if kind.CROPPED else SQUARE,
      lengths={split: info.splits[split].num_examples if split in info.splits else 0 for split in SPLITS},
      description=info.description, citation=info.citation, licence=kind.LICENCE, builder=builder,
      dealing=info.metadata.get('dealing', Dealing().describe() if kind.DEALT else None),
      grades_as_lesions=kind.GRADES_AS_LESIONS, scale=info.metadata.get('scale') or ICDR,
      notes=(*info.metadata.get('notes', ()), *info.metadata.get('warnings', ())))


def register_dataset(name: str, builder: type[LesionBuilder]) -> None:
  """Adds a data set of one's own: `load_dataset`, configurations and `lesion-jax evaluate` then know it by name.

  Args:
    name: the builder's own, which is that of its class in lower case with underscores: 'my_clinic' of MyClinic.
    builder: a subclass of `data.builders.base.LesionBuilder`.

  Raises:
    ValueError: another data set has the name, or it is not the builder's.
    TypeError: it is no such class.
  """
  plugins.check_new('data set', name, builder, DATASETS)
  if not (isinstance(builder, type) and issubclass(builder, LesionBuilder)):
    raise TypeError(f'{builder!r} is no builder; a data set is a subclass of lesion_jax.data.builders.base.LesionBuilder')
  if name != builder.name:
    raise ValueError(f'{name!r} is not the name of the builder {builder.__name__}, under which its data are prepared; that '
                     f'is {builder.name!r}')
  DATASETS[name] = builder


def find_builder(name: str) -> type[LesionBuilder] | None:
  """Returns the builder of a data set, also of one that an installed package brings; None where there is none."""
  return DATASETS[name] if plugins.look_up('data set', name, DATASETS) else None


def require_known(name: str) -> type[LesionBuilder]:
  """Returns the builder of a data set. Raises ValueError, listing the names, where there is none."""
  if found := find_builder(name):
    return found
  raise ValueError(f'unknown data set {name!r}; there are: {plugins.names("data set", DATASETS)}')


def _fields(config_class: type[LesionConfig]) -> set[str]:
  return {field.name for field in dataclasses.fields(config_class)}
