"""The data sets of a configuration."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from lesion_jax.core import LESION_KEYS, UNKNOWN_GRADE, lesion_bits
from lesion_jax.data.mixture import SEPARATOR, Mixture, check_weights
from lesion_jax.data.dataset import Dataset
from lesion_jax.data.registry import load_dataset, require_known
from lesion_jax.data.sampler import check_draw
from lesion_jax.data.splits import SPLITS
from lesion_jax.places import home, real
from lesion_jax.stages.leaks import guard
from lesion_jax.stages.parts import LANDMARKS, criterion, draw, grades, landmarks, learned, stages, taught
from lesion_jax.train.parallel import Devices
from lesion_jax.weights.bundle import Bundle


GRADES_AS_LESIONS = ('default', 'on', 'off')
OWN = 'folder'  # of which a mixture may have several
MEANINGS = {'scale': 'scale', 'mask_values': 'values', 'mask_indices': 'indices'}  # keys of OWN, and its options


class Chosen(NamedTuple):
  """One data set of a stage: its name, where its raw dataset lies, and what it is called where a mixture has several of the
  name."""

  name: str
  source_dir: str | None
  called: str


def open_datasets(
    config: ConfigDict, data_dir: str, devices: Devices, bundles: Mapping[str, Bundle] | None = None,
) -> dict[str, Dataset | Mixture]:
  """Opens the data set or the mixture of each stage, after preparing what was not prepared yet, without the photographs
  that leak from one split into another (`leaks.guard`).

  Args:
    config: of `configs/`, checked by `check`.
    data_dir: where preprocessed datasets are kept.
    devices: of the run.
    bundles: of `check`; None: they are read again.

  Raises:
    ValueError, FileNotFoundError: of `load` and `Mixture`; where the configuration names data sets, weights and folders
      that do not go together; and where one has not what the stage learns from or is drawn by, or a split is empty.
  """
  datasets = {}
  chosen = {name: _choose(name, stage) for name, stage in stages(config).items()}  # all of them before any is prepared
  for name, stage in stages(config).items():
    data = datasets[name] = devices.first_alone(functools.partial(_open, stage, chosen[name], data_dir))
    _require_what_is_learned(name, stage, data)
    data = datasets[name] = guard(config, name, datasets, bundles)
    for split in ('test',) if stage.bundle else SPLITS:
      data.source(split)  # raises where it is empty
    _require_criterion(name, stage, data)
    _require_draw(name, stage, data)
  return datasets


def _choose(name: str, stage: ConfigDict) -> list[Chosen]:
  """The data sets that the keys `data.name` and `data.source_dir` of a stage name."""
  data = stage.data
  names, weights = data.name.split(SEPARATOR), tuple(data.weights)
  for known in names:
    require_known(known)
  if OWN not in names and (said := [f'--config.{name}.data.{key}={data[key]}' for key in MEANINGS if data[key]]):
    raise ValueError(f'{" and ".join(said)} is of the data set {OWN!r}, and {data.name} says itself what its numbers mean; leave it out')
  if len(names) == 1:
    if weights:
      raise ValueError(f'--config.{name}.data.weights={weights} are of several data sets, and {data.name} is one; mix '
                       f'with --config.{name}.data.name={data.name}{SEPARATOR}OTHER')
    return [Chosen(data.name, data.source_dir or None, data.name)]
  folders = split_places(data.source_dir) if data.source_dir else [''] * len(names)
  if len(folders) != len(names):
    raise ValueError(f'--config.{name}.data.source_dir={data.source_dir} names {len(folders)} folders, and {data.name} '
                     f"is {len(names)} data sets: give one for each, with {os.pathsep!r} between them ('\\{os.pathsep}' is one "
                     f'in a name), and none for a data set without a raw dataset, as in DIR{os.pathsep}')
  called = _calls(names, folders)
  check_weights(weights, called)
  return [Chosen(*each) for each in zip(names, (folder or None for folder in folders), called, strict=True)]


def join_places(places: Sequence[str | os.PathLike[str]]) -> str:
  """Writes folders as the key `data.source_dir` takes them: as `split_places` reads them; a single one as it stands."""
  texts = [os.fspath(place) for place in places]
  if len(texts) == 1:
    return texts[0]
  texts = [text + '/' if text.endswith('\\') else text for text in texts]  # a backslash at the end would be that of the separator
  return os.pathsep.join(text.replace(os.pathsep, f'\\{os.pathsep}') for text in texts)


def split_places(text: str) -> list[str]:
  """Splits folders that are written with `os.pathsep` between them; one that belongs to a name has a backslash before
  it."""
  return [part.replace(f'\\{os.pathsep}', os.pathsep) for part in re.split(rf'(?<!\\){re.escape(os.pathsep)}', text)]


def _calls(names: list[str], folders: list[str]) -> list[str]:
  """What each part of a mixture is called: its data set; several of OWN, by their folders, 'folder:clinic', those of one name
  by numbers that no other has. The same folder twice stays the same name twice."""
  if names.count(OWN) < 2:
    return names
  places = [real(home(folder)) for folder in folders]
  own = list(dict.fromkeys(place for name, place in zip(names, places, strict=True) if name == OWN))
  short = [re.sub(r'[+:/]', '_', place.name) for place in own]
  titles: dict[os.PathLike[str], str] = {}
  for place, title in zip(own, short, strict=True):
    numbered = (f'{title}-{number}' for number in itertools.count(1))
    titles[place] = title if short.count(title) == 1 else next(each for each in numbered if each not in {*short, *titles.values()})
  return [f'{OWN}:{titles[place]}' if name == OWN else name for name, place in zip(names, places, strict=True)]


def _open(stage: ConfigDict, chosen: list[Chosen], data_dir: str) -> Dataset | Mixture:
  data = stage.data
  count = {'count': data.count} if data.count else {}
  meanings = {option: data[key] for key, option in MEANINGS.items()}
  dealing = {'split': data.split, 'split_seed': data.seed, 'folds': data.folds, 'fold': data.fold}
  own = {'synthetic': count, 'folder': meanings}
  parts = [load_dataset(one.name, data_dir=data_dir, size=data.size, source_dir=one.source_dir, **dealing, **own.get(one.name, {}))
           for one in chosen]
  parts = [part if one.called == one.name else dataclasses.replace(part, name=one.called)
           for part, one in zip(parts, chosen, strict=True)]
  if grades(stage) and len(parts) > 1:  # masks of one data set and grades of another, of the same photographs
    parts = [part if part.graded else part.graded_by(parts) for part in parts]
  parts = _with_negatives(stage, parts)
  return parts[0] if len(parts) == 1 else Mixture(tuple(parts), tuple(stage.data.weights))


def _with_negatives(stage: ConfigDict, parts: list[Dataset]) -> list[Dataset]:
  """The data sets of a stage that learns lesions, the grades of some of them saying what is absent."""
  wanted = stage.data.grades_as_lesions
  if wanted not in GRADES_AS_LESIONS:
    raise ValueError(f'grades_as_lesions={wanted!r}; choose one of {", ".join(GRADES_AS_LESIONS)}')
  if not 0 <= stage.data.aside < 1:
    raise ValueError(f'data.aside={stage.data.aside}: give a share of 0 or more and below 1')
  claimed = {key for part in parts for key in part.annotated}
  says = lambda part: not (wanted == 'off' or grades(stage) or landmarks(stage)) and part.graded and (wanted == 'on' or part.grades_as_lesions)
  chosen = [f'data.{key}={stage.data[key]}' for key, default in (('aside', 0), ('sick', True)) if stage.data[key] != default]
  if chosen and not any(map(says, parts)):
    raise ValueError(f'{" and ".join(chosen)} is of graded data sets whose grades say which lesions are absent, and '
                     f'{", ".join(part.name for part in parts)} has none here; leave it out')
  return [part.with_negatives(tuple(claimed), aside=stage.data.aside, sick=stage.data.sick) if says(part) else part for part in parts]


def _require_what_is_learned(name: str, stage: ConfigDict, data: Dataset | Mixture) -> None:
  """Raises ValueError where the data have not what the loss needs, or a part of a mixture nothing of it."""
  if name == LANDMARKS:
    without = [part.name for part in getattr(data, 'parts', (data,)) if not np.isfinite(part.source('train').index.landmarks).any()
               ] if not stage.bundle else []
    if without:
      raise ValueError(f'{", ".join(without)} says of no training photograph where optic disc and fovea are; choose another '
                       f'--config.{name}.data.name, idrid_landmarks for instance')
    return
  lesions = 'lesions of a weight above 0' if stage.lesion_weights else 'lesions'
  needed = ('grades', lesions) if stage.loss == 'joint' else ('grades',) if grades(stage) else (lesions,)

  def lacking(data: Dataset | Mixture) -> list[str]:
    has = {'grades': data.graded, lesions: taught(stage, data.annotated)}
    return [what for what in needed if not has[what]]

  coarse = [part for part in getattr(data, 'parts', (data,))
            if 'grades' in needed and part.graded and not part.scale['steps']]
  if coarse:
    raise ValueError(f'the grades of {coarse[0].name} are on the scale {coarse[0].scale["name"]}, from which a network of the '
                     f'five steps DR0 to DR4 cannot learn; evaluate one on them with `lesion-jax evaluate`, or choose another '
                     f'--config.{name}.data.name')
  useless = [part for part in getattr(data, 'parts', ()) if len(lacking(part)) == len(needed)]
  if lacking(data):
    useless = [data]
  if useless and not stage.bundle:
    raise ValueError(f'{useless[0].name} has no {" and no ".join(lacking(useless[0]))}, from which the loss '
                     f'{stage.loss!r} of the stage {name!r} learns; choose another --config.{name}.data.name')
  if not stage.bundle:
    there = lambda what: learned(stage, data) if what == lesions else (data.source('train').index.grade != UNKNOWN_GRADE).any()
    if absent := [what for what in needed if not there(what)]:
      raise ValueError(f'no training photograph of {data.name} is annotated with {" or ".join(absent)}, from which the loss {stage.loss!r} of '
                       f'the stage {name!r} learns: those are of other splits alone. Put some into the training split')


def _require_criterion(name: str, stage: ConfigDict, data: Dataset | Mixture) -> None:
  """Raises ValueError where the metric by which the best network is chosen cannot say anything on the validation split:
  it would be undefined, or 0, at every validation, and the first network as good as the last."""
  if stage.bundle:
    return
  figure, index = criterion(stage), data.source('validation').index
  if name == LANDMARKS:
    if np.isfinite(index.landmarks).any():
      return
    raise ValueError(f'stage {name!r}: the best network is chosen on the validation split, and that has no photograph with landmarks')
  if figure == 'kappa':
    known = np.unique(index.grade[index.grade != UNKNOWN_GRADE])
    if len(known) > 1:
      return
    has = f'all of grade {known[0]}' if len(known) else 'none with a grade'
    lacking = f'photographs of several grades (it has {len(index)}, {has})'
  else:
    keys = learned(stage, data)
    shown = (index.annotated & np.uint8(lesion_bits(keys)))[:, None] >> np.arange(len(LESION_KEYS), dtype=np.uint8) & 1
    if np.any(shown & (index.areas > 0)):
      return
    lacking = f'a photograph with a scored pixel of {", ".join(keys)} (it has {len(index)} without)'
  raise ValueError(f'stage {name!r}: the best network is chosen by {figure} on the validation split, and this needs {lacking}. '
                   'Put such photographs into the validation split, by the column `split` or another '
                   f'--config.{name}.data.seed, or choose another --config.{name}.criterion')


def _require_draw(name: str, stage: ConfigDict, data: Dataset | Mixture) -> None:
  """Raises ValueError where the training photographs cannot be drawn as the configuration asks for."""
  if stage.bundle:
    return
  try:
    check_draw(data.source('train'), draw(stage))
  except ValueError as error:
    raise ValueError(f'stage {name!r}: {data.name} cannot be drawn from by --config.{name}.data: {error}') from error
