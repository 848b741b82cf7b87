"""Photographs that cannot be read: left out, counted and named, and never too many."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow_datasets as tfds

from lesion_jax.data.builders.base import LesionBuilder, LesionConfig, Record, Release

SIZE = 32


class Photographs(LesionBuilder, skip_registration=True):
  """`COUNT` photographs, by number; those in `BROKEN` cannot be read."""

  name = 'photographs'
  VERSION = tfds.core.Version('1.0.0')
  CROPPED = True
  DESCRIPTION = CITATION = HOMEPAGE = LICENCE = ''
  COUNT, BROKEN, UNGRADABLE, ERROR = 200, (), 0, ValueError

  def release(self):
    half = self.COUNT // 2
    splits = {'train': list(range(half)), 'test': list(range(half, self.COUNT))}
    return Release(splits, {'ungradable': self.UNGRADABLE} if self.UNGRADABLE else {})

  def read(self, item):
    if item in self.BROKEN:
      raise self.ERROR(f'photograph {item}.jpeg: no field of view found')
    empty = np.zeros((SIZE, SIZE), np.uint8)
    return Record(np.zeros((SIZE, SIZE, 3), np.uint8), empty, empty, f'{item}', f'{item}', item % 5)


@pytest.fixture
def prepare(tmp_path):
  """`prepare(COUNT=..., BROKEN=...) -> builder`, with what it prepared."""

  def run(**kind):
    made = type('Photographs', (Photographs,), kind, skip_registration=True)
    builder = made(config=LesionConfig(size=SIZE, source_dir=tmp_path), data_dir=tmp_path / 'prepared',
                   file_format='array_record')
    builder.download_and_prepare()
    return builder

  return run


def _messages(said):
  return [record.message for record in said.records if 'skipped' in record.message]


def test_what_cannot_be_read_is_left_out_and_nothing_else(prepare):
  builder = prepare(BROKEN=(3, 150))
  found = [record['id'].decode() for split in ('train', 'test') for record in builder.as_data_source(split)]
  assert found == [f'{number}' for number in range(200) if number not in (3, 150)]
  assert {split: info.num_examples for split, info in builder.info.splits.items()} == {'train': 99, 'test': 99}


def test_each_is_named_beside_the_prepared_data(prepare):
  builder = prepare(BROKEN=(3, 150), UNGRADABLE=4)
  assert json.loads((builder.data_path / 'left_out.json').read_text()) == {
      'ungradable': 4,
      'unreadable': [
          {'split': 'train', 'photograph': '3', 'reason': 'photograph 3.jpeg: no field of view found'},
          {'split': 'test', 'photograph': '150', 'reason': 'photograph 150.jpeg: no field of view found'},
      ]}


def test_a_warning_counts_and_names_them(prepare, said):
  prepare(BROKEN=(3, 150), UNGRADABLE=4)
  ungradable, unreadable = _messages(said)
  assert ungradable == 'photographs: 4 photographs are skipped, which the raw dataset calls ungradable'
  assert unreadable.startswith('photographs: 2 of 200 photographs are skipped, as they cannot be read')
  assert 'left_out.json' in unreadable and '3.jpeg: no field' in unreadable and '150.jpeg: no field' in unreadable


def test_where_nothing_is_left_out_nothing_is_said(prepare, said):
  builder = prepare()
  assert not _messages(said)
  assert json.loads((builder.data_path / 'left_out.json').read_text()) == {'ungradable': 0, 'unreadable': []}


@pytest.mark.parametrize('count, broken, allowed', [
    (200, (0, 1, 2), 2), (100, (5, 99), 1), (99, (0,), 0), (2, (1,), 0),
])
def test_more_than_one_in_a_hundred_end_the_preparation(prepare, tmp_path, count, broken, allowed):
  message = rf'{allowed + 1} of {count} photographs cannot be read, of so many at most {allowed} \(1%\).*' \
            rf'photograph {broken[0]}\.jpeg: no field'
  with pytest.raises(ValueError, match=message):
    prepare(COUNT=count, BROKEN=broken)
  assert not list((tmp_path / 'prepared').glob('photographs/*/1.0.0'))


def test_what_is_no_fault_of_one_photograph_ends_the_preparation(prepare):
  """A file that is gone, or a disk that fails: leaving out would only hide it."""
  with pytest.raises(FileNotFoundError, match=r'photograph 3\.jpeg'):
    prepare(BROKEN=(3,), ERROR=FileNotFoundError)
