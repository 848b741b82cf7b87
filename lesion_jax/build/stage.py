"""One stage of a run."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tqdm
from clu import parameter_overview
from flax import traverse_util
from ml_collections import ConfigDict

import lesion_jax
from lesion_jax.augment import augment
from lesion_jax.build import leaks, parts
from lesion_jax.build.counting import make_counter
from lesion_jax.core import GRADE_KEYS, LESION_KEYS
from lesion_jax.data import likeness
from lesion_jax.data.asked import Asked, ask, kept_answers
from lesion_jax.data.mixture import Mixture, shares
from lesion_jax.data.order import Joined, Source, keep_decoded
from lesion_jax.data.pipeline import train_batches
from lesion_jax.data.source import Dataset
from lesion_jax.evaluate import (
    Evaluation, choose, criterion, full_report, headline, part_of, report, scored_lesions, totals)
from lesion_jax.metrics.presence import Rule
from lesion_jax.models import LESION_BRANCH, get_model
from lesion_jax.models.forward import forward
from lesion_jax.train.checkpoint import Checkpoints
from lesion_jax.train.logs import Logs
from lesion_jax.train.loop import Fitted, fit
from lesion_jax.train.parallel import AXIS, Devices
from lesion_jax.train.state import TrainState, create_state, join_frozen, split_frozen
from lesion_jax.train.step import make_train_step
from lesion_jax.weights.bundle import Bundle
from lesion_jax.weights.initialize import initialize

Evaluate = Callable[..., Evaluation]
# Of a bundle's configuration, what the stage chooses on validation. Where one is missing, the paper's stands.
CHOSEN = ('thresholds', 'presence', 'temperatures', 'cut_points')
HALVES = dict.fromkeys(LESION_KEYS, 0.5)


@dataclasses.dataclass(frozen=True)
class Stage:
  """One stage of a run: its data, its network, and what may be done with them.

  Attributes:
    name: 'segment', 'classify' or 'grade'.
    directory: holds checkpoints, logs, bundle and pictures of the stage.
    dataset: what it learns from and is evaluated on.
    annotated: keys of the lesions that the network learned, here or as the lesion network that it contains.
    model: the network.
    model_config: arguments of `get_model` that build it, ready for JSON.
    train: `should_stop -> Fitted`.
    variables: `state -> {'params': ..., 'batch_stats': ...}`, the whole network's.
    evaluate: `(variables, split, chosen={}) -> Evaluation`, with intervals, calibration and the judgement of whole
      photographs where the split is 'test', and of a mixture with the report of each data set by itself, by its name under
      'data_sets'; `chosen` is of `choose`.
    choose: `variables -> {}`, or those of CHOSEN that `evaluate.choose` finds on the validation split, where the
      configuration asks for it; of a finished bundle, its own.
    provenance: where the weights come from, ready for JSON.
    criterion: the figure of the validation split by which the best network is chosen, see `evaluate.criterion`.
    before: what the networks inside this one, or at its start, learned from.
    leaks: which photographs were left out, of `leaks.describe`.
    inside: what the lesion network inside, whose weights stay, learned from, of `likeness.entry`; [] without one, or
      where that is not known.
  """

  name: str
  directory: pathlib.Path
  dataset: Dataset | Mixture
  annotated: tuple[str, ...]
  model: Any
  model_config: dict[str, Any]
  train: Callable[[Callable[[], bool]], Fitted]
  variables: Callable[[TrainState], dict[str, Any]]
  evaluate: Evaluate
  choose: Callable[[dict[str, Any]], dict[str, Any]]
  provenance: dict[str, Any]
  criterion: str
  before: leaks.Before
  leaks: dict[str, Any]
  inside: list[dict[str, Any]]

  @property
  def scored(self) -> tuple[str, ...]:
    """Keys of the lesions on which it is judged: those learned that the data annotate."""
    return scored_lesions(self.dataset.annotated, self.annotated)

  def selection(self, fitted: Fitted) -> dict[str, Any]:
    """How the network that training returned was chosen, ready for JSON: `criterion` and its `value` on the validation
    split (None where it was undefined each time, or the best network cannot be read: then it is the last one), `step`,
    and `phase`, 'segmentation' or 'dual', where the loss has two: 'segmentation' only where no step was ever taken with
    the dual loss."""
    phase = {} if fitted.phase is None else {'phase': fitted.phase}
    return {'criterion': self.criterion, 'value': fitted.control.best if fitted.selected else None,
            'step': fitted.best_step, **phase}

  def bundle(
      self, variables: dict[str, Any], result: dict[str, Any], *, best_step: int,
      chosen: Mapping[str, Any] | None = None,
  ) -> Bundle:
    """The weights, and in the configuration all that prediction needs to know (DESIGN 8).

    Args:
      variables: of the whole network.
      result: the test report; `criterion` and `phase` of its 'selection' go to the provenance too.
      best_step: the step of the weights.
      chosen: of `choose`.
    """
    data = self.dataset
    selected = {key: value for key, value in result.get('selection', {}).items() if key in ('criterion', 'phase')}
    parameters = parameter_overview.count_parameters(variables['params'])
    return Bundle({
        'model': self.model_config,
        'lesions': list(LESION_KEYS),
        'grades': list(GRADE_KEYS),
        'annotated': list(self.annotated),
        'preprocessing': {'size': self.provenance['size'], 'crop': data.crop},
        'thresholds': dict(HALVES),
        **(chosen or {}),
        'provenance': {**self.provenance, 'parameters': int(parameters), 'best_step': best_step, **selected},
        'data': {'name': data.name, 'citation': data.citation, 'licence': data.licence, 'lengths': data.lengths,
                 'description': data.description, **_dealing_of(data), **_parts_of(data), 'leaks': self.leaks,
                 **({'before': dict(self.before.data)} if self.before.data else {})},
        'metrics': result,
        **_likeness_of(data, self.inside),
    }, variables, photographs=leaks.union([leaks.photographs(data), self.before.photographs]))


def build_stage(
    config: ConfigDict, name: str, dataset: Dataset | Mixture, *, workdir: str | pathlib.Path, devices: Devices,
    bundles: Mapping[str, Bundle],
) -> Stage:
  """Builds one stage.

  Args:
    config: of `configs/`, checked by `check`.
    name: one of STAGES.
    dataset: of `open_datasets`.
    workdir: the stage's files go to workdir/name.
    devices: that share the batches.
    bundles: by stage, those that are finished: that of this stage is taken instead of the configured network, that of
      a lesion stage is the lesion branch of a network that contains one.

  Raises:
    ValueError: for anything in the configuration that cannot be built, naming it and what is allowed.
  """
  stage, finished = config[name], bundles.get(name)
  lesion = None if finished else bundles.get(parts.lesion_stage(config, name))
  fields = finished.config['model'] if finished else parts.model_config(stage.model, lesion and lesion.config['model'])
  frozen_name = LESION_BRANCH if parts.is_frozen(fields) else None
  model = get_model(**(_synchronised(fields) if stage.model.sync_batch_norm and not finished else fields))
  directory = pathlib.Path(workdir).absolute() / name

  @functools.cache
  def variables() -> dict[str, Any]:
    return finished.variables if finished else _initial(model, stage, config.seed, lesion)

  def whole(state: TrainState) -> dict[str, Any]:
    _, frozen = split_frozen(variables(), frozen_name, stage.freeze)
    return join_frozen(state.weights, frozen)

  annotated = _learned_lesions(stage, dataset, finished, lesion)
  evaluate = _make_evaluate(model, stage, dataset, devices, annotated)
  train = functools.partial(_train, model, stage, config.seed, dataset, devices, directory, variables, frozen_name,
                            evaluate)
  provenance = {
      'lesion_jax': lesion_jax.__version__, 'jax': jax.__version__, 'stage': name, 'seed': config.seed,
      'size': stage.data.size, 'pretrained': pathlib.Path(stage.pretrained).name,
      'init': '/'.join(pathlib.Path(stage.init).parts[-2:]), 'crop': stage.data.crop,
  }
  before = leaks.learned_before(config, name, {}, bundles)
  chosen = _make_choose(stage, dataset, annotated, evaluate, finished, lesion if frozen_name else None)
  return Stage(name, directory, dataset, annotated, model, fields, train, whole, evaluate, chosen, provenance,
               parts.criterion(stage), before, leaks.describe(stage, dataset, before.unknown),
               (lesion.config.get('likeness') or []) if lesion and frozen_name else [])


def _synchronised(fields: dict[str, Any]) -> dict[str, Any]:
  """Fields with which every part that is trained averages BatchNorm's statistics over the devices."""
  lesion = {'lesion': fields['lesion'] | {'bn_axis': AXIS}} if fields.get('joint') else {}
  return fields | lesion | {'bn_axis': AXIS}


def _learned_lesions(
    stage: ConfigDict, dataset: Dataset | Mixture, finished: Bundle | None, lesion: Bundle | None,
) -> tuple[str, ...]:
  """The lesions of a finished bundle; else those of the bundle that the lesion network comes from and, unless only
  grades are learned from them, those of the data whose weight in the loss is not 0."""
  if finished:
    return tuple(finished.config['annotated'])
  here = parts.taught(stage, dataset.annotated) if stage.loss == 'joint' or not parts.grades(stage) else ()
  return tuple(key for key in LESION_KEYS if key in {*here, *(lesion.config['annotated'] if lesion else ())})


def _initial(model: Any, stage: ConfigDict, seed: int, lesion: Bundle | None) -> dict[str, Any]:
  """Fresh variables in host memory, with the pretrained encoder and the finished lesion branch put in."""
  size = stage.data.size
  variables = initialize(model, jax.ShapeDtypeStruct((1, size, size, 3), jnp.uint8), seed)
  if LESION_BRANCH in variables['params']:
    for collection, tree in lesion.variables.items():
      variables[collection][LESION_BRANCH] = tree
  return parts.with_initial(parts.with_pretrained(parts.with_prior(variables, stage), stage), stage)


def _make_evaluate(
    model: Any, stage: ConfigDict, dataset: Dataset | Mixture, devices: Devices, learned: tuple[str, ...],
) -> Evaluate:
  """`evaluate(variables, split, chosen) -> Evaluation`, one program for validation and test, and another where the
  thresholds of the pixels are not 0.5."""

  @functools.cache
  def counter(thresholds: tuple[float, ...]) -> Callable[..., Any]:
    return make_counter(forward(model), devices, batch_size=stage.eval_batch_size,
                        thresholds=np.array(thresholds, np.float32))

  def evaluate(variables: Any, split: str, chosen: Mapping[str, Any] | None = None) -> Evaluation:
    settings = {'thresholds': HALVES} | dict(chosen or {})
    count, rule = counter(tuple(settings['thresholds'][key] for key in LESION_KEYS)), Rule.of(settings)
    full = functools.partial(full_report, learned=learned, rule=rule, temperatures=settings.get('temperatures'),
                             cut_points=settings.get('cut_points'))
    if split != 'test':  # a validation only chooses, by the figure itself
      counts = count(variables, dataset.source(split))
      return Evaluation(report(totals(counts), dataset.annotated, learned), counts)
    counts = count(variables, dataset.source(split), keep_histograms=bool(scored_lesions(dataset.annotated, learned)))
    alone = {part.name: full(part_of(counts, rows), part.annotated) for part, rows in shares(dataset, split)}
    found = full(counts, dataset.annotated)
    return Evaluation(found | ({'data_sets': alone} if alone else {}), counts)

  return evaluate


def _dealing_of(data: Dataset | Mixture) -> dict[str, Any]:
  """How photographs came to their splits, for a data set; a mixture says it of each part."""
  return {} if isinstance(data, Mixture) else {'dealing': data.dealing}


def _make_choose(
    stage: ConfigDict, dataset: Dataset | Mixture, learned: tuple[str, ...], evaluate: Evaluate, finished: Bundle | None,
    frozen: Bundle | None,
) -> Callable[[dict[str, Any]], dict[str, Any]]:
  """`Stage.choose`. Of a frozen lesion network they stay what its bundle says."""

  def chosen(variables: dict[str, Any]) -> dict[str, Any]:
    if finished:
      return {key: finished.config[key] for key in CHOSEN if key in finished.config}
    if not parts.chooses(stage):
      return {}
    scored = scored_lesions(dataset.annotated, learned)
    found = choose(evaluate(variables, 'validation').counts, scored, specificity=stage.specificity)
    kept = {key: frozen.config[key] for key in CHOSEN if key in frozen.config} if frozen else {}
    if not kept.get('presence') and (scored or not frozen):
      return found
    if 'grades' in found.get('temperatures', {}):
      kept['temperatures'] = kept.get('temperatures', {}) | {'grades': found['temperatures']['grades']}
    return kept | {key: found[key] for key in ('cut_points',) if key in found}

  return chosen


def _likeness_of(data: Dataset | Mixture, inside: list[dict[str, Any]]) -> dict[str, Any]:
  """By what prediction tells a photograph that is unlike those learned from; nothing where these are too few. Their
  fingerprints are enough: nothing is decoded."""
  all_parts = data.parts if isinstance(data, Mixture) else (data,)
  prints = {part.name: tuple(part.source(split).index.fingerprint if part.lengths[split] else likeness.NONE
                             for split in leaks.LEARNED) for part in all_parts}
  own = likeness.entry(data.name, prints)
  found = likeness.union([[own] if own else [], inside])
  return {'likeness': found} if found else {}


def _parts_of(data: Dataset | Mixture) -> dict[str, Any]:
  """What a bundle says of each data set of a mixture, and of no other."""
  if not isinstance(data, Mixture):
    return {}
  return {'weights': list(data.weights), 'parts': [
      {'name': part.name, 'annotated': list(part.annotated), 'graded': part.graded, 'crop': part.crop,
       'lengths': part.lengths, **_dealing_of(part)} for part in data.parts]}


def _train(
    model: Any, stage: ConfigDict, seed: int, dataset: Dataset | Mixture, devices: Devices, directory: pathlib.Path,
    initial: Callable[[], dict[str, Any]], frozen_name: str | None, evaluate: Evaluate,
    should_stop: Callable[[], bool],
) -> Fitted:
  """Trains one stage, or goes on with it."""
  trainable, frozen = split_frozen(initial(), frozen_name, stage.freeze)
  optimizer, spec = parts.optimizer(stage), parts.augmentation(stage)
  source, apply, inputs = dataset.source('train'), model.apply, ('image',)
  if stage.data.ask_once:
    source, apply, inputs = _asked(model, source, initial(), directory), functools.partial(apply, method='grade'), (
        'image', 'found')
  step = make_train_step(
      apply, parts.loss(stage), optimizer, accumulate=stage.accumulate, axis_name=AXIS, ema=stage.ema, inputs=inputs,
      augment=lambda batch, number: augment(batch, seed=seed, step=number, spec=spec))

  def validate(state: TrainState) -> tuple[float | None, dict[str, Any]]:
    result = evaluate(join_frozen(state.weights, frozen), 'validation').report
    value = criterion(result, parts.criterion(stage))
    return value, headline(result) | {'criterion': value}

  checkpoints = Checkpoints(directory / 'checkpoints')
  try:
    return fit(
        step_fn=devices.train(step), state=create_state(trainable, optimizer, ema=stage.ema > 0), frozen=frozen,
        batches=train_batches(keep_decoded(source, int(stage.data.keep * 1e9)),
                              batch_size=stage.batch_size, seed=seed, draw=parts.draw(stage),
                              shard_index=jax.process_index(), shard_count=jax.process_count()),
        validate=validate, control=parts.control(stage), plan=parts.plan(stage), checkpoints=checkpoints,
        devices=devices, should_stop=should_stop, schedule=parts.schedule(stage),
        make_logs=lambda start: Logs(directory, total=stage.max_steps or None, start=start, title=directory.name,
                                     active=jax.process_index() == 0))
  finally:
    checkpoints.close()


def _asked(model: Any, source: Source, variables: dict[str, Any], directory: pathlib.Path) -> Source:
  """The training photographs with what the frozen lesion network says of them; see `parts.check_asked`. Of a mixture each
  part is asked about by itself, as two may use one name."""
  look = jax.jit(lambda variables, image: model.apply(variables, image[None], method='look')[0])
  there = jax.device_put(variables)
  weights = traverse_util.flatten_dict({name: tree[LESION_BRANCH] for name, tree in variables.items() if LESION_BRANCH in tree},
                                       sep='/')
  digest = hashlib.sha256(repr((type(model).__name__, model.lesion, model.grading_size)).encode())
  for name in sorted(weights):
    digest.update(np.ascontiguousarray(weights[name]).tobytes())

  def asked(part: Source, name: str) -> Source:
    found = ask(lambda image: look(there, image), part, directory / name, key=digest.hexdigest(),
                watch=lambda each: tqdm.tqdm(each, unit='photo', desc=f'{directory.name}: lesions', dynamic_ncols=True))
    return Asked(part, found, model.grading_size or part[0]['image'].shape[0])

  if not isinstance(source, Joined):
    return asked(source, kept_answers())
  return Joined([asked(part, kept_answers(number)) for number, part in enumerate(source.parts)], source.weights)
