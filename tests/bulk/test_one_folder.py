"""One folder of results: one run at a time, a table and a page of all that lies there, and nothing taken or left in silence."""

from __future__ import annotations

import csv
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import oracle
import pytest
from PIL import Image

from lesion_jax import cli, models
from lesion_jax.bulk import Refused, predict_photographs, rethreshold
from lesion_jax.bulk.inputs import Folders, search
from lesion_jax.clinical.record import Run
from lesion_jax.locking import locked
from lesion_jax.weights.bundle import save_bundle


@pytest.fixture
def bundle(tmp_path, monkeypatch):
  monkeypatch.setitem(models.MODELS, 'oracle', oracle.Oracle)
  save_bundle(tmp_path / 'bundle', config=oracle.oracle_config(), card='', variables={'params': {'gain': np.float32(1)}})
  return tmp_path / 'bundle'


@pytest.fixture
def predict(bundle):
  def run(*arguments):
    return cli.main(['predict', *map(str, arguments), '--model', str(bundle)])

  return run


def _save(path: pathlib.Path, **options) -> pathlib.Path:
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(oracle.photograph(**options)).save(path)
  return path


def _rows(out):
  with (out / 'results.csv').open(newline='') as file:
    return {row['folder']: row for row in csv.DictReader(file)}


def test_a_second_run_is_refused_in_a_sentence_and_changes_nothing(predict, tmp_path, capsys):
  eye, out = _save(tmp_path / 'a' / 'eye.png', grade=1), tmp_path / 'out'
  assert predict(eye, '--out', out) == 0
  before = {path: path.read_bytes() for path in out.rglob('*') if path.is_file()}
  with locked(out, 'a prediction'), pytest.raises(SystemExit) as ended:
    predict(_save(tmp_path / 'b' / 'eye.png', grade=4), '--out', out)
  assert ended.value.code == 2
  said = capsys.readouterr().err
  assert 'out is in use: a prediction by process' in said and 'name another folder' in said and 'Traceback' not in said
  assert {path: path.read_bytes() for path in out.rglob('*') if path.is_file()} == before
  assert predict(_save(tmp_path / 'b' / 'eye.png', grade=4), '--out', out) == 0


def test_a_loop_with_one_call_a_file_leaves_a_table_and_a_page_of_all(predict, tmp_path):
  out = tmp_path / 'out'
  for grade, name in enumerate(('c', 'a', 'b')):
    assert predict(_save(tmp_path / 'in' / f'{name}.png', grade=grade), '--out', out) == 0
  rows = _rows(out)
  assert {folder: row['grade'] for folder, row in rows.items()} == {'c': '0', 'a': '1', 'b': '2'}
  assert [row['status'] for row in rows.values()] == ['predicted', 'skipped', 'skipped'] and list(rows) == ['b', 'a', 'c']
  assert (out / 'report.html').read_text().count('<article') == 3
  predict(tmp_path / 'in', '--out', out)
  assert list(_rows(out)) == ['a', 'b', 'c']


def test_what_is_no_longer_whole_or_of_the_same_photograph_is_not_listed(predict, tmp_path):
  out = tmp_path / 'out'
  predict(_save(tmp_path / 'in' / 'a.png'), '--out', out), predict(_save(tmp_path / 'in' / 'b.png', grade=2), '--out', out)
  (out / 'a' / 'field.jpg').unlink()
  shutil.copytree(out / 'b', out / 'older name of b')
  predict(tmp_path / 'in' / 'b.png', '--out', out)
  assert list(_rows(out)) == ['b']


def test_photographs_of_one_name_given_in_two_folders_are_both_listed(predict, tmp_path, monkeypatch):
  out = tmp_path / 'out'
  for grade, patient in ((1, 'p1'), (4, 'p2')):
    _save(tmp_path / patient / 'eye.png', grade=grade)
    monkeypatch.chdir(tmp_path / patient)
    assert predict('eye.png', '--out', out) == 0
  assert {folder: (row['file'], row['grade']) for folder, row in _rows(out).items()} == {'eye': ('eye.png', '1'), 'eye~2': ('eye.png', '4')}
  (tmp_path / 'p2' / 'eye.png').unlink()
  assert predict('eye.png', '--out', out) == 1
  assert [row['status'] for row in _rows(out).values()] == ['failed'], 'of which of them it is, nobody knows'


def test_results_are_never_photographs_and_photographs_in_the_output_folder_are(predict, tmp_path, capsys):
  _save(tmp_path / 'd' / 'one.png'), _save(tmp_path / 'd' / 'sub' / 'two.png', grade=3)
  folder = tmp_path / 'd'
  assert predict(folder, '--out', folder) == 0
  assert set(_rows(folder)) == {'one', 'two'}
  assert predict(folder, '--out', folder / 'other') == 0, 'an earlier folder of results lies below the input'
  assert set(_rows(folder / 'other')) == {'one', 'two'}
  assert predict(folder / '**' / '*.png', '--out', folder) == 0
  assert set(_rows(folder)) == {'one', 'two'}


def test_names_that_are_uids_stay_whole(predict, tmp_path):
  names = ['1.2.826.77.1', '1.2.826.77.2', 'visit.3']
  for name in names:
    _save(tmp_path / 'a.png', grade=1)
    shutil.copy(tmp_path / 'a.png', tmp_path / name)
  predict(*(tmp_path / name for name in names), '--out', tmp_path / 'out')
  assert list(_rows(tmp_path / 'out')) == names


def test_a_file_or_a_link_that_has_a_photographs_name_stays_and_the_results_go_beside_it(predict, tmp_path):
  folder = tmp_path / 'd'
  for name in ('1.2.826.77.1', 'IM000001'):  # as archives name DICOM files
    shutil.copy(_save(tmp_path / 'a.png', grade=1), _save(folder / 'eye.png').with_name(name))
  (folder / 'eye').symlink_to('nowhere')
  before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
  for _ in range(2):
    assert predict(folder / '1.2.826.77.1', folder / 'IM000001', folder / 'eye.png', '--out', folder) == 0
    assert {name: row['grade'] for name, row in _rows(folder).items()} == {'1.2.826.77.1~2': '1', 'IM000001~2': '1', 'eye~2': '0'}
    assert {path: path.read_bytes() for path in before} == before and (folder / 'eye').is_symlink()


class TestSearch:

  def test_what_is_not_taken_is_counted_by_kind(self, tmp_path):
    for name in ('1.jpg', 'b.JFIF', 'c.jpe', 'd.pgm', 'e.pnm', 'f.j2c', '._1.jpg', 'x.heic', 'y.HEIC', 'notes.txt', 'README',
                 '@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg', '__MACOSX/._1.jpg', 'DICOMDIR'):
      path = tmp_path / 'in' / name
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_bytes(b'bytes')
    os.mkfifo(tmp_path / 'in' / 'pipe.jpg')
    found = search([tmp_path / 'in'], tmp_path / 'out')
    assert [path.name for path in found.photographs] == ['1.jpg', 'b.JFIF', 'c.jpe', 'd.pgm', 'e.pnm', 'f.j2c']
    assert found.others == {'.heic': 2, '._*': 1, '.txt': 1, 'without an ending': 1, '@eaDir': 1, '__MACOSX': 1, 'DICOMDIR': 1,
                            'pipes and devices': 1}
    assert found.left_out().startswith('9 other files were not taken (.heic 2, ')

  def test_links_are_followed_once_and_those_to_nothing_fail(self, tmp_path):
    (tmp_path / 'in').mkdir()
    (tmp_path / 'far').mkdir()
    (tmp_path / 'far' / 'eye.jpg').write_bytes(b'x')
    (tmp_path / 'in' / 'linked').symlink_to(tmp_path / 'far')
    (tmp_path / 'far' / 'circle').symlink_to(tmp_path / 'in')
    (tmp_path / 'in' / 'gone.jpg').symlink_to(tmp_path / 'nowhere.jpg')
    found = search([tmp_path / 'in'], tmp_path / 'out')
    assert sorted(path.name for path in found.photographs) == ['eye.jpg', 'gone.jpg']
    assert found.failed == {tmp_path / 'in' / 'gone.jpg': 'it is a link to nothing'}

  def test_links_that_lead_to_themselves_fail_and_no_more(self, tmp_path):
    (tmp_path / 'one.png').symlink_to(tmp_path / 'two.png')
    (tmp_path / 'two.png').symlink_to(tmp_path / 'one.png')
    found = search([tmp_path], tmp_path / 'out')
    assert len(found.photographs) == 2 and set(found.failed.values()) == {'it is a link to nothing'}
    assert search([tmp_path / 'one.png'], tmp_path / 'one.png').photographs == [tmp_path / 'one.png']

  def test_a_folder_that_cannot_be_searched_fails(self, tmp_path, monkeypatch):
    (tmp_path / 'in' / 'closed').mkdir(parents=True)
    (tmp_path / 'in' / 'a.jpg').write_bytes(b'x')
    listing = pathlib.Path.iterdir

    def refuse(self):
      if self.name == 'closed':
        raise PermissionError(13, 'Permission denied')
      return listing(self)

    monkeypatch.setattr(pathlib.Path, 'iterdir', refuse)
    found = search([tmp_path / 'in'], tmp_path / 'out')
    assert [path.name for path in found.photographs] == ['a.jpg', 'closed']
    assert 'this folder cannot be searched: Permission denied' in found.failed.values()

  def test_a_folder_that_can_be_listed_and_no_more_fails_file_by_file(self, tmp_path, monkeypatch):
    for name in ('a.jpg', 'listed/b.jpg', 'out/a/theirs.txt', 'out/listed/theirs.txt'):
      (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
      (tmp_path / name).write_bytes(b'x')
    look = os.stat

    def refuse(path, **options):
      if pathlib.Path(os.fsdecode(path)).parent.name == 'listed':
        raise PermissionError(13, 'Permission denied')
      return look(path, **options)

    monkeypatch.setattr(os, 'stat', refuse)
    out = tmp_path / 'out'
    found = search([tmp_path / 'a.jpg', tmp_path / 'listed'], out)
    assert [path.name for path in found.photographs] == ['a.jpg', 'b.jpg']
    assert found.failed == {tmp_path / 'listed' / 'b.jpg': 'it cannot be looked at: Permission denied'}
    assert [path.name for path in search([tmp_path / '*' / '*.jpg'], out).photographs] == ['b.jpg']
    with pytest.raises(Refused, match='no results in'):
      rethreshold(out, {'MA': 0.3})
    named = Folders(out)
    run = Run('digest', 'model', {}, 'place')
    assert [named.choose(pathlib.Path(f'{name}.jpg'), run)[0] for name in ('a', 'listed', 'b')] == ['a~2', 'listed~2', 'b']


@pytest.mark.parametrize('name, said', [
    ('x' * 300 + '.png', 'File name too long'), ('y/' * 4000 + 'a.png', 'File name too long'), ('*' + 'x' * 300, 'File name too long'),
    ('in/a.png/b.png', 'Not a directory')])
def test_a_name_that_no_file_can_have_fails_and_the_others_are_predicted(predict, tmp_path, capsys, name, said):
  eye = _save(tmp_path / 'in' / 'a.png')
  assert predict(tmp_path / name, eye, '--out', tmp_path / 'out') == 1
  assert [row['status'] for row in _rows(tmp_path / 'out').values()] == ['failed', 'predicted']
  assert '1 of 2 photographs failed' in (shown := capsys.readouterr().err) and f'it cannot be read: {said}' in shown


@pytest.mark.parametrize('name', ['a\0.png', 'a\ud800.png', '*\0'])
def test_python_is_told_of_a_name_that_no_system_writes(tmp_path, name):
  with pytest.raises(Refused, match='no file can be called .*leave it out'):
    predict_photographs([tmp_path / 'eye.png', name], tmp_path / 'out')
  assert search([pathlib.Path(name)], tmp_path).photographs == [pathlib.Path(name)]


def test_the_command_says_it(predict, tmp_path, capsys):
  _save(tmp_path / 'in' / 'a.png')
  (tmp_path / 'in' / 'b.heic').write_bytes(b'x')
  assert predict(tmp_path / 'in', '--out', tmp_path / 'out') == 0
  assert '1 other file was not taken (.heic 1)' in capsys.readouterr().out
  with pytest.raises(SystemExit):
    (tmp_path / 'in' / 'a.png').unlink()
    predict(tmp_path / 'in', '--out', tmp_path / 'out')
  assert '1 other file was not taken (.heic 1)' in capsys.readouterr().err


@pytest.mark.parametrize('damage', [
    lambda record: record.pop('quality'), lambda record: record['grade'].__setitem__('key', '<script>alert(1)</script>'),
    lambda record: record.__setitem__('lesions', [])])
def test_a_damaged_record_of_an_earlier_run_is_predicted_again(predict, tmp_path, damage):
  eye, out = _save(tmp_path / 'eye.png', grade=2), tmp_path / 'out'
  predict(eye, '--out', out)
  path = out / 'eye' / 'result.json'
  sound = path.read_text()
  record = json.loads(sound)
  damage(record)
  path.write_text(json.dumps(record))
  assert predict(eye, '--out', out) == 0
  assert path.read_text() == sound and [row['status'] for row in _rows(out).values()] == ['predicted']
  assert 'alert(1)' not in (out / 'report.html').read_text()


def test_a_second_signal_ends_a_process_that_waits_for_a_thread():
  code = '''if True:
    import threading, time
    from lesion_jax.cli import interruption
    with interruption.listening():
      try:
        print('ready', flush=True)
        time.sleep(60)
      except KeyboardInterrupt:
        print('once', flush=True)
        thread = threading.Thread(target=time.sleep, args=(60,))
        thread.start()
        thread.join()
  '''
  process = subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, text=True)
  for said, number in (('ready\n', signal.SIGTERM), ('once\n', signal.SIGINT)):
    assert process.stdout.readline() == said
    time.sleep(0.1)
    process.send_signal(number)
  assert process.wait(20) == -signal.SIGINT
  process.stdout.close()
