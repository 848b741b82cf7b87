"""Several exports together."""

from __future__ import annotations

import pytest
from exports import choice, cvat, entry, task, write_json

from lesion_jax.annotation.labels import Labels
from lesion_jax.annotation.reading import read_exports

GRADE = '<tag label="DR2"/>'


def write(path, text):
  path.write_text(text, 'utf-8')
  return path


def test_both_kinds_of_export_are_told_apart_by_what_they_hold(tmp_path):
  entries = [entry(1, [choice(2)]), entry(2, [choice(2)], was_cancelled=True)]
  studio = write_json(tmp_path / 'a.txt', [task('a.jpg', entries)])
  file = write(tmp_path / 'anna', '\ufeff' + cvat([('a.jpg', (3, 3), GRADE), ('b.jpg', (3, 3), '')]))
  exports = read_exports([('', studio), ('', file), ('berta', file)], Labels())
  assert [(a.photograph, a.annotator) for a in exports.annotations] == [
      ('a.jpg', '1'), ('a.jpg', 'anna'), ('a.jpg', 'berta')]
  assert exports.passed_over == {'cancelled': 1, 'photographs without any marking': 2}


def test_nobody_votes_twice(tmp_path):
  meta = '<meta><task><assignee><username>anna</username></assignee></task></meta>'
  files = [write(tmp_path / name, cvat([('a.jpg', (3, 3), GRADE)], meta)) for name in ('1.xml', '2.xml')]
  with pytest.raises(ValueError, match=r'anna annotated a\.jpg in .*1\.xml and in .*2\.xml.*NAME=FILE'):
    read_exports([('', path) for path in files], Labels())


@pytest.mark.parametrize('text, message', [('PK\x03\x04', 'unpack archives first'), ('', 'neither an export')])
def test_another_file_is_refused(tmp_path, text, message):
  with pytest.raises(ValueError, match=message):
    read_exports([('', write(tmp_path / 'export.zip', text))], Labels())


def test_an_annotator_is_not_given_for_an_export_that_says_it(tmp_path):
  with pytest.raises(ValueError, match='says itself who annotated; leave out anna='):
    read_exports([('anna', write_json(tmp_path / 'a.json', []))], Labels())


def test_a_folder_without_files_of_labelme_is_refused(tmp_path):
  with pytest.raises(ValueError, match='is a folder without JSON files of labelme; name the exported files in it'):
    read_exports([('', tmp_path)], Labels())
