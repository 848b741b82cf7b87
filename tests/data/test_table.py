"""The one reader of tables: encodings, separators, quotation marks, and what it says of what it cannot read."""

from __future__ import annotations

import logging

import pytest

from lesion_jax.annotation.table import read_table

ROWS = [('id', 'Grade', 'patient'), ('rétine 1', '2', 'Müller'), ('b', '', 'x')]


def _write(path, text, encoding='utf-8'):
  path.write_bytes(text.encode(encoding))
  return path


def _cells(path, **options):
  return [cells for _, cells in read_table(path, ('id', 'grade', 'patient'), **options).cells(('id', 'grade', 'patient'))]


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16', 'utf-16-le', 'utf-16-be', 'utf-32', 'cp1252'])
@pytest.mark.parametrize('separator', [',', ';', '\t', '|'])
@pytest.mark.parametrize('end', ['\n', '\r\n', '\r'])
def test_encodings_separators_and_line_ends_are_found(tmp_path, encoding, separator, end):
  path = _write(tmp_path / 'a.csv', end.join(separator.join(row) for row in ROWS) + end, encoding)
  assert _cells(path) == [['rétine 1', '2', 'Müller'], ['b', '', 'x']]


def test_what_was_read_as_windows_1252_is_said(tmp_path, caplog, monkeypatch):
  monkeypatch.setattr(logging.getLogger('absl'), 'propagate', True)
  table = read_table(_write(tmp_path / 'a.csv', 'id\nGröße\n', 'cp1252'))
  assert table.encoding == 'Windows-1252' and 'neither UTF-8 nor UTF-16' in caplog.text


def test_a_first_line_may_say_the_separator(tmp_path):
  assert _cells(_write(tmp_path / 'a.csv', 'sep=;\nid;grade;patient\na,b;1;p\n')) == [['a,b', '1', 'p']]


def test_names_that_a_mac_decomposes_are_composed(tmp_path):
  assert _cells(_write(tmp_path / 'a.csv', 'id,grade,patient\nre\u0301tine,1,p\n')) == [['r\u00e9tine', '1', 'p']]


def test_quoted_cells_may_hold_separators_and_quotation_marks(tmp_path):
  assert _cells(_write(tmp_path / 'a.csv', 'id,grade,patient\n"a,b", 1,"p ""x"""\n')) == [['a,b', '1', 'p "x"']]


def test_columns_are_found_whatever_their_case_and_others_are_named(tmp_path):
  table = read_table(_write(tmp_path / 'a.csv', 'ID,Image_Name,remark\n1,x,y\n'))
  assert table.find('id') == 0 and table.find('image name') == 1 and table.find('grade') is None
  assert table.others(('id', 'image name')) == ['remark']


@pytest.mark.parametrize('text, message', [
    ('id,grade,patient\na,1,"p\nb,2,q\nc,3,r"\n', r'row 2: a quotation mark \("\) opens before .p. and closes 2 lines later'),
    ('id,grade,patient\na,1,p"\n', r'row 2: a single quotation mark'),
    ('id,grade,patient\na,1,"p"x\n', r'row 2: a quotation mark stands where none belongs'),
    ('id,grade,patient\na,1,"p\n', r'row 2: .*quotation mark'),
    ('id,grade,patient\na,1,Miller, John\n', r'row 2: it has 4 cells and the header 3'),
    ('id,grade\na,1\n', r'has no column patient; its columns are id, grade \(read as UTF-8, separated by commas\)'),
    ('id,grade,patient\na,1\n', 'row 2: 2 cells are too few'),
])
def test_what_cannot_be_read_is_a_sentence(tmp_path, text, message):
  with pytest.raises(ValueError, match=rf'a\.csv.*{message}'):
    _cells(_write(tmp_path / 'a.csv', text))


def test_a_column_that_is_there_twice_is_a_sentence(tmp_path):
  with pytest.raises(ValueError, match=r"a\.csv .* has the column GRADE twice \('grade' and 'Grade'\)"):
    read_table(_write(tmp_path / 'a.csv', 'id,grade,Grade\n1,2,3\n')).find('GRADE')


@pytest.mark.parametrize('data, message', [
    (b'PK\x03\x04rest', 'is a workbook or an archive'), (b'id\n\x81\n', 'no text in UTF-8 or Windows-1252'),
    (b'\xff\xfei', 'no text in UTF-16'),
])
def test_what_is_no_text_is_a_sentence(tmp_path, data, message):
  (tmp_path / 'a.csv').write_bytes(data)
  with pytest.raises(ValueError, match=rf'a\.csv.*{message}.*CSV UTF-8'):
    read_table(tmp_path / 'a.csv')


def test_a_cell_without_end_is_a_sentence(tmp_path):
  with pytest.raises(ValueError, match=r'a\.csv, row 2: .*'):
    read_table(_write(tmp_path / 'a.csv', 'id\n' + 'x' * 200_000 + '\n'))
