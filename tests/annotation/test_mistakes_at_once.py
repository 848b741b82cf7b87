"""Exports with many mistakes, hostile values and controls that are no grade."""

from __future__ import annotations

import math

import pytest
from exports import choice, entry, opinion, region, task, write_json

from lesion_jax.annotation.label_studio import read_label_studio
from lesion_jax.annotation.labels import Labels
from lesion_jax.annotation.mistakes import Findings, cut
from lesion_jax.annotation.reading import read_exports
from lesion_jax.annotation.safe_xml import parse_xml
from lesion_jax.annotation.shapes import Ellipse, Polygon

SIZE = (200, 300)
ELLIPSE = Ellipse('iHE', (99.5, 49.5), (30.0, 10.0), math.radians(30))
POLYGON = Polygon('HaEx', ((9.5, 19.5), (59.5, 19.5), (39.5, 79.5)))


def _read(tmp_path, tasks, labels=Labels()):
  return read_label_studio(write_json(tmp_path / 'e.json', tasks), labels)


def _said(tmp_path, tasks, labels=Labels()):
  with pytest.raises(ValueError) as caught:
    _read(tmp_path, tasks, labels)
  assert len(str(caught.value)) < 1000
  return str(caught.value)


def _outside():
  return region(Ellipse('MA', (99.5, -60), (10, 10), 0), SIZE)


def _open():
  found = region(POLYGON, SIZE)
  found['value']['closed'] = False
  return found


def _two_points():
  found = region(POLYGON, SIZE)
  found['value']['points'] = found['value']['points'][:2]
  return found


@pytest.mark.parametrize('make, problem', [
    (_outside, 'a shape lies outside its photograph'), (_open, 'a polygon was not finished'),
    (_two_points, 'at least three points')])
def test_all_shapes_of_one_kind_of_mistake_are_counted(tmp_path, make, problem):
  tasks = [task(f'{number}.jpg', [entry(1, [make(), make()]), opinion(2, 1, [ELLIPSE], SIZE)], id=number) for number in range(4)]
  said = _said(tmp_path, tasks)
  assert said.startswith(f'{tmp_path}/e.json: 8 mistakes: task 0 (0.jpg), annotator 1; task 1') and problem in said
  assert '(8 times)' in said


def test_annotations_without_author_are_counted(tmp_path):
  said = _said(tmp_path, [task('a.jpg', [entry(None, []), entry([], []), entry(3, [])], id=7)])
  assert '2 mistakes: task 7: an annotation does not say who made it' in said


def test_a_shape_that_reaches_past_the_edge_is_taken(tmp_path):
  (found,), _ = _read(tmp_path, [task('a.jpg', [entry(1, [region(Ellipse('MA', (0, 0), (10, 10), 0), SIZE)])])])
  assert len(found.shapes) == 1


def _choices(control, *values):
  return choice(0) | {'from_name': control, 'value': {'choices': list(values)}}


class TestControls:

  def test_a_number_of_another_control_is_no_grade(self, tmp_path):
    (found,), passed_over = _read(tmp_path, [task('a.jpg', [entry(1, [_choices('quality', '1'), _choices('DR grade', '3')])])])
    assert found.grade == 3 and passed_over == {"choices of the control 'quality', which is not called grade": 1}

  def test_where_nobody_graded_that_is_said(self, tmp_path):
    said = _said(tmp_path, [task('a.jpg', [entry(who, [_choices('image_quality_grade', '1')]) for who in (1, 2, 3)])])
    assert "nobody graded: 3 choices of the control 'image_quality_grade'" in said and '--labels' in said

  def test_the_name_of_a_grade_and_a_mapped_label_count_in_any_control(self, tmp_path):
    tasks = [task('a.jpg', [entry(1, [_choices('x', 'DR2')]), entry(2, [_choices('x', '3')])])]
    assert [one.grade for one in _read(tmp_path, tasks, Labels({'3': 'DR3'}))[0]] == [2, 3]


def _value(**changes):
  found = region(ELLIPSE, SIZE)
  found['value'] |= changes
  return found


@pytest.mark.parametrize('result', [
    region(ELLIPSE, SIZE, value=5), region(ELLIPSE, SIZE, value=[[]]), choice(1) | {'value': {'choices': 5}},
    region(ELLIPSE, SIZE, original_width=1e300), region(ELLIPSE, SIZE, original_width=10**400), _value(radiusX=1e200),
    _value(x=10**400), _value(radiusX='x' * 100_000), _value(ellipselabels=['x' * 100_000]), _value(rotation={'a': 1}),
    region(POLYGON, SIZE, value={'points': [['x' * 20, 0]] * 12_000, 'polygonlabels': ['MA']}),
    region(POLYGON, SIZE, value={'points': [[1, 2, 3]] * 12_000, 'polygonlabels': ['MA']}),
    region(POLYGON, SIZE, type={'a': 1}, value={}), region(ELLIPSE, SIZE, image_rotation='x' * 9999),
])
def test_other_types_and_huge_values_are_one_short_line(tmp_path, result):
  said = _said(tmp_path, [task('a.jpg', [entry(2, [result])], id=9)])
  assert 'e.json, task 9 (a.jpg), annotator 2' in said and '\n' not in said and len(said) < 600


@pytest.mark.parametrize('tasks', [
    [{'id': 10**300, 'data': {'image': 5}}], [{'id': 'x' * 9999, 'data': [], 'annotations': 5}],
    [{'id': 1, 'data': {'image': 'a.jpg'}, 'annotations': [{'completed_by': 1, 'result': 5}]}], [5], {'a': 'x' * 9999}])
def test_tasks_of_other_types_are_one_short_line(tmp_path, tasks):
  assert len(_said(tmp_path, tasks)) < 600


@pytest.mark.parametrize('text', ['[' * 50_000 + ']' * 50_000, '{"a":' * 50_000 + '1' + '}' * 50_000, '[' + '9' * 5000 + ']'])
def test_deep_nesting_and_endless_numbers_are_one_line(tmp_path, text):
  path = tmp_path / 'e.json'
  path.write_text(text)
  for read in (lambda: read_exports([('', path)], Labels()), lambda: Labels.read(path)):
    with pytest.raises(ValueError, match=r'e\.json') as caught:
      read()
    assert len(str(caught.value)) < 600


class TestDoctype:

  def _parse(self, tmp_path, text):
    (tmp_path / 'a.xml').write_text(text)
    return parse_xml(tmp_path / 'a.xml')

  @pytest.mark.parametrize('line', ['<!DOCTYPE imgannotool>', '<!DOCTYPE\n imgannotool >', '<!doctype x>'.upper()])
  def test_a_bare_name_is_taken(self, tmp_path, line):
    assert self._parse(tmp_path, f'<?xml version="1.0"?>\n{line}\n<imgannotool><a/></imgannotool>').find('a') is not None

  @pytest.mark.parametrize('line', [
      '<!DOCTYPE a [<!ENTITY b "c">]>', '<!DOCTYPE a []>', '<!DOCTYPE a SYSTEM "file:///x">', '<!DOCTYPE a PUBLIC "p" "q">'])
  def test_declarations_and_other_files_are_refused(self, tmp_path, line):
    with pytest.raises(ValueError, match=r'a\.xml has a DOCTYPE that declares entities or names another file'):
      self._parse(tmp_path, f'{line}<a/>')

  def test_an_entity_that_nobody_declared_is_refused(self, tmp_path):
    with pytest.raises(ValueError, match=r'a\.xml is not XML'):
      self._parse(tmp_path, '<!DOCTYPE a><a>&b;</a>')


def test_findings_count_by_kind_and_stay_short():
  found = Findings()
  for number in range(1000):
    found.add(f'a.csv, row {number}', 'x is wrong')
  found.add('a.csv, row 7', 'has no y')
  said = found.say()
  assert said == ('a.csv: 1001 mistakes: row 0; row 1; row 2; row 3; row 4 and 995 more places: x is wrong (1000 times). '
                  'row 7 has no y')
  assert len(cut('x' * 999)) == 60 and cut(10**9999) == 'a int that is too large to show'
