"""One stage of a run."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tqdm
from clu import parameter_overview
from flax import linen as nn
from flax import traverse_util
from ml_collections import ConfigDict

import lesion_jax
from lesion_jax import runtime
from lesion_jax.augment import augment
from lesion_jax.core import GRADE_KEYS, LESION_KEYS, REFERABLE_GRADE
from lesion_jax.cpu import arranged
from lesion_jax.data.asked import Asked, ask, kept_outputs
from lesion_jax.data.mixture import Mixture, shares
from lesion_jax.data.pipeline import train_batches
from lesion_jax.data.dataset import Dataset
from lesion_jax.data.sampler import Joined, Source, keep_decoded
from lesion_jax.evaluate import (
    Counts, Evaluation, choose, choose_smallest, criterion, full_report, headline, part_of, report, scored_lesions, totals)
from lesion_jax.evaluate.scale import on_scale
from lesion_jax.metrics.presence import Rule
from lesion_jax.models import LESION_BRANCH, get_imports
from lesion_jax.models.forward import forward
from lesion_jax.photograph import likeness
from lesion_jax.stages import leaks, parts
from lesion_jax.stages.added import DATA
from lesion_jax.stages.counting import make_counter
from lesion_jax.train.checkpoint import Checkpoints, OtherRun
from lesion_jax.train.logs import Logs
from lesion_jax.train.loop import TrainResult, fit
from lesion_jax.train.parallel import Devices
from lesion_jax.train.state import TrainState, create_state, join_frozen, split_frozen
from lesion_jax.train.step import make_train_step
from lesion_jax.weights.bundle import Bundle
from lesion_jax.weights.initialize import initialize
from lesion_jax.whole import whole

# Of a bundle's configuration, what the stage chooses on validation. Where one is missing, the paper's stands.
CHOSEN = ('thresholds', 'presence', 'temperatures', 'cut_points', 'referral', 'smallest')
HALVES = dict.fromkeys(LESION_KEYS, 0.5)


@dataclasses.dataclass(frozen=True, eq=False)
class Stage:
  """One stage of a run: its data, its network, and what may be done with them.

  Attributes:
    name: 'segment', 'classify' or 'grade'.
    config: its own keys of the configuration.
    seed: of the run.
    directory: holds checkpoints, logs, bundle and pictures of the stage.
    dataset: what it learns from and is evaluated on.
    network: of `check`; a finished one is evaluated, not trained.
    lesion: the finished lesion network that this one contains or, in joint training, starts from; None without one.
    devices: that share the batches.
    before: what the networks inside this one, or at its start, learned from.
  """

  name: str
  config: ConfigDict
  seed: int
  directory: pathlib.Path
  dataset: Dataset | Mixture
  network: parts.Network
  lesion: Bundle | None
  devices: Devices
  before: leaks.Before

  @property
  def model(self) -> nn.Module:
    """The network."""
    return self.network.model

  @functools.cached_property
  def annotated(self) -> tuple[str, ...]:
    """Keys of the lesions that the network learned, here or as the lesion network that it contains."""
    return _learned_lesions(self.config, self.dataset, self.network.bundle, self.lesion)

  @property
  def scored(self) -> tuple[str, ...]:
    """Keys of the lesions on which it is evaluated: those learned that the data annotate."""
    return scored_lesions(self.dataset.annotated, self.annotated)

  @property
  def criterion(self) -> str:
    """The metric of the validation split by which the best network is chosen, see `evaluate.criterion`."""
    return parts.criterion(self.config)

  @property
  def leaks(self) -> dict[str, Any]:
    """Which photographs were excluded, of `leaks.describe`."""
    return leaks.describe(self.config, self.dataset, self.before.unknown)

  @property
  def inside(self) -> list[dict[str, Any]]:
    """What the lesion network inside, whose weights stay, learned from, of `likeness.entry`; [] without one, or where that
    is not known."""
    return (self.lesion.config.get('likeness') or []) if self.lesion and self.network.frozen else []

  @property
  def provenance(self) -> dict[str, Any]:
    """Where the weights come from, ready for JSON."""
    config = self.config
    return {
        'lesion_jax': lesion_jax.__version__, 'jax': jax.__version__, 'stage': self.name, 'seed': self.seed,
        'size': config.data.size, 'pretrained': pathlib.Path(config.pretrained).name,
        'init': '/'.join(pathlib.Path(config.init).parts[-2:]), 'crop': config.data.crop,
    }

  @functools.cached_property
  def initial(self) -> dict[str, Any]:
    """The variables of the whole network before any training, {'params': ..., 'batch_stats': ...} in host memory: those of
    a finished one, else fresh ones with the pretrained encoder and the finished lesion branch put in."""
    finished, size = self.network.bundle, self.config.data.size
    if finished:
      return finished.variables
    variables = initialize(self.model, jax.ShapeDtypeStruct((1, size, size, 3), jnp.uint8), self.seed)
    if LESION_BRANCH in variables['params']:
      for collection, tree in self.lesion.variables.items():
        variables[collection][LESION_BRANCH] = tree
    return parts.with_initial(parts.with_pretrained(parts.with_prior(variables, self.config), self.config), self.config)

  def variables(self, state: TrainState) -> dict[str, Any]:
    """Returns the whole network's variables, {'params': ..., 'batch_stats': ...}, of a state of its training."""
    _, frozen = split_frozen(self.initial, self.network.frozen, self.config.freeze)
    return join_frozen(state.weights, frozen)

  def train(self, should_stop: Callable[[], bool]) -> TrainResult:
    """Trains the network, or resumes it.

    Args:
      should_stop: asked after each step; where it says so, the state is saved and training ends unfinished.

    Raises:
      NonFiniteLoss, OtherRun: of `fit`.
    """
    require_same_data(self.directory, self.dataset, begun=any((self.directory / 'checkpoints').glob('[0-9]*')))
    config, model = self.config, self.model
    trainable, frozen = split_frozen(self.initial, self.network.frozen, config.freeze)
    optimizer, spec = parts.optimizer(config), parts.augmentation(config)
    source, apply, inputs = self.dataset.source('train'), model.apply, ('image',)
    if config.data.ask_once:
      source = ask_network(model, source, self.initial, self.directory, size=config.data.size)
      apply, inputs = functools.partial(apply, method='grade'), ('image', 'found')
    step = make_train_step(
        apply, parts.loss(config), optimizer, accumulate=config.accumulate, axis_name=self.devices.axis, ema=config.ema, inputs=inputs,
        encoder_held=config.encoder_held, platform=self.devices.platform,
        augment=lambda batch, number: augment(batch, seed=self.seed, step=number, spec=spec))

    def validate(state: TrainState) -> tuple[float | None, dict[str, Any]]:
      result = self.evaluate(join_frozen(state.weights, frozen), 'validation').report
      value, shown = self.judge(result)
      return value, shown | {'criterion': value}

    checkpoints = Checkpoints(self.directory / 'checkpoints')
    try:
      return fit(
          step_fn=self.devices.train(step), state=create_state(trainable, optimizer, ema=config.ema > 0), frozen=frozen,
          batches=train_batches(keep_decoded(source, int(config.data.keep * 1e9)),
                                batch_size=config.batch_size, seed=self.seed, draw=parts.draw(config),
                                shard_index=jax.process_index(), shard_count=jax.process_count()),
          validate=validate, plateau=parts.plateau(config), plan=parts.plan(config), checkpoints=checkpoints,
          devices=self.devices, should_stop=should_stop, schedule=parts.schedule(config), criterion=self.criterion,
          losses=parts.loss_names(config),
          make_logs=lambda start: Logs(self.directory, total=config.max_steps or None, start=start,
                                       title=self.directory.name, active=jax.process_index() == 0, track=parts.trackers(config)))
    finally:
      checkpoints.close()

  def judge(self, result: Mapping[str, Any]) -> tuple[float | None, dict[str, float | None]]:
    """The figure of a validation by which the best network is chosen, None where it is undefined, and what is logged of it."""
    return criterion(result, self.criterion), headline(result)

  def evaluate(
      self, variables: dict[str, Any], split: str, chosen: Mapping[str, Any] | None = None,
  ) -> Evaluation:
    """Returns what the network gets right on a split.

    Args:
      variables: of the whole network, in host memory.
      split: 'train', 'validation' or 'test'.
      chosen: of `choose`; None: the paper's thresholds and rule.

    Returns:
      The metrics, with intervals, calibration and the judgement of whole photographs where the split is 'test', and of
      a mixture with the report of each data set by itself, by its name under 'data_sets'.
    """
    settings = {'thresholds': HALVES} | dict(chosen or {})
    thresholds, data = tuple(settings['thresholds'][key] for key in LESION_KEYS), self.dataset
    if split != 'test':  # a validation only chooses, by the metric itself
      key = split, thresholds, _digest(variables)
      if self._last.get('key') != key:  # what was just validated is often what thresholds are chosen for
        self._last.update(key=key, counts=self._counts(variables, split, thresholds))
      counts = self._last['counts']
      return Evaluation(report(totals(counts), data.annotated, self.annotated), counts)
    full = functools.partial(full_report, learned=self.annotated, rule=Rule.of(settings),
                             temperatures=settings.get('temperatures'), cut_points=settings.get('cut_points'),
                             operating_point=settings.get('referral', {}).get('threshold'))
    counts = self._counts(variables, split, thresholds, keep_histograms=bool(self.scored))
    alone = {part.name: full(part_of(counts, rows), part.annotated) for part, rows in shares(data, split)}
    found = full(counts, data.annotated)
    return Evaluation(found | ({'data_sets': alone} if alone else {}), counts)

  def _counts(self, variables: dict[str, Any], split: str, thresholds: tuple[float, ...], **options: Any) -> Counts:
    """The counts of a split, in which each data set's grades tell no more than their scale."""
    counts = self._counter(thresholds)(variables, self.dataset.source(split), **options)
    parts = list(shares(self.dataset, split)) or [(self.dataset, slice(None))]
    return on_scale(counts, [(part.scale, rows) for part, rows in parts])

  def _counter(self, thresholds: tuple[float, ...]) -> Callable[..., Any]:
    """What counts: one program for validation and test, and another where the thresholds of the pixels are not 0.5."""
    if thresholds not in self._counters:
      self._counters[thresholds] = make_counter(
          forward(self.model), self.devices, batch_size=self.config.eval_batch_size,
          thresholds=np.array(thresholds, np.float32))
    return self._counters[thresholds]

  @functools.cached_property
  def _counters(self) -> dict[tuple[float, ...], Callable[..., Any]]:
    return {}

  @functools.cached_property
  def _last(self) -> dict[str, Any]:
    """The counts of the last validation, and of what."""
    return {}

  def choose(self, variables: dict[str, Any]) -> dict[str, Any]:
    """Returns those of CHOSEN that `evaluate.choose` finds on the validation split, where the configuration asks for
    it, else {}; of a finished bundle its own. Those of a frozen lesion network stay what its bundle says.

    Args:
      variables: of the whole network.
    """
    if self.network.bundle:
      return _kept(self.network.bundle)
    if not parts.chooses(self.config):
      return self._smallest(variables, HALVES)
    found = choose(self.evaluate(variables, 'validation').counts, self.scored, specificity=self.config.specificity,
                   sick=self._sick(variables))
    found |= self._smallest(variables, found.get('thresholds', HALVES))
    kept = _kept(self.lesion) if self.lesion and self.network.frozen else {}
    if not kept or self.scored and 'presence' not in kept:
      return found
    if 'grades' in found.get('temperatures', {}):
      kept['temperatures'] = kept.get('temperatures', {}) | {'grades': found['temperatures']['grades']}
    return kept | {key: found[key] for key in ('cut_points', 'referral') if key in found}

  def _smallest(self, variables: dict[str, Any], thresholds: Mapping[str, float]) -> dict[str, Any]:
    """The smallest regions that count, where the configuration asks for them and the network makes maps."""
    if not parts.chooses_smallest(self.config) or not self.scored:
      return {}
    platform, there = self.devices.platform, jax.device_put(variables)
    predict = jax.jit(arranged(forward(self.model), platform), compiler_options=runtime.compiler_options(platform))
    found = choose_smallest(
        lambda image: predict(there, image[None]).maps[0], _each(self.dataset.source('validation')), self.scored,
        [thresholds[key] for key in LESION_KEYS])
    return {'smallest': found} if found else {}

  def _sick(self, variables: dict[str, Any]) -> np.ndarray | None:
    """Presence scores, float32 [M, 8], of training photographs graded DR2 and above from which nothing is learned."""
    idle = leaks.idle(self.dataset) if not parts.grades(self.config) else []
    if not idle:
      return None
    counts = self._counter(tuple(HALVES.values()))(variables, Joined(idle))
    return counts['presence_scores'][counts['grade'] >= REFERABLE_GRADE]

  def selection(self, trained: TrainResult) -> dict[str, Any]:
    """Returns how the network that training returned was chosen, ready for JSON: `criterion` and its `value` on the
    validation split (None where it was undefined each time, or the best network cannot be read: then it is the last
    one), `step`, and `phase`, 'segmentation' or 'dual', where the loss has two: 'segmentation' only where no step was
    ever taken with the dual loss."""
    phase = {} if trained.phase is None else {'phase': trained.phase}
    return {'criterion': self.criterion, 'value': trained.plateau.best if trained.selected else None,
            'step': trained.best_step, **phase}

  def bundle(
      self, variables: dict[str, Any], result: dict[str, Any], *, best_step: int,
      chosen: Mapping[str, Any] | None = None,
  ) -> Bundle:
    """Returns the weights, and in the configuration all that prediction needs to know (DESIGN 8).

    Args:
      variables: of the whole network.
      result: the test report; `criterion` and `phase` of its 'selection' go to the provenance too.
      best_step: the step of the weights.
      chosen: of `choose`.
    """
    data = self.dataset
    selected = {key: value for key, value in result.get('selection', {}).items() if key in ('criterion', 'phase')}
    parameters = parameter_overview.count_parameters(variables['params'])
    imports = get_imports(self.network.fields)
    return Bundle({
        'model': self.network.fields,
        **({'imports': imports} if imports else {}),
        'lesions': list(LESION_KEYS),
        'grades': list(GRADE_KEYS),
        'annotated': list(self.annotated),
        'preprocessing': {'size': self.config.data.size, 'crop': data.crop},
        'thresholds': dict(HALVES),
        **(chosen or {}),
        'provenance': {**self.provenance, 'parameters': int(parameters), 'best_step': best_step, **selected},
        'data': {'name': data.name, 'citation': data.citation, 'licence': data.licence, 'lengths': data.lengths,
                 'description': data.description, **dealing_of(data), **parts_of(data), 'leaks': self.leaks,
                 **({'before': dict(self.before.data)} if self.before.data else {})},
        'metrics': result,
        **likeness_of(data, self.inside),
    }, variables, photographs=leaks.union([leaks.photographs(data), self.before.photographs]))


def require_same_data(directory: pathlib.Path, dataset: Dataset | Mixture, *, begun: bool) -> None:
  """Holds the training photographs to those with which a stage began, wherever they lie by now: by ids, grades, areas of
  lesions and fingerprints, in their order. A stage that did not begin, or from before this was kept, gets them written down.

  Args:
    directory: of the stage.
    dataset: of the stage.
    begun: whether there is a checkpoint to resume from.

  Raises:
    OtherRun: they are others, or what was written down is damaged.
  """
  index, total = dataset.source('train').index, hashlib.blake2b(digest_size=16)
  for column in (index.id, index.grade, index.annotated, index.areas, index.fingerprint):
    column = np.asarray(column)
    total.update(repr(column.tolist()).encode() if column.dtype.kind == 'U' else np.ascontiguousarray(column).tobytes())
  now, path = {'photographs': len(index), 'train': total.hexdigest()}, directory / DATA
  if begun and path.exists():
    try:
      there = dict(json.loads(path.read_text('utf-8')))
    except (TypeError, ValueError) as error:
      raise OtherRun(f'{path} is damaged ({error}), so that nobody knows whether the training photographs are still those with which this '
                     'run began; if they are, remove it, and it is written anew') from error
    if there != now:
      raise OtherRun(f'the {now["photographs"]} training photographs are others than the {there.get("photographs")} with which the run in '
                     f'{directory} began; name the folder with those, or use another --workdir')
  elif jax.process_index() == 0:
    with whole(path) as fresh:
      fresh.write_text(json.dumps(now) + '\n', 'utf-8')


def _each(source: Source) -> Iterator[Any]:
  """The examples of a split, one after the other."""
  return (source[number] for number in range(len(source)))


def _kept(bundle: Bundle) -> dict[str, Any]:
  """What a bundle says of CHOSEN."""
  return {key: bundle.config[key] for key in CHOSEN if key in bundle.config}


def _learned_lesions(
    stage: ConfigDict, dataset: Dataset | Mixture, finished: Bundle | None, lesion: Bundle | None,
) -> tuple[str, ...]:
  """The lesions of a finished bundle; else those of the bundle that the lesion network comes from and, unless only
  grades are learned from them, those that the loss teaches from the data."""
  if finished:
    return tuple(finished.config['annotated'])
  here = parts.learned(stage, dataset) if stage.loss == 'joint' or not parts.grades(stage) else ()
  return tuple(key for key in LESION_KEYS if key in {*here, *(lesion.config['annotated'] if lesion else ())})


def dealing_of(data: Dataset | Mixture) -> dict[str, Any]:
  """How photographs came to their splits, for a data set; a mixture says it of each part."""
  return {} if isinstance(data, Mixture) else {'dealing': data.dealing}


def likeness_of(data: Dataset | Mixture, inside: list[dict[str, Any]]) -> dict[str, Any]:
  """By what prediction tells a photograph that is unlike those learned from; nothing where these are too few. Their
  fingerprints are enough: nothing is decoded."""
  all_parts = data.parts if isinstance(data, Mixture) else (data,)
  prints = {part.name: tuple(part.source(split).index.fingerprint if part.lengths[split] else likeness.NONE
                             for split in leaks.LEARNED) for part in all_parts}
  own = likeness.entry(data.name, prints)
  found = likeness.union([[own] if own else [], inside])
  return {'likeness': found} if found else {}


def parts_of(data: Dataset | Mixture) -> dict[str, Any]:
  """What a bundle says of each data set of a mixture, and of no other."""
  if not isinstance(data, Mixture):
    return {}
  return {'weights': list(data.weights), 'parts': [
      {'name': part.name, 'annotated': list(part.annotated), 'graded': part.graded, 'crop': part.crop,
       'lengths': part.lengths, **dealing_of(part)} for part in data.parts]}


def _digest(variables: Mapping[str, Any]) -> str:
  """SHA-256 of the names and values of variables."""
  flat, digest = traverse_util.flatten_dict(dict(variables), sep='/'), hashlib.sha256()
  for name in sorted(flat):
    digest.update(name.encode() + np.ascontiguousarray(flat[name]).tobytes())
  return digest.hexdigest()


def ask_network(model: Any, source: Source, variables: dict[str, Any], directory: pathlib.Path, *, size: int) -> Source:
  """Returns the training photographs, squares of `size` pixels, with what the frozen lesion network says of them; see
  `parts.check_asked`. Of a mixture each part is asked about by itself, as two may use one name."""
  look = jax.jit(lambda variables, image: model.apply(variables, image[None], method='look')[0])
  there = jax.device_put(variables)
  weights = {name: tree[LESION_BRANCH] for name, tree in variables.items() if LESION_BRANCH in tree}
  key = f'{(type(model).__name__, model.lesion, model.grading_size, size)} {_digest(weights)}'

  def asked(part: Source, name: str) -> Source:
    found = ask(lambda image: look(there, image), part, directory / name, key=key,
                watch=lambda each: tqdm.tqdm(each, unit='photo', desc=f'{directory.name}: lesions', dynamic_ncols=True))
    return Asked(part, found, model.grading_size or size)

  if not isinstance(source, Joined):
    return asked(source, kept_outputs())
  return Joined([asked(part, kept_outputs(number)) for number, part in enumerate(source.parts)], source.weights)
