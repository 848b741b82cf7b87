"""The command as its users have it, in processes of its own: it ends when it is told to, and however it ends nothing is left."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import types

import httpx
import numpy as np
import pages
import pytest
from PIL import Image

from lesion_jax import cli
from lesion_jax.cli import options

pytest.importorskip('uvicorn')
from lesion_jax.serve import private
from lesion_jax.serve.app import ROUTES

PREDICT = '/v1/predict'
linux = pytest.mark.skipif(not pathlib.Path('/proc/self/stat').exists(), reason='processes are looked at in /proc')


class Served:
  """A service in other processes: `client`, `process` of the front, `worker()`, `log()`, `left()`."""

  def __init__(self, process, log, temporary):
    self.process, self._log, self._temporary = process, log, temporary
    address = self.event('listening')['address']
    self.address, self.client = address, httpx.Client(base_url=address, timeout=120)

  def log(self):
    """The lines so far, each of which is JSON."""
    return [json.loads(line) for line in self._log.read_text().splitlines()]

  def event(self, name, seconds=60):
    """The first line of an event, waited for."""
    end = time.monotonic() + seconds
    while True:
      assert time.monotonic() < end and self.process.poll() is None, self._log.read_text()
      with contextlib.suppress(ValueError, StopIteration):
        return next(line for line in self.log() if line['event'] == name)
      time.sleep(0.05)

  def wait(self, seconds=60):
    """Until photographs are taken."""
    end = time.monotonic() + seconds
    while self.client.get('/readyz').status_code != 200:
      assert time.monotonic() < end, self.log()
      time.sleep(0.05)
    return self

  def worker(self):
    """Number of the worker's process."""
    found, = children(self.process.pid)
    return found

  def left(self):
    """What is in the folder of temporary files."""
    return sorted(path.name for path in self._temporary.iterdir())


def children(process):
  """Numbers of the processes that a process has started and that are alive."""
  found = []
  for path in pathlib.Path('/proc').glob('[0-9]*/stat'):
    with contextlib.suppress(OSError):
      state, parent = path.read_text().rpartition(')')[2].split()[:2]
      if int(parent) == process and state != 'Z':
        found.append(int(path.parent.name))
  return found


def is_alive(process):
  with contextlib.suppress(OSError):
    return pathlib.Path(f'/proc/{process}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
  return False


def gone(what, seconds=20):
  """Whether something stops being so within these seconds."""
  end = time.monotonic() + seconds
  while what():
    if time.monotonic() > end:
      return False
    time.sleep(0.05)
  return True


@pytest.fixture
def serve(oracle_bundle, environment, tmp_path):
  """`serve(*options) -> Served`."""
  with contextlib.ExitStack() as stack:

    def start(*options):
      temporary = tmp_path / f'temporary{len(list(tmp_path.iterdir()))}'
      temporary.mkdir()
      log = temporary.with_suffix('.log')
      with log.open('w') as file:
        process = subprocess.Popen(
            [sys.executable, '-m', 'lesion_jax.cli', 'serve', '--import', 'serving_oracle', '--model', str(oracle_bundle), '--port', '0',
             '--device', 'cpu', *options], env=environment | {'TMPDIR': str(temporary)}, stderr=file, stdin=subprocess.DEVNULL)
      stack.callback(process.wait)
      stack.callback(process.kill)
      served = Served(process, log, temporary)
      stack.callback(served.client.close)
      return served

    yield start


@linux
def test_it_answers_and_ends_when_it_is_told_to_and_leaves_nothing(serve, encode):
  served = serve().wait()
  worker = served.worker()
  found = served.client.post(f'{PREDICT}?include=all', files={'photograph': ('Doe^Jane.png', encode(grade=2))}).json()
  assert found['result']['grade']['key'] == 'DR2' and found['result']['file'] == 'Doe^Jane.png'
  assert len(served.left()) == 1 and not list(served._temporary.glob('*/*'))
  served.process.send_signal(signal.SIGTERM)
  assert served.process.wait(30) == 0 and gone(lambda: is_alive(worker)) and not served.left()
  assert 'Doe' not in json.dumps(served.log()) and served.log()[-1]['event'] == 'ended'


@pytest.mark.slow
@linux
def test_a_request_whose_end_is_said_twice_is_the_last_of_its_connection(serve):
  served = serve()
  host, port = served.address.removeprefix('http://').split(':')
  with socket.create_connection((host, int(port)), timeout=20) as connection:
    connection.sendall(b'POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'
                       b'GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n')
    found = b''
    with contextlib.suppress(ConnectionError):
      while piece := connection.recv(4096):
        found += piece
  assert found.startswith(b'HTTP/1.1 400 ') and found.count(b'HTTP/1.1 ') == 1


@pytest.mark.slow
@linux
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_what_is_at_work_is_finished_before_it_ends(serve, encode, number):
  served, answers = serve().wait(), []
  data = encode(grade=2, height=3000, width=3600, center=(1500, 1800), radius=1400)
  threads = [threading.Thread(target=lambda: answers.append(served.client.post(PREDICT, files={'a': data}))) for _ in range(3)]
  [thread.start() for thread in threads]
  while 'lesion_jax_queue_photographs 3.0' not in httpx.get(f'{served.address}/metrics').text:
    time.sleep(0.02)
  served.process.send_signal(number)
  [thread.join() for thread in threads]
  assert [answer.json()['grade']['value'] for answer in answers] == [2, 2, 2]
  assert served.process.wait(30) == 0 and not served.left()


@linux
def test_a_front_that_is_killed_takes_its_worker_and_its_folder_along(serve):
  served = serve().wait()
  worker = served.worker()
  served.process.kill()
  assert gone(lambda: is_alive(worker)) and gone(served.left)


@pytest.mark.slow
@linux
def test_a_worker_that_is_killed_leaves_nothing_and_another_one_answers(serve, encode):
  served = serve('--queue', '64').wait()
  statuses, files = [], [encode(grade=number % 5, height=1000, width=1200, center=(500, 600), radius=400) for number in range(24)]
  threads = [threading.Thread(target=lambda data=data: statuses.append(
      httpx.post(f'{served.address}{PREDICT}?include=all', content=data, headers={'content-type': 'image/png'}, timeout=120).status_code))
             for data in files]
  [thread.start() for thread in threads]
  first = served.worker()
  time.sleep(0.5)
  os.kill(first, signal.SIGKILL)
  [thread.join() for thread in threads]
  assert set(statuses) <= {200, 503} and 503 in statuses and len(statuses) == len(files)
  served.wait()
  assert served.worker() != first and not list(served._temporary.glob('*/*'))
  assert served.client.post(PREDICT, files={'a': files[3]}).json()['grade']['value'] == 3
  served.process.send_signal(signal.SIGTERM)
  assert served.process.wait(30) == 0 and not served.left()


@pytest.mark.slow
@linux
def test_what_decodes_jpeg_2000_dies_with_its_worker(serve, tmp_path):
  served = serve().wait()
  noise = np.random.default_rng(0).integers(0, 256, (5000, 5000, 3), np.uint8)
  Image.fromarray(noise).save(tmp_path / 'large.jp2', irreversible=True, quality_layers=[8])
  worker = served.worker()
  thread = threading.Thread(target=lambda: served.client.post(PREDICT, content=(tmp_path / 'large.jp2').read_bytes(), headers={
      'content-type': 'image/jp2'}))
  thread.start()
  assert gone(lambda: not children(worker))
  decoder, = children(worker)
  os.kill(worker, signal.SIGKILL)
  assert gone(lambda: is_alive(decoder), 2)
  thread.join()


@pytest.mark.slow
@linux
def test_both_killed_at_once_leave_a_folder_that_the_next_one_removes(serve, tmp_path, monkeypatch):
  served = serve().wait()
  worker = served.worker()
  os.kill(worker, signal.SIGSTOP)
  served.process.kill()
  served.process.wait()
  os.kill(worker, signal.SIGKILL)
  left, = served.left()
  assert left.startswith(private.PREFIX)
  monkeypatch.setattr(private, 'FRESH', -1)
  private.sweep(served._temporary)
  assert not served.left()


class TestDocs:
  """docs/serve.md."""

  PAGE = pages.ROOT / 'docs' / 'serve.md'

  def test_the_client_of_ten_lines_gets_records_and_sentences(self, serve, encode, tmp_path):
    block, = pages.blocks(self.PAGE.read_text('utf-8'), 'py')
    lines = [line for line in block.splitlines()[2:] if line]
    assert len(lines) <= 11
    names = {}
    exec(compile(block, str(self.PAGE), 'exec'), names)
    names['time'] = types.SimpleNamespace(sleep=lambda seconds: time.sleep(0.1 if seconds >= 1 else 100))
    address = serve().address  # not ready yet: it waits
    (tmp_path / 'eye.png').write_bytes(encode(grade=3))
    assert names['predict'](tmp_path / 'eye.png', address)['grade']['key'] == 'DR3'
    with pytest.raises(ValueError, match='it is no image'):
      (tmp_path / 'text').write_text('no photograph')
      names['predict'](tmp_path / 'text', address, token='not asked for')

  def test_the_limits_are_those_of_the_command(self):
    found = dict(re.findall(r'^\| `--([a-z-]+)` \| ([\d,M]+) \|', self.PAGE.read_text('utf-8'), re.MULTILINE))
    defaults = vars(cli.make_parser().parse_args(['serve']))
    assert len(found) == 7
    for name, shown in found.items():
      assert options.memory(shown.replace(',', '')) == defaults[name.replace('-', '_')], name

  def test_every_address_is_in_its_table(self):
    assert set(ROUTES.values()) <= set(re.findall(r'`(?:GET |POST )?(/[\w/.]*)`', self.PAGE.read_text('utf-8')))


class TestPrivateFolder:

  def test_one_that_is_held_stays_and_others_go(self, tmp_path, monkeypatch):
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    monkeypatch.setattr(private, 'FRESH', -1)
    (tmp_path / f'{private.PREFIX}dead').mkdir()
    (tmp_path / f'{private.PREFIX}dead' / 'field.jpg').write_bytes(b'x')
    (tmp_path / f'{private.PREFIX}link').symlink_to(tmp_path / 'kept')
    (tmp_path / 'kept').mkdir()
    with private.private_folder() as first, private.private_folder() as second:
      assert first.exists() and second.exists() and first.stat().st_mode & 0o777 == 0o700
      assert not (tmp_path / f'{private.PREFIX}dead').exists() and (tmp_path / 'kept').exists()
      (first / 'more').mkdir()
      (first / 'more' / 'x').touch()
      (first / 'y').touch()
      private.empty(first)
      assert not list(first.iterdir())
    assert not first.exists() and not second.exists()

  def test_a_young_one_may_be_somebodys_who_has_not_locked_it_yet(self, tmp_path):
    (tmp_path / f'{private.PREFIX}young').mkdir()
    private.sweep(tmp_path)
    assert (tmp_path / f'{private.PREFIX}young').exists()


class TestMistakes:

  @pytest.mark.parametrize(('arguments', 'words'), [
      (['--host', '0.0.0.0'], '--allow-remote'), (['--host', '0.0.0.0', '--allow-remote'], '--token-file'),
      (['--token-file', 'nowhere'], 'No such file'), (['--port', '70000'], '65535'), (['--port', 'x'], 'whole number'),
      (['--token', 'a-token-of-more-than-sixteen'], 'into a file')])
  def test_each_is_a_line(self, arguments, words, capsys, monkeypatch):
    monkeypatch.delenv('LESION_JAX_TOKEN', raising=False)
    with pytest.raises(SystemExit) as end:
      cli.main(['serve', *arguments])
    assert end.value.code == 2 and words in capsys.readouterr().err.splitlines()[-1]

  def test_an_address_that_is_taken(self, capsys):
    with socket.create_server(('127.0.0.1', 0)) as taken:
      assert cli.main(['serve', '--port', str(taken.getsockname()[1])]) == 2
    assert '--port' in capsys.readouterr().err

  @pytest.mark.slow
  def test_a_network_that_there_is_not(self, environment, tmp_path):
    done = subprocess.run([sys.executable, '-m', 'lesion_jax.cli', 'serve', '--model', str(tmp_path / 'nothing'), '--port', '0'],
                          env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and 'Traceback' not in done.stderr and done.stderr.splitlines()[-1].startswith('error: --model')

  def test_without_the_extra_it_says_which(self, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'starlette', None)
    assert cli.main(['serve']) == 2
    assert "pip install 'lesion_jax[serve]'" in capsys.readouterr().err
