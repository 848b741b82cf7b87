"""TJDR: one map of labels, and photographs that occur twice."""

from __future__ import annotations

import logging
import shutil

import numpy as np
import pytest
from draw_releases import draw_tjdr, examples_of, mask_of, open_release
from drawing import SIDE, block, palette, save

from lesion_jax.core import LESION_KEYS, lesion_bits

ROWS = {'HaEx': 8, 'iHE': 16, 'MA': 24, 'CWS': 32}  # where 1, 2, 3 and 4 are drawn


@pytest.fixture
def release(tmp_path):
  return draw_tjdr(tmp_path / 'TJDR')


def _open(release):
  return open_release('tjdr', release, size=SIDE)


def test_the_test_set_is_official_and_validation_is_an_eighth_of_the_training_set(release):
  dataset = _open(release)
  assert dataset.crop == 'square' and dataset.lengths == {'train': 9, 'validation': 1, 'test': 3}
  assert [example['id'] for example in dataset.source('test')] == ['test_010', 'test_011', 'test_012']


@pytest.mark.parametrize('name', ['test_010', 'test_011'], ids=['palette', 'grey'])
def test_the_map_is_taken_apart_in_the_releases_own_order(release, name):
  """test_011 is of the other size, twice as wide, so that its lesions are half as large here."""
  example = examples_of(_open(release))[name]
  assert example['annotated'] == lesion_bits(['MA', 'iHE', 'HaEx', 'CWS'])
  for key in LESION_KEYS:
    if key not in ROWS:
      expected = block(0, 0, 0, 0)
    elif name == 'test_010':
      expected = block(ROWS[key], 20, 4, 4)
    else:
      expected = block(ROWS[key] // 2, 10, 2, 2)
    np.testing.assert_array_equal(mask_of(example, key), expected, err_msg=key)


def test_another_label_is_refused(release):
  save(release / 'train' / 'annotation' / 'train_004.png', palette(block(3, 3, 2, 2) * 5))
  with pytest.raises(ValueError, match=r'train_004\.png holds the values 5; this raw dataset has only 0, 1, 2, 3, 4'):
    _open(release)


def test_a_map_in_the_colours_of_its_palette_is_refused(release):
  save(release / 'train' / 'annotation' / 'train_004.png', palette(block(3, 3, 2, 2)).convert('RGB'))
  with pytest.raises(ValueError, match=r'train_004\.png holds the values 255'):
    _open(release)


def test_a_missing_map_is_named(release):
  annotation = release / 'train' / 'annotation' / 'train_004.png'
  annotation.unlink()
  with pytest.raises(FileNotFoundError, match=f'no mask {annotation}'):
    _open(release)


def test_a_training_photograph_that_is_a_test_photograph_is_left_out_and_said(release, caplog, monkeypatch):
  monkeypatch.setattr(logging.getLogger('absl'), 'propagate', True)
  shutil.copy(release / 'test' / 'image' / 'test_012.png', release / 'train' / 'image' / 'train_004.png')
  dataset = _open(release)
  assert 'train_004' not in examples_of(dataset) and 'test_012' in examples_of(dataset)
  assert sum(dataset.lengths.values()) == 12
  message, = (record.message for record in caplog.records if 'copies' in record.message)
  assert message.endswith('1 photographs of the training set are copies of test photographs and are excluded: '
                          'train_004.png')


def test_another_photograph_of_the_same_name_is_no_copy(release):
  """Names may start anew in each set."""
  for part in ('image', 'annotation'):
    (release / 'train' / part / 'train_004.png').rename(release / 'train' / part / 'test_012.png')
  dataset = _open(release)
  assert [example['id'] for split in dataset.splits for example in dataset.source(split)].count('test_012') == 2


def test_copies_within_the_training_set_stay_on_one_side(release, tmp_path):
  """Photographs of its size become copies of the one that would be dealt to another side than they."""
  apart = _open(release).source('validation')[0]['id']
  again = shutil.copytree(release, tmp_path / 'again')
  images = again / 'train' / 'image'
  others = [path for path in sorted(images.iterdir())
            if path.stem != apart and int(path.stem[-1]) % 2 == int(apart[-1]) % 2]
  for path in others:
    shutil.copy(images / f'{apart}.png', path)
  dataset = _open(again)
  names = {apart, *(path.stem for path in others)}
  sides = [split for split in dataset.splits for example in dataset.source(split) if example['id'] in names]
  assert len(sides) == 5 and len(set(sides)) == 1
