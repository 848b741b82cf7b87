"""Checkpoints that survive kill -9, a full disk and damaged files.

Orbax writes them asynchronously and atomically, but restores a damaged file without a word. So each checkpoint carries
a digest of its arrays, of its step and of what is stored beside them, and `restore` walks back to the newest one whose
digest holds.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
import shutil
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import logging

from lesion_jax.extras import needs
from lesion_jax.train.parallel import on_all_processes

with needs('train'):
  import orbax.checkpoint as ocp

Tree = Any


class OtherRun(ValueError):
  """The checkpoint is sound and cannot be gone on with here. The message says why, and what to do."""


class Restored(NamedTuple):
  """A checkpoint read back: its step, its arrays in host memory, and what was stored beside them (JSON)."""

  step: int
  tree: Tree
  meta: dict[str, Any]


def digest(tree: Tree) -> str:
  """Returns BLAKE2b of every leaf's path, dtype, shape and bytes."""
  total = hashlib.blake2b(digest_size=16)
  for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
    leaf = np.ascontiguousarray(leaf)
    total.update(f'{jax.tree_util.keystr(path)} {leaf.dtype} {leaf.shape}'.encode())
    total.update(leaf.reshape(-1).view(np.uint8).data)
  return total.hexdigest()


def seal(arrays: str, step: int, meta: dict[str, Any]) -> str:
  """Returns BLAKE2b of a whole checkpoint: the `digest` of its arrays, its step, and what is stored beside them
  (JSON)."""
  text = json.dumps([arrays, step, {key: value for key, value in meta.items() if key != 'digest'}], sort_keys=True)
  return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@dataclasses.dataclass
class _Keep:
  """Orbax preservation policy: the newest `newest` checkpoints, the best one, and `also`."""

  newest: int
  best_step: int | None = None
  also: tuple[int, ...] = ()

  def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
    del context
    recent = len(checkpoints) - self.newest
    return [i >= recent or info.step == self.best_step or info.step in self.also for i, info in enumerate(checkpoints)]


class Checkpoints:
  """The checkpoints of one stage.

  Args:
    directory: created when missing.
    newest: how many recent ones to keep, beside the best. Two, so that a damaged newest one has a predecessor.
  """

  def __init__(self, directory: str | pathlib.Path, *, newest: int = 2):
    self.directory = pathlib.Path(directory).absolute()  # orbax fails late on relative paths
    self._keep = _Keep(newest)
    options = ocp.CheckpointManagerOptions(preservation_policy=self._keep, cleanup_tmp_directories=True)
    self._manager = ocp.CheckpointManager(self.directory, options=options, item_names=('tree', 'meta'))
    self._pending: Restored | None = None  # what is being written
    self._unsaved: Restored | None = None  # the best one, where it could not be written

  def save(
      self, step: int, tree: Tree, meta: dict[str, Any], *, best_step: int | None = None, also: Sequence[int] = (),
  ) -> None:
    """Starts to save; returns when the arrays are copied. A failure is reported, never raised: training continues, and
    the checkpoints that are already there stay. A best one that could not be written is kept in memory, where `read` finds
    it, and written with the next.

    Args:
      step: steps done; a step is saved once.
      tree: arrays; copied to host memory here, since the next training step reuses the device's buffers.
      meta: a JSON object stored beside them.
      best_step: the step whose checkpoint is to be kept as the best; may be `step` itself.
      also: further steps whose checkpoints are to be kept, until the next one is saved.
    """
    self.wait()
    if step in self._manager.all_steps():
      return
    self._keep.best_step, self._keep.also = best_step, tuple(also)
    if self._unsaved and self._unsaved.step == best_step != step:
      self._write(self._unsaved)
      self.wait()
    elif self._unsaved and self._unsaved.step != best_step:
      self._unsaved = None
    tree = jax.tree.map(lambda leaf: np.array(leaf, copy=True), tree)
    meta = json.loads(json.dumps(meta))  # as it will be read
    self._write(Restored(step, tree, {**meta, 'digest': seal(digest(tree), step, meta)}))

  def _write(self, checkpoint: Restored) -> None:
    self._pending = checkpoint
    try:
      self._manager.save(checkpoint.step, force=True, args=ocp.args.Composite(
          tree=ocp.args.StandardSave(_without_absent(checkpoint.tree)), meta=ocp.args.JsonSave(checkpoint.meta)))
    except Exception as error:  # noqa: BLE001 (orbax and TensorStore raise anything here)
      self._report(error)

  def wait(self) -> None:
    """Waits until the save under way is on disk, and reports it when it failed."""
    try:
      self._manager.wait_until_finished()
    except Exception as error:  # noqa: BLE001
      self._report(error)
    if self._pending and self._unsaved and self._pending.step == self._unsaved.step:
      self._unsaved = None  # it is on disk now
    self._pending = None

  def steps(self) -> list[int]:
    """Steps of the checkpoints on disk, ascending."""
    return sorted(self._manager.all_steps())

  def restore(self, target: Tree, take: Callable[[Restored], Any] = lambda found: None) -> Restored | None:
    """Returns the newest checkpoint that is sound on every process, or None where there is none. Damaged ones are moved
    aside and named in the log.

    Args:
      target: a tree of arrays with the structure, shapes and dtypes to expect.
      take: called with a checkpoint to resume from; what it raises is damage too, but for OtherRun.

    Raises:
      OtherRun: of `take`.
    """
    self.wait()
    for step in reversed(self.steps()):
      found, reason = None, 'another process cannot read it'
      try:
        found = self.read(step, target)
        take(found)
      except OtherRun:
        raise
      except Exception as error:  # noqa: BLE001 (whatever a damaged file raises)
        found, reason = None, _first_line(error)
      if on_all_processes(found is not None):
        self._keep.best_step = found.meta.get('best_step')
        return found
      logging.warning('checkpoint %d in %s is damaged (%s); going back to the one before it',
                      step, self.directory, reason)
      self._set_aside(step)
    return None

  def read(self, step: int, target: Tree) -> Restored:
    """Returns one checkpoint. Raises ValueError where it does not match its digest, or whatever reading it raises."""
    if self._unsaved and self._unsaved.step == step:
      return self._unsaved
    restored = self._manager.restore(step, args=ocp.args.Composite(
        tree=ocp.args.StandardRestore(jax.tree.map(np.asarray, _without_absent(target))), meta=ocp.args.JsonRestore()))
    tree = jax.tree.map(np.asarray, restored['tree'])
    if dataclasses.is_dataclass(target):
      tree = dataclasses.replace(target, **tree)
    meta, arrays = dict(restored['meta']), digest(tree)
    # Of versions before, the digest is of the arrays alone.
    if meta['digest'] not in (seal(arrays, step, meta), arrays):
      raise ValueError('it does not match the digest stored with it')
    return Restored(step, tree, meta)

  def close(self) -> None:
    """Waits for the save under way and releases the directory."""
    self.wait()
    self._manager.close()

  def _set_aside(self, step: int) -> None:
    if jax.process_index() == 0:
      aside = self.directory.with_name(self.directory.name + '_damaged')
      aside.mkdir(exist_ok=True)
      shutil.rmtree(aside / str(step), ignore_errors=True)
      shutil.move(self.directory / str(step), aside / str(step))
    on_all_processes(True)  # none lists the directory before it is moved
    self._manager.reload()

  def _report(self, error: Exception) -> None:
    pending, self._pending = self._pending, None
    step = pending and pending.step
    if pending and step == self._keep.best_step:
      self._unsaved = pending
    if jax.process_index() == 0 and step is not None:
      for remains in self.directory.glob(f'{step}.orbax-checkpoint-tmp*'):
        shutil.rmtree(remains, ignore_errors=True)
    self._manager.reload()
    logging.error('checkpoint %s could not be written to %s (%s); training continues, the last good one is %s',
                  step, self.directory, _first_line(error), self.steps()[-1:] or 'none')


def _without_absent(tree: Tree) -> Tree:
  """A dataclass as a dictionary without its optional fields that are empty: a checkpoint from before there was such a
  field is then the same as one without it. (Orbax takes both for the same tree, and refuses an empty node that it did
  not write.) Other trees as they are."""
  if not dataclasses.is_dataclass(tree):
    return tree
  return {field.name: getattr(tree, field.name) for field in dataclasses.fields(tree)
          if field.default_factory is dataclasses.MISSING or getattr(tree, field.name)}


def _first_line(error: Exception) -> str:
  return f'{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ""}'[:200]
