"""A finished network, or several as one, evaluated on a data set: what `lesion-jax evaluate` does, as functions.

    found = evaluate('idrid_multitask', 'idrid', source_dir='IDRiD', out='metrics')  # writes what the command writes
    found.report['pixel_f1']['mean']

In two steps, where what will be evaluated is to be read before it takes long:

    job = check(['bundle', 'other'], 'idrid', source_dir='IDRiD', tta='flips')
    print(job.title, job.notes)
    found = job.evaluate(progress=lambda done, total: print(done, total))
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import pathlib
import platform
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import jax
import numpy as np

import lesion_jax
from lesion_jax.clinical.findings import Smallest
from lesion_jax.clinical.record import smallest_note, smallest_of
from lesion_jax.core import LESION_KEYS, Prediction, lesion_bits
from lesion_jax.data.native import NativeSource, require_native
from lesion_jax.data.progress import Progress, silent
from lesion_jax.data.dataset import ALL, Dataset, Subset
from lesion_jax.data.registry import DATASETS, find_builder, load_dataset
from lesion_jax.data.splits import Dealing
from lesion_jax.evaluate import (
    Evaluation, examples, full_report, evaluate_regions, native_counts, native_report, present_in, region_counts, scored_lesions)
from lesion_jax.evaluate.bootstrap import RESAMPLES, SEED
from lesion_jax.evaluate.interval import check_draws
from lesion_jax.evaluate.scale import on_scale
from lesion_jax.evaluate.totals import PROBABILITIES
from lesion_jax.metrics.presence import MAXIMUM, Rule
from lesion_jax.photograph.crop import FIELD_OF_VIEW, SQUARE
from lesion_jax.photograph.fingerprint import reduced, twins
from lesion_jax.photograph.threads import ordered_map
from lesion_jax.predict.ensemble import check_heads
from lesion_jax.predict.loading import Member, join, read_member
from lesion_jax.predict.predictor import Predictor
from lesion_jax.predict.step import compiled
from lesion_jax.predict.tta import augmented
from lesion_jax.report.run import COUNTS, PICTURES, REPORT, write_report, write_pictures
from lesion_jax.stages import make_counter
from lesion_jax.train.parallel import Devices
from lesion_jax.weights.bundle import Bundle

BATCH_SIZE = 8  # as training evaluates
NETWORK, NATIVE = 'network', 'native'  # where maps and masks are compared
REFUSE, LEAVE_OUT, KEEP = 'refuse', 'leave-out', 'keep'  # what is done with photographs that the network learned from
OWN = 'folder'  # the data set that reads a folder of one's own: its name tells nothing
ITS_OWN = 0.9  # of what a network learned from, that a folder must hold to be the one it learned from
BUNDLE = 'bundle'  # the rule for presence that the bundle brings
SHOWN = 5  # examples of them in a message
FILES = (REPORT, COUNTS, *PICTURES)  # what `Job.write` leaves, where there is material for it
CHOICES = {'leaks': (REFUSE, LEAVE_OUT, KEEP), 'at': (NETWORK, NATIVE), 'rule': (BUNDLE, MAXIMUM)}
Path = str | os.PathLike
Item = TypeVar('Item')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
  """What is evaluated of a data set, and how.

  Attributes:
    source_dir: root of the raw dataset as its authors lay it out; None where it has none.
    data_dir: where preprocessed datasets are kept; the photographs are prepared there once, at the network's size.
    options: further ones of `data.registry.load_dataset`: those of the data set, and how it is dealt.
    split: 'train', 'validation', 'test' or 'all'.
    only: evaluate only these photographs of the split: their ids, or a file of them, one a line.
    without: leave these out; likewise.
    leaks: where photographs are among those from which the network learned, known by a fingerprint: 'refuse', 'leave-out'
      or 'keep'.
    at: where maps and masks are compared, 'network', at its size, or 'native', in the photographs' own pixels.
    tta: None, 'flips' or 'dihedral': average over mirrored, or mirrored and turned, copies of each photograph.
    window: side of the overlapping windows by which it is asked, in pixels; 0: all at once; None: as its bundle says.
    batch_size: photographs in one pass, over all devices; None: as training evaluates, and 1 in their own pixels.
    thresholds: of the pixels, by lesion; those that are not given are the bundle's.
    rule: by which lesions are called present: 'bundle', its own, or 'maximum', Eq. 1.
    other_crop: evaluate on squares although the network learned from fields of view.
    regions: metrics by region too, see `evaluate.regions`: a second pass over the photographs, and some seconds each.

  Raises:
    ValueError: a word that is none of those, or a threshold that is not between 0 and 1.
  """

  source_dir: Path | None = None
  data_dir: Path = 'runs/data'
  options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  split: str = 'test'
  only: Path | Collection[str] | None = None
  without: Path | Collection[str] | None = None
  leaks: str = REFUSE
  at: str = NETWORK
  tta: str | None = None
  window: int | None = None
  batch_size: int | None = None
  thresholds: Mapping[str, float] = dataclasses.field(default_factory=dict)
  rule: str = BUNDLE
  other_crop: bool = False
  regions: bool = False

  def __post_init__(self):
    for name, allowed in CHOICES.items():
      if (given := getattr(self, name)) not in allowed:
        raise ValueError(f'{name}={given!r}; choose one of {", ".join(allowed)}')
    if wrong := {key: value for key, value in self.thresholds.items() if not 0 < value < 1}:
      raise ValueError(f'thresholds={wrong} are not between 0 and 1')


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


def evaluate(
    models: Path | Predictor | Sequence[Path], data: Path, *, out: Path | None = None, pictures: bool = True, resamples: int = RESAMPLES,
    seed: int = SEED, progress: Progress = silent, **settings: Any,
) -> Evaluation:
  """Evaluates a network, or several as one, on a data set.

  Args:
    models: bundles, directories or zip archives, or names of networks in this package; or a predictor of `load`, with its
      thresholds, rule, windows and test-time augmentation.
    data: name of the data set, of `data.registry.DATASETS`; or, as a `pathlib.Path`, a folder of one's own
      (docs/own-data.md).
    out: the folder into which report.json, counts.npz and the pictures go, in the place of an earlier evaluation; None
      writes nothing.
    pictures: draw the pictures too.
    resamples: of the bootstrap, for the intervals.
    seed: of the bootstrap.
    progress: called as photographs are prepared, where they were not, and then as they are evaluated: with how many are
      done and how many there are.
    **settings: of `Settings`.

  Returns:
    The report, with 'evaluated', what was evaluated and how, of `Job.describe`; and the counts of each photograph.

  Raises:
    FileNotFoundError, OSError, ValueError: of `check`; there are no resamples or the seed is below 0; and `out` holds something
      else than an evaluation, or cannot be written.
    FloatingPointError: the network outputs something that is not a number.
  """
  check_draws(resamples=resamples, seed=seed)
  if out is not None:
    require_free(out)
  job = check(models, data, progress=progress, **settings)
  if out is not None:
    pathlib.Path(out).mkdir(parents=True, exist_ok=True)  # a place that cannot be written to is known before, not after
  found = job.evaluate(resamples=resamples, seed=seed, progress=progress)
  found = found._replace(report={'evaluated': job.describe()} | found.report)
  if out is not None:
    job.write(out, found, pictures=pictures)
  return found


def require_free(out: Path) -> None:
  """Raises ValueError where `out` holds something else than an earlier evaluation, which would be overwritten."""
  path = pathlib.Path(out)
  if not path.exists():
    return
  if not path.is_dir():
    raise ValueError(f'out={path} is a file; give a directory')
  if others := sorted({item.name for item in path.iterdir()} - set(FILES)):
    raise ValueError(f'out={path} holds something else than an evaluation ({", ".join(others[:3])}); give another '
                     'directory, so that no file is overwritten')


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
    if not any(_parts(member.config, data) for member in members):
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
  learned_here = _learned_here(members, dataset, source, how.split)
  notes += [*said, *dataset.notes, *_lesion_notes(left_out),
            *_data_notes(learned_here, dataset, how.split, grades, native)]
  if how.regions and all(one.maps is None for one in heads):
    raise ValueError(f'regions=True is of lesion maps, and {config["model"]["name"]} makes none; leave it out')
  if smallest := smallest_of(config):
    notes.append(f'metrics of pixels and of whole photographs are of all regions; {smallest_note(smallest)[0].lower()}'
                 f'{smallest_note(smallest)[1:]}')
  source, leaks, said = _guard(members, dataset, source, how, asked_for=how.split != 'test' and bool(learned_here))
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


def _guard(
    members: Sequence[Member], dataset: Dataset, source: Any, how: Settings, *, asked_for: bool,
) -> tuple[Any, dict[str, Any], list[str]]:
  """The photographs that are evaluated, what is said of those from which a network learned, as JSON and as notes.

  Raises:
    ValueError: there are such photographs, or nothing else is left, and nobody asked for them: neither by `leaks` nor, `asked_for`,
      by a split of data from which, as is known, the network learned.
  """
  asked, notes = how.leaks, []
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
  split = 'in all splits' if how.split == ALL else f'in the split {how.split}'
  found = (f'{leaking.sum()} of {len(prints)} photographs of {dataset.name} {split} are among those from which the network '
           f'learned ({learned.sum()}) or by which it was chosen ({choosing.sum()})')
  if asked == LEAVE_OUT:
    if leaking.all():
      raise ValueError(f'{found}: nothing is left to evaluate; name another split or other data, or leaks={KEEP!r}')
    return Subset(source, np.flatnonzero(~leaking).tolist()), leaks, [*notes, f'excluded: {found}']
  if asked == KEEP or asked_for:
    return source, leaks, [*notes, f'{found}, and are evaluated all the same: the metrics may be too good']
  raise ValueError(f'{found}: {some}. Metrics on them say little of other eyes. Evaluate the others with leaks={LEAVE_OUT!r}, '
                   f'or all of them with leaks={KEEP!r}, which the report then says')


def _unknown(member: Member) -> list[str]:
  """Networks inside another, or at its start, of which its bundle does not know what they learned from."""
  return member.config.get('data', {}).get('leaks', {}).get('unknown', [])


def _learned_here(members: Sequence[Member], dataset: Dataset, source: Any, split: str) -> list[dict[str, Any]]:
  """The configurations of those networks that learned from this data set: by its name, or, of folders of one's own, which all have
  one name, where its photographs are nearly all from which they learned, and `split` is one of those."""
  if dataset.name != OWN:
    return _of_name(members, dataset.name)
  prints, splits = reduced(source.index.fingerprint), {'test': (), ALL: ('train', 'validation')}.get(split, (split,))
  known = [(member, np.concatenate([member.photographs[each] for each in splits])) for member in members if member.photographs and splits]
  return _of_name([member for member, own in known if len(own) and twins(own, prints).mean() >= ITS_OWN], OWN)


def _of_name(members: Sequence[Member], name: str) -> list[dict[str, Any]]:
  """The configurations of those networks that learned from a data set of that name."""
  return [member.config for member in members
          if member.config.get('data', {}).get('name') == name or _parts(member.config, name)]


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


def _data_notes(
    configs: Sequence[dict[str, Any]], dataset: Dataset, split: str, grades: bool, native: bool) -> list[str]:
  notes = []
  if grades and not dataset.graded:
    notes.append(f'grades are not evaluated: {dataset.name} has none')
  elif grades and native:
    notes.append("grades are not evaluated in the photographs' own pixels: they are of whole photographs")
  others = [learned for config in configs if dataset.dealing not in (learned := _dealings(config, dataset.name))]
  if others:
    notes.append(f'the network learned from another split of {dataset.name} ({_named(others[0][0])}; here '
                 f'{_named(dataset.dealing)}): photographs of this split may be among those from which it learned')
  elif configs and split != 'test':
    notes.append({'train': 'the network learned from the photographs of this split',
                  'validation': 'the weights were chosen by the photographs of this split',
                  ALL: 'the network learned from some of these photographs, and was chosen by others'}[split])
  return notes


def _dealings(config: dict[str, Any], name: str) -> list[dict[str, Any] | None]:
  """How the photographs of a data set from which a network learned were dealt, of several folders of one's own each; bundles of
  before say nothing of it, when there was one way."""
  before = Dealing().describe() if DATASETS[name].DEALT else None
  return [part.get('dealing', before) for part in _parts(config, name) or [config['data']]]


def _named(dealing: dict[str, Any] | None) -> str:
  if dealing is None:
    return "the raw dataset's"
  folds = f', fold {dealing["fold"]} of {dealing["folds"]}' if dealing['folds'] else ''
  return f'{dealing["name"]}, seed {dealing["seed"]}{folds}'


def _parts(config: dict[str, Any], name: str) -> list[dict[str, Any]]:
  """What a bundle says of a data set in the mixture from which a network learned; [] where that has it not, or is one data set. Of
  several folders of one's own, 'folder:clinic', each is of the data set 'folder'."""
  return [part for part in config.get('data', {}).get('parts', ()) if part['name'].partition(':')[0] == name]


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
