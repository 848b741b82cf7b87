"""A folder of one's own, and the mistakes that are made in it."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from draw_releases import SHAPE, draw_folder, drawn, examples_of, grey, halved, mask_of, open_release, photograph
from drawing import save
from PIL import Image

from lesion_jax.core import LESION_KEYS, UNKNOWN_GRADE, lesion_bits, unpack_targets
from lesion_jax.data.own.contents import read_settings
from lesion_jax.data.registry import load_dataset


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

  def test_every_ending_that_predict_takes_is_taken(self, release):
    for path in list(release.glob('images/*.jpg'))[:2]:
      path.rename(path.with_suffix('.jfif' if path.stem < 'eye02' else '.JPE'))
    assert len(_examples(release)) == 12

  def test_what_file_managers_leave_does_not_count(self, release):
    for place in ('images', 'masks', 'masks/MA'):
      for name in ('Thumbs.db', '.DS_Store', '._eye00.jpg'):
        (release / place / name).write_bytes(b'?')
      save(release / place / '@eaDir' / 'eye00.jpg' / 'SYNOPHOTO_THUMB_M.jpg', photograph(1))  # as a NAS keeps thumbnails
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


  def test_the_table_may_say_the_folds(self, release):
    _rewrite(release, 'id,patient,fold', *(f'eye{number:02d},p{number // 2},{number // 4 + 1}.0' for number in range(12)))
    for fold in range(3):
      dataset = open_release('folder', release, folds=3, fold=fold)
      assert [example['id'] for example in dataset.source('test')] == [f'eye{4 * fold + number:02d}' for number in range(4)]
      assert sum(dataset.lengths.values()) == 12
    with pytest.raises(ValueError, match=r'there are 3 folds \(1, 2, 3\), and folds=5 are asked for; set folds to 3'):
      open_release('folder', release, folds=5)
    single = open_release('folder', release)
    assert single.lengths['test'] and any('the column fold has 3 folds, which count where' in note for note in single.notes)

  def test_a_patient_in_two_folds_and_a_table_of_both_are_refused(self, release):
    _rewrite(release, 'id,patient,fold', *(f'eye{number:02d},p{number // 2},{number % 3}' for number in range(12)))
    with pytest.raises(ValueError, match='the patient p0 is in the folds 0 and 1'):
      open_release('folder', release, folds=3)
    _rewrite(release, 'id,split,fold', *(f'eye{number:02d},train,1' for number in range(12)))
    with pytest.raises(ValueError, match='the columns split and fold; take one of them out'):
      open_release('folder', release)
    _rewrite(release, 'id,fold', *(f'eye{number:02d},{"a" if number == 3 else number % 3}' for number in range(12)))
    with pytest.raises(ValueError, match=r"row 5 \(eye03\): fold is 'a'; a fold is a whole number"):
      open_release('folder', release, folds=3)


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
    'row of no photograph': (_change('eye03,', 'eye33,'), r"row 5: there is no photograph 'eye33' in images/"),
    'second row': (_change('eye03,', 'eye02,'), 'row 5: eye02 has a row already'),
    'no row': (_change('eye03,p1,3\n', ''), r'grades\.csv has no row for 1 photographs: eye03; give each one'),
    'no ids': (_change('id,', 'name,'), r'grades\.csv has no column id; its columns are name, patient, grade'),
    'bytes': (lambda release: (release / 'grades.csv').write_bytes(b'id,grade\n\x81,1\n'),
              r'cannot read the table .*grades\.csv: it is no text in UTF-8 or Windows-1252'),
    'split': (_change('id,patient,grade', 'id,patient,split'),
              r"12 mistakes: .*row 2 \(eye00\); row 12 \(eye10\): split is '0'; the splits are train, validation, test"),
    'patient on two sides': (_of_two_sides, r'row 13 \(eye11\): the patient p5 is in test and in train'),
    'patient of another': (_named_like_another, r'row 8 \(eye06\): the patient eye05 is in test and in train'),
    'patient of a photograph before': (_of_patient_before,
                                       r'row 8 \(eye05\): the patient eye05 is in train and in test'),
    'nothing known': (_nothing, 'has neither a folder masks/<lesion>/ .* nor a grade in grades.csv'),
    'unknown lesion': (lambda release: (release / 'masks' / 'disc').mkdir(),
                       'masks/disc: there is no lesion of that name; the folders in .* are named MA, iHE, HaEx'),
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


class TestFormsThatPeopleHave:

  def _places(self, dataset):
    return {example['id']: (split, example['patient'], int(example['grade']))
            for split in dataset.splits for example in dataset.source(split)}

  def test_pairs_of_eyes_by_name_are_one_patient_and_that_is_said(self, tmp_path):
    for number in range(10):
      for eye in ('OD', 'OS'):
        save(tmp_path / 'mine' / 'images' / f'p{number}_{eye}.jpg', photograph(number))
    _rewrite(tmp_path / 'mine', 'id,grade', *(f'p{number}_{eye},{number % 5}' for number in range(10) for eye in ('OD', 'OS')))
    dataset = open_release('folder', tmp_path / 'mine')
    places = self._places(dataset)
    assert all(places[f'p{number}_OD'][:2] == places[f'p{number}_OS'][:2] for number in range(10))
    assert any('10 patients of 20 photographs, as 20 names are of the form' in note for note in dataset.notes)

  def test_where_nothing_says_patients_that_is_said_and_series_are_asked_about(self, release, said):
    (release / 'grades.csv').unlink()
    assert open_release('folder', release).notes[-1].startswith('12 photographs, each taken for a patient of its own')
    assert 'may be photographs of one patient' not in said.text
    for path in [*release.glob('images/*'), *release.glob('masks/*/*')]:
      number = int(path.stem[3:])
      path.rename(path.with_name(f'{number // 2:03d}_{number % 2}{path.suffix}'))
    open_release('folder', release, anew=True)
    assert '000_0, 000_1 may be photographs of one patient' in said.text

  def test_a_patient_that_is_written_as_nobody_is_nobody(self, release):
    _rewrite(release, 'id,patient', *(f'eye{number:02d},{("nan", "p1")[number < 2]}' for number in range(12)))
    dataset = open_release('folder', release)
    patients = [example['patient'] for example in examples_of(dataset).values()]
    assert len(set(patients)) == 11 and 'nan' not in patients
    assert '10 photographs have no patient in the table' in dataset.notes[0]

  def test_zeros_that_a_spreadsheet_took_away_are_put_back(self, release):
    for path in [*release.glob('images/*'), *release.glob('masks/*/*')]:
      path.rename(path.with_name(f'{path.stem[3:]}7{path.suffix}'))  # 007, 017, 027, ...
    _rewrite(release, 'id,grade', *(f'{number}7,{number % 5}' for number in range(12)))
    dataset = open_release('folder', release)
    assert {name: example['grade'] for name, example in examples_of(dataset).items()} == {
        f'{number:02d}7': number % 5 for number in range(12)}
    assert any('10 ids in grades.csv lack the zeros at their beginning' in note and '7 is taken for 007' in note for note in dataset.notes)

  def test_a_table_of_another_name_is_named_and_of_another_case_is_taken(self, release, said):
    table = (release / 'grades.csv').rename(release / 'labels.csv')
    assert not open_release('folder', release).graded
    assert 'labels.csv in' in said.text and 'is not read, and there is no grades.csv' in said.text
    table.rename(release / 'Grades.CSV')
    assert open_release('folder', release, anew=True).graded

  def test_the_folders_of_the_layout_may_have_another_case(self, release):
    for name in ('images', 'masks'):
      (release / name).rename(release / name.title())
    dataset = open_release('folder', release)
    assert dataset.annotated == ('MA', 'NV') and mask_of(examples_of(dataset)['eye00'], 'MA').any()

  def test_folders_of_pictures_that_are_not_read_are_named(self, release, said):
    (release / 'masks').rename(release / 'labels')
    dataset = open_release('folder', release)
    assert dataset.annotated == () and f'{release / "labels"} have pictures and are not read' in said.text

  def test_a_column_goes_before_names(self, tmp_path):
    for name in ('a_left', 'a_right', 'b_left', 'b_right'):
      save(tmp_path / 'mine' / 'images' / f'{name}.jpg', photograph(1))
    _rewrite(tmp_path / 'mine', 'id,grade,Patient', 'a_left,0,x', 'a_right,3,y', 'b_left,2,x', 'b_right,1,y')
    dataset = open_release('folder', tmp_path / 'mine')
    assert {name: patient for name, (_, patient, _) in self._places(dataset).items()} == {
        'a_left': 'x', 'a_right': 'y', 'b_left': 'x', 'b_right': 'y'}
    assert '2 patients of 4 photographs, from the column patient' in dataset.notes

  def test_one_eye_in_another_split_by_name_is_warned_of(self, tmp_path):
    for name in ('a_left', 'a_right'):
      save(tmp_path / 'mine' / 'images' / f'{name}.jpg', photograph(1))
    _rewrite(tmp_path / 'mine', 'id,grade,split', 'a_left,0,train', 'a_right,3,test')
    assert any('so one eye leaks the other' in note for note in open_release('folder', tmp_path / 'mine').notes)

  def test_ids_may_have_endings_and_another_case_or_form(self, tmp_path):
    for name in ('re\u0301tine', 'EYE', 'x'):
      save(tmp_path / 'mine' / 'images' / f'{name}.jpg', photograph(1))
    _rewrite(tmp_path / 'mine', 'id,grade', 'r\u00e9tine,1', 'eye.png,2', 'images/x.jpg,3.0')
    assert {name: grade for name, (_, _, grade) in self._places(open_release('folder', tmp_path / 'mine')).items()} == {
        'r\u00e9tine': 1, 'EYE': 2, 'x': 3}

  def test_columns_that_are_not_used_are_named(self, release):
    _rewrite(release, 'id,subject', *(f'eye{number:02d},s' for number in range(12)))
    assert any('the columns subject are not used' in note for note in open_release('folder', release).notes)

  def test_empty_cells_at_the_end_of_a_row_may_be_missing(self, release):
    _rewrite(release, 'id,grade,patient', *(f'eye{number:02d}{("", ",3", ",3,p")[number % 3]}' for number in range(12)))
    grades = [example['grade'] for example in examples_of(open_release('folder', release)).values()]
    assert sorted(grades) == [UNKNOWN_GRADE] * 4 + [3] * 8

  def test_all_mistakes_of_a_table_are_said_at_once(self, release):
    _rewrite(release, 'id,grade', *(f'eye{number:02d},{9 if number < 7 else 1}' for number in range(12)))
    with pytest.raises(ValueError, match=r'7 mistakes: row 2 \(eye00\); .* and 2 more places: grade is .9.*\(7 times\)'):
      open_release('folder', release)

  def test_a_patient_that_one_table_has_as_a_float_is_the_same_one(self, tmp_path):
    for number, (split, patient) in enumerate({'train': '12', 'test': '12.0'}.items()):
      save(tmp_path / 'mine' / split / 'images' / f'x{number}.jpg', photograph(number))
      (tmp_path / 'mine' / split / 'grades.csv').write_text(f'id,grade,patient\nx{number},1,{patient}\n')
    with pytest.raises(ValueError, match='the patient 12 is in train and in test'):
      open_release('folder', tmp_path / 'mine')

  def test_patients_that_differ_in_case_alone_are_refused(self, release):
    _rewrite(release, 'id,patient', *(f'eye{number:02d},{"P1" if number else "p1"}' for number in range(12)))
    with pytest.raises(ValueError, match='the patients p1 and P1 differ in nothing but case'):
      open_release('folder', release)

  def test_folders_named_as_releases_name_lesions(self, release):
    (release / 'masks' / 'NV').rename(release / 'masks' / 'EX')
    dataset = open_release('folder', release)
    assert dataset.annotated == ('MA', 'HaEx') and 'folders of masks are taken by their names: EX as HaEx' in dataset.notes
    (release / 'masks' / 'hard exudates').mkdir()
    with pytest.raises(ValueError, match='hard exudates and EX are both HaEx'):
      open_release('folder', release, size=40)

  @pytest.mark.parametrize('split', ['', 'valid'])
  def test_folders_by_grade(self, tmp_path, split):
    for number, grade in enumerate(('0', '3', 'DR4')):
      save(tmp_path / 'mine' / split / grade / f'x{number}.jpg', photograph(number))
    found = self._places(open_release('folder', tmp_path / 'mine'))
    assert {name: grade for name, (_, _, grade) in found.items()} == {'x0': 0, 'x1': 3, 'x2': 4}
    assert not split or {place for place, _, _ in found.values()} == {'validation'}

  def test_folders_by_grade_in_words(self, tmp_path):
    for number, grade in enumerate(('0_no_dr', '2_moderate', 'Proliferate_DR', 'ungradable')):
      save(tmp_path / 'mine' / f'{grade}' / f'x{number}.jpg', photograph(number))
    found = self._places(open_release('folder', tmp_path / 'mine'))
    assert {name: grade for name, (_, _, grade) in found.items()} == {'x0': 0, 'x1': 2, 'x2': 4, 'x3': -1}
    (tmp_path / 'mine' / '1_severe').mkdir()
    with pytest.raises(ValueError, match='1_severe is no grade; the folders in .* are named by grades'):
      load_dataset('folder', data_dir=tmp_path / 'anew', size=56, source_dir=tmp_path / 'mine')

  def test_names_that_occur_in_several_folders_are_told_apart(self, tmp_path):
    for split in ('train', 'test'):
      for grade in '02':
        save(tmp_path / 'mine' / split / grade / '1.jpg', photograph(1))
    assert sorted(self._places(open_release('folder', tmp_path / 'mine'))) == [
        'test-0-1', 'test-2-1', 'train-0-1', 'train-2-1']

  @pytest.mark.parametrize('other', ['grades.csv', 'masks/MA/x0.png'])
  @pytest.mark.parametrize('split', ['', 'valid'])
  def test_what_would_not_be_read_beside_folders_by_grade_is_refused(self, tmp_path, split, other):
    for number, grade in enumerate('03'):
      save(tmp_path / 'mine' / split / grade / f'x{number}.jpg', photograph(number))
    path = tmp_path / 'mine' / split / other
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('id,patient\nx0,p\nx1,p\n')
    with pytest.raises(ValueError, match=rf'{other.partition("/")[0]} would not be read, as the photographs lie in folders of their grades'):
      open_release('folder', tmp_path / 'mine')

  @pytest.mark.parametrize('inner', ['images', '2'])
  def test_folders_beside_those_of_splits_are_named(self, tmp_path, said, inner):
    for number, split in enumerate(('train', 'valid_2', 'test')):
      save(tmp_path / 'mine' / split / inner / f'x{number}.jpg', photograph(number))
      if inner == 'images':
        save(tmp_path / 'mine' / split / 'masks' / 'MA' / f'x{number}.png', grey(drawn(40, 60, 4, 4)))
    assert open_release('folder', tmp_path / 'mine').lengths == {'train': 1, 'validation': 0, 'test': 1}
    assert 'valid_2 have photographs and are not read, as their names are no splits; those are train, training, val' in said.text

  def test_pairs_of_eyes_that_are_numbered_anew_in_each_folder_are_pairs_within_it(self, tmp_path):
    for grade in '02':
      for patient in range(5):
        for eye in ('left', 'right'):
          save(tmp_path / 'mine' / grade / f'{patient}_{eye}.jpg', photograph(patient + 10 * int(grade)))
    dataset = open_release('folder', tmp_path / 'mine')
    places = self._places(dataset)
    assert {patient for _, patient, _ in places.values()} == {f'{grade}-{patient}' for grade in '02' for patient in range(5)}
    for patient in {patient for _, patient, _ in places.values()}:
      assert places[f'{patient}_left'][:2] == places[f'{patient}_right'][:2]
    assert any('10 patients of 20 photographs' in note for note in dataset.notes)

  def test_folders_of_splits(self, tmp_path):
    for number, split in enumerate(('train', 'val', 'test')):
      save(tmp_path / 'mine' / split / 'images' / f'x{number}.jpg', photograph(number))
      save(tmp_path / 'mine' / split / 'masks' / 'MA' / f'x{number}.png', grey(drawn(40, 60, 4, 4)))
    dataset = open_release('folder', tmp_path / 'mine')
    assert dataset.lengths == {'train': 1, 'validation': 1, 'test': 1} and dataset.dealing is None
    for example in examples_of(dataset).values():
      np.testing.assert_array_equal(mask_of(example, 'MA'), halved(40, 60, 4, 4))

  def test_a_lesion_without_a_folder_in_one_split_is_unknown_there_and_that_is_said(self, tmp_path, said):
    for number, (split, keys) in enumerate({'train': ('MA', 'EX'), 'val': ('MA',), 'test': ()}.items()):
      save(tmp_path / 'mine' / split / 'images' / f'x{number}.jpg', photograph(number))
      for key in keys:
        save(tmp_path / 'mine' / split / 'masks' / key / f'x{number}.png', grey(drawn(40, 60, 4, 4)))
    dataset = open_release('folder', tmp_path / 'mine')
    assert dataset.annotated == ('MA', 'HaEx')
    assert {name: int(example['annotated']) for name, example in examples_of(dataset).items()} == {
        'x0': lesion_bits(['MA', 'HaEx']), 'x1': lesion_bits(['MA']), 'x2': 0}
    assert 'val/masks has no folder HaEx, as another split has: unknown' in said.text
    assert 'test/masks has no folder MA, HaEx, as another split has' in said.text
    (tmp_path / 'mine' / 'val' / 'masks' / 'EX').mkdir()
    assert examples_of(open_release('folder', tmp_path / 'mine', anew=True))['x1']['annotated'] == lesion_bits(['MA', 'HaEx'])

  @pytest.mark.parametrize('layout', ['masks that are empty', 'index maps'])
  def test_dealing_spreads_lesions_that_have_a_pixel(self, tmp_path, layout):
    having = (0, 8, 16, 24)
    for number in range(30):
      name, mask = f'x{number:02d}', drawn(40, 60, 4, 4) if number in having else drawn(0, 0, 0, 0)
      save(tmp_path / 'mine' / 'images' / f'{name}.jpg', photograph(number))
      if layout == 'index maps':
        save(tmp_path / 'mine' / 'masks' / f'{name}.png', mask * np.uint8(2) + drawn(20, 40, 4, 4) * np.uint8(1))
      else:
        save(tmp_path / 'mine' / 'masks' / 'NV' / f'{name}.png', grey(mask))
    found = open_release('folder', tmp_path / 'mine', **({'indices': '1=MA,2=NV'} if layout == 'index maps' else {}))
    assert {split: sum(mask_of(example, 'NV').any() for example in found.source(split)) for split in found.splits} == {
        'train': 3, 'validation': 0, 'test': 1}

  def test_index_maps_with_a_mapping(self, tmp_path):
    numbers = drawn(40, 60, 4, 4) * np.uint8(1) + drawn(20, 40, 4, 4) * np.uint8(2) + drawn(60, 80, 8, 8) * np.uint8(9)
    save(tmp_path / 'mine' / 'images' / 'x.jpg', photograph(1))
    save(tmp_path / 'mine' / 'images' / 'y.jpg', photograph(2))
    save(tmp_path / 'mine' / 'masks' / 'x.png', numbers)
    with pytest.raises(ValueError, match=r'taken for an index map.*its values are 0, 1, 2, 9: say which lesion'):
      open_release('folder', tmp_path / 'mine')
    dataset = open_release('folder', tmp_path / 'mine', indices='1=MA,2=HE,9=ignore')
    examples = examples_of(dataset)
    assert dataset.annotated == ('MA', 'iHE') and examples['y']['annotated'] == 0
    np.testing.assert_array_equal(mask_of(examples['x'], 'MA'), halved(40, 60, 4, 4))
    np.testing.assert_array_equal(mask_of(examples['x'], 'iHE'), halved(20, 40, 4, 4))
    np.testing.assert_array_equal(mask_of(examples['x'], 'MA', 'ignore'), halved(60, 80, 8, 8))

  @pytest.mark.parametrize('declared', ['option', 'file'])
  def test_what_255_is_can_be_declared(self, release, declared):
    save(release / 'masks' / 'MA' / 'eye00.png',
         drawn(40, 60, 4, 4) * np.uint8(1) + drawn(20, 40, 4, 4) * np.uint8(255))
    with pytest.raises(ValueError, match=r'eye00\.png hold both 1 and 255'):
      open_release('folder', release)
    if declared == 'file':
      (release / 'dataset.json').write_text('{"values": {"lesion": 1, "ignore": 255}}')
    for name in ('NV', 'MA'):  # masks of the other convention are now wrong as well
      for path in (release / 'masks' / name).iterdir():
        if path.name != 'eye00.png':
          path.unlink()
    example = examples_of(open_release('folder', release, **(
        {'values': 'lesion=1,ignore=255'} if declared == 'option' else {})))['eye00']
    np.testing.assert_array_equal(mask_of(example, 'MA'), halved(40, 60, 4, 4))
    np.testing.assert_array_equal(mask_of(example, 'MA', 'ignore'), halved(20, 40, 4, 4))

  def test_a_scale_is_kept_with_the_data(self, release):
    _rewrite(release, 'id,grade', *(f'eye{number:02d},{number % 2}' for number in range(12)))
    dataset = open_release('folder', release)
    assert dataset.scale['steps'] and any('only the grades 0, 1 occur' in note for note in dataset.notes)
    dataset = open_release('folder', release, scale='referable')
    assert dataset.scale == {'name': 'referable', 'steps': False, 'referable': True, 'healthy': False}
    assert {int(example['grade']) for example in examples_of(dataset).values()} == {0, 2} and not any(
        'occur' in note for note in dataset.notes)
    with pytest.raises(ValueError, match='the scale referable, which does not say which lesions are absent'):
      dataset.with_negatives(('MA',))

  def test_a_mask_of_more_than_half_of_the_field_or_of_the_border_is_warned_of(self, release):
    save(release / 'masks' / 'MA' / 'eye02.png', np.full(SHAPE, 255, np.uint8))
    notes = open_release('folder', release).notes
    assert any('MA is marked on the black border in 1 photographs (eye02)' in note for note in notes)

  def test_turned_photographs_with_masks_are_counted(self, release):
    exif = Image.Exif()
    exif[0x0112] = 3
    for name in ('eye00.jpg', 'eye03.jpg'):
      save(release / 'images' / name, Image.fromarray(photograph(0)), exif=exif)
    save(release / 'masks' / 'MA' / 'eye03.png', np.zeros(SHAPE, np.uint8))
    with pytest.raises(ValueError, match=r'2 mistakes: .*eye00\.jpg; .*eye03\.jpg is turned by its EXIF orientation \(3\)'):
      open_release('folder', release)

  def test_all_masks_that_do_not_fit_are_counted(self, release):
    for number in range(12):
      save(release / 'masks' / 'MA' / f'eye{number:02d}.png', np.zeros((9, 9), np.uint8))
    (release / 'masks' / 'MA' / 'eye01.tif').unlink()
    with pytest.raises(ValueError, match='12 of 12 photographs cannot be read'):
      open_release('folder', release)

  @pytest.mark.parametrize('text, message', [
      ('[', 'dataset.json is not JSON'), ('[]', 'dataset.json is no object'), ('{"scales": 1}', 'dataset.json has scales'),
      ('{"scale": "x"}', 'dataset.json: scale='), ('{"values": 3}', 'dataset.json: values is 3; it is text'), ('{"indices": [1]}', 'dataset.json: indices is'),
  ])
  def test_other_settings_are_refused(self, release, text, message):
    (release / 'dataset.json').write_text(text)
    with pytest.raises(ValueError, match=message):
      open_release('folder', release)


def test_a_link_to_nothing_is_said_to_be_one(release):
  (release / 'images' / 'gone.jpg').symlink_to(release / 'nowhere.jpg')
  with pytest.raises(ValueError, match=r'images/gone\.jpg is a link to nothing'):
    open_release('folder', release)


def test_a_setting_that_is_null_is_not_set(tmp_path):
  (tmp_path / 'dataset.json').write_text('{"scale": null, "values": "lesion=1"}')
  assert read_settings(tmp_path) == {'values': 'lesion=1'}


def test_a_mask_of_127_throughout_leaves_the_lesion_unknown_in_that_photograph(release):
  save(release / 'masks' / 'MA' / 'eye05.png', np.full(SHAPE, 127, np.uint8))
  example = {name: value[None] for name, value in _examples(release)['eye05'].items() if not isinstance(value, str)}
  targets = unpack_targets(example)
  ma, nv = LESION_KEYS.index('MA'), LESION_KEYS.index('NV')
  assert not np.asarray(targets.evaluated)[0, ma] and np.asarray(targets.evaluated)[0, nv]
