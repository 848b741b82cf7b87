"""Masks and outlines in the photograph's own pixels."""

from __future__ import annotations

import re

import contourpy
import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage

from lesion_jax.photograph.crop import Crop
from lesion_jax.report.files import write_grey, write_whole
from lesion_jax.report.outlines import Drawing, read_outlines, write_outlines

CROPS = [Crop(-30, 40, 345, 285, 429), Crop(20, 80, 161, 200, 300), Crop(0, 0, 90, 90, 90), Crop(5, 5, 40, 60, 50)]


@pytest.fixture
def blobs():
  """A map with regions of many sizes, some at the edge: float32 [90, 90]."""
  noise = ndimage.gaussian_filter(np.random.default_rng(0).random((90, 90)), 2, mode='wrap')
  return (1 / (1 + np.exp(-3 * (noise - noise.mean()) / noise.std() + 3))).astype(np.float32)


def fill(path, crop):
  """What the path of `trace` encloses, holes by the even-odd rule: bool [height, width]."""
  image = np.zeros((crop.height, crop.width), bool)
  for part in re.findall(r'M([^z]*)z', path):
    start, _, steps = part.partition('l')
    numbers = [[float(number) for number in re.findall(r'-?[\d.]+', text)] for text in (start, steps)]
    points = np.cumsum(np.reshape(numbers[0] + numbers[1], (-1, 2)), axis=0)
    canvas = Image.new('L', (crop.width, crop.height))
    ImageDraw.Draw(canvas).polygon([tuple(point) for point in points - 0.5], fill=1)
    image ^= np.asarray(canvas) > 0
  return image


@pytest.mark.parametrize('crop', CROPS)
def test_the_fast_mask_is_the_map_brought_back_to_the_photograph(blobs, crop):
  mask = Drawing(blobs, 0.5, crop).mask()
  slow = crop.invert(blobs)
  assert mask.shape == (crop.height, crop.width) and mask.any()
  assert not (mask != (slow >= 0.5))[np.abs(slow - 0.5) > 1e-4].any()


def test_a_map_without_lesion_is_an_empty_mask_and_an_empty_path():
  empty = np.zeros((9, 9), np.float32)
  assert not Drawing(empty, 0.5, CROPS[0]).mask().any()
  assert Drawing(empty, 0.5, CROPS[0]).outline() == ''


@pytest.mark.parametrize('crop', CROPS[:3])
def test_the_outline_runs_around_the_mask(blobs, crop):
  inside, mask = fill(Drawing(blobs, 0.5, crop).outline(), crop), Drawing(blobs, 0.5, crop).mask()
  # PIL also fills the pixels that the line touches; and a peak between two pixels of the photograph has no mask.
  assert not (mask & ~ndimage.binary_dilation(inside, iterations=2)).any()
  assert (inside & ~ndimage.binary_dilation(mask, iterations=2)).sum() < 0.002 * mask.sum()


def test_a_value_that_equals_the_threshold_is_inside():
  values = np.zeros((9, 9), np.float32)
  values[4, 4] = 0.5
  assert Drawing(values, 0.5, Crop(0, 0, 90, 90, 90)).outline() != ''


def test_outlines_are_read_back_as_they_were_written(tmp_path, blobs):
  paths = {'MA': Drawing(blobs, 0.5, CROPS[0]).outline(), 'NV': Drawing(blobs, 0.9, CROPS[0]).outline()}
  write_outlines(tmp_path / 'outlines.svg', paths, CROPS[0])
  assert read_outlines(tmp_path / 'outlines.svg') == paths
  assert 'viewBox="0 0 429 285"' in (tmp_path / 'outlines.svg').read_text()


@pytest.mark.parametrize('text', [
    'no XML', '<svg xmlns="http://www.w3.org/2000/svg"><path id="MA" d="&quot;/&gt;&lt;script/&gt;"/></svg>',
    '<svg xmlns="http://www.w3.org/2000/svg"><path id="x onload" d="M0 0z"/></svg>'])
def test_another_svg_file_is_refused(tmp_path, text):
  (tmp_path / 'outlines.svg').write_text(text)
  with pytest.raises(ValueError, match='is not an SVG file of lesion_jax'):
    read_outlines(tmp_path / 'outlines.svg')


@pytest.mark.parametrize('shape', [(1, 1), (37, 70), (200, 3)])
def test_a_grey_picture_is_read_as_it_was_written(tmp_path, shape):
  pixels = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)
  write_grey(tmp_path / 'grey.png', pixels)
  with Image.open(tmp_path / 'grey.png') as image:
    image.load()  # checks the sums
    assert image.mode == 'L'
    np.testing.assert_array_equal(np.asarray(image), pixels)


def test_text_replaces_a_file_whole_or_not_at_all(tmp_path, monkeypatch):
  path = tmp_path / 'table.csv'
  write_whole(path, 'a\r\n')
  assert path.read_bytes() == b'a\r\n'

  def full(*_):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr('os.replace', full)
  with pytest.raises(OSError, match='No space left'):
    write_whole(path, 'b')
  assert path.read_bytes() == b'a\r\n' and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize('size', [41, 64, 75])
def test_patch_by_patch_the_outline_is_that_of_the_whole_map(size):
  rng = np.random.default_rng(size)
  values = ndimage.gaussian_filter(rng.random((size, size)), 1.5).astype(np.float32)
  values = (values - values.min()) / np.ptp(values)
  whole = np.pad(np.pad(values, 1, 'edge'), 1).astype(np.float64)  # with its value beyond its edge, then nothing
  lines = contourpy.contour_generator(z=whole).lines(np.nextafter(0.6, 0))
  rounded = lambda points: tuple(map(tuple, np.rint(np.clip(points, 0, 10 * size)).astype(int).tolist()))
  expected = [set(rounded((line[:-1] - 1.5) * 10)) for line in lines]
  crop = Crop(0, 0, 10 * size, 10 * size, 10 * size)
  found = []
  for part in Drawing(values, 0.6, crop).outline().split('M')[1:]:
    start, _, steps = part.rstrip('z').partition('l')
    numbers = [[int(number) for number in re.findall(r'-?\d+', text)] for text in (start, steps)]
    found.append(set(map(tuple, np.cumsum(np.reshape(numbers[0] + numbers[1], (-1, 2)), axis=0).tolist())))
  key = lambda points: sorted(points)
  assert sorted(found, key=key) == sorted(expected, key=key) and len(found) > 5
