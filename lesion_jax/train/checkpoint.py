"""Checkpoints that survive kill -9, a full disk and damaged files.

Orbax writes them asynchronously and atomically, but restores a damaged file without a word. So each checkpoint carries
a digest of its arrays, of its step and of what is stored beside them, and `restore` walks back to the newest one whose
digest holds.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
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


# What reading harmed files raises. Whatever else it raises, too little memory or too many open files, says nothing of them.
DAMAGE = (ValueError, KeyError, FileNotFoundError)
# Nor do these statuses of TensorStore, which raises ValueError for every one.
ELSEWHERE = ('RESOURCE_EXHAUSTED', 'PERMISSION_DENIED', 'UNAVAILABLE', 'DEADLINE_EXCEEDED', 'ABORTED', 'CANCELLED', 'INTERNAL', 'UNKNOWN')
ITEMS = ('tree', 'meta')
SHOWN = 5  # arrays that differ


class OtherRun(ValueError):
  """The checkpoints that are there cannot be resumed from here. The message says why, and what to do."""


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
  """Orbax preservation policy: the newest `newest` checkpoints, the best one, that which was the best one when the checkpoint before was
  saved (from which a run resumes where the newest is damaged), and `also`."""

  newest: int
  best_step: int | None = None
  best_before: int | None = None
  also: tuple[int, ...] = ()

  def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
    del context
    recent = len(checkpoints) - self.newest
    kept = self.best_step, self.best_before, *self.also
    return [i >= recent or info.step in kept for i, info in enumerate(checkpoints)]


class Checkpoints:
  """The checkpoints of one stage.

  Args:
    directory: created when missing.
    newest: how many recent ones to keep, beside the best, and the best as of the one before. Two, so that a damaged newest one has a predecessor.
  """

  def __init__(self, directory: str | pathlib.Path, *, newest: int = 2):
    self.directory = pathlib.Path(directory).absolute()  # orbax fails late on relative paths
    self._keep = _Keep(newest)
    options = ocp.CheckpointManagerOptions(preservation_policy=self._keep, cleanup_tmp_directories=True)
    handlers = {'tree': ocp.StandardCheckpointHandler(), 'meta': ocp.JsonCheckpointHandler()}
    self._manager = ocp.CheckpointManager(self.directory, options=options, item_handlers=handlers)
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
    self._keep.best_before, self._keep.best_step, self._keep.also = self._keep.best_step, best_step, tuple(also)
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
    """Returns the newest checkpoint that is sound on every process, or None where there is none: training begins anew. Damaged ones
    are moved aside and named in the log.

    Args:
      target: a tree of arrays with the structure, shapes and dtypes to expect.
      take: called with the checkpoint to resume from.

    Raises:
      OtherRun: the newest sound one has other arrays than `target`, or `take` cannot make
        anything of it (KeyError, TypeError, ValueError) or says so.
      OSError: one cannot be read now, which says nothing of its files. What else reading raises then, as MemoryError, is raised too.
    """
    self.wait()
    damaged: dict[int, str] = {}
    for step in reversed(self.steps()):
      found, reason = None, 'another process cannot read it'
      try:
        found = self.read(step, target)
      except OtherRun:
        raise
      except DAMAGE as error:
        reason = first_line(error)
        if reason.startswith(ELSEWHERE):
          raise OSError(f'checkpoint {step} in {self.directory} cannot be read now ({reason}); nothing was changed, and the same '
                        'command resumes the run once it can') from error
      if on_all_processes(found is not None):
        self._hand_over(found, take)
        for other, why in damaged.items():
          self._set_aside(other, why, step)
        self._keep.best_step = found.meta.get('best_step')
        return found
      damaged[step] = reason
    for other, why in damaged.items():
      self._set_aside(other, why, None)
    return None

  def _hand_over(self, found: Restored, take: Callable[[Restored], Any]) -> None:
    try:
      take(found)
    except OtherRun:
      raise
    except (KeyError, TypeError, ValueError) as error:
      raise OtherRun(f'checkpoint {found.step} in {self.directory} is whole, but nothing can be made of what it says ({error!r}): another '
                     f'version wrote it. Resume with that version, remove {self.directory / str(found.step)} to resume from the checkpoint '
                     'before, or use another --workdir') from error

  def read(self, step: int, target: Tree) -> Restored:
    """Returns one checkpoint.

    Args:
      step: of `steps`, or the best one's.
      target: as in `restore`.

    Raises:
      OtherRun: its arrays are others than those of `target`.
      ValueError, KeyError, FileNotFoundError: it does not match its digest, or is harmed otherwise; but for ELSEWHERE.
    """
    if self._unsaved and self._unsaved.step == step:
      return self._unsaved
    for item in ITEMS:
      next((self.directory / str(step) / item).iterdir(), None)  # that they are there, which Orbax does not tell from other failures
    target = jax.tree.map(np.asarray, target)
    self._require_same(step, _without_absent(target))
    restored = self._manager.restore(step, args=ocp.args.Composite(
        tree=ocp.args.StandardRestore(_without_absent(target)), meta=ocp.args.JsonRestore()))
    tree = jax.tree.map(np.asarray, restored['tree'])
    if dataclasses.is_dataclass(target):
      tree = dataclasses.replace(target, **tree)
    meta, arrays = dict(restored['meta']), digest(tree)
    # Of versions before, the digest is of the arrays alone.
    if meta.get('digest') not in (seal(arrays, step, meta), arrays):
      raise ValueError('it does not match the digest stored with it')
    return Restored(step, tree, meta)

  def _require_same(self, step: int, target: Tree) -> None:
    """Raises OtherRun where a checkpoint has arrays of other names, shapes or dtypes: Orbax takes another shape as it is, and
    casts another dtype, which then looks as damage."""
    stored = self._manager.item_metadata(step)['tree']
    if stored is None:
      raise FileNotFoundError('its list of arrays is missing')
    there, now = _arrays(stored.tree), _arrays(target)
    other = sorted(name for name in there.keys() | now.keys() if there.get(name) != now.get(name))
    if other:
      shown = '\n'.join(f'  {name}: {there.get(name, "(absent)")} there, {now.get(name, "(absent)")} now' for name in other[:SHOWN])
      raise OtherRun(f'checkpoint {step} in {self.directory} has other arrays than this network and its optimizer:\n{shown}\n'
                     + (f'  and {len(other) - SHOWN} more\n' if len(other) > SHOWN else '')
                     + 'Resume with the versions of lesion_jax, flax and optax that wrote it, or use another --workdir')

  def close(self) -> None:
    """Waits for the save under way and releases the directory."""
    self.wait()
    self._manager.close()

  def _set_aside(self, step: int, reason: str, sound: int | None) -> None:
    aside = self.directory.with_name(self.directory.name + '_damaged')
    then = 'no other one is left: training begins anew' if sound is None else f'resuming from that of step {sound}'
    logging.warning('checkpoint %d in %s is damaged (%s) and now lies in %s; %s', step, self.directory, reason, aside, then)
    if jax.process_index() == 0:
      aside.mkdir(exist_ok=True)
      names = itertools.chain([str(step)], (f'{step}.{number}' for number in itertools.count(1)))
      shutil.move(self.directory / str(step), next(aside / name for name in names if not (aside / name).exists()))
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
                  step, self.directory, first_line(error), self.steps()[-1:] or 'none')


def _without_absent(tree: Tree) -> Tree:
  """A dataclass as a dictionary without its optional fields that are empty: a checkpoint from before there was such a
  field is then the same as one without it. (Orbax takes both for the same tree, and refuses an empty node that it did
  not write.) Other trees as they are."""
  if not dataclasses.is_dataclass(tree):
    return tree
  return {field.name: getattr(tree, field.name) for field in dataclasses.fields(tree)
          if field.default_factory is dataclasses.MISSING or getattr(tree, field.name)}


def _arrays(tree: Tree) -> dict[str, str]:
  """Name -> dtype and shape, of arrays or of what Orbax says of them."""
  return {jax.tree_util.keystr(path, simple=True, separator='/'): f'{leaf.dtype} {list(leaf.shape)}'
          for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def first_line(error: Exception) -> str:
  """Returns the first line of an error's message, shortened; its type where it has none."""
  return next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]
