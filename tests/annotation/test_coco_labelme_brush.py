"""COCO, labelme and Label Studio's brush: what was marked comes back pixel for pixel, and mistakes are sentences."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
from exports import entry, task, write_json
from PIL import Image

from lesion_jax.annotation.label_studio import read_label_studio
from lesion_jax.annotation.labels import Labels
from lesion_jax.annotation.raster import rasterise
from lesion_jax.annotation.reading import read_exports
from lesion_jax.annotation.shapes import Bitmap, Polygon

SIZE = (23, 31)
MASK = np.random.default_rng(3).random(SIZE) < 0.3
SQUARE = [[4, 5], [9, 5], [9, 11], [4, 11]]  # from the corner: rows 5..10, columns 4..8
FILLED = np.zeros(SIZE, bool)
FILLED[5:11, 4:9] = True


def _lengths(mask):
  flat = mask.ravel(order='F')
  ends = np.flatnonzero(np.diff(np.concatenate([[False], flat]).astype(int)))
  return np.diff(np.concatenate([[0], ends, [flat.size]])).tolist()


def _packed(lengths):
  """pycocotools' text: an independent writer of what the reader takes apart."""
  text = ''
  for place, length in enumerate(lengths):
    value = length - lengths[place - 2] if place > 2 else length
    while True:
      five, value = value & 31, value >> 5
      more = value != (-1 if five & 16 else 0)
      text += chr(48 + (five | 32 if more else five))
      if not more:
        break
  return text


def _coco(*annotations, categories=({'id': 1, 'name': 'MA'}, {'id': 2, 'name': 'DR2'}, {'id': 3, 'name': 'EX'})):
  return {'images': [{'id': 5, 'file_name': 'a/eye.jpg', 'height': SIZE[0], 'width': SIZE[1]}], 'categories': list(categories),
          'annotations': [{'id': number, 'image_id': 5, 'category_id': 1} | one for number, one in enumerate(annotations)]}


def _labelme(*shapes, **changes):
  return {'version': '5', 'flags': {}, 'shapes': list(shapes), 'imagePath': '..\\eye.jpg', 'imageData': None,
          'imageHeight': SIZE[0], 'imageWidth': SIZE[1]} | changes


def _read(tmp_path, content, annotator=''):
  path = tmp_path / 'anna.json'
  path.write_text(json.dumps(content))
  return read_exports([(annotator, path)], Labels()).annotations


@pytest.mark.parametrize('counts', [_lengths(MASK), _packed(_lengths(MASK))], ids=['list', 'text'])
def test_run_lengths_of_coco(tmp_path, counts):
  found, = _read(tmp_path, _coco({'segmentation': {'size': list(SIZE), 'counts': counts}}))
  np.testing.assert_array_equal(rasterise(found.shapes, SIZE) > 0, MASK)
  assert (found.photograph, found.annotator, found.size) == ('eye.jpg', 'anna', SIZE)


def test_polygons_of_coco_and_a_category_that_is_a_grade(tmp_path):
  content = _coco({'segmentation': [np.ravel(SQUARE).tolist(), [20, 20, 22, 20, 22, 22, 20, 22]], 'category_id': 3},
                  {'category_id': 2, 'bbox': [0, 0, 9, 9]})
  found, = _read(tmp_path, content, 'berta')
  assert found.grade == 2 and found.annotator == 'berta' and {shape.lesion for shape in found.shapes} == {'HaEx'}
  expected = FILLED.copy()
  expected[20:22, 20:22] = True
  np.testing.assert_array_equal(rasterise(found.shapes, SIZE) > 0, expected)


@pytest.mark.parametrize('one, message', [
    ({'segmentation': [[1, 2, 3, 4]]}, 'needs at least three points'),
    ({'segmentation': [[1, 2, 3]]}, 'not pairs of numbers'),
    ({'segmentation': [[1, 2, 3, 'x', 4, 5]]}, 'not pairs of numbers'),
    ({'segmentation': [[1e300, 2, 3, 4, 4, 5]]}, 'not pairs of numbers'),
    ({'segmentation': [[99, 99, 98, 99, 98, 98]]}, 'lies outside'),
    ({'segmentation': []}, 'has no outline, a box at most'),
    ({'segmentation': 5}, 'has no outline'),
    ({'segmentation': {'size': [1, 1], 'counts': [1]}}, r'a mask is \[1, 1\] pixels'),
    ({'segmentation': {'size': list(SIZE), 'counts': [5]}}, 'do not fill its photograph'),
    ({'segmentation': {'size': list(SIZE), 'counts': '~~~'}}, 'do not fill its photograph'),
    ({'category_id': 9}, 'category 9 is not listed'),
    ({'image_id': 77}, 'is of no image that the file lists'),
])
def test_mistakes_of_coco_are_sentences(tmp_path, one, message):
  with pytest.raises(ValueError, match=rf'anna\.json.*{message}'):
    _read(tmp_path, _coco(one))


def test_shapes_of_labelme(tmp_path):
  bitmap = io.BytesIO()
  Image.fromarray(np.uint8(MASK[2:8, 3:9])).save(bitmap, 'PNG')
  found, = _read(tmp_path, _labelme(
      {'label': 'MA', 'points': SQUARE, 'shape_type': 'polygon'},
      {'label': 'HE', 'points': [SQUARE[0], SQUARE[2]], 'shape_type': 'rectangle'},
      {'label': 'EX', 'points': [[10.5, 10.5], [14.5, 10.5]], 'shape_type': 'circle'},
      {'label': 'SE', 'points': [[3, 2], [8, 7]], 'shape_type': 'mask', 'mask': base64.b64encode(bitmap.getvalue()).decode()},
      flags={'DR3': True, 'DR1': False, 'checked': True}))
  masks = {shape.lesion: rasterise([shape], SIZE) > 0 for shape in found.shapes}
  np.testing.assert_array_equal(masks['MA'], FILLED)
  np.testing.assert_array_equal(masks['iHE'], FILLED)
  rows, columns = np.mgrid[:SIZE[0], :SIZE[1]]
  np.testing.assert_array_equal(masks['HaEx'], (rows - 10)**2 + (columns - 10)**2 <= 16)
  expected = np.zeros(SIZE, bool)
  expected[2:8, 3:9] = MASK[2:8, 3:9]
  np.testing.assert_array_equal(masks['CWS'], expected)
  assert found.grade == 3 and found.annotator == tmp_path.name and found.photograph == 'eye.jpg'


def test_a_folder_of_labelme_files_is_one_annotator(tmp_path):
  for name in 'ab':
    (tmp_path / f'{name}.json').write_text(json.dumps(_labelme(imagePath=f'{name}.jpg')))
  (tmp_path / '._a.json').write_bytes(b'\0\5\x16\7')  # as a Mac leaves it
  found = read_exports([('carl', tmp_path)], Labels()).annotations
  assert [(one.photograph, one.annotator) for one in found] == [('a.jpg', 'carl'), ('b.jpg', 'carl')]


@pytest.mark.parametrize('content, message', [
    (_labelme({'label': 'MA', 'points': [[1, 1]], 'shape_type': 'point'}), 'a point is no outline'),
    (_labelme({'label': 'MA', 'points': 5, 'shape_type': 'polygon'}), 'not pairs of numbers'),
    (_labelme({'label': 'MA', 'points': SQUARE[:2], 'shape_type': 'mask', 'mask': '!'}), 'no PNG in base 64'),
    (_labelme({'label': 'disc', 'points': SQUARE}), "'disc' is no lesion"),
    (_labelme(7), "'' is no lesion"),
    (_labelme(imageHeight=None), 'its photograph has the size 31 x None'),
    (_labelme(imageHeight=90_000, imageWidth=90_000), 'its photograph has the size 90000 x 90000, which none has'),
    (_labelme(imagePath=''), 'which photograph is it'),
    (_labelme(flags={'DR1': True, 'DR2': True}), r'the grades \[1, 2\]'),
])
def test_mistakes_of_labelme_are_sentences(tmp_path, content, message):
  with pytest.raises(ValueError, match=rf'anna\.json.*{message}'):
    _read(tmp_path, content)


def _brush(mask, *, repeats=True):
  """Label Studio's stream: an independent writer, of runs that repeat or of single values."""
  values = np.repeat(np.where(mask, 255, 0).ravel(), 4).tolist()
  bits = format(len(values), '032b') + format(7, '05b') + ''.join(format(size - 1, '04b') for size in (3, 4, 8, 16))
  place = 0
  while place < len(values):
    end = place + 1
    while end < len(values) and values[end] == values[place] and end - place < 256:
      end += 1
    if repeats:
      bits += '1' + '10' + format(end - place - 1, '08b') + format(values[place], '08b')
    else:
      end = min(place + 8, len(values))
      bits += '0' + '00' + format(end - place - 1, '03b') + ''.join(format(value, '08b') for value in values[place:end])
    place = end
  bits += '0' * (-len(bits) % 8)
  return [int(bits[at:at + 8], 2) for at in range(0, len(bits), 8)]


def _stroke(runs, size=SIZE):
  return {'id': 'y', 'type': 'brushlabels', 'from_name': 'b', 'original_height': size[0], 'original_width': size[1],
          'image_rotation': 0, 'value': {'format': 'rle', 'rle': runs, 'brushlabels': ['MA']}}


@pytest.mark.parametrize('repeats', [True, False])
def test_a_brush_stroke_comes_back_pixel_for_pixel(tmp_path, repeats):
  tasks = [task('eye.jpg', [entry(5, [_stroke(_brush(MASK, repeats=repeats))])])]
  (found,), _ = read_label_studio(write_json(tmp_path / 'e.json', tasks), Labels())
  np.testing.assert_array_equal(rasterise(found.shapes, SIZE) > 0, MASK)


@pytest.mark.parametrize('runs, message', [
    ([1], 'ends too early'), (5, 'no list of bytes: 5'), ([1, 'x'], 'no list of bytes'), (_brush(MASK)[:40], 'ends too early'),
    (_brush(MASK[:9]), 'has 1116 values, and a photograph of 31x23 pixels 2852'),
])
def test_a_damaged_brush_stroke_is_a_sentence(tmp_path, runs, message):
  path = write_json(tmp_path / 'e.json', [task('eye.jpg', [entry(5, [_stroke(runs)])])])
  with pytest.raises(ValueError, match=rf'e\.json, task 1 \(eye\.jpg\), annotator 5: .*{message}'):
    read_label_studio(path, Labels())


def test_a_mask_is_scaled_with_its_photograph_and_cut_at_its_edge():
  shape = Bitmap.of('MA', FILLED)
  np.testing.assert_array_equal(rasterise([shape.scaled(2)], (46, 62)) > 0, np.kron(FILLED, np.ones((2, 2), bool)))
  np.testing.assert_array_equal(rasterise([shape], (8, 7)) > 0, FILLED[:8, :7])
  assert not rasterise([Bitmap.of('MA', FILLED & False)], SIZE).any()
  assert not rasterise([Bitmap.of('MA', FILLED).scaled(0.5), Polygon('MA', ((50, 50), (60, 50), (60, 60)))], (2, 2)).any()
