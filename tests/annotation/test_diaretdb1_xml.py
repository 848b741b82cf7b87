"""DIARETDB1's XML: three kinds of region, four kinds of lesion, three degrees of confidence."""

from __future__ import annotations

import math

import pytest
from markings import circle, diaretdb1, ellipse, marking, polygon

from lesion_jax.annotation.diaretdb1 import read_markings
from lesion_jax.annotation.raster import rasterise


@pytest.fixture
def read(tmp_path):
  """`read(text) -> markings`, by way of a file."""

  def from_text(text):
    path = tmp_path / 'diaretdb1_image001_01_plain.xml'
    path.write_text(text)
    return read_markings(path)

  return from_text


def test_regions_lesions_and_confidences(read):
  found = read(diaretdb1(
      marking(circle(10, 20, 4), 'Red_small_dots', 'Low'),
      marking(ellipse(30, 40, 9, 3, 20), 'Haemorrhages', 'Medium'),
      marking(polygon((1, 2), (8, 2), (5, 9)), 'Hard_exudates'),
      marking(circle(50, 20, 4), 'Soft_exudates')))
  assert found == [
      (('MA', (10, 20), (4, 4), 0), 0.25),
      (('iHE', (30, 40), (9, 3), -math.radians(20)), 0.75),
      (('HaEx', ((1, 2), (8, 2), (5, 9))), 1.0),
      (('CWS', (50, 20), (4, 4), 0), 1.0)]


def test_angles_count_counter_clockwise_on_screen(read):
  """By 45 degrees the right end of a lying ellipse goes up, to smaller rows."""
  (shape, _), = read(diaretdb1(marking(ellipse(50, 50, 30, 3, 45), 'Haemorrhages')))
  mask = rasterise([shape], (100, 100)) > 0
  assert mask[35, 65] and mask[65, 35] and not mask[65, 65] and not mask[35, 35]


@pytest.mark.parametrize('kind', ['Disc', 'Fundus_area', 'IRMA', 'Neovascularisation'])
def test_what_is_no_lesion_of_the_benchmark_is_left_out(read, kind):
  assert read(diaretdb1(marking(circle(1, 1, 1), kind))) == []


@pytest.mark.parametrize('inner, message', [
    (marking(circle(1, 1, 1), 'Drusen'), "marking 1: unknown markingtype 'Drusen'; known are Red_small_dots"),
    (marking(circle(1, 1, 1), 'Haemorrhages', 'Sure'), "unknown confidencelevel 'Sure'; known are High, Medium, Low"),
    (marking('<pointregion/>', 'Haemorrhages'), 'none of circleregion, ellipseregion and polygonregion'),
    (marking(circle(1, 1, 'r'), 'Haemorrhages'), "radius is 'r'; expected a number"),
    (marking(circle('', 1, 1), 'Haemorrhages'), "x is ''; expected a number"),
    (marking(polygon(), 'Haemorrhages'), 'its polygon has no points'),
])
def test_what_is_refused_says_where(read, inner, message):
  with pytest.raises(ValueError, match=rf'_01_plain\.xml, .*{message}|_01_plain\.xml, {message}'):
    read(diaretdb1(inner))


def test_another_file_is_refused(read):
  with pytest.raises(ValueError, match='it has no markinglist'):
    read('<annotations/>')
