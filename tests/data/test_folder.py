"""A folder of one's own, and the mistakes that are made in it."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from draw_releases import SHAPE, draw_folder, drawn, examples_of, grey, halved, mask_of, open_release, photograph
from drawing import save
from PIL import Image

from lesion_jax.core import LESION_KEYS, UNKNOWN_GRADE, lesion_bits


@pytest.fixture
def release(tmp_path):
  return draw_folder(tmp_path / 'mine')


def _examples(release):
  return examples_of(open_release('folder', release))


def _rewrite(release, *lines):
  (release / 'grades.csv').write_text('\n'.join([*lines, '']))


class TestContents:

  def test_photographs_of_every_format_are_read(self, release):
    examples = _examples(release)
    assert sorted(examples) == [f'eye{number:02d}' for number in range(12)]
    assert all(example['image'].shape == (56, 56, 3) and example['image'].any() for example in examples.values())

  def test_a_lesion_with_a_folder_is_annotated_everywhere_and_absent_without_a_mask(self, release):
    dataset = open_release('folder', release)
    assert dataset.annotated == ('MA', 'NV') and dataset.graded
    for name, example in examples_of(dataset).items():
      assert example['annotated'] == lesion_bits(['MA', 'NV'])
      assert mask_of(example, 'MA').any() == (name in ('eye00', 'eye01'))
      assert mask_of(example, 'NV').any() == (name == 'eye00')

  @pytest.mark.parametrize('name', ['eye00', 'eye01'], ids=['grey', 'palette'])
  def test_1_and_255_are_a_lesion(self, release, name):
    np.testing.assert_array_equal(mask_of(_examples(release)[name], 'MA'), halved(40, 60, 4, 4))

  def test_127_is_not_scored(self, release):
    example = _examples(release)['eye00']
    for key in LESION_KEYS:
      expected = halved(20, 40, 4, 4) if key == 'MA' else np.zeros((56, 56), bool)
      np.testing.assert_array_equal(mask_of(example, key, 'ignore'), expected, err_msg=key)

  def test_an_empty_grade_is_unknown(self, release):
    assert {name: int(example['grade']) for name, example in _examples(release).items()} == {
        f'eye{number:02d}': UNKNOWN_GRADE if number == 5 else number % 5 for number in range(12)}

  def test_an_empty_folder_of_masks_says_that_the_lesion_is_absent(self, release):
    (release / 'masks' / 'CWS').mkdir()
    dataset = open_release('folder', release)
    assert dataset.annotated == ('MA', 'CWS', 'NV')
    assert not any(mask_of(example, 'CWS').any() for example in examples_of(dataset).values())

  def test_masks_alone_will_do(self, release):
    (release / 'grades.csv').unlink()
    dataset = open_release('folder', release)
    assert dataset.annotated == ('MA', 'NV') and not dataset.graded
    assert all(example['patient'] == name for name, example in examples_of(dataset).items())

  def test_grades_alone_will_do(self, release):
    shutil.rmtree(release / 'masks')
    dataset = open_release('folder', release)
    assert dataset.annotated == () and dataset.graded
    assert not any(example['annotated'] for example in examples_of(dataset).values())

  def test_what_file_managers_leave_does_not_count(self, release):
    for place in ('images', 'masks', 'masks/MA'):
      for name in ('Thumbs.db', '.DS_Store', '._eye00.jpg'):
        (release / place / name).write_bytes(b'?')
    assert len(_examples(release)) == 12


class TestSplits:

  def test_photographs_are_dealt_by_patient(self, release):
    dataset = open_release('folder', release)
    sides = {}
    for split in dataset.splits:
      for example in dataset.source(split):
        sides.setdefault(example['patient'], []).append(split)
    assert sorted(sides) == [f'p{number}' for number in range(6)]
    assert all(len(splits) == 2 and len(set(splits)) == 1 for splits in sides.values())

  def test_the_table_may_say_the_split(self, release):
    _rewrite(release, 'id,split', *(f'eye{number:02d},{"test" if number < 3 else "train"}' for number in range(12)))
    dataset = open_release('folder', release)
    assert dataset.lengths == {'train': 9, 'validation': 0, 'test': 3} and not dataset.graded
    assert [example['id'] for example in dataset.source('test')] == ['eye00', 'eye01', 'eye02']


def _change(old, new):
  def change(release):
    table = release / 'grades.csv'
    assert old in table.read_text()
    table.write_text(table.read_text().replace(old, new))
  return change


def _of_two_sides(release):
  _rewrite(release, 'id,patient,split',
           *(f'eye{number:02d},p{number // 2},{"train" if number < 11 else "test"}' for number in range(12)))


def _named_like_another(release):
  """eye05 has no patient, so it counts as one called eye05, who is also the patient of eye06."""
  _rewrite(release, 'id,patient,split',
           *(f'eye{number:02d},{"eye05" if number == 6 else ""},{"test" if number == 6 else "train"}'
             for number in range(12)))


def _of_patient_before(release):
  """Likewise, but that photograph comes first in the table."""
  _rewrite(release, 'id,patient,split', 'eye06,eye05,test', *(
      f'eye{number:02d},,train' for number in range(12) if number != 6))


def _nothing(release):
  shutil.rmtree(release / 'masks')
  _rewrite(release, 'id,patient', *(f'eye{number:02d},p' for number in range(12)))


MISTAKES = {
    'grade': (_change('eye03,p1,3', 'eye03,p1,7'),
              r"grades\.csv, row 5 \(eye03\): grade is '7'; grades are 0\.\.4, or empty"),
    'row of no photograph': (_change('eye03,', 'eye03.jpg,'), r"row 5: there is no photograph 'eye03\.jpg' in images/"),
    'second row': (_change('eye03,', 'eye02,'), 'row 5: eye02 has a row already'),
    'no row': (_change('eye03,p1,3\n', ''), r'grades\.csv has no row for 1 photographs: eye03; give each one'),
    'no ids': (_change('id,', 'name,'), r'grades\.csv has no column id; its columns are name, patient, grade'),
    'bytes': (lambda release: (release / 'grades.csv').write_bytes(b'id,grade\n\xff,1\n'),
              r'cannot read the table .*grades\.csv: .*CSV in UTF-8'),
    'split': (_change('id,patient,grade', 'id,patient,split'),
              r"row 2 \(eye00\): split is '0'; the splits are train, validation, test"),
    'patient on two sides': (_of_two_sides, r'row 13 \(eye11\): the patient p5 is in test and in train'),
    'patient of another': (_named_like_another, r'row 8 \(eye06\): the patient eye05 is in test and in train'),
    'patient of a photograph before': (_of_patient_before,
                                       r'row 8 \(eye05\): the patient eye05 is in train and in test'),
    'nothing known': (_nothing, 'has neither a folder masks/<lesion>/ .* nor a grade in grades.csv'),
    'unknown lesion': (lambda release: (release / 'masks' / 'HE').mkdir(),
                       'masks/HE: there is no lesion of that name; the folders in .* are named MA, iHE, HaEx'),
    'mask of no photograph': (lambda release: save(release / 'masks' / 'MA' / 'eye99.png', grey(drawn(0, 0, 1, 1))),
                              r'eye99\.png is the mask of no photograph'),
    'mask of another size': (lambda release: save(release / 'masks' / 'MA' / 'eye02.png', np.zeros((9, 9), np.uint8)),
                             r'eye02\.png is 9x9 pixels and its photograph 144x96'),
    'mask of other values': (lambda release: save(release / 'masks' / 'MA' / 'eye02.png', np.full(SHAPE, 3, np.uint8)),
                             r'eye02\.png holds the values 3; .* only 0, 1, 127, 255'),
    'mask as JPEG': (lambda release: save(release / 'masks' / 'MA' / 'eye02.jpg', grey(drawn(0, 0, 9, 9))),
                     r'masks/MA/eye02\.jpg does not belong here: this folder holds files ending in \.png'),
    'two masks': (lambda release: save(release / 'masks' / 'MA' / 'eye00.tif', Image.fromarray(drawn(0, 0, 1, 1))),
                  r'eye00\.tif and eye00\.png have one name'),
    'two photographs': (lambda release: save(release / 'images' / 'eye00.png', photograph(0)),
                        r'eye00\.png and eye00\.jpg have one name'),
    'no photograph': (lambda release: (release / 'images' / 'notes.txt').write_text('hello'),
                      r'images/notes\.txt does not belong here: this folder holds files ending in \.jpg'),
    'folder of photographs': (lambda release: (release / 'images' / 'more').mkdir(),
                              'images/more does not belong here'),
}


@pytest.mark.parametrize('spoil, message', MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_explained(release, spoil, message):
  spoil(release)
  with pytest.raises(ValueError, match=message):
    open_release('folder', release)


def test_a_folder_without_photographs_is_said(release):
  shutil.rmtree(release / 'images')
  with pytest.raises(FileNotFoundError, match='no folder .*images; source_dir must hold images/, and masks/ or grades'):
    open_release('folder', release)
  (release / 'images').mkdir()
  with pytest.raises(FileNotFoundError, match='no photograph in .*images'):
    open_release('folder', release)
