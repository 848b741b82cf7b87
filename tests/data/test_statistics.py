"""What a data set is said to hold is what was put into it."""

from __future__ import annotations

import numpy as np
import pytest

from lesion_jax.core import LESION_KEYS, UNKNOWN_GRADE, lesion_bits
from lesion_jax.data import synthetic
from lesion_jax.data.registry import load_dataset
from lesion_jax.data.statistics import choose, count, count_all, sum_up

SIZE = 40


def _example(*, patient='1', grade=2, annotated=LESION_KEYS, ignore=0, **blocks):
  """An example of lesion=[(top, left, height, width), ...]."""
  lesions = np.zeros((SIZE, SIZE), np.uint8)
  for key, places in blocks.items():
    for top, left, height, width in places:
      lesions[top:top + height, left:left + width] |= np.uint8(lesion_bits([key]))
  return {'image': np.zeros((SIZE, SIZE, 3), np.uint8), 'lesions': lesions,
          'ignore': np.full((SIZE, SIZE), ignore, np.uint8), 'patient': patient,
          'grade': np.int32(grade), 'annotated': np.uint8(lesion_bits(annotated))}


class _Dataset:
  """Two splits of drawn examples."""

  name, size, crop, annotated, graded = 'drawn', SIZE, 'square', ('MA', 'HaEx'), True
  splits = ('train', 'test')
  _examples = {
      'train': [
          _example(MA=[(0, 0, 2, 2), (10, 10, 1, 6)], HaEx=[(0, 0, 4, 4)]),
          _example(grade=UNKNOWN_GRADE, MA=[(0, 0, 1, 1), (1, 1, 1, 1)], ignore=lesion_bits(['HaEx'])),
          _example(patient='2', annotated=('HaEx',)),
      ],
      'test': [_example(patient='3', grade=4, HaEx=[(5, 5, 3, 3)])],
  }

  def source(self, split):
    return self._examples[split]


@pytest.fixture(scope='module')
def found():
  return sum_up(_Dataset(), count_all(_Dataset()))


def test_photographs_patients_and_grades_are_counted_by_split(found):
  train, test, everything = (found['splits'][split] for split in ('train', 'test', 'all'))
  assert [part['images'] for part in (train, test, everything)] == [3, 1, 4]
  assert [part['patients'] for part in (train, test, everything)] == [2, 1, 3]
  assert train['grades'] == {'DR0': 0, 'DR1': 0, 'DR2': 2, 'DR3': 0, 'DR4': 0, 'unknown': 1}
  assert everything['grades']['DR4'] == 1


def test_lesions_are_counted_by_photograph_region_and_pixel(found):
  microaneurysms = found['splits']['train']['lesions']['MA']
  assert {key: microaneurysms[key] for key in ('annotated', 'images', 'unscored', 'pixels', 'regions')} == {
      'annotated': 2, 'images': 2, 'unscored': 0, 'pixels': 12, 'regions': 3}, 'pixels that touch at a corner are one'
  assert microaneurysms['area'] == {'p5': 2.2, 'p25': 3.0, 'p50': 4.0, 'p75': 5.0, 'p95': 5.8, 'max': 6.0}
  assert microaneurysms['share']['max'] == 10 / SIZE**2
  exudates = found['splits']['all']['lesions']['HaEx']
  assert (exudates['annotated'], exudates['images'], exudates['unscored'], exudates['pixels']) == (4, 2, 1, 25)


def test_a_lesion_that_does_not_occur_has_no_quantiles(found):
  absent = found['splits']['all']['lesions']['FiP']
  assert (absent['images'], absent['area'], absent['share']) == (0, None, None)


def test_the_progress_is_told():
  calls = []
  count_all(_Dataset(), lambda done, total: calls.append((done, total)))
  assert calls == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]


def test_what_is_chosen_shows_every_lesion_and_grade():
  common = [count(_example(patient=str(i), MA=[(0, 0, 2, 2)])) for i in range(20)]
  counted = [*common[:13], count(_example(grade=4, NV=[(0, 0, 9, 9)])), *common[13:], count(_example(grade=0))]
  chosen = choose(counted, 6)
  assert len(chosen) == 6 == len(set(chosen)) and chosen == sorted(chosen)
  assert {13, 21} <= set(chosen)
  assert chosen[0] < 6 and len(choose(counted, 50)) == 22 and choose([], 5) == []


def test_a_prepared_data_set(tmp_path):
  dataset = load_dataset('synthetic', data_dir=tmp_path, size=48, count=12)
  found = sum_up(dataset, count_all(dataset))
  assert found['splits']['all']['images'] == 12 == sum(found['splits']['all']['grades'].values())
  assert found['splits']['all']['quality'] is None, 'too small to tell'
  assert found['size'] == 48 and found['splits']['all']['lesions']['MA']['annotated'] == 12


def test_quality_is_counted_where_photographs_are_large_enough():
  sharp = synthetic.generate(seed=0, index=3, size=512).image
  examples = [_example() | {'image': image} for image in (sharp, (sharp * 0.15).astype(np.uint8))]
  found = sum_up(_Dataset(), {'train': [count(example) for example in examples]})['splits']['train']['quality']
  assert found['gradable'] == 1 and found['doubts'] == {'blurred': 0, 'dark': 1, 'overexposed': 0, 'cut': 0}
  assert found['light']['p5'] < 25 < found['light']['max']
