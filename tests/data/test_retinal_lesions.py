"""The Retinal-Lesions release, in its own layout and with its own traps."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from drawing import SIDE, block, fundus, save
from PIL import Image

from lesion_jax.core import LESION_KEYS, unpack_bits
from lesion_jax.data.datasets.retinal_lesions import RetinalLesions
from lesion_jax.data.registry import load_dataset


def _load(release, size=SIDE):
  return load_dataset('retinal_lesions', data_dir=release.parent / 'prepared', size=size, source_dir=release)


def _examples(release, size=SIDE):
  dataset = _load(release, size)
  return {example['id']: example for split in dataset.splits for example in dataset.source(split)}


def _mask(example, key, field='lesions'):
  return unpack_bits(example[field])[..., LESION_KEYS.index(key)]


def test_every_photograph_becomes_one_example(retinal_lesions_release):
  examples = _examples(retinal_lesions_release)
  assert sorted(examples) == ['10_left', '10_right', '11_left', '12_right']
  assert all(example['annotated'] == 255 for example in examples.values()), 'all eight lesions are annotated'


def test_the_grade_is_the_papers_not_kaggles(retinal_lesions_release):
  examples = _examples(retinal_lesions_release)
  assert {name: int(example['grade']) for name, example in examples.items()} == {
      '10_left': 4, '10_right': 2, '11_left': 0, '12_right': 1}


def test_255_is_a_lesion_and_127_is_not_scored(retinal_lesions_release):
  example = _examples(retinal_lesions_release)['10_left']
  np.testing.assert_array_equal(_mask(example, 'MA'), block(20, 20, 2, 2))
  np.testing.assert_array_equal(_mask(example, 'MA', 'ignore'), block(30, 30, 3, 1))
  assert not _mask(example, 'vHE').any(), '127 alone is no lesion'
  np.testing.assert_array_equal(_mask(example, 'vHE', 'ignore'), block(50, 30, 4, 4))


def test_lesions_overlap(retinal_lesions_release):
  example = _examples(retinal_lesions_release)['10_left']
  np.testing.assert_array_equal(_mask(example, 'iHE'), block(20, 20, 4, 4))
  np.testing.assert_array_equal(_mask(example, 'FiP'), block(40, 10, 5, 5))


def test_a_missing_mask_is_an_absent_lesion(retinal_lesions_release):
  examples = _examples(retinal_lesions_release)
  assert not _mask(examples['10_left'], 'HaEx').any()
  assert not examples['11_left']['lesions'].any() and not examples['11_left']['ignore'].any()


def test_a_photograph_of_the_right_size_keeps_its_own_bytes(retinal_lesions_release):
  record = _builder(retinal_lesions_release, SIDE).read(_items(retinal_lesions_release, SIDE)['11_left'])
  assert record.image == (retinal_lesions_release / 'images_896x896' / '11_left.jpg').read_bytes()
  decoded = np.asarray(Image.open(retinal_lesions_release / 'images_896x896' / '11_left.jpg'))
  np.testing.assert_array_equal(_examples(retinal_lesions_release)['11_left']['image'], decoded)


@pytest.mark.parametrize('kind', ['grey', 'turned'])
def test_a_jpeg_that_decoders_read_differently_is_stored_as_pixels(retinal_lesions_release, kind):
  path = retinal_lesions_release / 'images_896x896' / '11_left.jpg'
  exif = Image.Exif()
  if kind == 'turned':
    exif[0x0112] = 6
  upright = Image.fromarray(fundus(SIDE, SIDE)).convert('L' if kind == 'grey' else 'RGB')
  upright.save(path, exif=exif)
  assert not isinstance(_builder(retinal_lesions_release, SIDE).read(_items(retinal_lesions_release, SIDE)['11_left'])
                        .image, bytes)
  assert _examples(retinal_lesions_release)['11_left']['image'].shape == (SIDE, SIDE, 3)


def test_another_size_resamples_photograph_and_masks_together(retinal_lesions_release):
  example = _examples(retinal_lesions_release, size=SIDE // 2)['10_left']
  assert example['image'].shape == (SIDE // 2, SIDE // 2, 3)
  np.testing.assert_array_equal(_mask(example, 'iHE'), block(10, 10, 2, 2, (SIDE // 2, SIDE // 2)))
  np.testing.assert_array_equal(_mask(example, 'vHE', 'ignore'), block(25, 15, 2, 2, (SIDE // 2, SIDE // 2)))


def test_both_eyes_of_a_patient_stay_together(retinal_lesions_release):
  dataset = _load(retinal_lesions_release)
  sides = [split for split in dataset.splits for example in dataset.source(split) if example['patient'] == '10']
  assert len(sides) == 2 and len(set(sides)) == 1


def test_counts_that_differ_from_the_published_ones_are_reported(retinal_lesions_release, caplog, monkeypatch):
  monkeypatch.setattr(logging.getLogger('absl'), 'propagate', True)
  _load(retinal_lesions_release)
  message, = (record.message for record in caplog.records if 'differs from the published dataset' in record.message)
  for part in ('photographs 4 (published: 1593)', 'patients 3 (published: 1505)', 'DR2 1 (published: 929)',
               'MA masks 1 (published: 1435)', 'NV masks 0 (published: 68)'):
    assert part in message


def test_published_counts_agree_with_one_another():
  published = RetinalLesions.PUBLISHED
  assert sum(published[f'DR{grade}'] for grade in range(5)) == published['photographs']


def _wrong_size(root):
  save(root / 'lesion_segs_896x896' / '10_right' / 'hard_exudate.png', np.zeros((SIDE, SIDE + 2), np.uint8))


def _wrong_value(root):
  save(root / 'lesion_segs_896x896' / '10_right' / 'hard_exudate.png', np.full((SIDE, SIDE), 254, np.uint8))


def _truncated(root):
  path = root / 'images_896x896' / '11_left.jpg'
  path.write_bytes(path.read_bytes()[:700])


def _grade_7(root):
  table = root / 'dr_grades.csv'
  table.write_text(table.read_text().replace('11_left,4,0', '11_left,4,7'))


def _no_row(root):
  table = root / 'dr_grades.csv'
  table.write_text(table.read_text().replace('11_left,4,0\n', ''))


def _nameless(root):
  (root / 'images_896x896' / '11_left.jpg').rename(root / 'images_896x896' / 'eleven.jpg')
  table = root / 'dr_grades.csv'
  table.write_text(table.read_text().replace('11_left', 'eleven'))


def _oblong(root):
  save(root / 'images_896x896' / '11_left.jpg', fundus(SIDE, SIDE + 2))


@pytest.mark.parametrize('spoil, message', [
    (_wrong_size, r'hard_exudate\.png is 66x64 pixels and its photograph 64x64'),
    (_wrong_value, r'hard_exudate\.png holds the values 254'),
    (_truncated, r'cannot read the photograph .*11_left\.jpg'),
    (_grade_7, r"dr_grades\.csv, row 4 \(11_left\): our label is '7'; grades are 0\.\.4"),
    (_no_row, r'dr_grades\.csv has no row for 1 photographs: 11_left\.jpg'),
    (_nameless, r'eleven\.jpg: the raw dataset names its photographs <patient>_left'),
    (_oblong, r'11_left\.jpg: expected a square photograph; got 64x66'),
])
def test_a_spoiled_release_is_refused(retinal_lesions_release, spoil, message):
  spoil(retinal_lesions_release)
  with pytest.raises(ValueError, match=message):
    _load(retinal_lesions_release)
  assert not list((retinal_lesions_release.parent / 'prepared').glob('retinal_lesions/*/1.0.0'))


@pytest.mark.parametrize('missing', ['images_896x896', 'lesion_segs_896x896', 'dr_grades.csv'])
def test_what_is_missing_is_named(retinal_lesions_release, missing):
  (retinal_lesions_release / missing).rename(retinal_lesions_release / 'elsewhere')
  with pytest.raises(FileNotFoundError, match=str(retinal_lesions_release / missing)):
    _load(retinal_lesions_release)


def _builder(release, size):
  return RetinalLesions(config=RetinalLesions.CONFIG(size=size, source_dir=release), data_dir=release.parent / 'unused',
                        file_format='array_record')


def _items(release, size):
  splits, _ = _builder(release, size).release()
  return {item.path.stem: item for items in splits.values() for item in items}
