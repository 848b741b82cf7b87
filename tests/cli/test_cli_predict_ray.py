"""`lesion-jax predict --engine ray` writes what the local run writes, every photograph once, also when a worker is killed."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from unittest import mock

import numpy as np
import oracle
import pytest
from PIL import Image

from lesion_jax import cli
from lesion_jax.models import get_model
from lesion_jax.weights.bundle import save_bundle
from lesion_jax.weights.initialize import initialize

ROOT = pathlib.Path(__file__).parents[2]
COUNT = 200
LOOPBACK = {'0100007F', '0000000000000000FFFF00000100007F'}  # 127.0.0.1, and the same as an address of IPv6


@pytest.fixture(scope='module')
def place(tmp_path_factory):
  """A folder with 200 small photographs and the bundle of a narrow network: workers do not know the oracle."""
  root = tmp_path_factory.mktemp('ray')
  fields = {'name': 'lesion_net_32s', 'width': 1 / 32}
  variables = initialize(get_model(**fields), np.zeros((1, 64, 64, 3), np.uint8), 0)
  save_bundle(root / 'bundle', config=oracle.oracle_config(model=fields), card='', variables=variables)
  (root / 'photographs').mkdir()
  for number in range(COUNT):
    pixels = oracle.photograph(80, 90, grade=number % 5, center=(40, 45), radius=28 + number % 10)
    Image.fromarray(pixels).save(root / 'photographs' / f'{number:03}.png')
  return root


def start(place, out):
  """The command, in a process of its own, in the folder of the photographs."""
  command = [sys.executable, '-m', 'lesion_jax.cli', 'predict', 'photographs', '--model', 'bundle', '--out', out,
             '--engine', 'ray', '--workers', '2', '--threshold', '0.9']
  return subprocess.Popen(command, cwd=place, env=os.environ | {'PYTHONPATH': str(ROOT)}, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True)


def kill_a_worker(process, out, after):
  """Waits for so many results, then kills one of the two; returns whether there was one, and where all
  of them listened."""
  while process.poll() is None and len(list(out.glob('*/result.json'))) < after:
    time.sleep(0.2)
  workers = [pid for pid in below(process.pid) if 'MapWorker' in read(f'/proc/{pid}/cmdline')]
  addresses = listening(process.pid)
  if workers:
    os.kill(workers[0], signal.SIGKILL)
  return bool(workers), addresses


def listening(pid):
  """The addresses, as the kernel writes them, at which a process or one below it can be reached."""
  sockets = set()
  for each in [pid, *below(pid)]:
    with contextlib.suppress(OSError):
      sockets |= {os.readlink(path) for path in pathlib.Path(f'/proc/{each}/fd').iterdir()}
  rows = [row.split() for name in ('tcp', 'tcp6') for row in read(f'/proc/net/{name}').splitlines()[1:]]
  return {row[1].split(':')[0] for row in rows if row[3] == '0A' and f'socket:[{row[9]}]' in sockets}


def below(pid):
  """All processes that a process has started."""
  children = [int(child) for path in pathlib.Path(f'/proc/{pid}/task').glob('*/children') for child in read(path).split()]
  return children + [deeper for child in children for deeper in below(child)]


def read(path):
  try:
    return pathlib.Path(path).read_text(errors='replace')
  except OSError:  # it has just ended
    return ''


def table(out):
  with (out / 'results.csv').open(newline='') as file:
    return list(csv.DictReader(file))


@pytest.mark.slow
def test_every_photograph_is_there_once_although_a_worker_was_killed(place, monkeypatch):
  pytest.importorskip('ray')
  process = start(place, 'out')
  killed, addresses = kill_a_worker(process, place / 'out', after=COUNT // 4)
  said, complaints = process.communicate(timeout=500)
  assert process.returncode == 0, complaints
  assert addresses and addresses <= LOOPBACK, addresses
  assert killed, 'the run was over before a worker could be killed'
  assert f'{COUNT} of {COUNT} photographs predicted' in said
  rows = table(place / 'out')
  assert [row['file'] for row in rows] == [f'photographs/{number:03}.png' for number in range(COUNT)]
  assert {row['status'] for row in rows} == {'predicted'}
  assert len(list((place / 'out').glob('*/result.json'))) == COUNT
  monkeypatch.chdir(place)
  assert cli.main(['predict', 'photographs', '--model', 'bundle', '--out', 'local', '--threshold', '0.9', '--quiet']) == 0
  mine, theirs = files(place / 'local'), files(place / 'out')
  assert mine.keys() == theirs.keys()
  assert table(place / 'local') == rows
  assert json.loads(theirs['000/result.json']) == json.loads(mine['000/result.json'])


def files(out):
  return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob('*')) if path.is_file()}


def test_without_ray_it_says_how_to_get_it(predict, save, monkeypatch, capsys):
  monkeypatch.setitem(sys.modules, 'ray', None)
  with pytest.raises(SystemExit):
    predict(save('one.png'), '--engine', 'ray')
  assert "pip install 'lesion_jax[ray]'" in capsys.readouterr().err


def test_workers_are_those_of_ray(predict, save, capsys):
  with pytest.raises(SystemExit):
    predict(save('one.png'), '--workers', '2')
  assert '--engine ray' in capsys.readouterr().err


def test_a_worker_has_one_device(predict, save, monkeypatch, capsys):
  monkeypatch.setitem(sys.modules, 'ray', mock.MagicMock())
  monkeypatch.setitem(sys.modules, 'ray.data', mock.MagicMock())
  with pytest.raises(SystemExit):
    predict(save('one.png'), '--engine', 'ray', '--device', 'cuda:1')
  assert 'a worker of --engine ray sees one device alone; give cpu or gpu' in capsys.readouterr().err
