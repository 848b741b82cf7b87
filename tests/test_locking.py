"""One writer a folder, whatever becomes of it."""

import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

from lesion_jax import locking
from lesion_jax.locking import Locked, Unlockable, hold, locked, sweep

HOLDER = '''
import sys, time
from lesion_jax.locking import locked
with locked(sys.argv[1], 'a long run'):
  print('held', flush=True)
  time.sleep(600)
'''


@pytest.fixture
def holder(tmp_path):
  """A process that holds the folder 'place'."""
  process = subprocess.Popen([sys.executable, '-c', HOLDER, tmp_path / 'place'], stdout=subprocess.PIPE, text=True)
  assert process.stdout.readline() == 'held\n'
  yield process
  process.kill()
  process.wait()
  process.stdout.close()


def test_a_second_process_is_told_who_holds_it_and_changes_nothing(holder, tmp_path):
  before = (tmp_path / 'place' / locking.NAME).read_bytes()
  with pytest.raises(Locked, match=rf'place is in use: a long run by process {holder.pid} on .*, since 2.*another folder'):
    with locked(tmp_path / 'place', 'a second'):
      raise AssertionError('both are in')
  assert (tmp_path / 'place' / locking.NAME).read_bytes() == before


def test_a_lock_dies_with_its_process(holder, tmp_path):
  holder.send_signal(signal.SIGKILL)
  holder.wait()
  assert (tmp_path / 'place' / locking.NAME).exists()
  with locked(tmp_path / 'place', 'the next'):
    assert (tmp_path / 'place' / locking.NAME).read_text().startswith(f'the next by process {os.getpid()} ')
  assert list((tmp_path / 'place').iterdir()) == []


def test_within_one_process_too_and_it_goes_with_its_context(tmp_path):
  with pytest.raises(KeyError), locked(tmp_path, 'one'):
    with pytest.raises(Locked, match='one by process'), locked(tmp_path, 'two'):
      pass
    raise KeyError
  with locked(tmp_path, 'three'):
    pass
  assert list(tmp_path.iterdir()) == []


def test_a_lock_file_that_went_while_it_was_waited_for_is_no_lock(tmp_path, monkeypatch):
  """The holder removes it and leaves just after the second has opened it."""
  path, flock, first = tmp_path / locking.NAME, fcntl.flock, []

  def late(file, operation):
    if not first:
      first.append(path.unlink())
    flock(file, operation)

  monkeypatch.setattr(fcntl, 'flock', late)
  with locked(tmp_path, 'the second'):
    monkeypatch.setattr(fcntl, 'flock', flock)
    with pytest.raises(Locked), locked(tmp_path, 'a third'):
      pass


def test_locks_of_other_names_are_others(tmp_path):
  with locked(tmp_path, 'one'), locked(tmp_path, 'two', name='other.lock'):
    with pytest.raises(Locked, match='two by process'), locked(tmp_path, 'three', name='other.lock'):
      pass


def test_who_waits_comes_next_though_the_folder_is_gone_by_then(tmp_path):
  place, order, asked = tmp_path / 'place', [], threading.Event()

  def second():
    asked.set()
    with locked(place, 'the second', wait=True):
      order.append('second')

  other = threading.Thread(target=second)
  with locked(place, 'the first'):
    other.start()
    asked.wait()
    time.sleep(0.05)  # so that it most often waits by now
    order.append('first')
    shutil.rmtree(place)
  other.join(60)
  assert order == ['first', 'second'] and list(place.iterdir()) == []


@pytest.mark.parametrize('code', [errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS])
def test_where_there_are_no_locks_it_says_so_and_goes_on(tmp_path, monkeypatch, code):
  def refuse(file, operation):
    raise OSError(code, os.strerror(code))

  monkeypatch.setattr(fcntl, 'flock', refuse)
  with pytest.warns(Unlockable, match='cannot be locked.*nothing stops a second process'), locked(tmp_path, 'a run'):
    assert list(tmp_path.iterdir()) == []


def test_without_flock_at_all_too(tmp_path, monkeypatch):
  monkeypatch.setattr(locking, 'fcntl', None)
  with pytest.warns(Unlockable, match='no flock here'), locked(tmp_path, 'a run'):
    assert hold(tmp_path) is None


def test_a_link_in_its_place_is_not_followed(tmp_path):
  (tmp_path / 'mine').write_text('mine')
  (tmp_path / locking.NAME).symlink_to(tmp_path / 'mine')
  with pytest.raises(OSError, match='is no lock'), locked(tmp_path, 'a run'):
    pass
  assert (tmp_path / 'mine').read_text() == 'mine'


def test_what_killed_writers_left_is_swept_and_nothing_else(tmp_path):
  names = ['.net.0123abcd.new', '.net.0123abcd.old', '.net.ffffffff.new', '.net.new', '.net.0123abcd.newer',
           '.network.0123abcd.new', 'net']
  for name in names:
    (tmp_path / name).mkdir()
  (tmp_path / '.net.aaaaaaaa.new').symlink_to(tmp_path / 'net')
  alive = hold(tmp_path / '.net.ffffffff.new')
  sweep(tmp_path / 'net')
  assert {path.name for path in tmp_path.iterdir()} == {*names[2:], '.net.aaaaaaaa.new'}
  os.close(alive)
  sweep(tmp_path / 'net')
  assert '.net.ffffffff.new' not in {path.name for path in tmp_path.iterdir()}
