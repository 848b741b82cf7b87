"""CVAT's XML for images: geometry, tags, who annotated, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from exports import cvat

from lesion_jax.annotation.cvat import read_cvat
from lesion_jax.annotation.labels import Labels

SIZE = (200, 300)
ELLIPSE = '<ellipse label="iHE" source="manual" occluded="0" cx="100" cy="50" rx="30" ry="10" rotation="30"/>'
POLYGON = '<polygon label="HaEx" points="10.00,20.00;60.00,20.00;40.00,80.00" occluded="0" z_order="0"></polygon>'
GRADE = '<tag label="DR2" source="manual"></tag>'


@pytest.fixture
def read(tmp_path):
  """`read(text, annotator) -> (annotations, passed over)`, by way of a file `anna.xml`."""

  def from_text(text, annotator='', labels=Labels()):
    path = tmp_path / 'anna.xml'
    path.write_text(text, 'utf-8')
    return read_cvat(path, labels, annotator)

  return from_text


def test_shapes_are_pixels_from_the_corner_and_tags_are_grades(read):
  (annotation,), passed_over = read(cvat([('set/eye.jpg', SIZE, ELLIPSE + POLYGON + GRADE)]))
  ellipse, polygon = annotation.shapes
  assert ellipse == ('iHE', (99.5, 49.5), (30.0, 10.0), math.radians(30))
  assert polygon == ('HaEx', ((9.5, 19.5), (59.5, 19.5), (39.5, 79.5)))
  assert annotation._replace(shapes=()) == ('eye.jpg', 'anna', 2, (), SIZE)
  assert not passed_over


def test_a_box_is_a_polygon_turned_about_its_centre(read):
  box = '<box label="pHE" xtl="100" ytl="50" xbr="140" ybr="70" rotation="90"/>'
  (annotation,), _ = read(cvat([('eye.jpg', SIZE, box)]))
  np.testing.assert_allclose(annotation.shapes[0].outline() + 0.5, [(130, 40), (130, 80), (110, 80), (110, 40)])


def test_a_photograph_without_markings_is_no_opinion_and_counted(read):
  annotations, passed_over = read(cvat([('a.jpg', SIZE, ''), ('b.jpg', SIZE, GRADE)]))
  assert [annotation.photograph for annotation in annotations] == ['b.jpg']
  assert passed_over == {'photographs without any marking': 1}


JOB = '<meta><job><id>1</id><assignee><username>berta</username></assignee></job></meta>'
TASK = ('<meta><task><owner><username>admin</username></owner>'
        '<assignee><username>carl</username></assignee></task></meta>')


@pytest.mark.parametrize('meta, given, who', [
    (JOB, '', 'berta'), (TASK, '', 'carl'), (JOB, 'dora', 'dora'), ('', '', 'anna'),
    ('<meta><task><owner><username>admin</username></owner></task></meta>', '', 'anna'),
])
def test_who_annotated(read, meta, given, who):
  """The name that is given, whom the job or the task was assigned to, the file's name; never the task's owner."""
  (annotation,), _ = read(cvat([('a.jpg', SIZE, GRADE)], meta), given)
  assert annotation.annotator == who


def test_a_label_that_is_mapped_to_null_is_left_out_whatever_was_drawn(read):
  mask = '<mask label="disc" rle="1, 2" left="0" top="0" width="2" height="2"/>'
  (annotation,), _ = read(cvat([('a.jpg', SIZE, mask + GRADE)]), labels=Labels({'disc': None}))
  assert annotation.shapes == ()


@pytest.mark.parametrize('inner, message', [
    ('<mask label="MA" rle="1, 2" left="0" top="0" width="2" height="2"/>', 'a mask is no outline; .*null'),
    ('<polyline label="MA" points="1,1;2,2"/>', 'a polyline is no outline'),
    ('<polygon label="MA" points="1,1;2,2"/>', 'at least three points'),
    ('<polygon label="MA" points="1,1;2;3,3"/>', "'2' is no point"),
    ('<ellipse label="MA" cx="1" cy="1" rx="one" ry="1"/>', "rx is 'one'; expected a number"),
    ('<ellipse label="MA" cx="inf" cy="1" rx="1" ry="1"/>', "cx is 'inf'; expected a number"),
    ('<ellipse label="disc" cx="1" cy="1" rx="1" ry="1"/>', "'disc' is no lesion. Known are MA"),
    ('<tag label="PDR"/>', "'PDR' is no grade. Known are DR0"),
    ('<tag label="DR1"/><tag label="DR2"/>', r'the grades \[1, 2\]'),
])
def test_what_is_refused_says_where(read, inner, message):
  with pytest.raises(ValueError, match=rf'anna\.xml, eye\.jpg: .*{message}'):
    read(cvat([('eye.jpg', SIZE, inner)]))


BOMB = ('<!DOCTYPE annotations [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">'
        '<!ENTITY c "&b;&b;&b;&b;&b;&b;">]>')
EXTERNAL = '<!DOCTYPE annotations [<!ENTITY x SYSTEM "file:///etc/hostname">]>'


@pytest.mark.parametrize('head', [BOMB, EXTERNAL, '<!DOCTYPE annotations SYSTEM "http://example.org/a.dtd">'])
def test_a_document_type_is_refused(read, head):
  with pytest.raises(ValueError, match=r'anna\.xml has a DOCTYPE'):
    read(cvat([('a.jpg', SIZE, GRADE)], head=head))


@pytest.mark.parametrize('text, message', [
    ('<annotations><image', 'anna.xml is not XML'), ('<svg/>', 'CVAT for images 1.1'),
    ('<annotations><track id="0" label="MA"/></annotations>', 'CVAT for images 1.1'),
    ('<annotations><image width="3" height="3"><tag label="DR1"/></image></annotations>', 'which photograph is it'),
])
def test_another_file_is_refused(read, text, message):
  with pytest.raises(ValueError, match=message):
    read(text)
