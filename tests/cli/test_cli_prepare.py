"""`lesion-jax prepare`: a release becomes a prepared data set, and what is wrong is said in a line."""

from __future__ import annotations

import dataclasses
import errno
import os

import pytest
from drawing import draw_idrid

from lesion_jax import cli
from lesion_jax.data.builders.base import LesionConfig
from lesion_jax.data.datasets.idrid import Idrid
from lesion_jax.data.registry import DATASETS, load_dataset


@pytest.fixture
def release(tmp_path):
  return draw_idrid(tmp_path / 'idrid')


def prepare(*arguments):
  return cli.main(['prepare', *map(str, arguments)])


def refused(capsys, *arguments):
  """What the last line on stderr says; the exit status is 2."""
  with pytest.raises(SystemExit) as stop:
    prepare(*arguments)
  assert stop.value.code == 2
  return capsys.readouterr().err.strip().splitlines()[-1]


def test_a_release_is_prepared_where_training_finds_it(release, tmp_path, capsys, monkeypatch):
  assert prepare('idrid', '--source', release, '--out', tmp_path / 'data', '--size', 64) == 0
  said = capsys.readouterr().out
  assert said.startswith('idrid: 7 train, 1 validation, 2 test, at 64x64 pixels, in ') and str(tmp_path / 'data') in said
  monkeypatch.setattr(Idrid, 'read', lambda *_: pytest.fail('prepared again'))
  assert load_dataset('idrid', data_dir=tmp_path / 'data', source_dir=release, size=64).lengths['train'] == 7
  assert prepare('idrid', '--source', release, '--out', tmp_path / 'data', '--size', 64, '--quiet') == 0
  assert not capsys.readouterr().out


def test_options_of_the_data_set(tmp_path, capsys):
  assert prepare('synthetic', '--option', 'count=6', '--option', 'seed=3', '--size', 48, '--out', tmp_path) == 0
  assert 'synthetic/48-seed3-count6/' in capsys.readouterr().out


@pytest.mark.parametrize('command', ['prepare', 'data', 'evaluate'])
def test_the_help_names_the_options_of_every_data_set(capsys, command):
  fields = lambda config: {field.name for field in dataclasses.fields(config)}
  known = {option for builder in DATASETS.values() for option in fields(builder.CONFIG) - fields(LesionConfig)}
  with pytest.raises(SystemExit):
    cli.main([command, '--help'])
  said = capsys.readouterr().out
  assert known == {option for option in known if option in said} and 'images_dir' in known


def test_without_a_name_the_data_sets_are_listed(capsys):
  assert prepare() == 0
  said = capsys.readouterr().out
  assert all(f'  {name} ' in said for name in DATASETS)
  assert 'MA, iHE, HaEx, CWS; CC BY 4.0' in said


def test_mistakes_are_said_in_one_line(release, tmp_path, capsys):
  out = '--out', tmp_path / 'data'
  assert "unknown data set 'nothing'; there are: synthetic, " in refused(capsys, 'nothing', *out)
  assert '--source is missing: give the root folder of the raw dataset' in refused(capsys, 'idrid', *out)
  assert 'inside the raw dataset' in refused(capsys, 'idrid', '--source', release, '--out', release / 'data')
  assert 'idrid has no option count' in refused(capsys, 'idrid', '--source', release, '--option', 'count=3', *out)
  assert 'is below 1' in refused(capsys, 'synthetic', '--size', 0, *out)
  assert 'size=4 pixels' in refused(capsys, 'synthetic', '--size', 4, *out)


def test_another_layout_is_refused_by_the_file_looked_for(tmp_path, capsys):
  (tmp_path / 'release').mkdir()
  said = refused(capsys, 'idrid', '--source', tmp_path / 'release', '--out', tmp_path / 'data')
  assert str(tmp_path / 'release' / 'A. Segmentation') in said


@pytest.mark.parametrize('error, status, said', [
    (KeyboardInterrupt(), 130, 'run the same command again to resume'),
    (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), 1, 'No space left on device'),
])
def test_an_interrupted_preparation_goes_on_by_the_same_command(
    release, tmp_path, capsys, monkeypatch, error, status, said):
  command = 'idrid', '--source', release, '--out', tmp_path / 'data', '--size', 64
  read, reads = Idrid.read, []

  def interrupted(self, item):
    if item.path.stem == 'IDRiD_55':
      raise error
    return read(self, item)

  with monkeypatch.context() as patch:
    patch.setattr(Idrid, 'read', interrupted)
    assert prepare(*command) == status
  assert said in capsys.readouterr().err
  monkeypatch.setattr(Idrid, 'read', lambda self, item: reads.append(item) or read(self, item))
  assert prepare(*command) == 0 and 1 <= len(reads) <= 2
