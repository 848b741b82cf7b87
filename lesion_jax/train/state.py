"""The training state, the optimiser, and what is frozen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import numpy as np
import optax

Tree = Any


@flax.struct.dataclass
class TrainState:
  """What a step changes. An ordinary tree: not stacked over devices, so a checkpoint of it fits any number of them.

  Attributes:
    step: int32 scalar, steps done.
    params: float32 tree, the trainable parameters only.
    batch_stats: float32 tree, running statistics of the trainable part's BatchNorm.
    opt_state: state of the optimiser.
  """

  step: Any
  params: Tree
  batch_stats: Tree
  opt_state: Tree


def sgd(*, momentum: float = 0.95, weight_decay: float = 1e-4) -> optax.GradientTransformation:
  """SGD with momentum and coupled weight decay on every parameter, as torch's: b = m*b + (g + w*p).

  The result is not scaled: the step subtracts rate * b, so that the rate can change without a recompilation.
  The defaults are the paper's (section IV-A).
  """
  return optax.chain(optax.add_decayed_weights(weight_decay), optax.trace(decay=momentum))


def adamw(*, momentum: float = 0.9, weight_decay: float = 1e-4) -> optax.GradientTransformation:
  """AdamW, weight decay decoupled; not scaled by the rate either. Our addition, for short runs from random
  weights."""
  return optax.chain(optax.scale_by_adam(b1=momentum), optax.add_decayed_weights(weight_decay))


OPTIMIZERS = {'sgd': sgd, 'adamw': adamw}


def get_optimizer(name: str, *, momentum: float, weight_decay: float) -> optax.GradientTransformation:
  """The optimiser of that name. Raises ValueError, listing the names, when there is none."""
  if name not in OPTIMIZERS:
    raise ValueError(f'unknown optimizer {name!r}; the optimizers are {", ".join(OPTIMIZERS)}')
  return OPTIMIZERS[name](momentum=momentum, weight_decay=weight_decay)


def split_frozen(variables: Mapping[str, Tree], frozen: str | None) -> tuple[dict[str, Tree], dict[str, Tree]]:
  """Splits {'params': ..., 'batch_stats': ...} into (trainable, frozen) at the top-level name `frozen`.

  Raises:
    ValueError: there is no such name.
  """
  if frozen is None:
    return dict(variables), {}
  if frozen not in variables['params']:
    raise ValueError(f'nothing named {frozen!r} to freeze; the top-level names are {", ".join(variables["params"])}')
  kept = {c: {k: v for k, v in tree.items() if k != frozen} for c, tree in variables.items()}
  held = {c: {frozen: tree[frozen]} for c, tree in variables.items() if frozen in tree}
  return kept, held


def join_frozen(trainable: Mapping[str, Tree], frozen: Mapping[str, Tree]) -> dict[str, Tree]:
  """The inverse of `split_frozen`."""
  return {c: {**tree, **frozen.get(c, {})} for c, tree in trainable.items()}


def create_state(variables: Mapping[str, Tree], optimizer: optax.GradientTransformation) -> TrainState:
  """A fresh state, in host memory, from the trainable variables."""
  params = variables['params']
  opt_state = jax.tree.map(np.asarray, optimizer.init(params))
  return TrainState(np.zeros((), np.int32), params, variables.get('batch_stats', {}), opt_state)


