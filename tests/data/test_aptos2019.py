"""APTOS 2019, in its own layout and with its own traps."""

from __future__ import annotations

import logging
import shutil

import pytest
from drawing import SIDE, fundus, save

from lesion_jax.data.datasets.aptos2019 import Aptos2019
from lesion_jax.data.registry import load_dataset

IDS = [f'{number:012x}' for number in range(20)]


@pytest.fixture
def release(tmp_path):
  """Twenty photographs, the first two copies of one another."""
  root = tmp_path / 'aptos2019'
  for number, name in enumerate(IDS):
    save(root / 'train_images' / f'{name}.png', fundus(60, 80, seed=number))
  shutil.copy(root / 'train_images' / f'{IDS[0]}.png', root / 'train_images' / f'{IDS[1]}.png')
  (root / 'train.csv').write_text(
      'id_code,diagnosis\n' + ''.join(f'{name},{number % 5}\n' for number, name in enumerate(IDS)))
  (root / 'test_images').mkdir()
  (root / 'test.csv').write_text('id_code\n0005cfc8afb6\n')
  return root


def _load(release):
  return load_dataset('aptos2019', data_dir=release.parent / 'prepared', size=SIDE, source_dir=release)


def _examples(dataset):
  return {example['id']: (split, example) for split in dataset.splits for example in dataset.source(split)}


def test_every_graded_photograph_is_in_one_of_three_splits(release):
  dataset = _load(release)
  found = _examples(dataset)
  assert {name: int(example['grade']) for name, (_, example) in found.items()} == {
      name: number % 5 for number, name in enumerate(IDS)}
  assert dataset.splits == ('train', 'validation', 'test') and sum(dataset.lengths.values()) == len(IDS)
  assert dataset.lengths['train'] > dataset.lengths['test'] > dataset.lengths['validation']
  assert all(example['annotated'] == 0 and example['image'].shape == (SIDE, SIDE, 3) for _, example in found.values())


def test_copies_count_as_one_patient_and_stay_together(release):
  found = _examples(_load(release))
  (first, example), (second, copy) = found[IDS[0]], found[IDS[1]]
  assert first == second and example['patient'] == copy['patient'] == IDS[0]
  assert len({example['patient'] for _, example in found.values()}) == len(IDS) - 1


def test_counts_that_differ_from_the_published_ones_are_reported(release, caplog, monkeypatch):
  monkeypatch.setattr(logging.getLogger('absl'), 'propagate', True)
  _load(release)
  assert 'photographs 20 (published: 3662)' in caplog.text and 'DR3 4 (published: 193)' in caplog.text


def test_published_counts_agree_with_one_another():
  assert sum(Aptos2019.PUBLISHED[f'DR{grade}'] for grade in range(5)) == Aptos2019.PUBLISHED['photographs']


def test_a_wrong_grade_names_row_and_value(release):
  (release / 'train.csv').write_text(f'id_code,diagnosis\n{IDS[0]},5\n')
  with pytest.raises(ValueError, match=rf"train\.csv, row 2 \({IDS[0]}\): diagnosis is '5'; grades are 0\.\.4"):
    _load(release)


def test_a_photograph_without_a_grade_is_named(release):
  save(release / 'train_images' / 'stray.png', fundus(60, 80))
  with pytest.raises(ValueError, match=r'train\.csv has no row for 1 photographs: stray\.png'):
    _load(release)


@pytest.mark.parametrize('missing', ['train_images', 'train.csv'])
def test_what_is_missing_is_named(release, missing):
  (release / missing).rename(release / 'elsewhere')
  with pytest.raises(FileNotFoundError, match=str(release / missing)):
    _load(release)


def test_a_damaged_photograph_is_named(release):
  path = release / 'train_images' / f'{IDS[3]}.png'
  path.write_bytes(path.read_bytes()[:300])
  with pytest.raises(ValueError, match=rf'cannot read the photograph .*{IDS[3]}\.png'):
    _load(release)
