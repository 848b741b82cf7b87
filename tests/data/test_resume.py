"""A preparation that was interrupted goes on where it stopped, and ends with the same bytes."""

from __future__ import annotations

import errno
import fcntl
import os
import pathlib
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
from draw_releases import DRAWN, open_release
from drawing import SIDE, fundus, save

from lesion_jax.data.builders.resume import FOLDER, Partial
from lesion_jax.data.datasets.idrid import Idrid
from lesion_jax.data.registry import load_dataset
from lesion_jax.locking import Unlockable

KILLED = '''\
import os, signal, sys
from lesion_jax.data.datasets.idrid import Idrid
from lesion_jax.data.registry import load_dataset
read = Idrid.read
def read_or_die(self, item):
  if item.path.stem == 'IDRiD_06':
    os.kill(os.getpid(), signal.SIGKILL)
  return read(self, item)
Idrid.read = read_or_die
load_dataset('idrid', data_dir=sys.argv[1], source_dir=sys.argv[2], size=64)
'''


@pytest.fixture
def reads(monkeypatch) -> list[str]:
  """The photographs that were read, by any thread."""
  names, read = [], Idrid.read

  def counted(self, item):
    names.append(item.path.stem)
    return read(self, item)

  monkeypatch.setattr(Idrid, 'read', counted)
  return names


@pytest.fixture
def interrupted(tmp_path, idrid_release, monkeypatch) -> pathlib.Path:
  """A data_dir in which preparing the ten photographs of `idrid_release` ended at the last one for training."""
  read = Idrid.read
  with monkeypatch.context() as patch:
    patch.setattr(Idrid, 'read', lambda self, item: 1 / 0 if item.path.stem == 'IDRiD_08' else read(self, item))
    with pytest.raises(ZeroDivisionError):
      _load(tmp_path / 'data', idrid_release)
  return tmp_path / 'data'


def _load(data_dir, release):
  return load_dataset('idrid', data_dir=data_dir, source_dir=release, size=SIDE)


def _kept(data_dir):
  return sorted(data_dir.glob(f'{FOLDER}/*/*.example'))


def _files(data_dir):
  """Relative path -> bytes of all that was prepared."""
  return {str(path.relative_to(data_dir)): path.read_bytes() for path in sorted(data_dir.rglob('*')) if path.is_file()}


def test_only_the_rest_is_read(interrupted, idrid_release, tmp_path, reads):
  kept = len(_kept(interrupted))
  assert 5 <= kept <= 9
  _load(interrupted, idrid_release)
  assert len(reads) == 10 - kept == len(set(reads)) and 'IDRiD_08' in reads and 'IDRiD_02' not in reads
  _load(tmp_path / 'whole', idrid_release)
  assert _files(interrupted) == _files(tmp_path / 'whole'), 'every byte is as if nothing had happened'
  assert [path.name for path in interrupted.iterdir()] == ['idrid'], 'nothing else is left'


def test_its_progress_is_told_also_of_what_was_kept(interrupted, idrid_release):
  told = []
  load_dataset('idrid', data_dir=interrupted, source_dir=idrid_release, size=SIDE,
               progress=lambda done, total: told.append((done, total)))
  assert told == [(done, 10) for done in range(11)]
  load_dataset('idrid', data_dir=interrupted, source_dir=idrid_release, size=SIDE, progress=lambda *_: pytest.fail('is prepared'))


def test_a_killed_preparation_goes_on(idrid_release, tmp_path, reads):
  killed = subprocess.run([sys.executable, '-c', KILLED, str(tmp_path / 'data'), str(idrid_release)], check=False)
  assert killed.returncode == -signal.SIGKILL
  kept = len(_kept(tmp_path / 'data'))
  assert 1 <= kept < 10
  _load(tmp_path / 'data', idrid_release)
  assert len(reads) == 10 - kept
  _load(tmp_path / 'whole', idrid_release)
  assert _files(tmp_path / 'data') == _files(tmp_path / 'whole'), 'nor does anything half-written stay'


def test_nothing_is_kept_of_a_finished_one(interrupted, idrid_release):
  assert (interrupted / FOLDER).is_dir()
  _load(interrupted, idrid_release)
  assert not (interrupted / FOLDER).exists() and not list(interrupted.rglob('incomplete*'))


@pytest.mark.parametrize('damage', [
    lambda path: path.write_bytes(path.read_bytes()[:-1]),
    lambda path: path.write_bytes(path.read_bytes().replace(b'IDRiD_0', b'IDRiD_9')),
    lambda path: path.write_bytes(b''),
], ids=['cut', 'changed', 'emptied'])
def test_a_damaged_example_is_made_again(interrupted, idrid_release, tmp_path, reads, damage):
  damaged, kept = _kept(interrupted)[0], len(_kept(interrupted))
  damage(damaged)
  _load(interrupted, idrid_release)
  assert len(reads) == 10 - kept + 1
  _load(tmp_path / 'whole', idrid_release)
  assert _files(interrupted) == _files(tmp_path / 'whole')


@pytest.mark.parametrize('name', ['IDRiD_02.jpg', 'IDRiD_02_MA.tif'])
def test_an_example_whose_source_changed_is_made_again(interrupted, idrid_release, reads, name):
  path, = idrid_release.rglob(name)
  status = path.stat()
  os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
  _load(interrupted, idrid_release)
  assert 'IDRiD_02' in reads and 'IDRiD_03' not in reads


def test_another_configuration_does_not_take_what_is_kept(interrupted, idrid_release, reads):
  load_dataset('idrid', data_dir=interrupted, source_dir=idrid_release, size=SIDE // 2)
  assert len(reads) == 10 and _kept(interrupted), 'nor does it throw it away'


def test_two_that_prepare_the_same_read_it_once(idrid_release, tmp_path, reads):
  others = [threading.Thread(target=_load, args=(tmp_path / 'data', idrid_release)) for _ in range(2)]
  for other in others:
    other.start()
  for other in others:
    other.join()
  assert sorted(reads) == [*(f'IDRiD_{number:02d}' for number in range(1, 9)), 'IDRiD_55', 'IDRiD_81']


def test_where_folders_cannot_be_locked_it_is_prepared_all_the_same(idrid_release, tmp_path, monkeypatch):
  def refuse(file, operation):
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

  monkeypatch.setattr(fcntl, 'flock', refuse)
  with pytest.warns(Unlockable, match='a preparation of idrid.* must be the only one there'):
    _load(tmp_path / 'data', idrid_release)
  assert [path.name for path in (tmp_path / 'data').iterdir()] == ['idrid']


def test_what_is_prepared_can_be_read_only(interrupted, idrid_release, reads):
  first = _load(interrupted, idrid_release)
  reads.clear()
  for folder in (interrupted, first.builder.data_path):
    os.chmod(folder, 0o555)
  try:
    assert _load(interrupted, idrid_release).lengths == first.lengths and not reads
  finally:
    os.chmod(interrupted, 0o755)
    os.chmod(first.builder.data_path, 0o755)


class TestPartial:

  def test_features_come_back_in_order_and_kind(self, tmp_path):
    features = {'image': b'\n\x00{}', 'grade': np.int32(-1), 'lesions': b'', 'id': 'Zoë', 'annotated': 255}
    partial = Partial(tmp_path / 'set')
    partial.example(7, lambda item: features)
    again = partial.example(7, lambda item: pytest.fail('made twice'))
    assert list(again) == list(features) and again == features

  @pytest.mark.parametrize('item', [object(), (1, np.zeros(3)), {'mask': {1, 2}}])
  def test_an_item_without_a_lasting_description_is_never_kept(self, tmp_path, item):
    partial, made = Partial(tmp_path / 'set'), []
    for _ in range(2):
      partial.example(item, lambda item: made.append(item) or {'grade': 1})
    assert len(made) == 2 and not list(tmp_path.iterdir())

  def test_a_file_that_comes_or_goes_is_a_change(self, tmp_path):
    path, made = tmp_path / 'mask.png', []
    partial = Partial(tmp_path / 'set')
    step = lambda: partial.example({'mask': path}, lambda item: made.append(item) or {'grade': 1})
    step()
    save(path, fundus(8, 8))
    step()
    step()
    assert len(made) == 2

  @pytest.mark.parametrize('name', DRAWN)
  def test_items_of_every_release_can_be_kept(self, name, tmp_path):
    builder = open_release(name, DRAWN[name](tmp_path / 'release')).builder
    items = [item for items in builder.release().splits.values() for item in items]
    for item in items:
      Partial(tmp_path / 'set').example(item, lambda item: {'grade': 1})
    assert len(list((tmp_path / 'set').iterdir())) == len(items), 'each has a file of its own'
