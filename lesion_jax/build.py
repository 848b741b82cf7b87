"""From a configuration to objects. The only reader of ConfigDict."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

import lesion_jax
from lesion_jax.augment import Augmentation, augment
from lesion_jax.core import GRADE_KEYS, LESION_KEYS, NUM_LESIONS, Targets
from lesion_jax.data.pipeline import eval_batches, train_batches
from lesion_jax.data.source import Dataset, load
from lesion_jax.data.splits import SPLITS
from lesion_jax.evaluate import make_count_step, report, total_counts
from lesion_jax.evaluate.report import headline
from lesion_jax.losses import get_loss
from lesion_jax.models import LESION_BRANCH, get_model
from lesion_jax.train.checkpoint import Checkpoints
from lesion_jax.train.control import Control
from lesion_jax.train.logs import Logs
from lesion_jax.train.loop import Fitted, Plan, fit
from lesion_jax.train.parallel import AXIS, Devices
from lesion_jax.train.state import TrainState, create_state, get_optimizer, join_frozen, split_frozen
from lesion_jax.train.step import make_train_step
from lesion_jax.weights.bundle import Bundle, load_bundle
from lesion_jax.weights.initialize import initialize
from lesion_jax.weights.merge import merge
from lesion_jax.weights.names import to_flax
from lesion_jax.weights.torchvision import CLASSIFIERS, read_torchvision

# The figure by which the best model is chosen, by loss.
CRITERIA = {
    'dual_dice': 'mean_pixel_f1',
    'dice': 'mean_pixel_f1',
    'presence_dice': 'mean_image_f1',
    'grade_cross_entropy': 'kappa',
}
STAGES = ('segment', 'grade')


@dataclasses.dataclass(frozen=True)
class Stage:
  """One stage of a run: its data, its network, and what may be done with them.

  Attributes:
    name: 'segment' or 'grade'.
    directory: holds checkpoints, logs, bundle and pictures of the stage.
    dataset: what it learns from and is evaluated on.
    annotated: keys of the lesions that the network learned, here or as the lesion network that it contains.
    model: the network.
    model_config: arguments of `get_model` that build it, ready for JSON.
    train: `should_stop -> Fitted`.
    variables: `state -> {'params': ..., 'batch_stats': ...}`, the whole network's.
    evaluate: `(variables, split) -> report`.
    provenance: where the weights come from, ready for JSON.
  """

  name: str
  directory: pathlib.Path
  dataset: Dataset
  annotated: tuple[str, ...]
  model: Any
  model_config: dict[str, Any]
  train: Callable[[Callable[[], bool]], Fitted]
  variables: Callable[[TrainState], dict[str, Any]]
  evaluate: Callable[[Any, str], dict[str, Any]]
  provenance: dict[str, Any]

  def bundle(self, variables: dict[str, Any], result: dict[str, Any], *, best_step: int) -> Bundle:
    """The weights, and in the configuration all that prediction needs to know (DESIGN 8)."""
    data = self.dataset
    return Bundle({
        'model': self.model_config,
        'lesions': list(LESION_KEYS),
        'grades': list(GRADE_KEYS),
        'annotated': list(self.annotated),
        'preprocessing': {'size': self.provenance['size'], 'crop': 'field of view'},
        'thresholds': dict.fromkeys(LESION_KEYS, 0.5),
        'provenance': {**self.provenance, 'best_step': best_step},
        'data': {'name': data.name, 'citation': data.citation, 'licence': data.licence, 'lengths': data.lengths,
                 'description': data.description},
        'metrics': result,
    }, variables)


def stages(config: ConfigDict) -> dict[str, ConfigDict]:
  """The stages to run, in order. Raises ValueError for one that there is not."""
  if not config.stages or not set(config.stages) <= set(STAGES):
    raise ValueError(f'config.stages={config.stages!r}: give one or more of {", ".join(STAGES)}')
  return {name: config[name] for name in config.stages}


def check(config: ConfigDict, devices: Devices) -> dict[str, Bundle]:
  """Checks all stages before anything is read or trained, so that no mistake shows up after days of training.

  Returns:
    stage -> the bundle that the configuration names instead of training it.

  Raises:
    ValueError: what cannot be built, naming it and what is allowed.
    FileNotFoundError: a bundle or a file of weights is not where the configuration says.
  """
  bundles = {name: _named_bundle(config[name].bundle, name) for name in STAGES if config[name].bundle}
  lesion = bundles['segment'].config['model'] if 'segment' in bundles else None
  for name, stage in stages(config).items():
    devices.check_batch(stage.batch_size, stage.accumulate)
    devices.check_batch(stage.eval_batch_size)
    if name not in bundles:
      fields = _model_config(stage.model, lesion)
      _check_training(stage, get_model(**fields))
      lesion = fields if name == 'segment' else lesion
  return bundles


def _named_bundle(path: str, name: str) -> Bundle:
  bundle = load_bundle(path)
  if (stage := bundle.config['provenance']['stage']) != name:
    raise ValueError(f'config.{name}.bundle={path} is a bundle of the stage {stage!r}; name one of the stage {name!r}')
  return bundle


def _check_training(stage: ConfigDict, model: Any) -> None:
  """Traces the network and the loss for their shapes, and makes all else that training takes."""
  shape = (1, stage.data.size, stage.data.size)
  outputs, _ = jax.eval_shape(functools.partial(model.init_with_output, train=False), jax.random.key(0),
                              jax.ShapeDtypeStruct((*shape, 3), jnp.uint8))
  masks = jax.ShapeDtypeStruct((*shape, NUM_LESIONS), bool)
  jax.eval_shape(get_loss(stage.loss).sums, outputs, Targets(masks, masks, jax.ShapeDtypeStruct((1,), jnp.int32)))
  _control(stage), _plan(stage), _augmentation(stage), _optimizer(stage)
  if stage.pretrained and not pathlib.Path(stage.pretrained).is_file():
    raise FileNotFoundError(f'pretrained={stage.pretrained}: there is no such file')


def open_datasets(config: ConfigDict, data_dir: str, devices: Devices) -> dict[str, Dataset]:
  """Opens the data set of each stage, after preparing it where that was not done yet.

  Raises:
    ValueError, FileNotFoundError: of `load`; and where it has not what the stage learns from, or a split is empty.
  """
  datasets = {}
  for name, stage in stages(config).items():
    options = {'count': stage.data.count} if stage.data.count else {}
    opened = functools.partial(load, stage.data.name, data_dir=data_dir, size=stage.data.size,
                               source_dir=stage.data.source_dir or None, **options)
    data = datasets[name] = devices.first_alone(opened)
    if not (stage.bundle or (data.graded if CRITERIA[stage.loss] == 'kappa' else data.annotated)):
      raise ValueError(f'{data.name} has no {"grades" if data.annotated else "lesions"}, from which the loss '
                       f'{stage.loss!r} of the stage {name!r} learns; choose another --config.{name}.data.name')
    for split in ('test',) if stage.bundle else SPLITS:
      datasets[name].source(split)  # raises where it is empty
  return datasets


def build_stage(
    config: ConfigDict, name: str, dataset: Dataset, *, workdir: str | pathlib.Path, devices: Devices,
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
      'segment' is the lesion branch of a network that contains one.

  Raises:
    ValueError: for anything in the configuration that cannot be built, naming it and what is allowed.
  """
  stage, finished, lesion = config[name], bundles.get(name), bundles.get('segment')
  fields = finished.config['model'] if finished else _model_config(stage.model, lesion and lesion.config['model'])
  frozen_name = LESION_BRANCH if 'lesion' in fields else None
  model = get_model(**fields, **({'bn_axis': AXIS} if stage.model.sync_batch_norm and not finished else {}))
  directory = pathlib.Path(workdir).absolute() / name

  @functools.cache
  def variables() -> dict[str, Any]:
    return finished.variables if finished else _initial(model, stage, config.seed, lesion)

  def whole(state: TrainState) -> dict[str, Any]:
    _, frozen = split_frozen(variables(), frozen_name)
    return join_frozen({'params': state.params, 'batch_stats': state.batch_stats}, frozen)

  evaluate = _make_evaluate(model, stage, dataset, devices)
  train = functools.partial(_train, model, stage, config.seed, dataset, devices, directory, variables, frozen_name)
  provenance = {
      'lesion_jax': lesion_jax.__version__, 'jax': jax.__version__, 'stage': name, 'seed': config.seed,
      'size': stage.data.size, 'pretrained': pathlib.Path(stage.pretrained).name,
  }
  learned = finished or (lesion if frozen_name else None)  # whose lesions these are; grades alone teach none
  annotated = tuple(learned.config['annotated']) if learned else dataset.annotated
  return Stage(name, directory, dataset, annotated, model, fields, train, whole, evaluate, provenance)


def _model_config(fields: ConfigDict, lesion: dict[str, Any] | None) -> dict[str, Any]:
  """Arguments of `get_model` from the configuration, and from those of the lesion network where one is contained."""
  result = {key: value for key, value in fields.to_dict().items() if key != 'sync_batch_norm'}
  if result['name'] != 'multitask':
    result.pop('attention', None)
  elif lesion is None:
    raise ValueError("the model 'multitask' needs a lesion network: train the stage 'segment' before, or name a "
                     'finished one with --config.segment.bundle=DIR')
  else:
    result['lesion'] = lesion
  return result


def _initial(model: Any, stage: ConfigDict, seed: int, lesion: Bundle | None) -> dict[str, Any]:
  """Fresh variables in host memory, with the pretrained encoder and the finished lesion branch put in."""
  size = stage.data.size
  variables = initialize(model, jax.ShapeDtypeStruct((1, size, size, 3), jnp.uint8), seed)
  multitask = LESION_BRANCH in variables['params']
  if multitask:
    for collection, tree in lesion.variables.items():
      variables[collection][LESION_BRANCH] = tree
  if stage.pretrained:
    prefix = 'grading/encoder' if multitask else 'encoder'
    variables = merge(variables, to_flax(read_torchvision(stage.pretrained)), prefix=prefix, allow_extra=CLASSIFIERS)
  return variables


def _control(stage: ConfigDict) -> Control:
  return Control(rate=stage.rate, patience=stage.patience, stop_after=stage.stop_after, factor=stage.factor,
                 dual_weight=stage.dual_weight, milestones=tuple(stage.milestones))


def _plan(stage: ConfigDict) -> Plan:
  return Plan(stage.max_steps or None, stage.validate_every, stage.log_every)


def _augmentation(stage: ConfigDict) -> Augmentation:
  return Augmentation(**{key: tuple(value) if isinstance(value, tuple | list) else value
                         for key, value in stage.augmentation.items()})


def _optimizer(stage: ConfigDict) -> optax.GradientTransformation:
  return get_optimizer(stage.optimizer, momentum=stage.momentum, weight_decay=stage.weight_decay)


def _make_evaluate(
    model: Any, stage: ConfigDict, dataset: Dataset, devices: Devices
) -> Callable[..., dict[str, Any]]:
  """`evaluate(variables, split, histograms=True) -> report`; compiled once per kind."""

  @functools.cache
  def step(histograms: bool) -> Callable[[Any, Any], Any]:
    mapped = devices.evaluate(make_count_step(model.apply, histograms=histograms, axis_name=AXIS))
    return lambda variables, batch: mapped(variables, devices.shard(batch))

  def evaluate(variables: Any, split: str, histograms: bool = True) -> dict[str, Any]:
    batches = eval_batches(dataset.source(split), batch_size=stage.eval_batch_size,
                           shard_index=jax.process_index(), shard_count=jax.process_count())
    counts = total_counts(step(histograms), devices.replicate(variables), batches)
    return report(counts, dataset.annotated)

  return evaluate


def _train(
    model: Any, stage: ConfigDict, seed: int, dataset: Dataset, devices: Devices, directory: pathlib.Path,
    initial: Callable[[], dict[str, Any]], frozen_name: str | None, should_stop: Callable[[], bool],
) -> Fitted:
  """Trains one stage, or goes on with it."""
  trainable, frozen = split_frozen(initial(), frozen_name)
  optimizer = _optimizer(stage)
  step = make_train_step(
      model.apply, get_loss(stage.loss), optimizer, accumulate=stage.accumulate, axis_name=AXIS,
      augment=lambda batch, number: augment(batch, seed=seed, step=number, spec=_augmentation(stage)))
  evaluate = _make_evaluate(model, stage, dataset, devices)
  held = devices.replicate(frozen)

  def validate(state: TrainState) -> tuple[float | None, dict[str, Any]]:
    variables = join_frozen({'params': state.params, 'batch_stats': state.batch_stats}, held)
    figures = headline(evaluate(variables, 'validation', histograms=False))
    return figures[CRITERIA[stage.loss]], figures

  checkpoints = Checkpoints(directory / 'checkpoints')
  try:
    return fit(
        step_fn=devices.train(step), state=create_state(trainable, optimizer), frozen=held,
        batches=train_batches(dataset.source('train'), batch_size=stage.batch_size, seed=seed,
                              shard_index=jax.process_index(), shard_count=jax.process_count()),
        validate=validate, control=_control(stage), checkpoints=checkpoints, devices=devices, should_stop=should_stop,
        plan=_plan(stage),
        make_logs=lambda start: Logs(directory, total=stage.max_steps or None, start=start, title=directory.name,
                                     active=jax.process_index() == 0))
  finally:
    checkpoints.close()
