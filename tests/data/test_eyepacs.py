"""EyePACS as Kaggle released it, in its own layout and with its own traps."""

from __future__ import annotations

import json

import numpy as np
import pytest
from drawing import SIDE, fundus, save

from lesion_jax.data.datasets.eyepacs import Eyepacs
from lesion_jax.data.registry import load_dataset
from lesion_jax.photograph import read

TRAINING = {'10_left': 0, '10_right': 1, '13_left': 4, '13_right': 2}
PUBLIC, PRIVATE = {'1_left': 0, '1_right': 3}, {'2_left': 1, '2_right': 0, '3_left': 4, '3_right': 4}


def _write_tables(root, training, public, private):
  (root / 'trainLabels.csv').write_text(
      'image,level\n' + ''.join(f'{name},{level}\n' for name, level in training.items()))
  rows = [(name, level, usage) for part, usage in ((public, 'Public'), (private, 'Private'))
          for name, level in part.items()]
  (root / 'retinopathy_solution.csv').write_text(
      'image,level,Usage\n' + ''.join(f'{name},{level},{usage}\n' for name, level, usage in sorted(rows)))


@pytest.fixture
def release(tmp_path):
  """Both eyes of five patients."""
  root = tmp_path / 'diabetic-retinopathy-detection'
  for folder, names in (('train', TRAINING), ('test', PUBLIC | PRIVATE)):
    for seed, name in enumerate(names):
      save(root / folder / f'{name}.jpeg', fundus(80, 100 + seed, seed=seed))
  _write_tables(root, TRAINING, PUBLIC, PRIVATE)
  return root


def _load(release):
  return load_dataset('eyepacs', data_dir=release.parent / 'prepared', size=SIDE, source_dir=release)


def _list(release):
  builder = Eyepacs(config=Eyepacs.CONFIG(size=SIDE, source_dir=release), data_dir=release.parent / 'unused',
                    file_format='array_record')
  return builder.release()


def test_kaggles_sets_become_the_splits(release):
  dataset = _load(release)
  found = {split: {example['id']: int(example['grade']) for example in dataset.source(split)}
           for split in dataset.splits}
  assert found == {'train': TRAINING, 'validation': PUBLIC, 'test': PRIVATE}
  assert dataset.annotated == () and dataset.crop == 'field of view'


def test_both_eyes_are_of_one_patient(release, said):
  dataset = _load(release)
  assert [example['patient'] for example in dataset.source('test')] == ['2', '2', '3', '3']
  assert 'more than one split' not in said.text


def test_a_patient_on_both_sides_is_reported(release, said):
  save(release / 'test' / '13_left.jpeg', fundus(80, 100))
  _write_tables(release, TRAINING, PUBLIC, PRIVATE | {'13_left': 4})
  _list(release)
  assert '1 patients have photographs in more than one split, so one eye leaks the other: 13' in said.text


def test_public_and_private_eyes_of_one_patient_are_reported_too(release, said):
  public, private = {'1_left': 0}, PRIVATE | {'1_right': 3}
  _write_tables(release, TRAINING, public, private)
  _list(release)
  assert '1 patients have photographs in more than one split' in said.text


def test_listing_opens_no_photograph(release, monkeypatch):
  monkeypatch.setattr(read, 'read_photograph', lambda path: pytest.fail(f'{path} was opened'))
  for path in release.rglob('*.jpeg'):
    path.write_bytes(b'')
  splits, counts = _list(release)
  assert {split: len(items) for split, items in splits.items()} == {'train': 4, 'validation': 2, 'test': 4}
  assert counts == {'train photographs': 4, 'validation photographs': 2, 'test photographs': 4}


def test_counts_that_differ_from_the_published_ones_are_reported(release, said):
  _load(release)
  for part in ('train photographs 4 (published: 35126)', 'validation photographs 2 (published: 10906)',
               'test photographs 4 (published: 42670)'):
    assert part in said.text


def test_one_black_photograph_among_many_does_not_end_the_preparation(release, said):
  """As the release has some. Of ten it would be one too many."""
  many = {f'{number}_left': 0 for number in range(100, 200)}
  for name in many:
    save(release / 'train' / f'{name}.jpeg', fundus(40, 48))
  save(release / 'train' / '150_left.jpeg', np.zeros((40, 48, 3), np.uint8))
  _write_tables(release, TRAINING | many, PUBLIC, PRIVATE)
  dataset = _load(release)
  assert dataset.lengths == {'train': 103, 'validation': 2, 'test': 4}
  entry, = json.loads((dataset.builder.data_path / 'left_out.json').read_text())['unreadable']
  assert entry['photograph'] == str(release / 'train' / '150_left.jpeg') and entry['split'] == 'train'
  assert 'no field of view found' in entry['reason'] and entry['photograph'] in said.text


def _corrupt(root):
  (root / 'test' / '2_left.jpeg').write_bytes(b'\xff\xd8\xff no more')


def _usage(root):
  table = root / 'retinopathy_solution.csv'
  table.write_text(table.read_text().replace('Public', 'Open'))


def _no_row(root):
  table = root / 'trainLabels.csv'
  table.write_text(table.read_text().replace('13_left,4\n', ''))


def _nameless(root):
  (root / 'train' / '13_left.jpeg').rename(root / 'train' / '13.jpeg')
  table = root / 'trainLabels.csv'
  table.write_text(table.read_text().replace('13_left', '13'))


@pytest.mark.parametrize('spoil, message', [
    (_corrupt, r'cannot read the photograph .*test/2_left\.jpeg'),
    (_usage, r"retinopathy_solution\.csv, row 2 \(1_left\): Usage is 'Open'; it is one of Public, Private"),
    (_no_row, r'trainLabels\.csv has no row for 1 photographs: 13_left\.jpeg'),
    (_nameless, r'13\.jpeg: the raw dataset names its photographs <patient>_left\.jpeg'),
])
def test_a_spoiled_release_is_refused(release, spoil, message):
  spoil(release)
  with pytest.raises(ValueError, match=message):
    _load(release)


@pytest.mark.parametrize('missing', ['train', 'test', 'trainLabels.csv', 'retinopathy_solution.csv'])
def test_what_is_missing_is_named(release, missing):
  (release / missing).rename(release / 'elsewhere')
  with pytest.raises(FileNotFoundError, match=str(release / missing)):
    _load(release)
