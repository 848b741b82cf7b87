"""Global sums from local ones, so that a ratio of sums stays exact on several devices and micro-batches.

A loss that is a ratio of sums over the batch (Dice, a weighted mean) is not the mean of the same loss over parts
of the batch. Every loss of this package is therefore two pure functions: `sums` of the local part, and `value` of
the global sums. Between them stands `share` (our choice; the paper speaks of one batch on one device).
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp

Sums = TypeVar('Sums')


class MeanSums(NamedTuple):
  """The sums of a mean, float32 scalars: the terms, and their number; or the weighted terms, and their weights."""

  total: jax.Array
  count: jax.Array


def mean_value(sums: MeanSums) -> jax.Array:
  """Computes total / count, float32 scalar; 0 with zero gradient where nothing is counted."""
  return sums.total / jnp.where(sums.count > 0, sums.count, 1)


def share(local_sums: Sums, totals: Sums) -> Sums:
  """Returns the value of `totals`, with the gradient of `local_sums`.

  For a loss L of the totals, dL/dparams is the sum over all parts of dL/dtotals * dlocal/dparams. `share` gives every
  part its own term, so the plain SUM of the parts' gradients (a `psum`, or an accumulation over micro-batches) is
  the gradient of the global loss. `totals` is a constant here, which leaves no room for doubt about how a
  collective transposes.

  Args:
    local_sums: pytree of float arrays, the sums over this part of the batch.
    totals: pytree of the same structure and shapes, the sums over the whole batch.

  Returns:
    A pytree like `totals`, with its exact values.
  """
  stop = jax.lax.stop_gradient
  return jax.tree.map(lambda local, total: stop(total) + (local - stop(local)), local_sums, totals)


def across_devices(sums: Sums, axis_name: str | None) -> Sums:
  """Returns `sums` shared over the devices of a mapped axis; `sums` itself where `axis_name` is None.

  Args:
    sums: pytree of float arrays, the sums over this device's part of the batch.
    axis_name: name of the mapped axis, or None on one device.
  """
  if axis_name is None:
    return sums
  return share(sums, jax.lax.psum(jax.lax.stop_gradient(sums), axis_name))
