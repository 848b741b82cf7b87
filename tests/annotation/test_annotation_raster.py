"""Masks of shapes against the ellipse's equation, a point-in-polygon test by winding angles, and matplotlib's."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.path import Path

from lesion_jax.annotation.raster import rasterise, stamp
from lesion_jax.annotation.shapes import Ellipse, Polygon, circle, rotate
from lesion_jax.core import LESION_KEYS, lesion_index

SIZE = (60, 90)  # height, width
ROWS, COLUMNS = np.mgrid[:SIZE[0], :SIZE[1]]


def mask(*shapes, size=SIZE):
  return rasterise(shapes, size) > 0


def winding(points):
  """bool [H, W]: the angles under which a centre sees the edges of a simple polygon sum to a whole turn inside it."""
  seen = np.asarray(points) - np.stack([COLUMNS, ROWS], axis=-1)[..., None, :]
  angle = np.arctan2(seen[..., 1], seen[..., 0])
  turns = (np.roll(angle, -1, axis=-1) - angle + np.pi) % (2 * np.pi) - np.pi
  return np.abs(turns.sum(axis=-1)) > np.pi


@pytest.mark.parametrize('centre, axes, angle', [
    ((40.3, 30.7), (20.2, 7.9), 0.0), ((40.3, 30.7), (20.2, 7.9), 0.7), ((40.0, 30.0), (9.5, 9.5), 1.2),
    ((2.0, 3.0), (11.0, 6.0), 2.5), ((88.0, 58.0), (30.0, 4.0), -0.6),
])
def test_an_ellipse_is_its_equation(centre, axes, angle):
  dx, dy = COLUMNS - centre[0], ROWS - centre[1]
  u = dx * np.cos(angle) + dy * np.sin(angle)
  v = dy * np.cos(angle) - dx * np.sin(angle)
  np.testing.assert_array_equal(mask(Ellipse('MA', centre, axes, angle)), (u / axes[0])**2 + (v / axes[1])**2 <= 1)


@pytest.mark.parametrize('seed', range(8))
def test_a_polygon_holds_the_centres_inside_it(seed):
  rng = np.random.default_rng(seed)
  radius = rng.uniform(6, 40, 24)[:, None]
  points = rng.uniform((20, 15), (70, 45)) + rotate(circle(24) * radius, rng.uniform(0, 6))  # a star, so it is simple
  drawn = mask(Polygon('iHE', tuple(map(tuple, points))))
  np.testing.assert_array_equal(drawn, winding(points))
  centres = np.stack([COLUMNS, ROWS], axis=-1).reshape(-1, 2)
  np.testing.assert_array_equal(drawn, Path(points).contains_points(centres).reshape(SIZE))


def test_a_hole_where_a_polygon_winds_twice_is_outside():
  """The even-odd rule: the inner square of a line that goes round twice."""
  outer, inner = [(10, 10), (40, 10), (40, 40), (10, 40)], [(20, 20), (30, 20), (30, 30), (20, 30)]
  points = tuple((float(x), float(y)) for x, y in [*outer, outer[0], *inner, inner[0]])
  drawn = mask(Polygon('vHE', points))
  assert drawn[15, 15] and drawn[35, 35] and not drawn[25, 25]


def test_pixels_are_known_by_their_centres():
  """A square from the corner (2, 1) to the corner (5, 3), measured from the photograph's own corner."""
  corners = [(2, 1), (5, 1), (5, 3), (2, 3)]
  drawn = mask(Polygon('MA', tuple((x - 0.5, y - 0.5) for x, y in corners)))
  expected = np.zeros(SIZE, bool)
  expected[1:3, 2:5] = True
  np.testing.assert_array_equal(drawn, expected)


def test_touching_polygons_share_no_pixel():
  left = Polygon('MA', ((5.0, 5.0), (20.0, 5.0), (20.0, 20.0), (5.0, 20.0)))
  right = Polygon('MA', ((20.0, 5.0), (30.0, 5.0), (30.0, 20.0), (20.0, 20.0)))
  assert mask(left).sum() == 15 * 15 and mask(right).sum() == 10 * 15
  assert not (mask(left) & mask(right)).any()


@pytest.mark.parametrize('radius', [2.5, 4.0, 20.0])
def test_areas_are_right_on_average(radius):
  rng = np.random.default_rng(0)
  areas = [mask(Ellipse('MA', tuple(rng.uniform(25, 35, 2)), (radius, radius), 0.0)).sum() for _ in range(400)]
  assert np.mean(areas) == pytest.approx(np.pi * radius**2, rel=0.01)


def test_a_dot_between_four_centres_is_one_pixel():
  assert np.argwhere(mask(Ellipse('MA', (10.4, 7.6), (0.1, 0.1), 0.0))).tolist() == [[8, 10]]
  assert mask(Polygon('MA', ((10.3, 7.3), (10.4, 7.3), (10.4, 7.4)))).sum() == 1


def test_a_flat_ellipse_or_polygon_has_no_area():
  assert not mask(Ellipse('MA', (30.0, 30.0), (10.0, 0.0), 0.3)).any()
  assert not mask(Polygon('MA', ((10.0, 10.2), (40.0, 10.2), (20.0, 10.2)))).any()


def test_what_lies_outside_is_cut_off():
  assert not mask(Ellipse('MA', (-30.0, 5.0), (10.0, 10.0), 0.0)).any()
  assert mask(Polygon('MA', ((-50.0, -50.0), (200.0, -50.0), (200.0, 200.0), (-50.0, 200.0)))).all()


def test_each_lesion_has_its_bit_and_lesions_overlap():
  packed = rasterise([Ellipse(key, (30.0, 30.0), (4.0 + j, 3.0), 0.0) for j, key in enumerate(LESION_KEYS)], SIZE)
  assert packed[30, 30] == 255
  assert packed[30, 41] == 1 << lesion_index('FiP')


def test_a_stamp_is_no_larger_than_its_shape():
  place, small = stamp(Ellipse('MA', (30.0, 20.0), (3.0, 2.0), 0.0), SIZE)
  assert place == (slice(18, 23), slice(27, 34)) and small.shape == (5, 7)


@pytest.mark.parametrize('shape', [
    Ellipse('MA', (30.2, 20.9), (9.0, 4.0), 0.4), Polygon('MA', ((5.1, 5.2), (40.7, 9.3), (22.4, 30.8)))])
def test_a_scaled_shape_covers_the_same_part_of_a_scaled_photograph(shape):
  """Of every third pixel in each direction, the middle one of three is the same place."""
  large = mask(shape.scaled(3.0), size=(180, 270))
  np.testing.assert_array_equal(large[1::3, 1::3], mask(shape))
