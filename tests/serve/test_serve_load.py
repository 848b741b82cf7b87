"""Much at once: two hundred requests, sixteen at a time, among them broken ones, large ones, slow callers and such as leave.

Every photograph gets what the bare predictor says of it, all else a sentence, memory stays, and nothing is left.
"""

from __future__ import annotations

import io
import json
import pathlib
import random
import socket
import threading
import time

import httpx
import numpy as np
import oracle
import pytest
import serving_load
from PIL import Image
from real import IDRID

pytest.importorskip('uvicorn')
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings('default')]
CASES = IDRID.parents[1] / 'cases' / 'files'
NUMBER, AT_ONCE, SECONDS = 200, 16, 240
PREDICT = '/v1/predict'


def drawn(number):
  """A photograph whose record is like no other's."""
  file = io.BytesIO()
  width = 4 * (number % 20)
  Image.fromarray(oracle.photograph(height=400, width=500, center=(200, 250), radius=180, grade=number % 5, lesions=[
      (oracle.GREEN, (200, 150, 204 + width, 170)), (oracle.BLUE, (200, 220, 210 + number // 20 * 8, 240))])).save(file, 'PNG')
  return file.getvalue()


def told(record):
  """What a record says of its photograph, without who asked."""
  return {key: value for key, value in record.items() if key not in ('file', 'run', 'files')}


@pytest.fixture(scope='module')
def address(oracle_bundle, request):
  """Of a service in other processes."""
  here = pathlib.Path(__file__).parent
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv('PYTHONPATH', f'{here.parents[1]}:{here.parent}:{here}')
    with serving_load.service('--model', str(oracle_bundle), '--import', 'serving_oracle', '--device', 'cpu', '--queue', '64', '--body-seconds', '3') as address:
      yield address


@pytest.fixture(scope='module')
def files():
  return [drawn(number) for number in range(NUMBER)]


@pytest.fixture(scope='module')
def records(oracle_bundle, files):
  return serving_load.bare(str(oracle_bundle), files)


def metric(address, name):
  lines = httpx.get(f'{address}/metrics').text.splitlines()
  return next(float(line.split()[-1]) for line in lines if line.startswith(f'lesion_jax_{name} '))


def test_nothing_is_mixed_and_memory_stays(address, files, records):
  assert len({json.dumps(told(record)) for record in records}) == NUMBER
  serving_load.through(address, files, AT_ONCE)
  before, start = metric(address, 'worker_resident_bytes'), time.monotonic()
  for _ in range(2):
    latencies, answers = serving_load.through(address, files, AT_ONCE)
    assert len(latencies) == NUMBER and {answer.status_code for answer in answers} == {200}
    for answer, record in zip(answers, records, strict=True):
      assert told(answer.json()) == told(record)
  assert time.monotonic() - start < SECONDS
  assert metric(address, 'worker_resident_bytes') < 1.1 * before + (30 << 20)
  assert metric(address, 'queue_photographs') == metric(address, 'held_bytes') == metric(address, 'worker_restarts_total') == 0


def test_among_broken_slow_and_leaving_callers_each_gets_its_own(address, files, records):
  host, port = address.removeprefix('http://').split(':')
  stop, outcomes = threading.Event(), []

  def slow():
    while not stop.is_set():
      with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(b'POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/png\r\nContent-Length: 100000\r\n\r\n')
        try:
          for _ in range(60):
            connection.sendall(b'x')
            time.sleep(0.1)
          outcomes.append(connection.recv(4096))
        except OSError:
          outcomes.append(b'')

  def leaving():
    while not stop.is_set():
      with socket.create_connection((host, int(port)), timeout=20) as connection:
        data = files[0]
        connection.sendall(b'POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n' % len(data))
        connection.sendall(data if random.random() < 0.5 else data[:100])
      time.sleep(0.02)

  def broken():
    rng = np.random.default_rng(0)
    while not stop.is_set():
      data = bytearray(files[int(rng.integers(NUMBER))])
      data[int(rng.integers(len(data)))] ^= 255
      cut = bytes(data[:int(rng.integers(1, len(data)))])
      answer = httpx.post(f'{address}{PREDICT}', content=cut, headers={'content-type': 'image/png'}, timeout=60)
      assert answer.status_code in (422, 503) and answer.json()['error']
      outcomes.append(answer.status_code)

  threads = [threading.Thread(target=each) for each in (slow, slow, slow, leaving, leaving, broken, broken)]
  [thread.start() for thread in threads]
  _, answers = serving_load.through(address, files, AT_ONCE)
  stop.set()
  [thread.join() for thread in threads]
  assert 422 in outcomes and {answer.status_code for answer in answers} == {200}
  assert all(told(answer.json()) == told(record) for answer, record in zip(answers, records, strict=True))
  time.sleep(4)
  assert metric(address, 'queue_photographs') == metric(address, 'held_bytes') == metric(address, 'worker_restarts_total') == 0


def test_slow_callers_are_told_so(address):
  host, port = address.removeprefix('http://').split(':')
  with socket.create_connection((host, int(port)), timeout=30) as connection:
    connection.sendall(b'POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/png\r\nContent-Length: 100\r\n\r\nxx')
    assert b' 408 ' in connection.recv(4096)


def test_fifty_megapixels(address, oracle_bundle):
  image = Image.fromarray(oracle.photograph(grade=3, lesions=[(oracle.GREEN, (150, 100, 170, 120))])).resize((8660, 5774))
  files = []
  for form in ('JPEG', 'PNG', 'TIFF'):
    file = io.BytesIO()
    image.save(file, form, **({'compression': 'tiff_lzw'} if form == 'TIFF' else {}))
    files.append(file.getvalue())
  records = serving_load.bare(str(oracle_bundle), files)
  _, answers = serving_load.through(address, files, 3)
  assert [told(answer.json()) for answer in answers] == list(map(told, records))


def test_latency_is_near_that_of_the_bare_predictor(address, oracle_bundle, files):
  bare, service = serving_load.in_turns(address, serving_load.Bare(str(oracle_bundle)), files[:60])
  assert service.percentile(50) < 2 * bare.percentile(50) + 0.05


def test_decompression_bombs(address):
  file = io.BytesIO()
  Image.new('1', (30_000, 30_000)).save(file, 'PNG')  # 112 kB, and 900 million pixels
  answer = httpx.post(f'{address}{PREDICT}', content=file.getvalue(), headers={'content-type': 'image/png'}, timeout=60)
  assert answer.status_code == 422 and 'pixels' in answer.json()['error']


@pytest.mark.skipif(not CASES.is_dir(), reason=f'the cases are not at {CASES}')
def test_the_files_of_the_cases(address, oracle_bundle):
  paths = sorted(path for path in CASES.rglob('*') if path.is_file())
  assert len(paths) > 25
  bare = serving_load.Bare(str(oracle_bundle))
  with httpx.Client(base_url=address, timeout=120) as client:
    for path in paths:
      try:
        record = bare(path.read_bytes())
      except ValueError:
        record = None
      answer = client.post(PREDICT, files={'photograph': (path.name, path.read_bytes())})
      if record is None:
        assert answer.status_code in (400, 422) and len(answer.json()['error']) < 600, path
      else:
        assert answer.status_code == 200 and told(answer.json()) == told(record), path
  assert metric(address, 'worker_restarts_total') == 0
