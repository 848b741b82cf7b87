"""The benchmark of reading: what it draws, that its readers read the same, and the page of its result."""

from __future__ import annotations

import json
import pathlib

import pytest
from PIL import Image

from experiments.benchmarks import input as reading
from experiments.benchmarks.input import render, write_release

COMMITTED = pathlib.Path(__file__).parents[2] / 'experiments' / 'results' / 'benchmark'


@pytest.fixture(scope='module')
def release(tmp_path_factory):
  root = tmp_path_factory.mktemp('drawn') / 'release'
  write_release(root, count=6, size=64, every_mask=True)
  return root


def _files(root):
  return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob('*')) if path.is_file()}


def test_the_release_is_the_same_each_time_with_eight_masks_or_those_that_are_there(release, tmp_path):
  write_release(tmp_path / 'again', count=6, size=64, every_mask=True)
  assert _files(tmp_path / 'again') == _files(release)
  assert len(list(release.glob('lesion_segs_896x896/*/*.png'))) == 6 * 8
  write_release(tmp_path / 'few', count=6, size=64, every_mask=False)
  few = _files(tmp_path / 'few')
  assert few.items() < _files(release).items()
  for path in (tmp_path / 'few').glob('lesion_segs_896x896/*/*.png'):
    with Image.open(path) as mask:
      assert mask.getbbox(), path


def test_our_reader_gives_endless_batches(release, tmp_path):
  batches, digest = reading.ours(release, tmp_path, batch=3, workers=2)
  assert [next(batches)['image'].shape for _ in range(4)] == [(3, 64, 64, 3)] * 4
  assert digest == reading.ours(release, tmp_path, batch=2, workers=0)[1]


def test_the_plain_reader_reads_the_same(release, tmp_path):
  pytest.importorskip('torch')
  batches, digest = reading.torch(release, tmp_path, batch=3, workers=0)
  image, masks = next(batches)
  assert (tuple(image.shape), tuple(masks.shape)) == ((3, 3, 64, 64), (3, 8, 64, 64))
  assert digest == reading.ours(release, tmp_path, batch=3, workers=0)[1]


def test_the_page_has_medians_ranges_and_ratios():
  rows = [{'masks': 'eight', 'cores': 2, 'reader': reader, 'images_per_second': speeds, 'median': speeds[1],
           'cpu_ms': cpu} for reader, speeds, cpu in (
               ('ours, 16 threads', [80.0, 90.0, 99.0], 11.0), ('DataLoader, 2 workers', [29.0, 30.0, 31.0], 44.0))]
  page = render({'benchmark': 'input', 'size': 896, 'batch': 8, 'rounds': 3, 'batches': 4, 'rows': rows, 'versions': {'torch': '2'},
                 'hardware': {'device': 'cpu', 'devices': 1, 'cpus': 2}})
  assert '| eight masks a photograph | 2 | ours, 16 threads | 90.0 | 45.0 | 80.0–99.0 |  | 11.0 |  |' in page
  assert '| 2 | DataLoader, 2 workers | 30.0 | 15.0 | 29.0–31.0 | 3.00 | 44.0 | 4.00 |' in page


def test_the_committed_page_is_of_the_committed_result():
  result = json.loads((COMMITTED / 'input.json').read_text(encoding='utf-8'))
  assert (COMMITTED / 'input.md').read_text(encoding='utf-8') == render(result)
