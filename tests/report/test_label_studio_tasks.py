"""Pre-annotations: outlines of the network as polygons of Label Studio, and the interface they belong to."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from importlib import resources

import numpy as np
import pytest
from scipy import ndimage

from lesion_jax.annotation.label_regions import to_shapes
from lesion_jax.annotation.raster import rasterise
from lesion_jax.annotation.shapes import circle
from lesion_jax.core import GRADES, LESIONS
from lesion_jax.photograph.crop import Crop
from lesion_jax.report import label_studio
from lesion_jax.report.outlines import Drawing
from lesion_jax.report.overlay import COLORS

CROP = Crop(20, 40, 345, 385, 429)
FILE = resources.files('lesion_jax.annotation').joinpath('label_studio.xml')
INTERFACE = ET.fromstring(FILE.read_text('utf-8'))


@pytest.fixture
def values():
  """A map with regions of many sizes, some with holes, some at the edge: float32 [90, 90]."""
  noise = ndimage.gaussian_filter(np.random.default_rng(0).random((90, 90)), 2, mode='wrap')
  return (1 / (1 + np.exp(-3 * (noise - noise.mean()) / noise.std() + 2))).astype(np.float32)


def record(crop=CROP, grade=True):
  lesion = {'probability': 0.9, 'present': True}
  return {'photograph': {'height': crop.height, 'width': crop.width},
          'crop': {'top': crop.top, 'left': crop.left, 'side': crop.side}, 'lesions': {'iHE': lesion},
          'grade': {'key': 'DR2', 'probabilities': {'DR1': 0.3, 'DR2': 0.7}} if grade else None,
          'model': {'name': 'oracle', 'size': 90}, 'run': {'model': '0123456789abcdef'}}


def drawn(task):
  """The mask of the polygons of a task, as an importer reads them."""
  size = CROP.height, CROP.width
  shapes = [shape for result in task['predictions'][0]['result'] if result['type'] == 'polygonlabels'
            for shape in to_shapes(result['value'], result['value']['polygonlabels'], size, '')]
  return rasterise(shapes, size) > 0


def test_polygons_are_the_networks_mask_with_its_holes_filled(values):
  task = label_studio.make_task(record(), {'iHE': Drawing(values, 0.5, CROP).outline()}, '/a.jpg')
  filled = np.where(ndimage.binary_fill_holes(values >= 0.5), np.maximum(values, 0.5), values)
  mask = Drawing(filled, 0.5, CROP).mask()
  found = drawn(task)
  assert 2 * (found & mask).sum() / (found.sum() + mask.sum()) > 0.97
  near = ndimage.binary_dilation(mask, iterations=4) & ~ndimage.binary_erosion(mask, iterations=4)
  assert not (found != mask)[~near].any()


def test_no_polygon_reaches_past_the_photograph(values):
  beyond = Crop(-30, 40, 345, 285, 429)
  path = Drawing(values, 0.5, beyond).outline()
  assert min(ring[:, 1].min() for ring in label_studio.rings(path)) < 0
  results = label_studio.make_task(record(beyond), {'iHE': path}, '/a.jpg')['predictions'][0]['result']
  points = np.concatenate([result['value']['points'] for result in results if 'points' in result['value']])
  assert points.min() == 0 and points.max() <= 100


def test_outlines_are_thinned_out(values):
  path = Drawing(values, 0.5, CROP).outline()
  before = sum(len(ring) for ring in label_studio.rings(path))
  results = label_studio.make_task(record(), {'iHE': path}, '/a.jpg')['predictions'][0]['result']
  after = sum(len(result['value']['points']) for result in results if result['type'] == 'polygonlabels')
  assert after < before / 2


def test_a_simplified_ring_stays_within_the_slack():
  ring = circle(400) * 50
  simple = label_studio.simplify(ring, 0.5)
  assert 8 < len(simple) < 60
  middles = (simple + np.roll(simple, -1, axis=0)) / 2
  assert np.hypot(*middles.T).min() > 49.4 and set(map(tuple, simple)) <= set(map(tuple, ring))


@pytest.mark.parametrize('slack', [0.5, 100.0])
def test_at_least_a_triangle_stays(slack):
  ring = np.array([(0, 0), (2, 0), (4, 0), (4, 1), (0, 1)], float)
  assert len(label_studio.simplify(ring, slack)) >= 3


def test_holes_are_dropped():
  values = np.zeros((40, 40), np.float32)
  values[5:30, 5:30], values[12:20, 12:20] = 0.9, 0
  ring, = label_studio.rings(Drawing(values, 0.5, Crop(0, 0, 80, 80, 80)).outline())
  assert ring.min() < 12 and ring.max() > 58


def test_grade_scores_and_where_they_come_from():
  task = label_studio.make_task(record(), {}, '/data/local-files/?d=a.jpg')
  prediction, = task['predictions']
  assert task['data'] == {'image': '/data/local-files/?d=a.jpg'}
  assert prediction['score'] == 0.7 and prediction['model_version'] == 'lesion_jax oracle 01234567'
  assert prediction['result'] == [{'id': 'grade', 'from_name': 'grade', 'to_name': 'photograph', 'type': 'choices',
                                   'value': {'choices': ['DR2']}, 'score': 0.7}]


def test_without_a_grade_the_surest_lesion_is_the_score(values):
  prediction, = label_studio.make_task(record(grade=False), {'iHE': Drawing(values, 0.5, CROP).outline()}, 'a')['predictions']
  assert prediction['score'] == 0.9
  assert {result['type'] for result in prediction['result']} == {'polygonlabels'}
  assert len({result['id'] for result in prediction['result']}) == len(prediction['result'])


@pytest.mark.parametrize('tag', ['EllipseLabels', 'PolygonLabels'])
def test_the_interface_has_our_lesions_in_our_colours(tag):
  labels = INTERFACE.find(tag).findall('Label')
  assert [(label.get('value'), label.get('hint')) for label in labels] == list(LESIONS)
  assert [label.get('background') for label in labels] == ['#{:02x}{:02x}{:02x}'.format(*COLORS[k]) for k, _ in LESIONS]


def test_the_interface_has_our_grades():
  choices = INTERFACE.find('Choices')
  assert [(choice.get('value'), choice.get('hint')) for choice in choices] == list(GRADES)
  assert choices.get('choice') == 'single-radio'


def test_the_interface_has_the_names_that_pre_annotations_use():
  names = {item.get('name'): item.tag for item in INTERFACE if item.get('name')}
  assert names == {label_studio.PHOTOGRAPH: 'Image', 'ellipse': 'EllipseLabels', label_studio.POLYGON: 'PolygonLabels',
                   label_studio.GRADE: 'Choices'}
  assert INTERFACE.find('Image').get('value') == f'${label_studio.IMAGE}'
  assert {item.get('toName') for item in INTERFACE if item.get('toName')} == {label_studio.PHOTOGRAPH}
  keys = [label.get('hotkey') for label in INTERFACE.iter('Label')]
  assert len(set(keys)) == len(keys)
