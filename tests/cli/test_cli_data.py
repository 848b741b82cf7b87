"""`lesion-jax data`: figures, a contact sheet and the ids of a data set."""

from __future__ import annotations

import hashlib
import json

import pytest
from drawing import draw_idrid
from PIL import Image

from lesion_jax import cli
from lesion_jax.data.registry import load_dataset


@pytest.fixture
def data_dir(tmp_path):
  """The ten drawn photographs of IDRiD, prepared."""
  load_dataset('idrid', data_dir=tmp_path / 'data', source_dir=draw_idrid(tmp_path / 'idrid'), size=64)
  return tmp_path / 'data'


def data(*arguments):
  return cli.main(['data', *map(str, arguments)])


def refused(capsys, *arguments):
  with pytest.raises(SystemExit) as stop:
    data(*arguments)
  assert stop.value.code == 2
  return capsys.readouterr().err.strip().splitlines()[-1]


def test_a_data_set_says_what_it_is(data_dir, capsys):
  assert data('idrid', '--prepared', data_dir, '--size', 64) == 0
  said = capsys.readouterr().out
  assert said.startswith('idrid: 7 train, 1 validation, 2 test\nThe segmentation part') and 'Licence: CC BY 4.0' in said
  assert not list(data_dir.rglob('about'))


def test_statistics_are_printed_and_written_with_a_contact_sheet(data_dir, tmp_path, capsys):
  assert data('idrid', '--prepared', data_dir, '--size', 64, '--stats', '--out', tmp_path / 'about') == 0
  said = capsys.readouterr().out
  assert 'idrid at 64x64 pixels (field of view)' in said and 'MA microaneurysm' in said
  assert f'statistics.json, contact_sheet.png are in {tmp_path / "about"}' in said
  found = json.loads((tmp_path / 'about' / 'statistics.json').read_text())
  assert found['splits']['train']['images'] == 7 and found['splits']['all']['lesions']['HaEx']['images'] == 10
  with Image.open(tmp_path / 'about' / 'contact_sheet.png') as sheet:
    assert sheet.mode == 'RGB'


def test_ids_are_written_beside_the_data_with_a_digest(data_dir, tmp_path, capsys):
  assert data('idrid', '--prepared', data_dir, '--size', 64, '--ids') == 0
  path, = data_dir.rglob('about/splits.json')
  found = json.loads(path.read_text())
  assert found['splits']['test'] == ['IDRiD_55', 'IDRiD_81'] and len(found['splits']['train']) == 7
  lines = ''.join(f'{split}\t{name}\n' for split, names in found['splits'].items() for name in sorted(names))
  assert found['digest'] == hashlib.sha256(lines.encode()).hexdigest()
  assert found['digest'] in capsys.readouterr().out


def test_with_options_it_is_prepared_first(tmp_path, capsys):
  assert data('synthetic', '--option', 'count=6', '--size', 48, '--prepared', tmp_path, '--stats', '--quiet') == 0
  said = capsys.readouterr().out
  assert 'DR4' in said and list(tmp_path.glob('synthetic/48-seed0-count6/about/contact_sheet.png'))


def test_without_a_name_the_data_sets_are_listed(capsys):
  assert data() == 0
  assert '  synthetic ' in capsys.readouterr().out


def test_mistakes_are_said_in_one_line(data_dir, capsys):
  assert 'unknown data set' in refused(capsys, 'nothing', '--prepared', data_dir)
  assert 'nothing is prepared in' in refused(capsys, 'idrid', '--prepared', data_dir, '--size', 65)
  load_dataset('synthetic', data_dir=data_dir, size=48, count=3)
  load_dataset('synthetic', data_dir=data_dir, size=48, count=4)
  assert 'is prepared from 2 places' in refused(capsys, 'synthetic', '--prepared', data_dir, '--size', 48)


def test_what_cannot_be_written_ends_with_1(data_dir, tmp_path, capsys):
  (tmp_path / 'file').touch()
  with pytest.raises(SystemExit) as stop:
    data('idrid', '--prepared', data_dir, '--size', 64, '--ids', '--out', tmp_path / 'file')
  assert stop.value.code == 1 and 'could not be written' in capsys.readouterr().err
