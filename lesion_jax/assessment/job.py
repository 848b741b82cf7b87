"""An evaluation that was checked: it runs, says what it is and writes what it found."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import jax
import numpy as np

import lesion_jax
from lesion_jax.assessment.settings import Path, Settings
from lesion_jax.clinical.findings import Smallest
from lesion_jax.clinical.record import smallest_of
from lesion_jax.core import Prediction, lesion_bits
from lesion_jax.data.dataset import ALL, Dataset
from lesion_jax.data.native import NativeSource
from lesion_jax.data.progress import Progress, silent
from lesion_jax.evaluate import (
    Evaluation, evaluate_regions, examples, full_report, native_counts, native_report, present_in, region_counts)
from lesion_jax.evaluate.interval import check_draws
from lesion_jax.evaluate.scale import on_scale
from lesion_jax.evaluate.totals import PROBABILITIES
from lesion_jax.metrics.presence import Rule
from lesion_jax.photograph.threads import ordered_map
from lesion_jax.predict.loading import Member
from lesion_jax.predict.step import compiled
from lesion_jax.report.run import COUNTS, PICTURES, REPORT, write_pictures, write_report
from lesion_jax.stages import make_counter
from lesion_jax.train.parallel import Devices
from lesion_jax.weights.bundle import Bundle

FILES = (REPORT, COUNTS, *PICTURES)  # what `Job.write` leaves, where there is material for it
Item = TypeVar('Item')


@dataclasses.dataclass(frozen=True)
class Job:
  """What is evaluated, checked.

  Attributes:
    settings: how it was asked for.
    bundle: of the network, or of several as one: their joint configuration, a tuple of their variables, and one digest.
    members: those networks.
    predict_fn: what they say, `(bundle.variables, images) -> Prediction`.
    devices: that share the batches.
    batch_size: over all of them.
    thresholds: of the pixels, by lesion.
    rule: by which lesions are called present in a photograph.
    dataset: the data set.
    source: the photographs that are evaluated, of its split.
    chosen: what was excluded or kept of the split, ready for JSON; {} where nothing was.
    photographs: those in their own pixels, where they are evaluated there; None at the network's size.
    scored: keys of the lesions that are evaluated.
    left_out: the other lesions, with the reason; empty where the network finds none at all.
    notes: what a reader of the metrics should know, a sentence each.
    leaks: photographs that the network learned from: `asked`, of `Settings.leaks`, `known`, whether it is known what all
      networks learned from, and how many of the split are among their 'train' and 'validation' photographs, which were
      `left_out` or not; ready for JSON.
  """

  settings: Settings
  bundle: Bundle
  members: tuple[Member, ...]
  predict_fn: Callable[[Any, Any], Prediction]
  devices: Devices
  batch_size: int
  thresholds: dict[str, float]
  rule: Rule
  dataset: Dataset
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
    split = 'all splits' if self.settings.split == ALL else f'split {self.settings.split}'
    where = ' in their own pixels' if self.photographs else ''
    chosen = ', a choice' if self.chosen else ''
    return f'{name} on {self.dataset.name}, {split}{chosen}: {self.length} photographs{where}'

  def evaluate(self, *, progress: Progress = silent, **options: Any) -> Evaluation:
    """Runs the network over the split.

    Args:
      progress: called as photographs are done, with how many are and how many there are.
      **options: `resamples` and `seed` of `full_report` or `native_report`, which makes the report.

    Raises:
      FloatingPointError: the network outputs something that is not a number.
      OSError, ValueError: a photograph cannot be read any more; or, before anything is read, there are no resamples or the seed
        is below 0.
    """
    check_draws(**options)
    if self.photographs:
      return self._evaluate_native(progress, **options)
    watch = functools.partial(_watch, length=self.length, progress=progress,
                              count=lambda batch: int(np.sum(batch['weight'])))
    count = make_counter(self.predict_fn, self.devices, batch_size=self.batch_size,
                         thresholds=np.array(list(self.thresholds.values()), np.float32), watch=watch)
    counts = on_scale(count(self.bundle.variables, self.source, keep_histograms=bool(self.scored)), [(self.dataset.scale, slice(None))])
    wrong = np.zeros(self.length, bool)
    for name in set(PROBABILITIES) & set(counts):
      wrong |= ~np.isfinite(counts[name]).all(axis=1)
    if wrong.any():
      raise FloatingPointError(f'the network outputs something that is not a number on {wrong.sum()} of '
                               f'{self.length} photographs; its weights are not fit for use')
    config = self.bundle.config
    found = full_report(counts, self.dataset.annotated, config['annotated'], rule=self.rule,
                        temperatures=config.get('temperatures'), cut_points=config.get('cut_points'), scale=self.dataset.scale,
                        operating_point=config.get('referral', {}).get('threshold'), **options)
    if self.settings.regions and self.scored:
      smallest = smallest_of(config)
      counts = counts | self._regions(smallest, progress)
      found['regions'] = evaluate_regions(counts, self.scored, smallest=smallest, **options)
    return Evaluation(found, counts)

  def _regions(self, smallest: Mapping[str, Smallest], progress: Progress) -> dict[str, np.ndarray]:
    """The regions of each photograph, on one device."""
    device, source = self.devices.local[0], self.source
    predict, variables = compiled(self.predict_fn, device.platform), jax.device_put(self.bundle.variables, device)
    examples = _watch(ordered_map(source.__getitem__, range(len(source)), ahead=1), len(source), progress)
    return region_counts(lambda square: predict(variables, square[None]).maps[0], examples, self.scored,
                         np.array(list(self.thresholds.values())), smallest=smallest)

  def _evaluate_native(self, progress: Progress, **options: Any) -> Evaluation:
    device, source = self.devices.local[0], self.photographs
    predict, variables = compiled(self.predict_fn, device.platform), jax.device_put(self.bundle.variables, device)
    photographs = _watch(ordered_map(source.__getitem__, range(len(source)), ahead=1), len(source), progress)
    counts = native_counts(lambda square: predict(variables, square[None]).maps[0], photographs,
                           size=self.bundle.config['preprocessing']['size'], lesions=self.scored,
                           thresholds=np.array(list(self.thresholds.values()), np.float32))
    return Evaluation(native_report(counts, self.dataset.annotated, self.bundle.config['annotated'], **options), counts)

  def examples(self) -> list[dict[str, Any]]:
    """Returns a few photographs with what the network says, as `report.page.overlay_page` takes them."""
    shown = np.uint8(lesion_bits(self.scored))
    found = examples(compiled(self.predict_fn, self.devices.platform), self.bundle.variables, self.source)
    return [example | {'annotated': example['annotated'] & shown, 'present': present_in(example, self.rule)}
            for example in found]

  def describe(self) -> dict[str, Any]:
    """Returns what was evaluated and how, ready for JSON: 'evaluated' of a report."""
    how, config, dataset = self.settings, self.bundle.config, self.dataset
    return {
        'model': {'name': config['model']['name'], 'weights_sha256': self.bundle.digest,
                  'provenance': config.get('provenance', {}), **self._describe_members()},
        'at': how.at,
        'tta': how.tta,
        'window': self.members[0].window if len(self.members) == 1 else [member.window for member in self.members],
        'data': {'name': dataset.name, 'split': how.split, 'images': self.length, 'options': dict(how.options),
                 'size': config['preprocessing']['size'], 'crop': dataset.crop, 'dealing': dataset.dealing} | self.chosen,
        'lesions': {'scored': list(self.scored), 'left_out': self.left_out},
        'thresholds': self.thresholds,
        'presence': self.rule.to_json(),
        'notes': self.notes,
        'leaks': self.leaks,
        'batch_size': self.batch_size,
        'devices': {'kind': self.devices.local[0].device_kind, 'count': self.devices.count},
        'versions': {'lesion_jax': lesion_jax.__version__, 'jax': jax.__version__, 'numpy': np.__version__,
                     'python': platform.python_version()},
    }

  def _describe_members(self) -> dict[str, Any]:
    """The networks of an ensemble."""
    if len(self.members) == 1:
      return {}
    return {'members': [{'bundle': member.name, 'name': member.config['model']['name'], 'weights_sha256': member.digest}
                        for member in self.members]}

  def write(self, out: Path, found: Evaluation, *, pictures: bool = True) -> list[str]:
    """Writes report.json, counts.npz and the pictures for which there is material, in the place of an earlier evaluation.

    Args:
      out: the folder, made where it does not exist; see `require_free`.
      found: of `evaluate`, with what else the report is to say.
      pictures: draw the pictures too.

    Returns:
      The names of the files.

    Raises:
      OSError: something could not be written.
    """
    folder = pathlib.Path(out)
    for name in FILES:
      (folder / name).unlink(missing_ok=True)
    written = write_report(folder, found, self.scored)
    if pictures:
      written += write_pictures(folder, found, self.examples(), title=self.title, thresholds=list(self.thresholds.values()))
    return [path.name for path in written]


def _watch(
    items: Iterable[Item], length: int, progress: Progress, count: Callable[[Item], int] = lambda item: 1,
) -> Iterator[Item]:
  """The items, while `progress` hears how many photographs went by."""
  done = 0
  progress(done, length)
  for item in items:
    yield item
    done += count(item)
    progress(done, length)
