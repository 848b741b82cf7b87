"""COCO's JSON of results: what is written is read back pixel for pixel, by our reader and by one written here."""

from __future__ import annotations

import json

import batch
import numpy as np
import pytest
from scipy import ndimage

from lesion_jax.annotation.labels import Labels
from lesion_jax.annotation.raster import rasterise
from lesion_jax.annotation.reading import read_exports
from lesion_jax.report.coco import form_of, polygons, regions, run_lengths, write_coco

SIZE = (23, 31)


def _masks():
  rng = np.random.default_rng(7)
  hole = np.zeros(SIZE, bool)
  hole[3:15, 4:20] = True
  hole[5:8, 6:9] = hole[10:13, 12:18] = False
  hole[6, 7] = True  # an island in a hole
  corner = np.zeros(SIZE, bool)
  corner[4, 4] = corner[5, 5] = corner[6, 4] = True  # pixels that touch at corners, around a hole
  corner[5, 3] = True
  full = np.ones(SIZE, bool)
  return {'noise': rng.random(SIZE) < 0.5, 'sparse': rng.random(SIZE) < 0.1, 'hole': hole, 'corner': corner, 'full': full,
          'dot': np.pad(np.ones((1, 1), bool), ((22, 0), (30, 0)))}


MASKS = _masks()


def _fill(ring):
  """Even-odd by counting, for every centre of a pixel, the edges to its left: an oracle of its own."""
  points = np.reshape(ring, (-1, 2)).astype(float)
  inside = np.zeros(SIZE, bool)
  for row in range(SIZE[0]):
    for column in range(SIZE[1]):
      y, x, odd = row + 0.5, column + 0.5, False
      for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        if (y0 > y) != (y1 > y) and x0 + (y - y0) * (x1 - x0) / (y1 - y0) < x:
          odd = not odd
      inside[row, column] = odd
  return inside


@pytest.mark.parametrize('name', MASKS)
def test_polygons_run_along_the_edges_of_the_pixels_and_hold_them_all(name):
  filled = np.zeros(SIZE, bool)
  for ring in polygons(MASKS[name], 0, 0):
    assert all(isinstance(number, int) for number in ring)
    filled |= _fill(ring)
  np.testing.assert_array_equal(filled, MASKS[name])


def test_a_square_has_four_corners_and_a_place_in_the_photograph():
  assert polygons(np.ones((2, 3), bool), 10, 20) == [[20, 10, 23, 10, 23, 12, 20, 12]]


@pytest.mark.parametrize('name', MASKS)
def test_run_lengths_go_down_the_columns(name):
  mask = MASKS[name]
  lengths = run_lengths(mask, 0, 0, SIZE)
  assert sum(lengths) == mask.size and all(lengths[1:])
  np.testing.assert_array_equal(np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(SIZE[::-1]).T, mask)


@pytest.mark.parametrize('form', ['rle', 'polygons'])
@pytest.mark.parametrize('name', MASKS)
def test_our_own_reader_of_annotations_gives_the_mask_back(tmp_path, name, form):
  mask = MASKS[name]
  found = list(regions(mask, form))
  assert len(found) == ndimage.label(mask, np.ones((3, 3)))[1] and sum(each['area'] for each in found) == mask.sum()
  export = {'images': [{'id': 1, 'file_name': 'eye.jpg', 'height': SIZE[0], 'width': SIZE[1]}],
            'categories': [{'id': 1, 'name': 'MA'}],
            'annotations': [{'id': number, 'image_id': 1, 'category_id': 1} | each for number, each in enumerate(found)]}
  (tmp_path / 'net.json').write_text(json.dumps(export))
  annotation, = read_exports([('', tmp_path / 'net.json')], Labels()).annotations
  np.testing.assert_array_equal(rasterise(annotation.shapes, SIZE) > 0, mask)


def test_boxes_are_those_of_the_regions():
  mask = np.zeros(SIZE, bool)
  mask[2:5, 3:9] = mask[10:12, 20:21] = True
  assert [each['bbox'] for each in regions(mask, 'rle')] == [[3, 2, 6, 3], [20, 10, 1, 2]]


@pytest.mark.parametrize('form', ['rle', 'polygons'])
@pytest.mark.parametrize('index', [batch.RICH, batch.HEALTHY])
def test_a_file_says_its_form_without_a_lesion_too(tmp_path, form, index):
  write_coco(tmp_path / 'coco.json', [batch.write(tmp_path, index)], form)
  assert form_of(tmp_path / 'coco.json') == form


def test_a_mask_that_is_damaged_is_named(tmp_path):
  entry = batch.write(tmp_path, batch.RICH)
  path = tmp_path / entry.folder / 'MA.png'
  data = path.read_bytes()
  place = data.index(b'IDAT')
  path.write_bytes(data[:place - 4] + bytes([0, 0, 0, 4]) + data[place:])  # the length of its data
  with pytest.raises((OSError, ValueError), match='MA.png is damaged'):
    write_coco(tmp_path / 'coco.json', [entry])
