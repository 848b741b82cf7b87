"""IDRiD's grading part, and the tables of grades."""

from __future__ import annotations

import pytest
from drawing import SIDE

from lesion_jax.data.builders.layout import read_grades
from lesion_jax.data.registry import load_dataset


def _load(release, data_dir):
  return load_dataset('idrid_grading', data_dir=data_dir, size=SIDE, source_dir=release)


def _training_table(release):
  return release / 'B. Disease Grading' / '2. Groundtruths' / 'a. IDRiD_Disease Grading_Training Labels.csv'


def test_grades_are_read_and_no_lesion_is_annotated(idrid_grading_release, tmp_path):
  dataset = _load(idrid_grading_release, tmp_path / 'data')
  assert dataset.annotated == () and dataset.lengths == {'train': 7, 'validation': 1, 'test': 2}
  for split in dataset.splits:
    for example in dataset.source(split):
      assert example['grade'] == int(example['id'].removeprefix('IDRiD_')) % 5
      assert example['annotated'] == 0 and not example['lesions'].any()
      assert example['image'].shape == (SIDE, SIDE, 3) and example['image'].any()


def test_the_two_parts_of_idrid_are_prepared_apart(idrid_release, idrid_grading_release, tmp_path):
  assert idrid_release == idrid_grading_release
  assert _load(idrid_release, tmp_path / 'data').annotated == ()
  assert load_dataset('idrid', data_dir=tmp_path / 'data', size=SIDE, source_dir=idrid_release).annotated


def test_a_missing_table_is_named(idrid_grading_release, tmp_path):
  table = _training_table(idrid_grading_release)
  table.unlink()
  with pytest.raises(FileNotFoundError, match=str(table)):
    _load(idrid_grading_release, tmp_path / 'data')


def test_a_photograph_without_a_grade_is_named(idrid_grading_release, tmp_path):
  table = _training_table(idrid_grading_release)
  table.write_text('\n'.join(line for line in table.read_text().splitlines() if 'IDRiD_004' not in line))
  with pytest.raises(ValueError, match=r'no row for 1 photographs: IDRiD_004\.jpg'):
    _load(idrid_grading_release, tmp_path / 'data')


class TestReadGrades:

  def _read(self, path, text):
    path.write_text(text, encoding='utf-8')
    return read_grades(path, id_column='Image name', grade_column='Retinopathy grade')

  def test_spaces_empty_columns_rows_and_a_byte_order_mark_do_not_count(self, tmp_path):
    text = '\ufeffImage name,Retinopathy grade ,Risk ,,\n IDRiD_001 , 3,0,,\n\n,,,,\nIDRiD_002,0,1,,\n'
    assert self._read(tmp_path / 'a.csv', text) == {'IDRiD_001': 3, 'IDRiD_002': 0}

  @pytest.mark.parametrize('grade', ['7', '5', '-1', '', '2.5', 'mild'])
  def test_a_grade_outside_0_to_4_names_row_and_value(self, tmp_path, grade):
    with pytest.raises(ValueError, match=rf"a\.csv, row 3 \(b\): Retinopathy grade is '{grade}'; grades are 0\.\.4"):
      self._read(tmp_path / 'a.csv', f'Image name,Retinopathy grade\na,1\nb,{grade}\n')

  def test_a_missing_column_is_named_with_those_that_exist(self, tmp_path):
    with pytest.raises(ValueError, match='no column Retinopathy grade; its columns are Image name, level'):
      self._read(tmp_path / 'a.csv', 'Image name,level\na,1\n')

  def test_an_empty_table_has_no_columns(self, tmp_path):
    with pytest.raises(ValueError, match='has no column'):
      self._read(tmp_path / 'a.csv', '')

  def test_two_rows_for_one_photograph_are_refused(self, tmp_path):
    with pytest.raises(ValueError, match='row 3: a has a row already'):
      self._read(tmp_path / 'a.csv', 'Image name,Retinopathy grade\na,1\na,2\n')

  def test_a_short_row_is_refused(self, tmp_path):
    with pytest.raises(ValueError, match='row 2: 1 cells are too few'):
      self._read(tmp_path / 'a.csv', 'Image name,Retinopathy grade\na\n')
