"""FGADR, the part with masks."""

from __future__ import annotations

import numpy as np
import pytest
from draw_releases import draw_fgadr, examples_of, mask_of, open_release
from drawing import SIDE, block, fundus, save

from lesion_jax.core import lesion_bits
from lesion_jax.data.datasets.fgadr import Fgadr

FOUR = ['MA', 'iHE', 'HaEx', 'CWS']


@pytest.fixture
def release(tmp_path):
  return draw_fgadr(tmp_path / 'FGADR-Seg-set_Release')


def _examples(release):
  return examples_of(open_release('fgadr', release, size=SIDE))


def _table(release):
  return release / 'Seg-set' / 'DR_Seg_Grading_Label.csv'


def test_it_is_square_and_split_70_10_20(release):
  dataset = open_release('fgadr', release, size=SIDE)
  assert dataset.crop == 'square' and dataset.lengths == {'train': 7, 'validation': 1, 'test': 2}


@pytest.mark.parametrize('key', ['MA', 'iHE'])
def test_a_pixel_is_the_lesions_from_128_in_grey_and_in_rgb(release, key):
  """Rows 20 to 23 of the drawn mask hold 127, 255, 255 and 128."""
  np.testing.assert_array_equal(mask_of(_examples(release)['0000_1'], key), block(21, 20, 3, 4))


def test_neovascularization_is_annotated_only_where_it_has_a_mask(release):
  dataset = open_release('fgadr', release, size=SIDE)
  assert dataset.annotated == (*FOUR, 'NV')
  for name, example in examples_of(dataset).items():
    annotated = [*FOUR, 'NV'] if name == '0003_1' else FOUR
    assert example['annotated'] == lesion_bits(annotated), name
  np.testing.assert_array_equal(mask_of(_examples(release)['0003_1'], 'NV'), block(10, 10, 2, 2))


def test_irma_is_no_lesion_of_ours(release):
  example = _examples(release)['0004_1']
  assert not example['lesions'][30:39, 30:39].any() and not example['ignore'].any()


def test_grades_come_from_a_table_without_a_header(release):
  assert {name: int(example['grade']) for name, example in _examples(release).items()} == {
      f'{number:04d}_1': number % 5 for number in range(10)}


def test_the_first_row_of_the_table_is_a_photograph(release):
  table = _table(release)
  table.write_text(table.read_text().replace('0000_1.png,0\n', ''))
  with pytest.raises(ValueError, match=r'has no row for 1 photographs: 0000_1\.png'):
    _examples(release)


@pytest.mark.parametrize('old, new, message', [
    ('0002_1.png,2', '0002_1.png,7', r"row 3 \(0002_1\): the grade is '7'; grades are 0\.\.4"),
    ('0002_1.png,2', '0001_1.png,2', 'row 3: 0001_1 has a row already'),
    ('0002_1.png,2', '0002_1.png', "row 3: '0002_1.png' is not a name and a grade"),
])
def test_a_spoiled_table_is_refused(release, old, new, message):
  table = _table(release)
  table.write_text(table.read_text().replace(old, new))
  with pytest.raises(ValueError, match=message):
    _examples(release)


def test_a_missing_table_is_named(release):
  _table(release).unlink()
  with pytest.raises(FileNotFoundError, match=f'no table {_table(release)}'):
    _examples(release)


def test_a_missing_mask_of_the_four_is_an_error(release):
  mask = release / 'Seg-set' / 'Hemohedge_Masks' / '0005_1.png'
  mask.unlink()
  with pytest.raises(FileNotFoundError, match=f'no mask {mask}'):
    _examples(release)


def test_an_oblong_photograph_is_refused(release):
  save(release / 'Seg-set' / 'Original_Images' / '0005_1.png', fundus(SIDE, SIDE + 2))
  with pytest.raises(ValueError, match=r'0005_1\.png: expected a square photograph; got 64x66'):
    _examples(release)


def test_published_counts_agree_with_one_another():
  assert sum(Fgadr.PUBLISHED[f'DR{grade}'] for grade in range(5)) == Fgadr.PUBLISHED['photographs']
