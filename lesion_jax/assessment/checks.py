"""Mistakes found before anything takes long: whether networks, data and choices fit each other."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from lesion_jax.assessment.job import Job
from lesion_jax.assessment.learned import OWN, data_notes, guard, learned_here, parts
from lesion_jax.assessment.settings import NATIVE, Path, Settings
from lesion_jax.clinical.record import smallest_note, smallest_of
from lesion_jax.core import LESION_KEYS, Prediction
from lesion_jax.data.dataset import Dataset
from lesion_jax.data.native import NativeSource, require_native
from lesion_jax.data.progress import Progress
from lesion_jax.data.registry import DATASETS, find_builder, load_dataset
from lesion_jax.evaluate import scored_lesions
from lesion_jax.metrics.presence import MAXIMUM, Rule
from lesion_jax.photograph.crop import FIELD_OF_VIEW, SQUARE
from lesion_jax.predict.ensemble import check_heads
from lesion_jax.predict.loading import Member, join, read_member
from lesion_jax.predict.predictor import Predictor
from lesion_jax.predict.tta import augmented
from lesion_jax.train.parallel import Devices
from lesion_jax.weights.bundle import Bundle

BATCH_SIZE = 8  # as training evaluates


def check(
    models: Path | Predictor | Sequence[Path], data: Path, *, progress: Progress | None = None, **settings: Any) -> Job:
  """Finds mistakes before anything takes long, and opens the data set, which is prepared where that was not done yet.

  Args:
    models, data: as of `evaluate`.
    progress: called while photographs are prepared; None: a bar on stderr, if that is a terminal.
    **settings: of `Settings`.

  Raises:
    FileNotFoundError: there is no bundle, or no raw dataset in its own layout.
    OSError: the preprocessed data cannot be kept.
    ValueError: naming what cannot be evaluated, and what can.
  """
  if isinstance(data, os.PathLike):
    data, settings = OWN, {'source_dir': data} | settings
  how = _as_loaded(Settings(**settings), models) if isinstance(models, Predictor) else Settings(**settings)
  native = how.at == NATIVE
  devices = Devices(jax.local_devices()[:1] if native else None)
  batch_size = _batch_size(how, devices)
  if how.regions and native:
    raise ValueError(f"regions=True is of the network's own size; leave it out with at={NATIVE!r}")
  members, heads = _members([models] if isinstance(models, Path) else models, how, devices)
  config, variables, predict_fn = join(members)
  config = models.config if isinstance(models, Predictor) else config
  bundle = Bundle(config, variables, _digest(members))
  thresholds = {key: float((config['thresholds'] | dict(how.thresholds))[key]) for key in LESION_KEYS}
  rule = Rule.of(config if how.rule != MAXIMUM else {'annotated': config['annotated']}, np.array(list(thresholds.values())))
  lesions, grades = (any(getattr(one, name) is not None for one in heads) for name in ('lesions', 'grades'))
  learned, notes = tuple(config['annotated']) if lesions else (), []
  if builder := find_builder(data):  # `load` refuses another, and names those that there are
    known = {*builder.ANNOTATED, *(learned if builder.GRADES_AS_LESIONS else ())}
    annotated = tuple(key for key in LESION_KEYS if key in known)
    _require_common(data, annotated, builder.GRADED, learned, grades)
    if not any(parts(member.config, data) for member in members):
      # Else it learned from squares and from fields of view.
      notes += _crop_notes(config['preprocessing']['crop'], data, builder.CROPPED, how.other_crop)
    if native:
      _require_pixels(data, builder, config['model']['name'], heads)
  dataset, said = _open(data, how, config['preprocessing']['size'], learned, progress)
  source, chosen = _choose(dataset, how)  # raises where it is empty
  _require_common(data, dataset.annotated, dataset.graded, learned, grades)  # of some, releases differ
  scored = scored_lesions(dataset.annotated, learned)
  _require_evaluated(how.thresholds, scored)
  reasons = f'not annotated by {dataset.name}', 'not learned by the network'
  left_out = {key: reasons[key in dataset.annotated] for key in LESION_KEYS if lesions and key not in scored}
  taught = learned_here(members, dataset, source, how.split)
  notes += [*said, *dataset.notes, *_lesion_notes(left_out),
            *data_notes(taught, dataset, how.split, grades, native)]
  if how.regions and all(one.maps is None for one in heads):
    raise ValueError(f'regions=True is of lesion maps, and {config["model"]["name"]} makes none; leave it out')
  if smallest := smallest_of(config):
    notes.append(f'metrics of pixels and of whole photographs are of all regions; {smallest_note(smallest)[0].lower()}'
                 f'{smallest_note(smallest)[1:]}')
  source, leaks, said = guard(members, dataset, source, how, asked_for=how.split != 'test' and bool(taught))
  photographs = NativeSource(dataset, how.split, set(source.index.id.tolist())) if native else None
  return Job(how, bundle, members, augmented(predict_fn, how.tta), devices, batch_size, thresholds, rule, dataset, source,
             chosen, photographs, scored, left_out, notes + said, leaks)


def _open(
    data: str, how: Settings, size: int, learned: tuple[str, ...], progress: Progress | None,
) -> tuple[Dataset, list[str]]:
  """The data set at the network's size, and what is to be said of its grades where they tell of lesions."""
  dataset = load_dataset(data, data_dir=how.data_dir, size=size, source_dir=how.source_dir, progress=progress, **how.options)
  if not (dataset.grades_as_lesions and learned):
    return dataset, []
  return dataset.with_negatives(learned, whole=True), [
      f'{dataset.name} has no masks: its grades say that lesions are absent from photographs graded DR0, and all '
      'but microaneurysms from those graded DR1']


def _require_evaluated(thresholds: Mapping[str, float], scored: tuple[str, ...]) -> None:
  if (others := set(thresholds) - set(scored)) and len(thresholds) < len(LESION_KEYS):
    raise ValueError(f'thresholds: {", ".join(sorted(others))} cannot be evaluated here, only {", ".join(scored)}')


def _choose(dataset: Dataset, how: Settings) -> tuple[Any, dict[str, Any]]:
  """The photographs of the split that `only` and `without` leave, and what these are."""
  given = {name: value for name in ('only', 'without') if (value := getattr(how, name)) is not None}
  ids = {name: _read_ids(pathlib.Path(value)) if isinstance(value, Path) else set(value) for name, value in given.items()}
  source = dataset.choose(how.split, only=ids.get('only'), without=ids.get('without', ()))
  return source, {name: ({'file': pathlib.Path(value).name} if isinstance(value, Path) else {}) | {'ids': len(ids[name])}
                  for name, value in given.items()}


def _read_ids(path: pathlib.Path) -> set[str]:
  """Ids of photographs, one a line.

  Raises:
    ValueError: it is no text, or has none.
  """
  try:
    ids = {line.strip() for line in path.read_text('utf-8').splitlines() if line.strip()}
  except UnicodeDecodeError as error:
    raise ValueError(f'{path} is no text in UTF-8 ({error}); give a file of ids, one a line') from error
  if not ids:
    raise ValueError(f'{path} is empty; give a file of ids, one a line')
  return ids


def _as_loaded(how: Settings, predictor: Predictor) -> Settings:
  """The settings with what a predictor was loaded with. Raises ValueError where they say another thing."""
  if not predictor.members:
    raise ValueError("a predictor of the onnxruntime backend is not evaluated; load it with backend='jax', or give the bundle")
  if given := [name for name in ('tta', 'window') if getattr(how, name) is not None]:
    raise ValueError(f'{" and ".join(given)}: the predictor has its own; give what you want to lesion_jax.load')
  return dataclasses.replace(how, tta=predictor.config.get('tta'))


def _members(
    models: Predictor | Sequence[Path], how: Settings, devices: Devices) -> tuple[tuple[Member, ...], list[Prediction]]:
  """The networks and their heads, as shapes, arranged for the devices before anything is put around them: at the network's size
  they compute as training's own evaluation does, bit by bit."""
  device = devices.local[0]
  if isinstance(models, Predictor):
    members = tuple(member if how.at == NATIVE else member.arranged_for(device.platform) for member in models.members)
  else:
    members = tuple(read_member(path, window=how.window, platform=device.platform, device=device) for path in models)
  if not members:
    raise ValueError('there is no network to evaluate: name a bundle, or several as one')
  heads = [member.look() for member in members]
  check_heads([member.name for member in members], heads)
  return members, heads


def _batch_size(how: Settings, devices: Devices) -> int:
  if how.at == NATIVE:
    if how.batch_size:
      raise ValueError(f'batch_size: in their own pixels photographs go one by one; leave it out with at={NATIVE!r}')
    return 1
  batch_size = how.batch_size or -(-BATCH_SIZE // devices.count) * devices.count
  devices.check_batch(batch_size)
  return batch_size


def _digest(members: Sequence[Member]) -> str:
  """Of the weights of one network, or of the digests of several."""
  digests = [member.digest for member in members]
  return digests[0] if len(digests) == 1 else hashlib.sha256(''.join(digests).encode()).hexdigest()


def _require_pixels(data: str, builder: Any, name: str, heads: Sequence[Prediction]) -> None:
  """Raises ValueError where there is nothing to compare in the photographs' own pixels."""
  require_native(data, builder)
  if all(one.maps is None for one in heads):
    raise ValueError(f'at={NATIVE!r} compares lesion maps, and {name} makes none; leave it out')


def _require_common(
    data: str, annotated: tuple[str, ...], graded: bool, learned: tuple[str, ...], grades: bool) -> None:
  if not scored_lesions(annotated, learned) and not (grades and graded):
    raise ValueError(f'{data} cannot evaluate this network: it annotates {_knows(annotated, graded)}, and the network '
                     f'learned {_knows(learned, grades)}')


def _knows(lesions: tuple[str, ...], grades: bool) -> str:
  parts = [*lesions, *(['grades'] if grades else [])]
  return ', '.join(parts) or 'nothing'


def _crop_notes(expected: str, data: str, cropped: bool, other_crop: bool) -> list[str]:
  """What is to be said where network and data differ in how photographs become squares.

  `predict` cuts photographs that are not square to their field of view for every network, and so are those of a data
  set that is cropped. Squares as a raw dataset ships them are cut again for a network that learned from fields of view, and
  the prepared ones are not.

  Raises:
    ValueError: in that case, unless `other_crop`.
  """
  if (FIELD_OF_VIEW if cropped else SQUARE) == expected:
    return []
  if cropped:
    return [f'the network learned from squares as a raw dataset ships them; the photographs of {data} are cut to their '
            'field of view, as predict does it']
  if not other_crop:
    others = ', '.join(name for name, builder in DATASETS.items() if builder.CROPPED)
    raise ValueError(f'the network learned from photographs cut to their field of view, and those of {data} are '
                     'squares that are only resized, which is not what predict would do with them; evaluate on one of '
                     f'{others}, or with other_crop=True all the same')
  return [f'the photographs of {data} are not cut to their field of view, as those were from which the network learned']


def _lesion_notes(left_out: dict[str, str]) -> list[str]:
  reasons: dict[str, list[str]] = {}
  for key, reason in left_out.items():
    reasons.setdefault(reason, []).append(key)
  return [f'not evaluated: {", ".join(keys)} ({reason})' for reason, keys in reasons.items()]
