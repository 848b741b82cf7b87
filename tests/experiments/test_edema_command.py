"""`experiments.edema`: records against the labels of the release, without what the network learned from."""

from __future__ import annotations

import json

import pytest
from landmark_release import draw_release

from experiments import edema
from lesion_jax.data.registry import load_dataset
from lesion_jax.photograph.fingerprint import reduced

TEST = 'B. Disease Grading/1. Original Images/b. Testing Set'


@pytest.fixture(scope='module')
def dataset(tmp_path_factory):
  root = tmp_path_factory.mktemp('edema')
  return load_dataset('idrid_landmarks', data_dir=root / 'data', size=64, source_dir=draw_release(root / 'idrid'), quiet=True)


def record(number, value, folder=TEST, grade=None):
  """What is read of one."""
  return {'file': f'somewhere/{folder}/IDRiD_{number:03d}.jpg', 'edema': {'value': value},
          'grade': None if grade is None else {'value': grade}}


def test_every_photograph_with_a_record_counts_once(dataset):
  records = [record(1, 1), record(2, 2), record(3, 1), record(4, None), record(4, 1, folder='A. Segmentation/x')]
  found = edema.judge(dataset, 'test', records)
  assert found['confusion'] == [[0, 1, 0], [0, 1, 0], [0, 0, 1]] and found['untold'] == [0, 1, 0]  # the truths are 1, 2, 0 and 1
  assert (found['photographs'], found['left_out'], found['missing'], 'joint' in found) == (4, 0, 0, False)
  some = edema.judge(dataset, 'test', [record(1, 1, grade=1), record(3, 0, grade=0)])
  assert some['missing'] == 2 and some['joint']['value'] == 0.5


def test_what_the_network_learned_from_is_left_out(dataset):
  prints = reduced(dataset.source('test').index.fingerprint)
  found = edema.judge(dataset, 'test', [record(1, 1), record(2, 2)], {'train': prints[:1], 'validation': prints[2:3]})
  assert (found['photographs'], found['left_out'], found['missing']) == (1, 2, 1)


def test_records_of_others_or_without_landmarks_are_refused(dataset):
  with pytest.raises(ValueError, match='no record is of a photograph of idrid_landmarks, split test'):
    edema.judge(dataset, 'test', [record(9, 1), record(1, 1, folder='B. Disease Grading/1. Original Images/a. Training Set')])
  with pytest.raises(ValueError, match='was predicted without landmarks; predict it with --landmarks'):
    edema.judge(dataset, 'test', [{'file': record(1, 1)['file'], 'grade': None}])


def test_the_command_prints_and_writes(dataset, tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(edema, 'records_in', lambda folder: [record(1, 1), record(2, 0)])
  monkeypatch.setattr(edema, 'SIZE', 64)
  source, data_dir = dataset.builder.builder_config.source_dir, dataset.builder.data_dir_root
  assert edema.main([str(tmp_path), '--source_dir', str(source), '--data_dir', str(data_dir), '--out', str(tmp_path / 'f.json')]) == 0
  said = capsys.readouterr().out
  assert 'split test: 2 photographs of 2 visits (0 left out that the network learned from, 2 without a record)' in said
  assert 'accuracy 0.500' in said and json.loads((tmp_path / 'f.json').read_text())['photographs'] == 2
