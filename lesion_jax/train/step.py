"""One training step: augment, forward, loss, gradient, SGD. A pure function.

The losses are ratios of sums over the whole global batch (Eq. 3 and 4 sum over n). So sums, not losses, are added up
over devices and over micro-batches, and the gradient is the global batch's whatever the split.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lesion_jax.core import Example, unpack_targets
from lesion_jax.cpu import arranged, summed
from lesion_jax.losses import Loss
from lesion_jax.losses.reduce import across_devices, share
from lesion_jax.train.state import TrainState, in_encoder, join_frozen

Tree = Any
TrainStep = Callable[..., tuple[TrainState, dict[str, Any]]]


class StepParams(NamedTuple):
  """Scalars that steer a step; float32 arrays, so that a new value does not recompile."""

  learning_rate: Any
  segmentation_weight: Any  # lambda of Eq. 2


def make_train_step(
    apply: Callable[..., Any], loss: Loss, optimizer: optax.GradientTransformation, *,
    augment: Callable[[Example, Any], Example] | None = None, accumulate: int = 1, axis_name: str | None = None,
    ema: float = 0.0, inputs: Sequence[str] = ('image',), encoder_held: int = 0, platform: str | None = None,
) -> TrainStep:
  """Builds `train_step(state, batch, frozen, step_params) -> (state, metrics)`.

  Args:
    apply: `module.apply`.
    loss: sums and value, see `losses.Loss`.
    optimizer: gives the direction from the gradient of the whole global batch; the step multiplies it by -learning_rate.
    augment: `(batch, step) -> batch`, or None.
    accumulate: micro-batches per step; divides the rows of a device. Above 1, a first pass without gradient finds the
      global sums and a second adds up gradients: a third more arithmetic, the memory of one micro-batch, the same
      loss. BatchNorm then normalises each micro-batch by its own statistics.
    axis_name: the mapped axis of the devices; None on one.
    ema: decay d of the exponential moving averages of parameters and running statistics, in 0..1: after step n (from 0)
      the average is d_n * before + (1 - d_n) * now with d_n = min(d, (1 + n) / (10 + n)), the usual warm-up (that of
      tf.train.ExponentialMovingAverage). 0: none is kept; else the state has to hold some, see `create_state`.
    inputs: keys of the batch that `apply` takes after the variables.
    encoder_held: steps for which the running statistics under a module of `state.ENCODERS` stay as they are; that of
      `state.get_optimizer`, which holds the parameters.
    platform: on which it runs, 'cpu', 'gpu' ..., see `cpu.arranged`; None: JAX's default.

  Returns:
    The step. `metrics` holds scalars equal on all devices: `loss`, its parts, and `gradient_norm`, of the gradient
    before it is clipped.

  Raises:
    ValueError: the decay is not in 0..1, 1 excluded.
  """
  if not 0 <= ema < 1:
    raise ValueError(f'ema is the decay of an average, in 0..1 and below 1, 0 for none; got {ema}')
  gradient_of = _make_gradient(apply, loss, accumulate, axis_name, tuple(inputs), platform)

  def train_step(state: TrainState, batch: Example, frozen: Tree, step_params: StepParams) -> tuple[TrainState, dict[str, Any]]:
    if augment is not None:
      batch = augment(batch, state.step)
    gradient, batch_stats, parts = gradient_of(state, batch, frozen, step_params.segmentation_weight)
    if axis_name is not None:
      gradient = jax.lax.psum(gradient, axis_name)
      batch_stats = jax.lax.pmean(batch_stats, axis_name)
    if encoder_held:
      batch_stats = _held(state.step < encoder_held, batch_stats, state.batch_stats)
    direction, opt_state = optimizer.update(gradient, state.opt_state, state.params)
    params = jax.tree.map(lambda p, d: p - step_params.learning_rate * d, state.params, direction)
    metrics = {**parts, 'gradient_norm': optax.tree.norm(gradient)}
    averages = state.ema
    if ema:
      done = state.step.astype(jnp.float32)
      decay = jnp.minimum(ema, (1 + done) / (10 + done))
      averages = optax.incremental_update({'params': params, 'batch_stats': batch_stats}, state.ema, 1 - decay)
    return TrainState(state.step + 1, params, batch_stats, opt_state, averages), metrics

  return summed(train_step, platform)


def _make_gradient(
    apply: Callable[..., Any], loss: Loss, accumulate: int, axis_name: str | None, inputs: tuple[str, ...],
    platform: str | None,
) -> Callable[..., Any]:
  """`(state, batch, frozen, weight) -> (gradient, batch_stats, parts of the loss)`; the gradient is this device's share,
  to be summed over devices."""

  forward = arranged(lambda variables, *images: apply(variables, *images, train=True, mutable=['batch_stats']), platform)

  def local_sums(params: Tree, batch_stats: Tree, frozen: Tree, part: Example) -> tuple[Tree, Tree]:
    variables = join_frozen({'params': params, 'batch_stats': batch_stats}, frozen)
    outputs, updates = forward(variables, *(part[name] for name in inputs))
    return loss.sums(outputs, unpack_targets(part)), _like(batch_stats, updates.get('batch_stats', {}))

  def gradient_of(state: TrainState, batch: Example, frozen: Tree, weight: Any) -> tuple[Tree, Tree, Any]:
    def objective(params: Tree, batch_stats: Tree, part: Example, totals: Tree | None) -> tuple[Any, tuple[Any, Tree]]:
      sums, batch_stats = local_sums(params, batch_stats, frozen, part)
      sums = across_devices(sums, axis_name) if totals is None else share(sums, totals)
      value = loss.value(sums, weight)
      return value['loss'], (value, batch_stats)

    gradient = summed(jax.grad(objective, has_aux=True), platform)
    if accumulate == 1:  # not a loop of one: XLA's CPU backend runs a loop's body on a single thread
      total, (value, batch_stats) = gradient(state.params, state.batch_stats, batch, None)
      return total, batch_stats, value

    parts = jax.tree.map(lambda x: x.reshape(accumulate, -1, *x.shape[1:]), batch)
    each = jax.lax.map(summed(lambda part: local_sums(state.params, state.batch_stats, frozen, part)[0], platform), parts)
    totals = across_devices(jax.tree.map(lambda x: x.sum(0), each), axis_name)

    def add(carry: tuple[Tree, Tree], part: Example) -> tuple[tuple[Tree, Tree], Any]:
      total, batch_stats = carry
      more, (value, batch_stats) = gradient(state.params, batch_stats, part, totals)
      return (jax.tree.map(jnp.add, total, more), batch_stats), value

    start = jax.tree.map(jnp.zeros_like, state.params), state.batch_stats
    (total, batch_stats), values = jax.lax.scan(add, start, parts)
    return total, batch_stats, jax.tree.map(lambda x: x[-1], values)

  return gradient_of


def _held(holds: Any, new: Tree, old: Tree) -> Tree:
  """The new statistics, but those of encoders as they were while it holds."""
  inside = in_encoder(old)
  return jax.tree.map(lambda held, now, before: jnp.where(holds, before, now) if held else now, inside, new, old)


def _like(wanted: Tree, tree: Tree) -> Tree:
  """What `tree` has at the paths of `wanted`: the running statistics that are trained, without the frozen ones."""
  return {key: _like(value, tree[key]) if isinstance(value, dict) else tree[key] for key, value in wanted.items()}
