"""DDR's segmentation part."""

from __future__ import annotations

import numpy as np
import pytest
from draw_releases import SHAPE, draw_ddr, examples_of, halved, mask_of, open_release
from drawing import save

from lesion_jax.core import LESION_KEYS, UNKNOWN_GRADE, lesion_bits


@pytest.fixture
def release(tmp_path):
  return draw_ddr(tmp_path / 'DDR-dataset')


def test_the_splits_are_the_official_ones(release):
  dataset = open_release('ddr', release)
  assert dataset.lengths == {'train': 3, 'validation': 2, 'test': 2}
  assert [example['id'] for example in dataset.source('validation')] == ['007-0004-100', '007-0005-100']


def test_four_lesions_are_annotated_and_no_grade_is_known(release):
  dataset = open_release('ddr', release)
  assert set(dataset.annotated) == {'MA', 'iHE', 'HaEx', 'CWS'} and not dataset.graded
  for example in examples_of(dataset).values():
    assert example['annotated'] == lesion_bits(['MA', 'iHE', 'HaEx', 'CWS'])
    assert example['grade'] == UNKNOWN_GRADE and not example['ignore'].any()


@pytest.mark.parametrize('split', ['train', 'validation', 'test'])
def test_masks_are_found_in_every_split_although_their_folder_differs(release, split):
  example = open_release('ddr', release).source(split)[0]
  expected = {'MA': halved(40, 60, 4, 4), 'HaEx': halved(60, 80, 8, 8)}
  for key in LESION_KEYS:
    np.testing.assert_array_equal(mask_of(example, key), expected.get(key, np.zeros((56, 56), bool)), err_msg=key)


def test_the_folder_of_the_validation_masks_is_named(release):
  masks = release / 'lesion_segmentation' / 'valid' / 'segmentation label'
  masks.rename(masks.with_name('label'))
  with pytest.raises(FileNotFoundError, match=f'no folder {masks}'):
    open_release('ddr', release)


def test_a_missing_mask_is_an_error_not_an_absent_lesion(release):
  mask = release / 'lesion_segmentation' / 'train' / 'label' / 'SE' / '007-0002-100.tif'
  mask.unlink()
  with pytest.raises(FileNotFoundError, match=f'no mask {mask}; this raw dataset has it for every photograph, all black'):
    open_release('ddr', release)


@pytest.mark.parametrize('mask, message', [
    (np.full(SHAPE, 1, np.uint8), 'holds the values 1; this raw dataset has only 0, 255'),
    (np.zeros(SHAPE[::-1], np.uint8), 'is 96x144 pixels and its photograph 144x96'),
])
def test_a_mask_of_another_kind_is_refused(release, mask, message):
  save(release / 'lesion_segmentation' / 'test' / 'label' / 'HE' / '007-0006-100.tif', mask)
  with pytest.raises(ValueError, match=rf'007-0006-100\.tif {message}'):
    open_release('ddr', release)
