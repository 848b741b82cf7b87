"""MAPLES-DR: labels in one place, MESSIDOR's photographs in another."""

from __future__ import annotations

import numpy as np
import pytest
from draw_releases import draw_maples_dr, drawn, examples_of, halved, mask_of, open_release
from drawing import save

from lesion_jax.core import LESION_KEYS, UNKNOWN_GRADE, lesion_bits
from lesion_jax.data.registry import DATASETS, load_dataset

FIRST = '20051020_44000_0100_PP'


@pytest.fixture
def release(tmp_path):
  return draw_maples_dr(tmp_path / 'MAPLES-DR')


def _examples(release, **options):
  return examples_of(open_release('maples_dr', release, **options))


def test_the_test_set_is_official_and_validation_is_an_eighth_of_the_training_set(release):
  dataset = open_release('maples_dr', release)
  assert dataset.lengths == {'train': 7, 'validation': 1, 'test': 2}
  assert [example['id'] for example in dataset.source('test')] == [f'20051020_{44008 + i}_0100_PP' for i in (0, 1)]


def test_masks_are_read_and_neither_drusen_nor_neovascularization(release):
  example = _examples(release)[FIRST]
  assert example['annotated'] == lesion_bits(['MA', 'iHE', 'HaEx', 'CWS']) and example['grade'] == UNKNOWN_GRADE
  expected = {'MA': (40, 60, 4, 4), 'iHE': (20, 40, 4, 4), 'HaEx': (60, 80, 8, 8)}
  for key in LESION_KEYS:
    np.testing.assert_array_equal(
        mask_of(example, key), halved(*expected[key]) if key in expected else np.zeros((56, 56), bool), err_msg=key)


def test_uncertain_lesions_are_not_scored_as_what_they_may_be(release):
  """The uncertain red lesion is twice as high as the microaneurysm that lies in it, and the certain one counts."""
  example = _examples(release)[FIRST]
  red, bright = halved(40, 60, 8, 4), halved(70, 40, 4, 4)
  expected = {'MA': red & ~halved(40, 60, 4, 4), 'iHE': red, 'HaEx': bright, 'CWS': bright}
  for key in LESION_KEYS:
    np.testing.assert_array_equal(
        mask_of(example, key, 'ignore'), expected.get(key, np.zeros((56, 56), bool)), err_msg=key)


def test_photographs_lie_where_images_dir_says(release, tmp_path):
  elsewhere = (release / 'MESSIDOR').rename(tmp_path / 'photographs')
  assert len(_examples(release, images_dir=elsewhere)) == 10


def test_without_images_dir_the_missing_photographs_are_explained(release, tmp_path):
  (release / 'MESSIDOR').rename(tmp_path / 'photographs')
  with pytest.raises(FileNotFoundError, match=r"no folder .*MESSIDOR; .*without MESSIDOR's photographs .*images_dir"):
    _examples(release)


def test_a_missing_photograph_is_named(release):
  next((release / 'MESSIDOR').rglob('*44003*')).unlink()
  with pytest.raises(FileNotFoundError, match=r'MESSIDOR lacks 1 photographs of .*train: 20051020_44003_0100_PP\.tif'):
    _examples(release)


def test_two_photographs_of_one_name_are_refused(release):
  path = next((release / 'MESSIDOR').rglob(f'{FIRST}.tif'))
  save(release / 'MESSIDOR' / 'Base34' / f'{FIRST}.tif', drawn(0, 0, 9, 9))
  with pytest.raises(ValueError, match=f'Base34.* and {path} are photographs of one name'):
    _examples(release)


def test_what_a_mac_leaves_beside_photographs_is_none(release):
  for folder in ('Base34', '__MACOSX', f'Base34/@eaDir/{FIRST}.tif'):
    (release / 'MESSIDOR' / folder).mkdir(parents=True, exist_ok=True)
    (release / 'MESSIDOR' / folder / f'._{FIRST}.tif').write_bytes(b'\0\5\x16\7')
  assert FIRST in _examples(release)


def test_a_missing_mask_of_a_lesion_is_an_error(release):
  mask = release / 'train' / 'BrightUncertains' / f'{FIRST}.png'
  mask.unlink()
  with pytest.raises(FileNotFoundError, match=f'no mask {mask}'):
    _examples(release)


def test_other_photographs_are_another_configuration(release, tmp_path):
  config = DATASETS['maples_dr'].CONFIG
  names = {config(source_dir=release).name, config(source_dir=release, images_dir=tmp_path / 'a').name,
           config(source_dir=release, images_dir=tmp_path / 'b').name}
  assert len(names) == 3


def test_nothing_is_prepared_among_the_photographs(release, tmp_path):
  elsewhere = (release / 'MESSIDOR').rename(tmp_path / 'photographs')
  with pytest.raises(ValueError, match=f'lies inside the raw dataset {elsewhere}'):
    load_dataset('maples_dr', data_dir=elsewhere / 'prepared', source_dir=release, images_dir=elsewhere)
