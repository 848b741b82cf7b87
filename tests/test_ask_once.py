"""A frozen lesion network that is asked about each training photograph once instead of at every step."""

import types

import numpy as np
import pytest
from tiny import TINY_MODELS
from tiny_config import changed

from lesion_jax import main, models, stages
from lesion_jax.data import asked
from lesion_jax.stages import stage
from lesion_jax.train.checkpoint import OtherRun
from lesion_jax.train.logs import read_scalars
from lesion_jax.train.parallel import Devices

NEUTRAL = {f'grade__augmentation__{name}': (1.0, 1.0) for name in ('brightness', 'saturation', 'contrast')}


@pytest.fixture(autouse=True)
def shallow_networks(monkeypatch):
  monkeypatch.setattr(models, 'MODELS', TINY_MODELS)
  monkeypatch.setattr(main, 'write_run', lambda *unused: [])


def test_it_learns_what_it_would_have_learned(tmp_path):
  config = changed(**NEUTRAL)
  assert main.run(config, tmp_path / 'each', str(tmp_path / 'data'), lambda: False) == 0
  again = changed(**NEUTRAL, stages=('grade',), grade__data__ask_once=True,
                  segment__bundle=str(tmp_path / 'each' / 'segment' / 'bundle'))
  assert main.run(again, tmp_path / 'once', str(tmp_path / 'data'), lambda: False) == 0
  losses = [read_scalars(tmp_path / name / 'grade' / 'metrics.csv')['train', 'loss'][1] for name in ('each', 'once')]
  np.testing.assert_allclose(*losses, rtol=4e-3)  # the sums are in another order, and BatchNorm of few magnifies it
  assert (tmp_path / 'once' / 'grade' / asked.kept_outputs()).exists()


class Photographs:
  """One of a single grey each; `decoded` tells which were read."""

  def __init__(self, **greys):
    self._greys, self.decoded = list(greys.values()), []
    fingerprints = np.array([np.full((32, 32, 3), grey, np.uint8) for grey in self._greys])
    self.index = types.SimpleNamespace(id=np.array(list(greys)), fingerprint=fingerprints)

  def __len__(self):
    return len(self._greys)

  def __getitem__(self, position):
    self.decoded.append(str(self.index.id[position]))
    return {'id': self.decoded[-1], 'image': np.full((2, 2, 3), self._greys[position], np.uint8)}


def look(image):
  return np.full(8, image.mean(), np.float32)


def ask(path, source, key='a', look=look):
  """What is found of each, a number."""
  source.decoded.clear()
  return {name: float(value[0]) for name, value in asked.ask(look, source, path, key=key).items()}


def test_answers_are_kept_and_others_are_forgotten(tmp_path):
  source, path = Photographs(x=0, y=1, z=2), tmp_path / 'found.npz'
  for key, decoded in (('a', ['x', 'y', 'z']), ('a', []), ('b', ['x', 'y', 'z'])):
    assert ask(path, source, key) == {'x': 0, 'y': 1, 'z': 2} and source.decoded == decoded


def test_of_another_photograph_under_the_same_id_it_is_asked(tmp_path):
  path, source = tmp_path / 'found.npz', Photographs(x=0, y=7, new=3)
  ask(path, Photographs(x=0, y=1, z=2))
  assert ask(path, source) == {'x': 0, 'y': 7, 'new': 3} and source.decoded == ['y', 'new']


def test_where_nothing_is_new_nothing_is_written(tmp_path):
  source, path = Photographs(x=0), tmp_path / 'found.npz'
  ask(path, source)
  before = path.stat()
  ask(path, source)
  assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_what_was_said_before_an_interruption_is_kept(tmp_path, monkeypatch):
  source, path = Photographs(x=0, y=1, z=2), tmp_path / 'found.npz'
  monkeypatch.setattr(asked, 'SAVE_EVERY', 0)
  with pytest.raises(KeyboardInterrupt):
    ask(path, source, look=lambda image: look(image) if len(source.decoded) < 3 else raising(KeyboardInterrupt))
  assert ask(path, source) == {'x': 0, 'y': 1, 'z': 2} and 'x' not in source.decoded and 'z' in source.decoded


def raising(error):
  raise error


def without_digests(path):
  """As earlier versions wrote it."""
  with np.load(path) as kept:
    arrays = {name: kept[name] for name in kept.files if name != 'digests'}
  np.savez(path, **arrays)


@pytest.mark.parametrize('damage', [
    lambda path: path.write_bytes(path.read_bytes()[:-30]), lambda path: path.write_bytes(b''), lambda path: path.write_bytes(b'said'),
    without_digests], ids=['cut', 'empty', 'other', 'earlier'])
def test_a_file_that_cannot_be_used_counts_as_absent_and_it_is_said(tmp_path, caplog, damage):
  source, path = Photographs(x=0, y=1), tmp_path / 'found.npz'
  ask(path, source)
  damage(path)
  assert ask(path, source) == {'x': 0, 'y': 1} and source.decoded == ['x', 'y']
  assert 'found.npz is damaged, or of an earlier version' in caplog.text
  assert ask(path, source) == {'x': 0, 'y': 1} and source.decoded == []


def test_a_copy_is_whole_or_not_there_and_replaces_nothing(tmp_path, monkeypatch):
  kept, own = tmp_path / 'found.npz', tmp_path / 'own' / 'found.npz'
  kept.write_bytes(b'said')
  with monkeypatch.context() as patch, pytest.raises(OSError):
    patch.setattr(asked.shutil, 'copyfile', lambda *paths: raising(OSError('full')))
    asked.copy_outputs(kept, own)
  assert list(own.parent.iterdir()) == []
  asked.copy_outputs(kept, own)
  kept.write_bytes(b'other')
  asked.copy_outputs(kept, own)
  assert own.read_bytes() == b'said' and list(own.parent.iterdir()) == [own]


def test_a_run_of_other_photographs_is_refused_before_the_network_is_asked(tmp_path, monkeypatch):
  """This stage has no network, only a place and data."""
  monkeypatch.setattr(stage, 'require_same_data', lambda *given, **options: raising(OtherRun('others')))
  with pytest.raises(OtherRun, match='others'):
    stage.Stage.train(types.SimpleNamespace(directory=tmp_path, dataset=None), lambda: False)


@pytest.mark.parametrize(('changes', 'message'), [
    ({'grade__model__name': 'inception_v3_grader'}, 'around a frozen lesion network, and inception_v3_grader is none'),
    ({'grade__augmentation__rotation': (-5.0, 5.0)}, r'set augmentation.rotation=\(0, 0\)'),
    ({'grade__model__padding': 'VALID', 'segment__model__padding': 'VALID', 'segment__data__size': 96,
      'grade__data__size': 96}, "takes padding 'SAME'"),
    ({'grade__model__joint': True, 'grade__loss': 'joint'}, 'multitask with joint=True is none')])
def test_where_it_cannot_be_it_is_refused(changes, message):
  with pytest.raises(ValueError, match=message):
    stages.check(changed(grade__data__ask_once=True, **changes), Devices())
