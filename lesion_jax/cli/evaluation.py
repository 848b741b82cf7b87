"""What `lesion-jax evaluate` runs: a bundle and a split of a data set that go together, checked, and their figures."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
import tqdm

from lesion_jax.build import make_counter
from lesion_jax.core import LESION_KEYS, Prediction, lesion_bits
from lesion_jax.data.fingerprint import reduced, twins
from lesion_jax.data.fundus import FIELD_OF_VIEW, SQUARE
from lesion_jax.data.native import NativeSource, require_native
from lesion_jax.data.source import ALL, DATASETS, Dataset, Subset, load
from lesion_jax.data.splits import Dealing
from lesion_jax.data.threads import ordered_map
from lesion_jax.evaluate import (
    Evaluation, examples, full_report, native_counts, native_report, present_in, scored_lesions)
from lesion_jax.evaluate.totals import PROBABILITIES
from lesion_jax.metrics.presence import MAXIMUM, Rule
from lesion_jax.predict.ensemble import check_heads
from lesion_jax.predict.loading import Member, join, read_member
from lesion_jax.predict.step import compiled
from lesion_jax.predict.tta import augmented
from lesion_jax.train.parallel import Devices
from lesion_jax.weights.bundle import Bundle

BATCH_SIZE = 8  # as training evaluates
NETWORK, NATIVE = 'network', 'native'  # where maps and masks are compared
REFUSE, LEAVE_OUT, KEEP = 'refuse', 'leave-out', 'keep'  # what is done with photographs that the network learned from
SHOWN = 5  # examples of them in a message


@dataclasses.dataclass(frozen=True)
class Job:
  """What is evaluated, checked.

  Attributes:
    bundle: of the network, or of several as one: their joint configuration, a tuple of their variables, and one digest.
    members: those networks.
    predict_fn: what they say, `(bundle.variables, images) -> Prediction`.
    devices: that share the batches.
    batch_size: over all of them.
    thresholds: of the pixels, by lesion.
    rule: by which lesions are called present in a photograph.
    dataset: the data set.
    split: of it, with photographs, or 'all'.
    source: the photographs that are judged, of that split.
    chosen: what was left out or taken of the split, ready for JSON; {} where nothing was.
    photographs: those in their own pixels, where they are evaluated there; None at the network's size.
    scored: keys of the lesions that are judged.
    left_out: the other lesions, with the reason; empty where the network finds none at all.
    notes: what a reader of the figures should know, a sentence each.
    leaks: photographs that the network learned from: `asked`, of --leaks, `known`, whether it is known what all networks
      learned from, and how many of the split are among their 'train' and 'validation' photographs, which were
      `left_out` or not; ready for JSON.
  """

  bundle: Bundle
  members: tuple[Member, ...]
  predict_fn: Callable[[Any, Any], Prediction]
  devices: Devices
  batch_size: int
  thresholds: dict[str, float]
  rule: Rule
  dataset: Dataset
  split: str
  source: Any
  chosen: dict[str, Any]
  photographs: NativeSource | None
  scored: tuple[str, ...]
  left_out: dict[str, str]
  notes: list[str]
  leaks: dict[str, Any]

  @property
  def length(self) -> int:
    """Number of photographs."""
    return len(self.source)

  @property
  def title(self) -> str:
    """What is evaluated, in a line."""
    name = self.bundle.config['model']['name']
    split = 'all splits' if self.split == ALL else f'split {self.split}'
    where = ' in their own pixels' if self.photographs else ''
    chosen = ', a choice' if self.chosen else ''
    return f'{name} on {self.dataset.name}, {split}{chosen}: {self.length} photographs{where}'

  def evaluate(self, **options: Any) -> Evaluation:
    """Runs the network over the split; `options` are of `full_report` or `native_report`, which makes the report.

    Raises:
      FloatingPointError: the network answers with something that is no number.
      OSError, ValueError: a photograph cannot be read any more.
    """
    if self.photographs:
      return self._evaluate_native(**options)
    count = make_counter(self.predict_fn, self.devices, batch_size=self.batch_size,
                         thresholds=np.array(list(self.thresholds.values()), np.float32),
                         watch=functools.partial(_watch, length=self.length))
    counts = count(self.bundle.variables, self.source, keep_histograms=bool(self.scored))
    wrong = np.zeros(self.length, bool)
    for name in set(PROBABILITIES) & set(counts):
      wrong |= ~np.isfinite(counts[name]).all(axis=1)
    if wrong.any():
      raise FloatingPointError(f'the network answers with something that is no number on {wrong.sum()} of '
                               f'{self.length} photographs; its weights are not fit for use')
    return Evaluation(full_report(counts, self.dataset.annotated, self.bundle.config['annotated'], rule=self.rule,
                                  temperatures=self.bundle.config.get('temperatures'), scale=self.dataset.scale, **options),
                      counts)

  def _evaluate_native(self, **options: Any) -> Evaluation:
    device, source = self.devices.local[0], self.photographs
    predict, variables = compiled(self.predict_fn, device.platform), jax.device_put(self.bundle.variables, device)
    photographs = ordered_map(source.__getitem__, range(len(source)), ahead=1)
    photographs = tqdm.tqdm(photographs, total=len(source), unit='photo', dynamic_ncols=True, disable=None)
    counts = native_counts(lambda square: predict(variables, square[None]).maps[0], photographs,
                           size=self.bundle.config['preprocessing']['size'], lesions=self.scored,
                           thresholds=np.array(list(self.thresholds.values()), np.float32))
    return Evaluation(native_report(counts, self.dataset.annotated, self.bundle.config['annotated'], **options), counts)

  def examples(self) -> list[dict[str, Any]]:
    """A few photographs with what the network says, as `report.page.overlay_page` takes them."""
    shown = np.uint8(lesion_bits(self.scored))
    found = examples(self.predict_fn, self.bundle.variables, self.source)
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
  native = arguments.at == NATIVE
  devices = Devices(jax.local_devices()[:1] if native else None)
  batch_size = _batch_size(arguments, devices)
  members, heads = _members(arguments, devices)
  config, variables, predict_fn = join(members)
  bundle = Bundle(config, variables, _digest(members))
  thresholds = {key: float((config['thresholds'] | arguments.threshold)[key]) for key in LESION_KEYS}
  rule = Rule.of(config if arguments.rule != MAXIMUM else {}, np.array(list(thresholds.values())))
  size = config['preprocessing']['size']
  lesions, grades = (any(getattr(one, name) is not None for one in heads) for name in ('lesions', 'grades'))
  learned, notes = tuple(config['annotated']) if lesions else (), []
  if builder := DATASETS.get(arguments.data):  # `load` refuses another, and names those that there are
    known = {*builder.ANNOTATED, *(learned if builder.GRADES_AS_LESIONS else ())}
    annotated = tuple(key for key in LESION_KEYS if key in known)
    _require_common(arguments.data, annotated, builder.GRADED, learned, grades)
    if arguments.data not in [part for member in members for part in _parts(member.config)]:
      # Else it learned from squares and from fields of view.
      notes += _crop_notes(config['preprocessing']['crop'], arguments.data, builder.CROPPED, arguments.other_crop)
    if native:
      _require_pixels(arguments.data, builder, config['model']['name'], heads)
  dataset = load(arguments.data, data_dir=arguments.prepared, size=size, source_dir=arguments.data_dir,
                 **dict(arguments.option))
  if dataset.grades_as_lesions and learned:
    dataset = dataset.with_negatives(learned, whole=True)
    notes.append(f'{dataset.name} has no masks: its grades say that lesions are absent from photographs graded DR0, and all '
                 'but microaneurysms from those graded DR1')
  source, chosen = _choose(dataset, arguments)  # raises where it is empty
  _require_common(arguments.data, dataset.annotated, dataset.graded, learned, grades)  # of some, releases differ
  scored = scored_lesions(dataset.annotated, learned)
  if (strange := set(arguments.threshold) - set(scored)) and len(arguments.threshold) < len(LESION_KEYS):
    raise ValueError(f'--threshold: {", ".join(sorted(strange))} cannot be judged here, only {", ".join(scored)}')
  reasons = f'not annotated by {dataset.name}', 'not learned by the network'
  left_out = {key: reasons[key in dataset.annotated] for key in LESION_KEYS if lesions and key not in scored}
  notes += dataset.notes
  notes += _lesion_notes(left_out) + _data_notes(members, dataset, arguments.split, grades, native)
  source, leaks, said = _guard(members, dataset, source, arguments)
  notes += said
  photographs = NativeSource(dataset, arguments.split, set(source.index.id.tolist())) if native else None
  return Job(bundle, members, augmented(predict_fn, arguments.tta), devices, batch_size, thresholds, rule, dataset,
             arguments.split, source, chosen, photographs, scored, left_out, notes, leaks)


def _choose(dataset: Dataset, arguments: argparse.Namespace) -> tuple[Any, dict[str, Any]]:
  """The photographs of the split that the files of --only and --without leave, and what these files are."""
  files = {name: path for name in ('only', 'without') if (path := getattr(arguments, name))}
  ids = {name: _read_ids(path) for name, path in files.items()}
  source = dataset.choose(arguments.split, only=ids.get('only'), without=ids.get('without', ()))
  return source, {name: {'file': path.name, 'ids': len(ids[name])} for name, path in files.items()}


def _guard(
    members: Sequence[Member], dataset: Dataset, source: Any, arguments: argparse.Namespace,
) -> tuple[Any, dict[str, Any], list[str]]:
  """The photographs that are judged, what is said of those from which a network learned, as JSON and as notes.

  Raises:
    ValueError: there are such photographs, or nothing else is left, and nobody asked for them: neither by --leaks nor by
      a split from which, as its name says, the network learned.
  """
  asked, notes = arguments.leaks, []
  silent = [member.name for member in members if member.photographs is None or _unknown(member)]
  if silent:
    notes.append(f'what {", ".join(silent)} learned from is not known, at least in part: photographs of this split may be '
                 'among it')
  prints, known = reduced(source.index.fingerprint), [member.photographs for member in members if member.photographs]
  learned, choosing = (
      np.any([np.zeros(len(prints), bool), *(twins(prints, each[split]) for each in known)], axis=0)
      for split in ('train', 'validation'))
  choosing &= ~learned
  leaking = learned | choosing
  leaks = {'asked': asked, 'known': not silent, 'train': int(learned.sum()), 'validation': int(choosing.sum()),
           'left_out': asked == LEAVE_OUT and bool(leaking.any())}
  if not leaking.any():
    return source, leaks, notes
  some = ', '.join(source.index.id[leaking][:SHOWN].tolist()) + (', ...' if leaking.sum() > SHOWN else '')
  split = 'in all splits' if arguments.split == ALL else f'in the split {arguments.split}'
  found = (f'{leaking.sum()} of {len(prints)} photographs of {dataset.name} {split} are among those from which the network '
           f'learned ({learned.sum()}) or by which it was chosen ({choosing.sum()})')
  if asked == LEAVE_OUT:
    if leaking.all():
      raise ValueError(f'{found}: nothing is left to judge; name another split or other data, or --leaks keep')
    return Subset(source, np.flatnonzero(~leaking).tolist()), leaks, [*notes, f'left out: {found}']
  if asked == KEEP or arguments.split != 'test' and _of_name(members, dataset.name):
    return source, leaks, [*notes, f'{found}, and are judged all the same: the figures may be flattered']
  raise ValueError(f'{found}: {some}. Figures on them say little of other eyes. Judge the others with --leaks leave-out, '
                   'or all of them with --leaks keep, which the report then says')


def _unknown(member: Member) -> list[str]:
  """Networks inside another, or at its start, of which its bundle does not know what they learned from."""
  return member.config.get('data', {}).get('leaks', {}).get('unknown', [])


def _of_name(members: Sequence[Member], name: str) -> list[dict[str, Any]]:
  """The configurations of those networks that learned from a data set of that name."""
  return [member.config for member in members
          if name in (member.config.get('data', {}).get('name'), *_parts(member.config))]


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


def _members(arguments: argparse.Namespace, devices: Devices) -> tuple[tuple[Member, ...], list[Prediction]]:
  """The networks and their heads, as shapes. At the network's size they compute as training's own evaluation does, bit
  by bit; else as on their platform they are fastest."""
  device = devices.local[0]
  platform = device.platform if arguments.at == NATIVE else None
  members = tuple(read_member(path, window=arguments.window, platform=platform, device=device)
                  for path in arguments.model)
  heads = [member.look() for member in members]
  check_heads([member.name for member in members], heads)
  return members, heads


def _batch_size(arguments: argparse.Namespace, devices: Devices) -> int:
  if arguments.at == NATIVE:
    if arguments.batch_size:
      raise ValueError('--batch-size: in their own pixels photographs go one by one; leave it out with --at native')
    return 1
  batch_size = arguments.batch_size or -(-BATCH_SIZE // devices.count) * devices.count
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
    raise ValueError(f'--at native compares lesion maps, and {name} makes none; leave it out')


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


def _data_notes(
    members: Sequence[Member], dataset: Dataset, split: str, grades: bool, native: bool) -> list[str]:
  notes = []
  if grades and not dataset.graded:
    notes.append(f'grades are not judged: {dataset.name} has none')
  elif grades and native:
    notes.append("grades are not judged in the photographs' own pixels: they are of whole photographs")
  configs = _of_name(members, dataset.name)
  if not configs:
    return notes
  others = [learned for config in configs if (learned := _dealing(config, dataset.name)) != dataset.dealing]
  if others:
    notes.append(f'the network learned from another split of {dataset.name} ({_named(others[0])}; here '
                 f'{_named(dataset.dealing)}): photographs of this split may be among those from which it learned')
  elif split != 'test':
    notes.append({'train': 'the network learned from the photographs of this split',
                  'validation': 'the weights were chosen by the photographs of this split',
                  ALL: 'the network learned from some of these photographs, and was chosen by others'}[split])
  return notes


def _dealing(config: dict[str, Any], name: str) -> dict[str, Any] | None:
  """How the photographs of a data set from which a network learned were dealt; bundles of before say nothing of it, when
  there was one way."""
  data = config['data']
  part = next((part for part in data.get('parts', ()) if part['name'] == name), data)
  return part.get('dealing', Dealing().describe() if DATASETS[name].DEALT else None)


def _named(dealing: dict[str, Any] | None) -> str:
  if dealing is None:
    return "the release's"
  folds = f', fold {dealing["fold"]} of {dealing["folds"]}' if dealing['folds'] else ''
  return f'{dealing["name"]}, seed {dealing["seed"]}{folds}'


def _parts(config: dict[str, Any]) -> list[str]:
  """The data sets of the mixture from which a network learned; [] where it was one data set."""
  return [part['name'] for part in config.get('data', {}).get('parts', ())]


def _watch(batches: Iterable[Any], length: int) -> Iterator[Any]:
  """The batches, while a bar shows how many photographs went by."""
  with tqdm.tqdm(total=length, unit='photo', dynamic_ncols=True, disable=None) as bar:
    for batch in batches:
      yield batch
      bar.update(int(np.sum(batch['weight'])))
