"""Checkpoints come back bit by bit, and a damaged one is noticed."""

import logging
from typing import Any

import flax.struct
import jax
import numpy as np
import optax
import pytest
from full_disk import full_disk

from lesion_jax.train import checkpoint
from lesion_jax.train.checkpoint import Checkpoints, digest
from lesion_jax.train.state import TrainState

# TensorStore answers one of its failed reads or writes after Orbax has closed the event loop.
pytestmark = pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning')


def tree(seed):
  rng = np.random.default_rng(seed)
  return {'params': {'w': rng.normal(size=(300, 40)).astype(np.float32)}, 'step': np.int32(seed)}


@pytest.fixture
def checkpoints(tmp_path):
  made = Checkpoints(tmp_path / 'checkpoints')
  yield made
  made.close()


def damage(checkpoints, step, how):
  """Harms the largest file of a checkpoint."""
  checkpoints.wait()
  path = max((p for p in (checkpoints.directory / str(step)).rglob('*') if p.is_file()), key=lambda p: p.stat().st_size)
  data = bytearray(path.read_bytes())
  path.write_bytes(how(data))


def truncated(data):
  return data[: len(data) // 2]


def flipped(data):
  middle = len(data) // 2
  data[middle : middle + 64] = bytes(x ^ 0xFF for x in data[middle : middle + 64])
  return data


def test_it_comes_back_bit_by_bit(checkpoints):
  checkpoints.save(3, tree(3), {'note': 'x'}, best_step=3)
  found = checkpoints.restore(tree(0))
  assert (found.step, found.meta['note']) == (3, 'x')
  assert digest(found.tree) == digest(tree(3))


def test_the_copy_is_taken_when_save_returns(checkpoints):
  changing = tree(1)
  checkpoints.save(1, changing, {})
  changing['params']['w'][:] = 0
  assert digest(checkpoints.restore(tree(0)).tree) == digest(tree(1))


def test_the_newest_two_and_the_best_are_kept(checkpoints):
  for step in range(1, 7):
    checkpoints.save(step, tree(step), {'best_step': 2}, best_step=2 if step >= 2 else None)
  checkpoints.wait()
  assert checkpoints.steps() == [2, 5, 6]


def state(**fields):
  return TrainState(np.int32(3), {'w': np.arange(4, dtype=np.float32)}, {}, (optax.EmptyState(),), **fields)


def test_the_averages_of_a_state_come_back(checkpoints):
  saved = state(ema={'params': {'w': np.ones(4, np.float32)}, 'batch_stats': {}})
  checkpoints.save(1, saved, {})
  found = checkpoints.restore(state(ema={'params': {'w': np.zeros(4, np.float32)}, 'batch_stats': {}})).tree
  assert isinstance(found, TrainState) and digest(found) == digest(saved)
  np.testing.assert_array_equal(found.ema['params']['w'], 1)


@flax.struct.dataclass
class Before:
  """The state of runs from before there were averages."""

  step: Any
  params: Any
  batch_stats: Any
  opt_state: Any


def test_a_checkpoint_from_before_there_were_averages_is_one_without(checkpoints):
  now = state()
  before = Before(now.step, now.params, now.batch_stats, now.opt_state)
  checkpoints.save(1, before, {})
  found = checkpoints.restore(state()).tree
  assert found.ema == {} and jax.tree.structure(found) == jax.tree.structure(now)
  assert digest(found) == digest(before) == digest(now)


@pytest.mark.parametrize('how', [truncated, flipped])
def test_a_damaged_newest_one_falls_back_and_says_so(checkpoints, how, caplog):
  checkpoints.save(1, tree(1), {})
  checkpoints.save(2, tree(2), {})
  damage(checkpoints, 2, how)
  with caplog.at_level(logging.WARNING):
    found = checkpoints.restore(tree(0))
  assert found.step == 1
  assert digest(found.tree) == digest(tree(1))
  assert 'checkpoint 2' in caplog.text and 'damaged' in caplog.text
  checkpoints.save(2, tree(2), {})  # the same step can be saved anew
  assert checkpoints.restore(tree(0)).step == 2


def test_what_another_process_cannot_read_is_damaged_for_all(checkpoints, monkeypatch, caplog):
  checkpoints.save(1, tree(1), {})
  checkpoints.save(2, tree(2), {})
  answers = iter([False, True, True])  # the newest is not sound everywhere; it is moved; the one before is
  monkeypatch.setattr(checkpoint, 'on_all_processes', lambda holds: next(answers) and holds)
  with caplog.at_level(logging.WARNING):
    found = checkpoints.restore(tree(0))
  assert (found.step, digest(found.tree)) == (1, digest(tree(1)))
  assert 'checkpoint 2' in caplog.text and 'another process cannot read it' in caplog.text


def test_nothing_there_is_none(checkpoints):
  assert checkpoints.restore(tree(0)) is None


def test_a_full_disk_leaves_the_last_good_one_and_the_training_goes_on(checkpoints, caplog):
  checkpoints.save(1, tree(1), {})
  checkpoints.wait()
  with caplog.at_level(logging.ERROR), full_disk():
    checkpoints.save(2, tree(2), {})
    checkpoints.wait()
  assert 'checkpoint 2 could not be written' in caplog.text and 'last good one is [1]' in caplog.text
  assert checkpoints.steps() == [1]
  checkpoints.save(3, tree(3), {})
  found = checkpoints.restore(tree(0))
  assert (found.step, digest(found.tree)) == (3, digest(tree(3)))


@pytest.mark.parametrize('other', [{'w': np.zeros(3, np.float32)}, {'w': np.zeros((2, 2), np.float32)},
                                   {'w': np.zeros(4, np.float64)}, {'v': np.zeros(4, np.float32)}])
def test_the_digest_sees_shape_dtype_and_name(other):
  assert digest(other) != digest({'w': np.zeros(4, np.float32)})
