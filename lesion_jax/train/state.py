"""The training state, the optimiser, and what is frozen."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import traverse_util

Tree = Any
# Modules that start from pretrained weights; the second, of an Attention Branch Network, has the last blocks once more.
ENCODERS = ('encoder', 'attention_encoder')


@flax.struct.dataclass
class TrainState:
  """What a step changes. An ordinary tree: not stacked over devices, so a checkpoint of it fits any number of them.

  Attributes:
    step: int32 scalar, steps done.
    params: float32 tree, the trainable parameters only.
    batch_stats: float32 tree, running statistics of the trainable part's BatchNorm.
    opt_state: state of the optimiser.
    ema: {'params': ..., 'batch_stats': ...}, exponential moving averages of the two; {} where none is kept. It is then
      left out of checkpoints, whose files are the same with and without this field.
  """

  step: Any
  params: Tree
  batch_stats: Tree
  opt_state: Tree
  ema: Tree = flax.struct.field(default_factory=dict)

  @property
  def weights(self) -> dict[str, Tree]:
    """{'params': ..., 'batch_stats': ...} of the trainable part, as it is evaluated and kept: the averages where there
    are any, else what is trained."""
    return dict(self.ema) if self.ema else {'params': self.params, 'batch_stats': self.batch_stats}


def sgd(*, momentum: float = 0.95, weight_decay: float = 1e-4) -> optax.GradientTransformation:
  """Returns SGD with momentum and coupled weight decay on every parameter, as torch's: b = m*b + (g + w*p).

  The result is not scaled: the step subtracts rate * b, so that the rate can change without a recompilation.
  The defaults are the paper's (section IV-A).
  """
  return optax.chain(optax.add_decayed_weights(weight_decay), optax.trace(decay=momentum))


def adamw(*, momentum: float = 0.9, weight_decay: float = 1e-4) -> optax.GradientTransformation:
  """Returns AdamW, weight decay decoupled; not scaled by the rate either. Our addition, for short runs from random
  weights."""
  return optax.chain(optax.scale_by_adam(b1=momentum), optax.add_decayed_weights(weight_decay))


OPTIMIZERS = {'sgd': sgd, 'adamw': adamw}


def get_optimizer(
    name: str, *, momentum: float, weight_decay: float, clip: float = 0.0, encoder_lr_factor: float = 1.0,
    lr_factors: Sequence[tuple[str, float]] = (), encoder_held: int = 0,
) -> optax.GradientTransformation:
  """Returns the optimiser of that name; not scaled by the rate.

  Args:
    name: of OPTIMIZERS.
    momentum: of SGD; beta_1 of Adam.
    weight_decay: as the optimiser defines it.
    clip: the gradient of the whole global batch, before momentum and weight decay, is scaled down to this Euclidean
      norm over all trainable parameters where it is longer (Pascanu et al. 2013); 0: never.
    encoder_lr_factor: factor of the finished update, weight decay included, of every parameter under a module of ENCODERS:
      the learning rate of these parameters is that of the others times this.
    lr_factors: (pattern, factor) pairs, a factor of the finished update as well, for learning rates by depth: a parameter
      takes the first pattern that fits its path, as in `split_frozen`, and 1 where none does.
    encoder_held: steps for which every parameter under a module of ENCODERS stays as it is, and so does what the optimiser
      keeps for it: from then on it learns as if training began there. `train.step` holds its running statistics.

  Raises:
    ValueError: there is no such optimiser (the message lists the names), or a number makes no sense.
  """
  if name not in OPTIMIZERS:
    raise ValueError(f'unknown optimizer {name!r}; the optimizers are {", ".join(OPTIMIZERS)}')
  if not 0 <= momentum < 1:
    raise ValueError(f'momentum is a share of what was before, in 0..1 and below 1; got {momentum}')
  if not 0 <= weight_decay < float('inf'):
    raise ValueError(f'weight_decay is 0 or more; got {weight_decay}')
  if not 0 <= clip < float('inf'):
    raise ValueError(f'clip is the largest norm of a gradient, above 0, or 0 for any; got {clip}')
  if not 0 < encoder_lr_factor < float('inf'):
    raise ValueError(f'encoder_lr_factor is a factor of the rate, above 0; got {encoder_lr_factor}. To leave the encoder as it '
                     "is, freeze it: freeze=('encoder',)")
  _check_factors(lr_factors)
  if encoder_held < 0:
    raise ValueError(f'encoder_held counts steps, from 0 on; got {encoder_held}')
  chosen = [OPTIMIZERS[name](momentum=momentum, weight_decay=weight_decay)]
  if encoder_held:
    held = _after(OPTIMIZERS[name](momentum=momentum, weight_decay=weight_decay), encoder_held)
    chosen = [optax.masked(held, in_encoder),
              optax.masked(chosen[0], lambda params: jax.tree.map(lambda inside: not inside, in_encoder(params)))]
  if clip:
    chosen.insert(0, optax.clip_by_global_norm(clip))
  if encoder_lr_factor != 1:
    chosen.append(optax.masked(optax.scale(encoder_lr_factor), in_encoder))
  if lr_factors:
    chosen.append(_scale_by_path(lr_factors))
  return optax.chain(*chosen) if len(chosen) > 1 else chosen[0]


def _check_factors(lr_factors: Sequence[tuple[str, float]]) -> None:
  for pair in lr_factors:
    if not (isinstance(pair, tuple | list) and len(pair) == 2 and isinstance(pair[0], str)
            and isinstance(pair[1], int | float) and 0 < pair[1] < float('inf')):
      raise ValueError(f"lr_factors has {pair!r}; it holds pairs of a pattern and a factor above 0, such as (('encoder/Conv2d_*', "
                       "0.01), ('encoder/Mixed_5*', 0.1)). What is to stay as it is belongs to freeze")


def unfit(params: Tree, lr_factors: Sequence[tuple[str, float]]) -> list[str]:
  """Returns the patterns of `lr_factors` that no parameter takes: it has no such path, or an earlier pattern fits
  it."""
  paths = ['/'.join(path) for path in traverse_util.flatten_dict(params)]
  taken = {_first(path, lr_factors) for path in paths}
  return [pattern for number, (pattern, _) in enumerate(lr_factors) if number not in taken]


def _first(path: str, lr_factors: Sequence[tuple[str, float]]) -> int | None:
  return next((number for number, (pattern, _) in enumerate(lr_factors) if _fits(path, [pattern])), None)


def _scale_by_path(lr_factors: Sequence[tuple[str, float]]) -> optax.GradientTransformation:
  def update(updates: Tree, state: Any, params: Tree | None = None) -> tuple[Tree, Any]:
    flat = traverse_util.flatten_dict(updates)
    scaled = {path: leaf if (number := _first('/'.join(path), lr_factors)) is None else leaf * lr_factors[number][1]
              for path, leaf in flat.items()}
    return traverse_util.unflatten_dict(scaled), state

  return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


class Held(NamedTuple):
  """Steps done, int32 scalar, and the state of what begins later."""

  done: Any
  inner: Tree


def _after(inner: optax.GradientTransformation, steps: int) -> optax.GradientTransformation:
  """`inner` from that step on; before it every update is 0 and the state of `inner` stays as it began."""

  def init(params: Tree) -> Held:
    return Held(jnp.zeros((), jnp.int32), inner.init(params))

  def update(updates: Tree, state: Held, params: Tree | None = None) -> tuple[Tree, Held]:
    begun = state.done >= steps
    found, following = inner.update(updates, state.inner, params)
    found = jax.tree.map(lambda each: jnp.where(begun, each, jnp.zeros_like(each)), found)
    kept = jax.tree.map(lambda new, old: jnp.where(begun, new, old), following, state.inner)
    return found, Held(state.done + 1, kept)

  return optax.GradientTransformation(init, update)


def in_encoder(params: Tree) -> Tree:
  """Returns a tree of bool like `params`: whether a parameter is under a module of ENCODERS."""
  flat = traverse_util.flatten_dict(params)
  return traverse_util.unflatten_dict({path: not set(ENCODERS).isdisjoint(path[:-1]) for path in flat})


def split_frozen(
    variables: Mapping[str, Tree], frozen: str | None = None, patterns: Sequence[str] = (),
) -> tuple[dict[str, Tree], dict[str, Tree]]:
  """Splits {'params': ..., 'batch_stats': ...} into (trainable, frozen). What is frozen is given to a step beside its
  state: no gradient is computed for it, and neither the optimiser, nor weight decay, nor an average touches it.

  Args:
    variables: of the whole network; arrays, or shapes alone.
    frozen: a top-level name of which everything is frozen, or None.
    patterns: shell patterns of paths without the collection, such as 'encoder/Conv2d_*'; * crosses slashes, and a
      pattern that fits a module fits all that is in it. Running statistics are frozen where their own path fits: a
      layer that normalises by its batch continues to do so and leaves them as they are, while a pattern such as
      '*/kernel' lets the statistics move.

  Raises:
    ValueError: there is no such name, a pattern fits no parameter, or nothing would be left to train.
  """
  params = variables['params']
  if frozen is None and not patterns:
    return dict(variables), {}
  if frozen is not None and frozen not in params:
    raise ValueError(f'nothing named {frozen!r} to freeze; the top-level names are {", ".join(params)}')
  paths = ['/'.join(path) for path in traverse_util.flatten_dict(params)]
  for pattern in patterns:
    if not any(_fits(path, [pattern]) for path in paths):
      raise ValueError(f'nothing to freeze fits the pattern {pattern!r}; the top-level names are {", ".join(params)}, '
                       f'and a path looks like {paths[0]!r}')

  def is_held(path: tuple[str, ...]) -> bool:
    return path[0] == frozen or _fits('/'.join(path), patterns)

  kept, held = {}, {}
  for collection, tree in variables.items():
    flat = traverse_util.flatten_dict(tree)
    kept[collection] = traverse_util.unflatten_dict({path: leaf for path, leaf in flat.items() if not is_held(path)})
    if there := {path: leaf for path, leaf in flat.items() if is_held(path)}:
      held[collection] = traverse_util.unflatten_dict(there)
  if not kept['params']:
    raise ValueError(f'freeze={tuple(patterns)!r} leaves nothing to train; name less')
  return kept, held


def _fits(path: str, patterns: Iterable[str]) -> bool:
  return any(fnmatch.fnmatchcase(path, pattern) or fnmatch.fnmatchcase(path, f'{pattern}/*') for pattern in patterns)


def join_frozen(trainable: Mapping[str, Tree], frozen: Mapping[str, Tree]) -> dict[str, Tree]:
  """Returns the inverse of `split_frozen`."""
  return {collection: _join(tree, frozen.get(collection, {})) for collection, tree in trainable.items()}


def _join(one: Mapping[str, Tree], other: Mapping[str, Tree]) -> dict[str, Tree]:
  """Two nested dictionaries as one; they share modules, and no leaves."""
  shared = {name: _join(one[name], other[name]) for name in one.keys() & other.keys()}
  return {**one, **other, **shared}


def create_state(
    variables: Mapping[str, Tree], optimizer: optax.GradientTransformation, *, ema: bool = False,
) -> TrainState:
  """Returns a fresh state, in host memory, from the trainable variables; with their averages, which start as they are,
  where `ema` asks for them."""
  params, batch_stats = variables['params'], variables.get('batch_stats', {})
  opt_state = jax.tree.map(np.asarray, optimizer.init(params))
  # Arrays of their own: a step reuses the memory of both.
  averages = jax.tree.map(np.array, {'params': params, 'batch_stats': batch_stats}) if ema else {}
  return TrainState(np.zeros((), np.int32), params, batch_stats, opt_state, averages)


