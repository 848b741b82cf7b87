"""What `lesion-jax evaluate` runs: a bundle and a split of a data set that go together, checked, and their figures."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

import jax
import numpy as np
import tqdm

from lesion_jax.build import make_counter
from lesion_jax.core import LESION_KEYS, lesion_bits
from lesion_jax.data.fundus import FIELD_OF_VIEW, SQUARE
from lesion_jax.data.source import DATASETS, Dataset, load
from lesion_jax.evaluate import Evaluation, examples, full_report, present_in, scored_lesions
from lesion_jax.evaluate.totals import PROBABILITIES
from lesion_jax.metrics.presence import MAXIMUM, Rule
from lesion_jax.models import get_model
from lesion_jax.predict.config import check_config
from lesion_jax.predict.loading import MISFITS
from lesion_jax.train.parallel import Devices
from lesion_jax.weights.bundle import Bundle, load_bundle

BATCH_SIZE = 8  # as training evaluates


@dataclasses.dataclass(frozen=True)
class Job:
  """What is evaluated, checked.

  Attributes:
    bundle: of the network.
    model: the network.
    devices: that share the batches.
    batch_size: over all of them.
    thresholds: of the pixels, by lesion.
    rule: by which lesions are called present in a photograph.
    dataset: the data set.
    split: of it, with photographs.
    scored: keys of the lesions that are judged.
    left_out: the other lesions, with the reason; empty where the network finds none at all.
    notes: what a reader of the figures should know, a sentence each.
  """

  bundle: Bundle
  model: Any
  devices: Devices
  batch_size: int
  thresholds: dict[str, float]
  rule: Rule
  dataset: Dataset
  split: str
  scored: tuple[str, ...]
  left_out: dict[str, str]
  notes: list[str]

  @property
  def length(self) -> int:
    """Number of photographs."""
    return self.dataset.lengths[self.split]

  @property
  def title(self) -> str:
    """What is evaluated, in a line."""
    name = self.bundle.config['model']['name']
    return f'{name} on {self.dataset.name}, split {self.split}: {self.length} photographs'

  def evaluate(self, **options: Any) -> Evaluation:
    """Runs the network over the split; `options` are of `full_report`, which makes the report.

    Raises:
      FloatingPointError: the network answers with something that is no number.
    """
    count = make_counter(self.model, self.devices, batch_size=self.batch_size,
                         thresholds=np.array(list(self.thresholds.values()), np.float32),
                         watch=functools.partial(_watch, length=self.length))
    counts = count(self.bundle.variables, self.dataset.source(self.split), keep_histograms=bool(self.scored))
    wrong = np.zeros(self.length, bool)
    for name in set(PROBABILITIES) & set(counts):
      wrong |= ~np.isfinite(counts[name]).all(axis=1)
    if wrong.any():
      raise FloatingPointError(f'the network answers with something that is no number on {wrong.sum()} of '
                               f'{self.length} photographs; its weights are not fit for use')
    return Evaluation(full_report(counts, self.dataset.annotated, self.bundle.config['annotated'], rule=self.rule,
                                  temperatures=self.bundle.config.get('temperatures'), **options), counts)

  def examples(self) -> list[dict[str, Any]]:
    """A few photographs with what the network says, as `report.page.overlay_page` takes them."""
    shown = np.uint8(lesion_bits(self.scored))
    found = examples(self.model, self.bundle.variables, self.dataset.source(self.split))
    return [example | {'annotated': example['annotated'] & shown, 'present': present_in(example, self.rule)}
            for example in found]


def check(arguments: argparse.Namespace) -> Job:
  """Finds mistakes before anything takes long, and opens the data set, which is prepared where that was not done yet.

  Args:
    arguments: of `lesion-jax evaluate`.

  Raises:
    FileNotFoundError: there is no bundle, or no release in its own layout.
    OSError: the prepared data cannot be kept.
    ValueError: naming what cannot be evaluated, and what can.
  """
  bundle = load_bundle(arguments.model)
  config = bundle.config
  check_config(config, f'{arguments.model}: config.json')
  devices = Devices()
  batch_size = arguments.batch_size or -(-BATCH_SIZE // devices.count) * devices.count
  devices.check_batch(batch_size)
  thresholds = {key: float((config['thresholds'] | arguments.threshold)[key]) for key in LESION_KEYS}
  rule = Rule.of(config if arguments.rule != MAXIMUM else {}, np.array(list(thresholds.values())))
  size = config['preprocessing']['size']
  model, lesions, grades = _network(bundle, arguments.model, size)
  learned, notes = tuple(config['annotated']) if lesions else (), []
  if builder := DATASETS.get(arguments.data):  # `load` refuses another, and names those that there are
    _require_common(arguments.data, builder.ANNOTATED, builder.GRADED, learned, grades)
    if arguments.data not in _parts(config):  # else it learned from squares and from fields of view
      notes += _crop_notes(config['preprocessing']['crop'], arguments.data, builder.CROPPED, arguments.other_crop)
  dataset = load(arguments.data, data_dir=arguments.prepared, size=size, source_dir=arguments.data_dir,
                 **dict(arguments.option))
  dataset.source(arguments.split)  # raises where it is empty
  _require_common(arguments.data, dataset.annotated, dataset.graded, learned, grades)  # of some, releases differ
  scored = scored_lesions(dataset.annotated, learned)
  if (strange := set(arguments.threshold) - set(scored)) and len(arguments.threshold) < len(LESION_KEYS):
    raise ValueError(f'--threshold: {", ".join(sorted(strange))} cannot be judged here, only {", ".join(scored)}')
  reasons = f'not annotated by {dataset.name}', 'not learned by the network'
  left_out = {key: reasons[key in dataset.annotated] for key in LESION_KEYS if lesions and key not in scored}
  notes += _lesion_notes(left_out) + _data_notes(config, dataset, arguments.split, grades)
  return Job(bundle, model, devices, batch_size, thresholds, rule, dataset, arguments.split, scored, left_out, notes)


def _network(bundle: Bundle, path: pathlib.Path, size: int) -> tuple[Any, bool, bool]:
  """The network, whether it finds lesions, and whether it grades; it is traced, and nothing is computed.

  Raises:
    ValueError: configuration and weights are not of one network.
  """
  images = jax.ShapeDtypeStruct((1, size, size, 3), np.uint8)
  try:
    model = get_model(**bundle.config['model'])
    outputs = jax.eval_shape(functools.partial(model.apply, train=False), bundle.variables, images)
  except MISFITS as error:
    raise ValueError(f'{path}: config.json and the weights do not make a network: '
                     f'{next(iter(str(error).splitlines()), type(error).__name__)}') from error
  return model, outputs.lesions is not None, outputs.grades is not None


def _require_common(
    data: str, annotated: tuple[str, ...], graded: bool, learned: tuple[str, ...], grades: bool) -> None:
  if not scored_lesions(annotated, learned) and not (grades and graded):
    raise ValueError(f'{data} cannot judge this network: it annotates {_knows(annotated, graded)}, and the network '
                     f'learned {_knows(learned, grades)}')


def _knows(lesions: tuple[str, ...], grades: bool) -> str:
  parts = [*lesions, *(['grades'] if grades else [])]
  return ', '.join(parts) or 'nothing'


def _crop_notes(expected: str, data: str, cropped: bool, other_crop: bool) -> list[str]:
  """What is to be said where network and data differ in how photographs become squares.

  `predict` cuts photographs that are not square to their field of view for every network, and so are those of a data
  set that is cropped. Squares as a release ships them are cut again for a network that learned from fields of view, and
  the prepared ones are not.

  Raises:
    ValueError: in that case, unless `other_crop`.
  """
  if (FIELD_OF_VIEW if cropped else SQUARE) == expected:
    return []
  if cropped:
    return [f'the network learned from squares as a release ships them; the photographs of {data} are cut to their '
            'field of view, as predict does it']
  if not other_crop:
    others = ', '.join(name for name, builder in DATASETS.items() if builder.CROPPED)
    raise ValueError(f'the network learned from photographs cut to their field of view, and those of {data} are '
                     'squares that are only resized, which is not what predict would do with them; evaluate on one of '
                     f'{others}, or with --other-crop all the same')
  return [f'the photographs of {data} are not cut to their field of view, as those were from which the network learned']


def _lesion_notes(left_out: dict[str, str]) -> list[str]:
  reasons: dict[str, list[str]] = {}
  for key, reason in left_out.items():
    reasons.setdefault(reason, []).append(key)
  return [f'not judged: {", ".join(keys)} ({reason})' for reason, keys in reasons.items()]


def _data_notes(config: dict[str, Any], dataset: Dataset, split: str, grades: bool) -> list[str]:
  notes = []
  if grades and not dataset.graded:
    notes.append(f'grades are not judged: {dataset.name} has none')
  if split != 'test' and dataset.name in (config.get('data', {}).get('name'), *_parts(config)):
    notes.append('the network learned from the photographs of this split' if split == 'train' else
                 'the weights were chosen by the photographs of this split')
  return notes


def _parts(config: dict[str, Any]) -> list[str]:
  """The data sets of the mixture from which a network learned; [] where it was one data set."""
  return [part['name'] for part in config.get('data', {}).get('parts', ())]


def _watch(batches: Iterable[Any], length: int) -> Iterator[Any]:
  """The batches, while a bar shows how many photographs went by."""
  with tqdm.tqdm(total=length, unit='photo', dynamic_ncols=True, disable=None) as bar:
    for batch in batches:
      yield batch
      bar.update(int(np.sum(batch['weight'])))
