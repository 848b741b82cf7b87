"""Prepared data whose source changed, or that are damaged."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest
from draw_releases import draw_folder, open_release, photograph
from drawing import save

from lesion_jax.data import index, origin
from lesion_jax.data.builders.resume import put_back, set_aside
from lesion_jax.data.registry import find_prepared


@pytest.fixture
def release(tmp_path):
  return draw_folder(tmp_path / 'mine')


def _prepared(dataset):
  return pathlib.Path(dataset.builder.data_path)


def test_what_has_not_changed_is_opened_again(release):
  (_prepared(open_release('folder', release)) / '._source.json').write_bytes(b'\0\5\x16\7\xff')  # as a Mac leaves it in a copy
  first = open_release('folder', release)
  assert open_release('folder', release).ids == first.ids


def _add_split(release):
  (release / 'grades.csv').write_text(
      'id,split\n' + ''.join(f'eye{number:02d},{"test" if number < 3 else "train"}\n' for number in range(12)))


def _touch(release):
  os.utime(release / 'images' / 'eye03.jpg', ns=(1, 1))


def _remove_mask(release):
  (release / 'masks' / 'NV' / 'eye00.gif').unlink()


def _declare(release):
  (release / 'dataset.json').write_text('{"scale": "icdr"}')


def _add_an_empty_folder_of_masks(release):  # by which the lesion is absent everywhere
  (release / 'masks' / 'CWS').mkdir()


@pytest.mark.parametrize('change', [_add_split, _touch, _remove_mask, _declare, _add_an_empty_folder_of_masks])
def test_a_changed_source_is_refused_and_prepared_anew_where_that_is_asked_for(release, change):
  open_release('folder', release)
  change(release)
  with pytest.raises(ValueError, match=r'has changed since .* was prepared from it: .*`lesion-jax prepare`.*or delete'):
    open_release('folder', release)
  open_release('folder', release, anew=True)
  found = open_release('folder', release)
  assert ('CWS' in found.annotated) == (change is _add_an_empty_folder_of_masks)
  assert change is not _add_split or found.lengths == {'train': 9, 'validation': 0, 'test': 3}


def test_files_that_are_not_read_do_not_count(release):
  before = (_prepared(open_release('folder', release)) / origin.NAME).stat()
  (release / 'notes.txt').write_text('mine')
  (release / 'results').mkdir()
  (release / 'images' / '.DS_Store').write_bytes(b'?')
  after = (_prepared(open_release('folder', release, anew=True)) / origin.NAME).stat()
  assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)  # nothing was prepared again


def test_thumbnails_that_a_store_makes_later_do_not_count(release):
  open_release('folder', release)
  save(release / 'images' / '@eaDir' / 'eye00.jpg' / 'SYNOPHOTO_THUMB_M.jpg', photograph(1))
  assert open_release('folder', release)


def test_hidden_folders_beside_those_of_grades_do_not_count(tmp_path):
  for name in 'abc':
    save(tmp_path / 'mine' / '0' / f'{name}.jpg', photograph(ord(name)))
  open_release('folder', tmp_path / 'mine')
  (tmp_path / 'mine' / '.git').mkdir()
  (tmp_path / 'mine' / '.git' / 'index').write_text('')
  assert open_release('folder', tmp_path / 'mine')


def test_data_prepared_before_empty_folders_were_kept_are_taken_as_they_are(release):
  path = _prepared(open_release('folder', release)) / origin.NAME
  kept = json.loads(path.read_text())
  assert kept['source'].pop('empty') == []
  path.write_text(json.dumps(kept))
  (release / 'masks' / 'CWS').mkdir()
  assert 'CWS' not in open_release('folder', release).annotated


def test_data_prepared_before_there_was_a_digest_and_a_source_that_is_gone_are_taken_as_they_are(release, tmp_path):
  (_prepared(open_release('folder', release)) / origin.NAME).unlink()
  (release / 'images' / 'eye03.jpg').touch()
  assert sum(open_release('folder', release).lengths.values()) == 12
  release.rename(tmp_path / 'elsewhere')
  assert sum(open_release('folder', release).lengths.values()) == 12


def _truncate(folder):
  path = next(folder.glob('*train.array_record*'))
  path.write_bytes(path.read_bytes()[:path.stat().st_size // 2])


@pytest.mark.parametrize('spoil, what', [
    (_truncate, r'array_record.* has [\d,]+ bytes of'),
    (lambda folder: (folder / 'dataset_info.json').unlink(), 'dataset_info.json is missing'),
    (lambda folder: (folder / 'features.json').write_text('{'), 'features.json is damaged'),
    (lambda folder: (folder / 'left_out.json').write_text('{'), 'left_out.json is damaged'),
    (lambda folder: (folder / origin.NAME).write_text('{'), 'source.json is damaged'),
    (lambda folder: (folder / 'index.npz').unlink(), 'index.npz is missing'),
])
def test_damaged_data_are_refused_by_name_and_prepared_anew(release, spoil, what):
  folder = _prepared(open_release('folder', release))
  spoil(folder)
  with pytest.raises(ValueError, match=rf'preprocessed data in .*{folder.name} are damaged: .*{what}'):
    open_release('folder', release)
  with pytest.raises(ValueError, match='preprocessed data are damaged'):
    find_prepared('folder', data_dir=release.parent / 'prepared', size=56)
  assert sum(open_release('folder', release, anew=True).lengths.values()) == 12


def test_damage_without_a_record_of_sizes_is_a_sentence(release):
  dataset = open_release('folder', release)
  (_prepared(dataset) / origin.NAME).unlink()
  _truncate(_prepared(dataset))
  with pytest.raises(ValueError, match='preprocessed data in .* are damaged'):
    open_release('folder', release).source('train')[0]


def test_a_damaged_index_is_a_sentence(release):
  dataset = open_release('folder', release)
  path = _prepared(dataset) / index.NAME
  data = path.read_bytes()
  for place in range(0, len(data), max(1, len(data) // 40)):
    path.write_bytes(data[:place] + bytes([data[place] ^ 255]) + data[place + 1:])
    try:
      for split in dataset.splits:
        dataset.source(split)
    except ValueError as error:
      assert 'are damaged' in str(error)


def test_where_preparing_anew_fails_the_old_data_stay(release):
  folder = _prepared(open_release('folder', release))
  (release / 'grades.csv').write_text('id,grade\neye00,9\n')
  with pytest.raises(ValueError, match="grade is '9'"):
    open_release('folder', release, anew=True)
  assert (folder / 'dataset_info.json').is_file()


KILLED = '''\
import os, pathlib, signal, sys
from lesion_jax.data.builders.resume import set_aside
with set_aside(pathlib.Path(sys.argv[1])):
  os.kill(os.getpid(), signal.SIGKILL)
'''


@pytest.mark.parametrize('again', [False, True], ids=['nothing was prepared since', 'prepared since'])
def test_what_a_killed_preparation_had_put_aside_is_put_back_or_removed(release, again):
  folder = _prepared(open_release('folder', release))
  subprocess.run([sys.executable, '-c', KILLED, str(folder)], check=False)
  old, = folder.parent.iterdir()
  assert old != folder, 'it was put aside'
  made = (old / origin.NAME).stat().st_ino
  if again:
    shutil.copytree(old, folder)
  assert sum(open_release('folder', release).lengths.values()) == 12
  assert list(folder.parent.iterdir()) == [folder]
  assert ((folder / origin.NAME).stat().st_ino == made) != again


def test_two_put_it_aside_and_neither_stumbles(tmp_path):
  """The second finds nothing to put aside, and what the first has put there is no leftover while it lives."""
  folder = tmp_path / 'set'
  folder.mkdir()
  with set_aside(folder):
    with set_aside(folder):
      put_back(folder)
      assert not folder.exists()
      folder.mkdir()
  assert list(tmp_path.iterdir()) == [folder]
