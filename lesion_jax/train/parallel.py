"""Devices: the only file with the word `pmap`.

State goes in whole and comes out whole (`in_axes=None`, `out_axes=None`): never stacked, so a checkpoint is an ordinary
tree and a run may be resumed with another number of devices. Batches go in split by rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from lesion_jax import runtime

AXIS = 'batch'
Tree = Any
T = TypeVar('T')


def on_all_processes(holds: bool) -> bool:
  """Returns whether it holds on every process. With several, each waits here for the others."""
  if jax.process_count() == 1:
    return holds
  from jax.experimental import multihost_utils  # imported here: only runs of several processes need it

  return bool(multihost_utils.process_allgather(np.array(holds)).all())


class Devices:
  """The local devices that share each batch.

  With several processes (`jax.distributed`), every process runs the same code on its own devices and its own rows of
  the batch; the axis spans them all.

  Args:
    devices: those of this process to use; all of them by default. A choice is only possible with a single process.

  Raises:
    ValueError: `devices` is empty, or given with several processes; or JAX finds none.
  """

  def __init__(self, devices: Sequence[jax.Device] | None = None):
    if devices is not None and jax.process_count() > 1:
      raise ValueError('with several processes every local device takes part; leave `devices` out')
    self._chosen = None if devices is None else list(devices)
    if devices is None:
      runtime.devices()  # raises where JAX finds none
    self.local = jax.local_devices() if self._chosen is None else self._chosen
    if not self.local:
      raise ValueError('`devices` is empty; name one at least, or leave it out to use all')
    mesh = Mesh(np.array(self.local), (AXIS,))
    self._whole = NamedSharding(mesh, PartitionSpec())
    self.count = len(self.local) * jax.process_count()
    self.platform: str = self.local[0].platform
    self.axis = AXIS if self.count > 1 else None  # over which a step adds up; one alone would add up copies of its own

  def check_batch(self, batch_size: int, accumulate: int = 1) -> None:
    """Raises ValueError where the global batch does not divide evenly over devices and micro-batches, or there is none of these."""
    if accumulate < 1:
      raise ValueError(f'accumulate={accumulate}: a step has 1 micro-batch or more')
    if batch_size < 1 or batch_size % (self.count * accumulate):
      raise ValueError(
          f'a batch of {batch_size} cannot be divided over {self.count} device(s) x {accumulate} micro-batch(es); '
          f'use a multiple of {self.count * accumulate}')

  def replicate(self, tree: Tree) -> Tree:
    """Copies a tree to every local device."""
    return jax.device_put(tree, self._whole)

  def shard(self, batch: dict[str, Any]) -> dict[str, Any]:
    """Splits the rows of this process's batch: [b, ...] -> [devices, b / devices, ...]. Text stays on the host."""
    return {key: value.reshape(len(self.local), -1, *value.shape[1:])
            for key, value in batch.items() if value.dtype.kind not in 'OUS'}

  def agree(self, step: int, should_stop: Callable[[], bool]) -> bool:
    """Returns whether any process wants to stop. Several processes ask each other at every tenth step only."""
    if jax.process_count() == 1:
      return should_stop()
    return step % 10 == 0 and not on_all_processes(not should_stop())

  def first_alone(self, function: Callable[[], T]) -> T:
    """Returns `function()` on the first process, and when it is done on the others: they find what it left on a shared
    disk.

    Raises:
      RuntimeError: on the others, where the first one failed; there, what `function` raises.
    """
    if jax.process_index():
      if not on_all_processes(True):
        raise RuntimeError('process 0 failed, for which this process was waiting; its own message says why')
      return function()
    try:
      result = function()
    except Exception:
      on_all_processes(False)  # the others must not wait for ever
      raise
    on_all_processes(True)
    return result

  def train(self, step: Callable[..., Any]) -> Callable[..., Any]:
    """Maps `step(state, batch, frozen, step_params)`; the state is donated."""
    mapped = jax.pmap(step, AXIS, in_axes=(None, 0, None, None), out_axes=None, devices=self._chosen, donate_argnums=0)
    return self._with_options(mapped, donate_argnums=0)

  def evaluate(self, step: Callable[..., Any]) -> Callable[..., Any]:
    """Maps `step(variables, batch)` whose result is equal on all devices."""
    return self._with_options(jax.pmap(step, AXIS, in_axes=(None, 0), out_axes=None, devices=self._chosen))

  def _with_options(self, mapped: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """A mapped function whose results are whole, compiled with what is best on its platform. `pmap` takes no options of
    the compiler; the `jit` around it does, but cannot put together what several processes hold."""
    chosen = runtime.compiler_options(self.platform)
    if chosen is None or jax.process_count() > 1:
      return mapped
    return jax.jit(mapped, compiler_options=chosen, out_shardings=self._whole, **options)
