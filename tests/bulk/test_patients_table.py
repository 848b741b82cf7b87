"""The table of patients: which rows are taken, and what is said of those that are not."""

from __future__ import annotations

import pathlib

import pytest

from lesion_jax.bulk.patients import read_patients, whose_eyes

FILES = [pathlib.Path(name) for name in ('a/1.png', 'a/2.jpg', 'b/1.png', 'b/Ünten.png')]


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  for file in [*FILES, pathlib.Path('a/not now.png')]:
    file.parent.mkdir(exist_ok=True)
    file.touch()


def read(text, files=FILES):
  pathlib.Path('table.csv').write_text(text, 'utf-8')
  return {str(file): tuple(whose)[:2] for file, whose in read_patients('table.csv', files).items()}


def test_rows_are_found_by_name_with_or_without_ending_and_by_path():
  assert read('image,patient,eye\na/1.png,p1,OD\nb\\1,p1,left\n2,p2,r\nünten.PNG,p2,Links\n') == {
      'a/1.png': ('p1', 'right'), 'b/1.png': ('p1', 'left'), 'a/2.jpg': ('p2', 'right'), 'b/Ünten.png': ('p2', 'left')}


def test_columns_in_any_order_other_separators_and_the_names_of_an_annotation_table():
  assert read('Eye;note;Patient;Photograph\nOS;seen;7;2.jpg\n') == {'a/2.jpg': ('7', 'left')}


def test_a_patient_may_have_several_photographs_of_an_eye_and_either_may_be_unknown():
  assert read('image,patient,eye\na/1,7,left\n2,7,left\nb/1,7,\nünten,,right\n') == {
      'a/1.png': ('7', 'left'), 'a/2.jpg': ('7', 'left'), 'b/1.png': ('7', None), 'b/Ünten.png': (None, 'right')}


def test_a_row_of_a_photograph_that_is_not_predicted_now_is_passed_over():
  assert read('image,patient,eye\nnot now.png,7,left\nnot now,7,left\na/not now.png,7,left\n2.jpg,7,left\n') == {'a/2.jpg': ('7', 'left')}


@pytest.mark.parametrize('rows, said', [
    ('2.jpg,7,middle', "row 2: 'middle' is no eye; write right or left"),
    ('2.jpg,7,left\n2,7,right', 'row 3: 2 has a row already (row 2)'),
    ('x' * 300 + '.jpg,7,left', 'this image is neither among the photographs nor beside them'),
    ('3.jpg,7,left', 'this image is neither among the photographs nor beside them'),
    ('c/2.jpg,7,left', 'this image is neither among the photographs nor beside them'),
    ('1.png,7,left', '1.png is the name of 2 photographs (a/1.png, b/1.png); write more of the path, as in a/1.png'),
    ('2.jpg,,', 'neither a patient nor an eye'),
    (',7,left', 'no image'),
    (f'2.jpg,{"7" * 65},left', 'write at most 64'),
    ('2.jpg,a\\b,left', 'without \\'),
    ('2.jpg,7,both\n1.png,8,left', '2 mistakes'),
])
def test_what_is_wrong_is_said_with_its_row(rows, said):
  with pytest.raises(ValueError) as caught:
    read(f'image,patient,eye\n{rows}\n')
  assert said in str(caught.value) and 'table.csv' in str(caught.value)


def test_a_missing_column_is_named():
  with pytest.raises(ValueError, match='no column patient; expected image, patient, eye, and it has image, eye'):
    read('image,eye\n2.jpg,left\n')


def test_photographs_without_a_row_are_named_and_their_names_say_nothing_then():
  pathlib.Path('table.csv').write_text('image,patient,eye\n2.jpg,7,left\n')
  notices = []
  files = [*FILES, pathlib.Path('a/10_left.png')]
  said = whose_eyes('table.csv', files, notices.append)
  assert said(FILES[1], None) == {'patient': '7', 'eye': 'left', 'source': 'table'} and said(files[-1], None) is None
  assert notices == ['4 of 5 photographs have no row in table.csv, so that nobody says whose eyes they show: 1.png, 1.png, Ünten.png, 10_left.png']


def test_what_a_table_said_stays_until_the_user_says_otherwise():
  table = {'whose': {'patient': 'x', 'eye': 'right', 'source': 'table'}}
  named = {'patient': '10', 'eye': 'left', 'source': 'name'}
  file = pathlib.Path('10_left.png')
  by_name, nothing = whose_eyes(None, [file], print), whose_eyes(False, [file], print)
  assert by_name(file, None) == named == by_name(file, {'whose': named | {'patient': 'old'}}) and by_name(file, table) == table['whose']
  assert nothing(file, table) is None is nothing(file, None)
