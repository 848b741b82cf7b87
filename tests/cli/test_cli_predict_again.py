"""`lesion-jax predict`: which photographs it takes, what it does not do twice, and what stops it half-way."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pathlib
import signal

import jax
import numpy as np
import pytest
from PIL import Image

from lesion_jax import cli
from lesion_jax import predict as predict_package
from lesion_jax.bulk import run as bulk_run
from lesion_jax.bulk.inputs import Folders, find_photographs
from lesion_jax.clinical.record import Run
from lesion_jax.photograph import prepare
from lesion_jax.predict import predictor


def statuses(rows):
  return [(row['folder'], row['status']) for row in rows]


def written(folder):
  """When each file of a folder was written."""
  return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


class TestFindPhotographs:

  @pytest.fixture
  def tree(self, tmp_path, monkeypatch):
    for name in ('b.png', 'a.JPG', 'sub/c.dcm', 'sub/deep/d.tif', 'sub/notes.txt', 'out/a/MA.png'):
      path = tmp_path / name
      path.parent.mkdir(parents=True, exist_ok=True)
      path.touch()
    monkeypatch.chdir(tmp_path)

  def test_dicom_files_need_no_ending(self, tmp_path):
    for name in ('IM0001', '1.2.840.113619', 'README', 'notes.txt'):
      (tmp_path / name).write_bytes(b'\0' * 128 + (b'DICM' if name[0] in 'I1' else b'text'))
    assert [path.name for path in find_photographs([tmp_path], tmp_path / 'out')] == ['1.2.840.113619', 'IM0001']

  @pytest.mark.parametrize('paths, files', [
    (['b.png', 'a.JPG', 'b.png'], ['b.png', 'a.JPG']),  # as given, each once
    (['.'], ['a.JPG', 'b.png', 'sub/c.dcm', 'sub/deep/d.tif']),  # no notes, no output
    (['sub', '.'], ['sub/c.dcm', 'sub/deep/d.tif', 'a.JPG', 'b.png']),
    (['*.png', '*.JPG'], ['b.png', 'a.JPG']),
    (['sub/*'], ['sub/c.dcm', 'sub/deep/d.tif', 'sub/notes.txt']),  # a pattern means what it says
    (['**/*.tif', '**/*.png'], ['sub/deep/d.tif', 'b.png']),
    (['*.bmp', 'absent.png'], ['*.bmp', 'absent.png']),  # reading them says what is wrong
  ])
  def test_files_folders_and_patterns(self, tree, paths, files):
    found = find_photographs([pathlib.Path(path) for path in paths], pathlib.Path('out'))
    assert [path.as_posix() for path in found] == files

  def test_a_file_whose_name_looks_like_a_pattern_is_a_file(self, tree):
    pathlib.Path('[b].png').touch()
    assert find_photographs([pathlib.Path('[b].png')], pathlib.Path('out')) == [pathlib.Path('[b].png')]


def test_folders_stay_apart_whatever_the_stems_are(tmp_path):
  folders = Folders(tmp_path)
  files = ['a.png', 'a~2.png', 'b/a.png', 'results.csv.png', 'report.html.png', '...png', '.eye.png', 'B/A.png']
  names = [folders.choose(pathlib.Path(file), Run('', '', {}))[0] for file in files]
  assert names == ['a', 'a~2', 'a~3', 'results.csv~2', 'report.html~2', 'photograph', 'eye', 'A~4']


def test_patterns_and_missing_files_are_answered_in_order(predict, save, read_table, tmp_path, capsys):
  save('right.png', grade=1), save('left.png', grade=2)
  status, out = predict(tmp_path / 'photographs' / '*.png', tmp_path / '*.bmp', tmp_path / 'absent.png')
  assert status == 1
  assert statuses(read_table(out)) == [('left', 'predicted'), ('right', 'predicted'), ('', 'failed'), ('', 'failed')]
  said = capsys.readouterr().err
  assert '*.bmp: no file matches this pattern' in said and 'absent.png: there is no such file' in said


def test_what_is_done_is_not_done_again_and_needs_no_network(predict, save, read_table, monkeypatch, capsys):
  paths = [save('b.png', grade=1), save('a.png', grade=2)]
  assert predict(*paths)[0] == 0
  monkeypatch.setattr(predict_package, 'load', None)
  status, out = predict(*paths)
  said = capsys.readouterr().out
  assert status == 0 and '0 of 2 photographs predicted, 2 were done before' in said
  assert 'A person should look at 2 of 2 photographs (1 ungradable, 1 referable, 1 second look)' in said
  rows = read_table(out)
  assert statuses(rows) == [('b', 'skipped'), ('a', 'skipped')] and [row['grade'] for row in rows] == ['1', '2']
  page = (out / 'report.html').read_text()
  assert page.count('of an earlier run') == 2 and page.count('<article') == 2


def test_a_new_photograph_joins_those_that_are_done(predict, save, read_table):
  a, c = save('a.png', grade=1), save('c.png', grade=3)
  _, out = predict(a, c)
  times = written(out / 'a')
  assert predict(a, save('b.png', grade=2), c)[0] == 0
  assert statuses(read_table(out)) == [('a', 'skipped'), ('b', 'predicted'), ('c', 'skipped')]
  assert written(out / 'a') == times


@pytest.mark.parametrize('options', [['--overwrite'], ['--threshold', '0.7'], ['--threshold', 'MA=0.7'], ['--crop']])
def test_overwrite_or_other_options_do_it_again(predict, save, read_table, options):
  path = save('eye.png', grade=1)
  _, out = predict(path)
  predict(path, *options)
  assert statuses(read_table(out)) == [('eye', 'predicted')]


def test_another_model_does_it_again(predict, save, read_table, bundle):
  path = save('eye.png', grade=1)
  _, out = predict(path)
  config = json.loads((bundle / 'config.json').read_text())
  (bundle / 'config.json').write_text(json.dumps(config | {'provenance': {'seed': 8}}))
  predict(path)
  assert statuses(read_table(out)) == [('eye', 'predicted')]


def test_a_photograph_that_was_changed_is_done_again_in_its_place(predict, save, read_table):
  _, out = predict(save('eye.png', grade=1))
  predict(save('eye.png', grade=3))
  assert [(row['folder'], row['status'], row['grade']) for row in read_table(out)] == [('eye', 'predicted', '3')]


def test_a_photograph_that_was_moved_is_known_again(predict, save, read_table, tmp_path):
  path = save('eye.png', grade=1)
  _, out = predict(path)
  (tmp_path / 'elsewhere').mkdir()
  moved = path.rename(tmp_path / 'elsewhere' / 'eye.png')
  predict(moved)
  row, = read_table(out)
  assert (row['folder'], row['status'], row['file']) == ('eye', 'skipped', str(moved))
  record = json.loads((out / 'eye' / 'result.json').read_text())
  assert record['file'] == str(moved), 'new thresholds and forms of other tools look for it there'
  times = written(out / 'eye')
  predict(moved)
  assert written(out / 'eye') == times


def test_a_photograph_keeps_its_folder_when_another_of_its_name_goes(predict, save, read_table):
  broken, eye = save('eye.png'), save('sub/eye.png', grade=2)
  broken.write_text('no picture')
  status, out = predict(broken, eye)
  assert status == 1 and statuses(read_table(out)) == [('', 'failed'), ('eye~2', 'predicted')]
  broken.unlink()
  assert predict(eye)[0] == 0 and statuses(read_table(out)) == [('eye~2', 'skipped')]
  copy = save('copy/eye.png')
  copy.write_bytes(eye.read_bytes())
  predict(copy, eye)
  assert statuses(read_table(out)) == [('eye~2', 'skipped'), ('eye', 'predicted')]
  for path, folder, other in ((copy, 'eye~2', eye), (eye, 'eye', copy)):  # the same bytes: its place counts
    predict(path)
    assert [(row['folder'], row['file']) for row in read_table(out)] == [(folder, str(path)), ({'eye~2': 'eye'}.get(folder, 'eye~2'), str(other))]


def test_results_of_another_photograph_are_left_alone(predict, save, read_table):
  first = save('x/eye.png', grade=1)
  _, out = predict(first)
  predict(save('y/eye.png', grade=4))
  assert [(row['folder'], row['grade']) for row in read_table(out)] == [('eye~2', '4'), ('eye', '1')], 'the table is of both'
  predict(first)
  assert statuses(read_table(out)) == [('eye', 'skipped'), ('eye~2', 'skipped')]


def test_files_of_somebody_else_are_left_alone(predict, save, read_table, tmp_path):
  (tmp_path / 'out' / 'eye').mkdir(parents=True)
  (tmp_path / 'out' / 'eye' / 'MA.png').write_text('drawn by hand')
  path = save('eye.png', grade=1)
  predict(path)
  assert (tmp_path / 'out' / 'eye' / 'MA.png').read_text() == 'drawn by hand'
  _, out = predict(path)
  assert statuses(read_table(out)) == [('eye~2', 'skipped')]


@pytest.mark.parametrize('lost', ['result.json', 'overlay.png'])
def test_a_folder_that_is_not_complete_is_done_again(predict, save, read_table, lost):
  path = save('eye.png', grade=1)
  _, out = predict(path)
  (out / 'eye' / lost).unlink()
  predict(path)
  assert statuses(read_table(out)) == [('eye', 'predicted')] and (out / 'eye' / lost).exists()


@pytest.mark.parametrize('number', [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_what_is_interrupted_keeps_what_is_done_and_goes_on_later(
    predict, save, read_table, monkeypatch, capsys, number):
  paths = [save(f'{name}.png', grade=1) for name in 'abcd']
  read = prepare.read_image

  def interrupt_at_d(path, **options):
    if path.stem == 'd':
      os.kill(os.getpid(), number)
    return read(path, **options)

  monkeypatch.setattr(prepare, 'read_image', interrupt_at_d)
  status, out = predict(*paths)
  assert status == 130 and 'run the same command again to resume' in capsys.readouterr().err
  done = statuses(read_table(out))
  assert done == [(name, 'predicted') for name in 'abcd'[:len(done)]] and len(done) < 4
  assert (out / 'report.html').exists()
  monkeypatch.setattr(prepare, 'read_image', read)
  assert predict(*paths)[0] == 0
  assert statuses(read_table(out))[:len(done)] == [(folder, 'skipped') for folder, _ in done]
  assert statuses(read_table(out))[-1] == ('d', 'predicted')


@pytest.mark.parametrize('number', [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM])
def test_a_signal_is_heard_where_its_exception_is_lost(predict, save, read_table, monkeypatch, number):
  """As in a finaliser or another callback of C code."""
  paths = [save(f'{name}.png', grade=1) for name in 'abcdefgh']
  describe = bulk_run.describe

  def interrupt(*args, **kwargs):
    if kwargs['file'].endswith('a.png'):
      with contextlib.suppress(KeyboardInterrupt):
        signal.getsignal(number)(number, None)
    return describe(*args, **kwargs)

  monkeypatch.setattr(bulk_run, 'describe', interrupt)
  status, out = predict(*paths)
  assert status == 130 and 0 < len(read_table(out)) < 8


def test_too_little_memory_stops_the_run_and_is_said_with_what_to_do(predict, save, monkeypatch, capsys):
  paths, collect = [save(f'{name}.png', grade=1) for name in 'abc'], predictor._collect

  def exhaust(*found):
    raise jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.')

  monkeypatch.setattr(predictor, '_collect', exhaust)
  status, out = predict(*paths, '--batch-size', '2')
  said = capsys.readouterr().err
  assert status == 1 and 'choose a smaller --batch-size' in said and 'Traceback' not in said
  assert (out / 'report.html').exists()
  monkeypatch.setattr(predictor, '_collect', collect)
  assert predict(*paths)[0] == 0


@pytest.mark.slow  # decoding it takes seconds; what is given up is tested in tests/photograph/test_patience.py
def test_a_photograph_that_takes_too_long_to_read_fails_and_the_others_go_on(predict, save, read_table, tmp_path, capsys):
  files = [save(name) for name in ('a.png', 'c.png')]
  noise = np.random.default_rng(0).integers(0, 256, (3000, 3000, 3), np.uint8)
  Image.fromarray(noise).save(tmp_path / 'photographs' / 'b.jp2')  # decoding it takes about 3 seconds
  status, out = predict(files[0].parent, '--seconds', 1)
  assert status == 1
  said = [line for line in capsys.readouterr().err.splitlines() if 'b.jp2' in line]
  assert len(said) == 1 and 'reading it takes longer than 1 second, and was given up' in said[0]
  assert [row['status'] for row in read_table(out)] == ['predicted', 'failed', 'predicted']


def test_no_room_stops_the_run_and_keeps_what_is_done(predict, save, read_table, monkeypatch, capsys):
  paths = [save(f'{name}.png', grade=1) for name in 'abcdefgh']
  write, tried = bulk_run.write_result, []

  def full_after_a(folder, *rest):
    tried.append(folder.name)
    if folder.name != 'a':
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return write(folder, *rest)

  monkeypatch.setattr(bulk_run, 'write_result', full_after_a)
  status, out = predict(*paths)
  assert status == 1 and len(tried) < 8
  assert 'stopped, as nothing more can be written' in capsys.readouterr().err
  rows = statuses(read_table(out))
  assert rows[:2] == [('a', 'predicted'), ('', 'failed')] and len(rows) < 8


def test_a_folder_that_cannot_be_written_to_is_refused_before_anything_else(save, bundle, monkeypatch, capsys):
  out = pathlib.Path('/proc/self/fdinfo')  # not even root writes here
  if not out.is_dir():
    pytest.skip('this system has no folder that nobody can write to')
  with pytest.raises(SystemExit) as stop:
    cli.main(['predict', str(save('eye.png')), '--model', str(bundle), '--out', str(out)])
  assert stop.value.code == 2
  assert 'cannot be written to' in capsys.readouterr().err


def test_quiet_says_only_what_went_wrong(predict, save, tmp_path, capsys):
  (tmp_path / 'bad.png').write_bytes(b'')
  assert predict(save('eye.png'), '--quiet')[0] == 0
  said = capsys.readouterr()
  assert (said.out, said.err) == ('', '')
  assert predict(tmp_path / 'bad.png', '--quiet')[0] == 1
  said = capsys.readouterr()
  assert said.out == '' and 'bad.png' in said.err


def test_names_of_any_kind_are_taken(predict, save, read_table, tmp_path):
  names = ['with space & ü.png', '<script>alert(1).png', '=1+1.png', 'line\nbreak.png']
  paths = [save(name, grade=1) for name in names]
  foreign = pathlib.Path(os.fsdecode(os.fsencode(tmp_path) + b'/photographs/\xff.png'))
  Image.open(paths[0]).save(foreign)
  status, out = predict(*paths, foreign)
  assert status == 0
  rows = read_table(out)
  assert [pathlib.Path(row['file']).name for row in rows] == [*names, '\\udcff.png']
  assert all((out / pathlib.Path(name).stem / 'result.json').exists() for name in names)
  assert '<script>alert' not in (out / 'report.html').read_text()
