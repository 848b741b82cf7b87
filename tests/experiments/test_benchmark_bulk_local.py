"""The benchmark of a folder of photographs: its photographs, its clock, its page, and the guard over it."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from drawing import fundus
from PIL import Image

from experiments.benchmarks import bulk_local, guard
from lesion_jax.photograph import png
from lesion_jax.report import files


def burn(seconds):
  end = time.thread_time() + seconds
  while time.thread_time() < end:
    pass


@pytest.fixture
def idrid(tmp_path):
  folder = tmp_path / 'idrid' / 'A. Segmentation' / '1. Original Images' / 'b. Testing Set'
  folder.mkdir(parents=True)
  for number in range(3):
    Image.fromarray(fundus(60, 80, seed=number)).save(folder / f'IDRiD_{55 + number}.jpg')
  return tmp_path / 'idrid'


def test_no_two_photographs_have_the_same_bytes_and_their_pixels_come_again(idrid, tmp_path):
  folder, distinct = bulk_local.write_photographs(idrid, tmp_path / 'photographs', 7)
  found = sorted(folder.iterdir())
  assert (len(found), distinct, len({path.read_bytes() for path in found})) == (7, 3, 7)
  pixels = [np.asarray(Image.open(path)) for path in found]
  for number, each in enumerate(pixels):
    np.testing.assert_array_equal(each, pixels[number % 3])
  with pytest.raises(FileNotFoundError, match='no photograph of the test set'):
    bulk_local.write_photographs(tmp_path, tmp_path / 'others', 7)


def test_the_clock_counts_a_function_without_what_it_calls_on_every_thread_and_leaves_no_trace(tmp_path, monkeypatch):
  before = png.encode_png
  monkeypatch.setattr(png, 'encode_png', lambda pixels: burn(0.04) or b'')
  monkeypatch.setattr(files, 'encode_png', png.encode_png)

  def write():
    burn(0.02)
    files.encode_png(None)

  monkeypatch.setattr(files, 'write_grey', write)
  clock, mine = bulk_local.Clock(), files.write_grey
  with clock.running({'PNG': ('photograph.png:encode_png',), 'files': ('report.files:write_grey', 'report.files:no_longer_there')}):
    threads = [threading.Thread(target=files.write_grey) for _ in range(2)]
    for thread in threads:
      thread.start()
    for thread in threads:
      thread.join()
  assert clock.seconds['PNG'] == pytest.approx(0.08, abs=0.03) and clock.seconds['files'] == pytest.approx(0.04, abs=0.03)
  assert files.write_grey is mine and png.encode_png is files.encode_png is not before


def result(cpu):
  row = lambda times: {'seconds': [0.5, 0.6, 0.7], 'cpu_seconds': [cpu * times] * 3, 'yardstick': [0.2] * 3, 'bytes': 2e6, 'regions': 180.0,
                       'stages': {'PNG': 0.1, bulk_local.REST: 0.2}}
  rows = {bulk_local.REDUCED: row(1), bulk_local.OURS: row(2), bulk_local.BASELINE: row(4)}
  return {'benchmark': 'bulk_local', 'count': 100, 'distinct': 10, 'rounds': 3, 'network': 'idrid', 'rows': rows,
          'ratios': {bulk_local.OURS: {'cpu_seconds': {'of_medians': 2.0, 'median': 2.0, 'low': 1.9, 'high': 2.1}}},
          'versions': {'jax': '1'}, 'hardware': {'device': 'cpu', 'devices': 1, 'cpus': 2}}


def test_the_page_has_speeds_stages_and_what_a_gpu_would_wait_for():
  page = bulk_local.render(result(0.4))
  assert '| `--reduced --no-overlay` | 1.67 | 0.40 |' in page and '| PNG | 100 | 100 | 100 |' in page
  assert 'would take 40 (`--reduced --no-overlay`) and 20 (in full size) photographs a second' in page
  assert '| in full size | CPU seconds | 2.00 | 2.00 | 1.90–2.10 |' in page


@pytest.mark.parametrize('now, status', [(0.4, 0), (0.47, 0), (0.5, 1)])
def test_the_guard_speaks_when_more_than_a_fifth_is_lost(now, status, tmp_path, monkeypatch, capsys):
  recorded = tmp_path / 'bulk_local.json'
  bulk_local.record.save(recorded, result(0.4))
  monkeypatch.setattr(guard, 'measure_host', lambda *arguments, **named: result(now))
  assert guard.guard_host(tmp_path, tmp_path, recorded) == status
  assert ('a photograph takes 2.5 times the yardstick, 2.0 were recorded' in capsys.readouterr().err) == bool(status)


@pytest.mark.parametrize('stage', bulk_local.STAGES)
def test_every_stage_has_a_function_in_this_version(stage):
  clock = bulk_local.Clock()
  with clock.running({stage: bulk_local.STAGES[stage]}) as found:
    assert found, f'nothing of {bulk_local.STAGES[stage]} is there any more'
