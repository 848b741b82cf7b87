"""Releases differ in small things from how they were described: case, endings, files beside the others."""

from __future__ import annotations

import logging
import shutil

import numpy as np
import pytest
from draw_releases import draw_ddr, draw_fgadr, examples_of, open_release
from drawing import save

from lesion_jax.data.builders.layout import find_alike, list_photographs


@pytest.fixture
def folder(tmp_path):
  for name in ('a.jpg', 'b.JPG', 'c.jpeg', 'd.Jpg'):
    save(tmp_path / name, np.zeros((4, 4, 3), np.uint8), format='JPEG')
  return tmp_path


def test_neither_case_nor_spelling_of_an_ending_counts(folder):
  assert [path.name for path in list_photographs(folder, '*.jpg')] == ['a.jpg', 'b.JPG', 'c.jpeg', 'd.Jpg']


def test_pictures_that_are_not_used_are_counted(folder, caplog, monkeypatch):
  monkeypatch.setattr(logging.getLogger('absl'), 'propagate', True)
  save(folder / 'mask.png', np.zeros((4, 4), np.uint8))
  (folder / 'readme.txt').write_text('x')
  (folder / '._a.jpg').write_bytes(b'?')
  assert len(list_photographs(folder, '*.jpg')) == 4
  assert '1 pictures are not used, as their names are not of the form *.jpg: mask.png' in caplog.text


def test_two_files_that_differ_in_nothing_else_are_refused(folder):
  shutil.copy(folder / 'a.jpg', folder / 'A.jpeg')
  with pytest.raises(ValueError, match=r'differ in nothing but case or the spelling of their ending'):
    list_photographs(folder, '*.jpg')


def test_a_file_is_found_that_differs_in_case_or_ending_also_where_it_came_later(tmp_path):
  assert find_alike(tmp_path / 'x' / 'm.tif') == tmp_path / 'x' / 'm.tif'
  assert find_alike(tmp_path / 'm.tif') == tmp_path / 'm.tif'
  (tmp_path / 'M.TIFF').touch()
  assert find_alike(tmp_path / 'm.tif') == tmp_path / 'M.TIFF'


@pytest.mark.parametrize('name, draw, ending, other', [('ddr', draw_ddr, '.tif', '.TIFF'), ('fgadr', draw_fgadr, '.png', '.PNG')])
def test_masks_whose_endings_are_spelt_otherwise_are_the_same_masks(tmp_path, name, draw, ending, other):
  plain = examples_of(open_release(name, draw(tmp_path / 'one' / 'r')))
  root = draw(tmp_path / 'two' / 'r')
  for path in list(root.rglob(f'*{ending}')):
    if path.parent.name != 'Original_Images':
      path.rename(path.with_suffix(other))
  found = examples_of(open_release(name, root))
  assert found.keys() == plain.keys()
  for key in plain:
    np.testing.assert_array_equal(found[key]['lesions'], plain[key]['lesions'])


def test_grades_of_a_table_in_another_encoding_and_as_floats(tmp_path):
  root = draw_fgadr(tmp_path / 'r')
  plain = {key: int(example['grade']) for key, example in examples_of(open_release('fgadr', root, 64)).items()}
  table = root / 'Seg-set' / 'DR_Seg_Grading_Label.csv'
  rows = [line.split(',') for line in table.read_text().split()]
  table.write_text(''.join(f'{name};{grade}.0\r\n' for name, grade in rows), 'utf-16')
  found = {key: int(example['grade']) for key, example in examples_of(open_release('fgadr', root)).items()}
  assert found == plain
