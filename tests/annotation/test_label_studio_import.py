"""Label Studio's JSON: geometry, grades, several annotators, and what is refused in a sentence."""

from __future__ import annotations

import math

import numpy as np
import pytest
from exports import choice, entry, opinion, region, task, write_json

from lesion_jax.annotation.label_studio import read_label_studio
from lesion_jax.annotation.labels import Labels
from lesion_jax.annotation.shapes import Ellipse, Polygon

SIZE = (200, 300)  # height, width
ELLIPSE = Ellipse('iHE', (99.5, 49.5), (30.0, 10.0), math.radians(30))
POLYGON = Polygon('HaEx', ((9.5, 19.5), (59.5, 19.5), (39.5, 79.5)))


@pytest.fixture
def read(tmp_path):
  """`read(tasks, labels) -> (annotations, passed over)`, by way of a file."""
  return lambda tasks, labels=Labels(): read_label_studio(write_json(tmp_path / 'export.json', tasks), labels)


def test_an_ellipse_in_percent_is_its_centre_and_its_radii_in_pixels(read):
  result = region(ELLIPSE, SIZE, value={'x': 100 / 3, 'y': 25, 'radiusX': 10, 'radiusY': 5, 'rotation': 30,
                                        'ellipselabels': ['iHE']})
  (annotation,), _ = read([task('/data/upload/1/00aa11bb-eye.jpg', [entry(5, [result])])])
  shape, = annotation.shapes
  assert shape.centre == pytest.approx(ELLIPSE.centre) and shape.axes == pytest.approx(ELLIPSE.axes)
  assert shape.angle == pytest.approx(ELLIPSE.angle)
  assert annotation._replace(shapes=()) == ('00aa11bb-eye.jpg', '5', None, (), SIZE)


def test_a_polygon_in_percent_is_its_points_in_pixels(read):
  result = region(POLYGON, SIZE, value={'points': [[10 / 3, 10], [20, 10], [40 / 3, 40]], 'polygonlabels': ['HaEx']})
  (annotation,), _ = read([task('eye.jpg', [entry(5, [result])])])
  assert annotation.shapes[0].lesion == 'HaEx'
  np.testing.assert_allclose(annotation.shapes[0].outline(), POLYGON.outline())


def test_a_rectangle_is_a_polygon_turned_about_its_upper_left_corner(read):
  value = {'x': 50, 'y': 50, 'width': 10, 'height': 5, 'rotation': 90, 'rectanglelabels': ['pHE']}
  result = region(POLYGON, SIZE, type='rectanglelabels', value=value)
  (annotation,), _ = read([task('eye.jpg', [entry(5, [result])])])
  np.testing.assert_allclose(annotation.shapes[0].outline() + 0.5, [(150, 100), (150, 130), (140, 130), (140, 100)])


def test_a_region_with_two_labels_is_two_lesions(read):
  result = region(ELLIPSE, SIZE)
  result['value']['ellipselabels'] = ['MA', 'iHE']
  (annotation,), _ = read([task('eye.jpg', [entry(5, [result])])])
  assert [shape.lesion for shape in annotation.shapes] == ['MA', 'iHE']


def test_a_region_whose_labels_are_a_result_of_their_own_counts_once(read):
  """As with <Labels> beside <Ellipse> in the interface: two results of one id, both with the geometry."""
  plain = region(ELLIPSE, SIZE, type='ellipse')
  plain['value'].pop('ellipselabels')
  labelled = region(ELLIPSE, SIZE, type='labels', value=plain['value'] | {'labels': ['iHE']})
  (annotation,), _ = read([task('eye.jpg', [entry(5, [plain, labelled])])])
  assert [shape.lesion for shape in annotation.shapes] == ['iHE']


def test_three_annotators_of_a_task_are_three_annotations(read):
  entries = [opinion(annotator, grade, [ELLIPSE], SIZE) for annotator, grade in ((1, 2), (2, 2), (9, 3))]
  annotations, passed_over = read([task('eye.jpg', entries)])
  assert [(a.annotator, a.grade) for a in annotations] == [('1', 2), ('2', 2), ('9', 3)]
  assert not passed_over


def test_an_annotator_may_be_a_whole_user(read):
  user = {'id': 4, 'email': 'a@example.org', 'first_name': 'A'}
  annotations, _ = read([task('eye.jpg', [entry(user, [choice(1)]), entry({'id': 5}, [choice(1)])])])
  assert [annotation.annotator for annotation in annotations] == ['a@example.org', '5']


def test_cancelled_superseded_and_missing_annotations_are_counted(read):
  first = entry(1, [choice(0)], updated_at='2026-01-03T00:00:00Z')
  later = entry(1, [choice(4)], updated_at='2026-02-03T00:00:00Z')
  annotations, passed_over = read([
      task('a.jpg', [later, first, entry(2, [choice(1)], was_cancelled=True)]), task('b.jpg', [])])
  assert [(a.photograph, a.annotator, a.grade) for a in annotations] == [('a.jpg', '1', 4)]
  assert passed_over == {'cancelled': 1, 'superseded': 1, 'tasks without annotation': 1}


def test_who_skips_a_photograph_later_takes_back_what_was_said(read):
  said = entry(1, [choice(3)], updated_at='2026-01-03T00:00:00Z')
  skipped = entry(1, [], was_cancelled=True, updated_at='2026-02-03T00:00:00Z')
  assert read([task('a.jpg', [skipped, said])]) == (
      [], {'cancelled': 1, 'superseded': 1, 'tasks without annotation': 1})


def test_a_submitted_empty_annotation_is_an_opinion(read):
  annotations, _ = read([task('a.jpg', [entry(1, [])])])
  assert annotations == [('a.jpg', '1', None, (), None)]


def test_other_data_and_remarks_do_not_matter(read):
  remark = {'id': 'x', 'type': 'textarea', 'value': {'text': ['blurred']}}
  tasks = [task('a.jpg', [entry(1, [remark, choice(2)])], data={'image': '/a.jpg', 'patient': 'p'}),
           task('b.jpg', [entry(1, [choice(2)])], data={'photo': '/b.jpg'})]
  assert [(a.photograph, a.grade) for a in read(tasks)[0]] == [('a.jpg', 2), ('b.jpg', 2)]


def test_a_label_that_is_mapped_to_null_is_left_out_whatever_was_drawn(read):
  brush = {'id': 'y', 'type': 'brushlabels', 'value': {'format': 'rle', 'rle': [1], 'brushlabels': ['disc']}}
  (annotation,), _ = read([task('a.jpg', [entry(1, [brush, choice(0)])])], Labels({'disc': None}))
  assert annotation.shapes == () and annotation.grade == 0


def _key_point():
  return {'id': 'y', 'type': 'keypointlabels', 'value': {'x': 1, 'y': 1, 'keypointlabels': ['MA']}}


def _without_label():
  result = region(ELLIPSE, SIZE)
  result['value'].pop('ellipselabels')
  return result


def _with(**changes):
  result = region(ELLIPSE, SIZE)
  result['value'] |= changes
  return result


@pytest.mark.parametrize('results, message', [
    ([_key_point()], r'annotator 5: a key point is no outline; .* null'),
    ([_with(ellipselabels=['Drusen'])], r"'Drusen' is no lesion\. Known are MA, .*--labels"),
    ([choice(1), choice(2)], r'one annotation has the grades \[1, 2\]'),
    ([_without_label()], 'a ellipselabels without a label; give it one'),
    ([_with(x='left')], r'should be numbers'),
    ([_with(x=float('nan'))], r'should be numbers'),
    ([region(ELLIPSE, SIZE, image_rotation=90)], 'a photograph turned by 90 degrees'),
    ([region(ELLIPSE, SIZE, original_width=None)], 'does not say how large its photograph is'),
    ([region(POLYGON, SIZE, value={'points': [[1, 1], [2, 2]], 'polygonlabels': ['MA']})], 'at least three points'),
    ([region(POLYGON, SIZE, value={'polygonlabels': ['MA']})], 'neither ellipse, polygon nor rectangle'),
    ([region(ELLIPSE, SIZE), region(POLYGON, (100, 300))], 'photographs of the sizes'),
])
def test_what_is_refused_says_where_and_what_to_do(read, results, message):
  with pytest.raises(ValueError, match=rf'export\.json, task 1 \(eye\.jpg\), annotator 5: .*{message.split(": ")[-1]}'):
    read([task('eye.jpg', [entry(5, results)])])


@pytest.mark.parametrize('tasks, message', [
    ({'a': 1}, r'export\.json is no export of Label Studio: expected a list of tasks'),
    ([{'image': '/a.jpg', 'shape': []}], 'choose the format JSON'),  # JSON-MIN
    ([{'id': 8, 'data': {'image': 'a.jpg'}, 'annotations': [3]}], r'task 8 has no list of annotations'),
    ([task('a.jpg', [entry(None, [])])], 'does not say who made it'),
    ([task('', [])], 'names no single photograph'),
    ([task('a.jpg', [], data={'left': 'a.jpg', 'right': 'b.jpg'})], 'names no single photograph'),
])
def test_another_file_is_refused(read, tasks, message):
  with pytest.raises(ValueError, match=message):
    read(tasks)


def test_text_that_is_no_json_is_refused(tmp_path):
  path = tmp_path / 'export.json'
  for text in ('[{]', '[' * 100_000):
    path.write_text(text)
    with pytest.raises(ValueError, match='export.json is not JSON'):
      read_label_studio(path, Labels())
