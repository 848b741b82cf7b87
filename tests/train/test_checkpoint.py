"""Checkpoints come back bit by bit, and a damaged one is noticed."""

import errno
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


def test_the_best_one_of_the_predecessor_is_there_where_the_newest_is_damaged(checkpoints):
  for step, best in ((1, 1), (2, 1), (3, 1), (4, 4)):
    checkpoints.save(step, tree(step), {'best_step': best}, best_step=best)
  checkpoints.wait()
  damage(checkpoints, 4, flipped)
  found = checkpoints.restore(tree(0))
  assert found.step == 3 and digest(checkpoints.read(found.meta['best_step'], tree(0)).tree) == digest(tree(1))


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


def meta_file(checkpoints, step):
  """The file of a checkpoint that holds what is stored beside its arrays."""
  checkpoints.wait()
  return next(path for path in (checkpoints.directory / str(step) / 'meta').rglob('*')
              if path.is_file() and b'position' in path.read_bytes())


META = {'control': {'rate': 0.25, 'stop': False}, 'position': 40, 'best_step': 1}


@pytest.mark.parametrize(('old', 'new'), [
    ('0.25', '0.75'), ('false', 'true '), ('40', '41'), ('"best_step": 1', '"best_step": 0')])
def test_what_is_stored_beside_the_arrays_is_sealed_too(checkpoints, old, new, caplog):
  for step in (1, 2):
    checkpoints.save(step, tree(step), META)
  path = meta_file(checkpoints, 2)
  text = path.read_text()
  old = old if old in text else old.replace(': ', ':')
  assert text.count(old) == 1
  path.write_text(text.replace(old, new))
  with caplog.at_level(logging.WARNING):
    found = checkpoints.restore(tree(0))
  assert found.step == 1 and {key: found.meta[key] for key in META} == META
  assert 'checkpoint 2' in caplog.text and 'damaged' in caplog.text
  assert (checkpoints.directory.with_name('checkpoints_damaged') / '2').is_dir()


def test_any_flipped_bit_of_it_is_damage_or_nothing(checkpoints):
  """Every 7th bit: what is read then is what was written, or refused."""
  checkpoints.save(1, tree(1), META)
  path = meta_file(checkpoints, 1)
  whole = path.read_bytes()
  refused = 0
  for bit in range(0, 8 * len(whole), 7):
    data = bytearray(whole)
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)
    try:
      found = checkpoints.read(1, tree(0))
    except Exception:  # noqa: BLE001 (whatever reading raises is damage)
      refused += 1
    else:
      assert {key: found.meta[key] for key in META} == META
  assert refused > len(whole)


def test_a_checkpoint_under_another_step_is_damage(checkpoints, tmp_path, caplog):
  for step in (1, 2):
    checkpoints.save(step, tree(step), META)
  checkpoints.close()
  (checkpoints.directory / '2').rename(checkpoints.directory / '5')
  again = Checkpoints(checkpoints.directory)
  with caplog.at_level(logging.WARNING):
    assert again.restore(tree(0)).step == 1
  again.close()
  assert 'checkpoint 5' in caplog.text


def test_a_checkpoint_of_a_version_that_sealed_the_arrays_alone_is_taken(checkpoints, monkeypatch):
  monkeypatch.setattr(checkpoint, 'seal', lambda arrays, step, meta: arrays)
  checkpoints.save(1, tree(1), META)
  monkeypatch.undo()
  assert checkpoints.restore(tree(0)).step == 1


@pytest.mark.parametrize('error', [KeyError('rate'), TypeError("unexpected argument 'warm'"), ValueError('no position')])
def test_what_cannot_be_gone_on_with_is_another_run_and_not_damage(checkpoints, error):
  """It was damage once, and the one before was taken. But a checkpoint whose digest holds lost nothing: another version wrote it."""
  for step in (1, 2):
    checkpoints.save(step, tree(step), META)
  with pytest.raises(checkpoint.OtherRun, match=r'checkpoint 2 in .* is whole, .*Resume with that version'):
    checkpoints.restore(tree(0), lambda found: raising(error))
  with pytest.raises(checkpoint.OtherRun, match='of another network'):
    checkpoints.restore(tree(0), lambda found: raising(checkpoint.OtherRun('of another network')))
  assert checkpoints.steps() == [1, 2]


def raising(error):
  raise error


@pytest.mark.parametrize(('target', 'said'), [
    ({'params': {'w': tree(0)['params']['w'], 'b': np.zeros(3, np.float32)}, 'step': np.int32(0)},
     r'params/b: \(absent\) there, float32 \[3\] now'),
    ({'params': {}, 'step': np.int32(0)}, r'params/w: float32 \[300, 40\] there, \(absent\) now'),
    ({'params': {'w': np.zeros((30, 40), np.float32)}, 'step': np.int32(0)}, r'params/w: float32 \[300, 40\] there, float32 \[30, 40\] now'),
    ({'params': {'w': np.zeros((300, 40), np.float64)}, 'step': np.int32(0)}, 'params/w: .*float64'),
], ids=['one more', 'one less', 'shape', 'dtype'])
def test_other_arrays_are_another_run_and_not_damage(checkpoints, target, said):
  for step in (1, 2):
    checkpoints.save(step, tree(step), META)
  with pytest.raises(checkpoint.OtherRun, match=rf'checkpoint 2 in .* has other arrays (.|\n)*{said}(.|\n)*another --workdir'):
    checkpoints.restore(target)
  assert checkpoints.steps() == [1, 2] and checkpoints.restore(tree(0)).step == 2


@pytest.mark.parametrize('error', [MemoryError(), OSError(errno.EMFILE, 'Too many open files'), PermissionError(errno.EACCES, 'no'),
                                   ValueError('RESOURCE_EXHAUSTED: Error reading "w/0.0"'), RuntimeError("can't start new thread")])
def test_what_says_nothing_of_the_file_is_no_damage(checkpoints, monkeypatch, error):
  for step in (1, 2):
    checkpoints.save(step, tree(step), META)
  checkpoints.wait()
  monkeypatch.setattr(checkpoints._manager, 'restore', lambda *given, **options: raising(error))
  with pytest.raises(OSError if isinstance(error, ValueError) else type(error)):
    checkpoints.restore(tree(0))
  monkeypatch.undo()
  for late in (MemoryError(), OSError(errno.EMFILE, 'Too many open files')):
    with pytest.raises(type(late)):
      checkpoints.restore(tree(0), lambda found: raising(late))
  assert checkpoints.steps() == [1, 2]


@pytest.mark.parametrize('part', ['tree', 'meta', 'tree/_METADATA', 'meta/metadata', 'tree/manifest.ocdbt'])
def test_a_torn_one_is_damage(checkpoints, part, caplog):
  for step in (1, 2):
    checkpoints.save(step, tree(step), META)
  checkpoints.wait()
  torn = checkpoints.directory / '2' / part
  torn.rename(checkpoints.directory.parent / 'away')
  with caplog.at_level(logging.WARNING):
    assert checkpoints.restore(tree(0)).step == 1
  assert 'checkpoint 2' in caplog.text and 'resuming from that of step 1' in caplog.text


def test_where_none_is_sound_all_are_kept_aside_and_it_is_said(checkpoints, caplog):
  for step in (1, 2):
    checkpoints.save(step, tree(step), META)
    damage(checkpoints, step, truncated)
  assert checkpoints.restore(tree(0)) is None and checkpoints.steps() == []
  assert sorted(path.name for path in checkpoints.directory.with_name('checkpoints_damaged').iterdir()) == ['1', '2']
  assert caplog.text.count('no other one is left: training begins anew') == 2


def test_what_was_set_aside_before_stays(checkpoints):
  checkpoints.save(1, tree(1), META)
  for _ in range(3):
    checkpoints.save(2, tree(2), META)
    damage(checkpoints, 2, truncated)
    assert checkpoints.restore(tree(0)).step == 1
  aside = checkpoints.directory.with_name('checkpoints_damaged')
  assert sorted(path.name for path in aside.iterdir()) == ['2', '2.1', '2.2']


def test_a_best_one_that_could_not_be_written_is_kept_and_written_with_the_next(checkpoints):
  checkpoints.save(1, tree(1), {'best_step': 1}, best_step=1)
  checkpoints.wait()
  with full_disk():
    checkpoints.save(2, tree(2), {'best_step': 2}, best_step=2)
    checkpoints.wait()
    assert digest(checkpoints.read(2, tree(0)).tree) == digest(tree(2))
  assert checkpoints.steps() == [1]
  checkpoints.save(3, tree(3), {'best_step': 2}, best_step=2)
  checkpoints.wait()
  assert checkpoints.steps() == [2, 3] or checkpoints.steps() == [1, 2, 3]
  again = Checkpoints(checkpoints.directory)
  assert digest(again.read(2, tree(0)).tree) == digest(tree(2))
  again.close()
