"""Field coordinates, painting and noise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from lesion_jax.data.synthetic import canvas


def disc(radius: float, centre=(0.0, 0.0), points: int = 128) -> np.ndarray:
  return np.asarray(centre) + radius * canvas.circle(points)


@pytest.mark.parametrize('size', [64, 129, 896])
def test_grid_and_to_pixels_are_inverse(size):
  frame = canvas.Frame(size, radius=0.97)
  x, y = frame.grid()
  row, column = size // 3, size // 5
  np.testing.assert_allclose(frame.to_pixels(np.array([x[0, column], y[row, 0]])), (column, row), atol=1e-3)


def test_inside_is_the_circle_less_what_the_camera_cuts():
  whole, cut = canvas.Frame(200, 0.9).inside(), canvas.Frame(200, 0.9, cut=0.5).inside()
  assert whole.mean() == pytest.approx(np.pi / 4 * 0.9**2, rel=0.01)
  rows = np.flatnonzero(cut.any(1))
  assert len(rows) == pytest.approx(0.5 * 200 * 0.9, abs=2)
  assert not (cut & ~whole).any()


@pytest.mark.parametrize('size', [128, 600])
@pytest.mark.parametrize('blur', [0.0, 0.01, 0.08])
def test_paint_conserves_area_and_centre(size, blur):
  frame = canvas.Frame(size)
  layer = canvas.paint(frame, [disc(0.3, (0.2, -0.1))], [0.8], blur)
  assert layer.shape == (size, size) and layer.dtype == np.float32
  assert layer.sum() / frame.scale**2 == pytest.approx(0.8 * np.pi * 0.3**2, rel=0.04)
  row, column = ndimage.center_of_mass(layer)
  np.testing.assert_allclose((column, row), frame.to_pixels(np.array([0.2, -0.1])), atol=0.02 * frame.scale)


def test_paint_blurs_as_a_gaussian_does():
  frame = canvas.Frame(200)
  sharp, soft = (canvas.paint(frame, [disc(0.3)], [1.0], blur) for blur in (0.0, 0.04))
  np.testing.assert_allclose(soft, ndimage.gaussian_filter(sharp, 0.04 * frame.scale), atol=0.03)


def test_later_polygons_win_where_they_overlap():
  frame = canvas.Frame(100)
  layer = canvas.paint(frame, [disc(0.5), disc(0.2)], [1.0, 0.2])
  assert layer[50, 50] == pytest.approx(0.2, abs=0.01)
  assert layer[50, 68] == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize('centre', [(0.0, 0.0), (0.31, -0.47)])
def test_stencil_misses_nothing_however_small(centre):
  mask = canvas.stencil(canvas.Frame(64), [disc(0.001, centre, 8)])
  assert 1 <= mask.sum() <= 4


def test_smooth_noise_is_standard_smooth_and_the_same_at_any_size():
  small, large = (canvas.smooth_noise(np.random.default_rng(5), 12, size) for size in (96, 384))
  assert 0.5 < large.std() < 1.2
  assert np.abs(np.diff(large, axis=0)).max() < 0.3
  np.testing.assert_allclose(large.reshape(96, 4, 96, 4).mean((1, 3)), small, atol=0.05)


def test_blend_is_linear_in_opacity():
  rng = np.random.default_rng(0)
  image, alpha = rng.random((3, 4, 5), np.float32), rng.random((4, 5), np.float32)
  expected = (1 - alpha) * image + alpha * np.array([0.1, 0.2, 0.9])[:, None, None]
  canvas.blend(image, (0.1, 0.2, 0.9), alpha)
  np.testing.assert_allclose(image, expected, rtol=1e-5)


def test_blobs_have_about_the_radius_asked_for():
  radii = np.linspace(0.01, 0.2, 50)
  outlines = canvas.blobs(np.random.default_rng(1), np.zeros((50, 2)), radii, points=40)
  x, y = np.moveaxis(outlines, -1, 0)
  area = 0.5 * np.abs((x * np.roll(y, -1, 1) - y * np.roll(x, -1, 1)).sum(1))
  np.testing.assert_allclose(np.sqrt(area / np.pi), radii, rtol=0.35)


def test_ribbon_surrounds_its_path_by_half_the_width():
  path = np.stack([np.linspace(0, 1, 11), np.zeros(11)], axis=-1)
  outline = canvas.ribbon(path, np.full(11, 0.2))
  assert outline.shape == (22, 2)
  np.testing.assert_allclose(np.abs(outline[:, 1]), 0.1, rtol=1e-6)


def test_a_straight_walk_goes_where_it_is_sent():
  path = canvas.walk(np.random.default_rng(0), np.array([[1.0, 2.0]]), [np.pi / 2], [3.0], steps=31, bend=[0.0],
                     tortuosity=0.0)
  np.testing.assert_allclose(path[0, 0], (1, 2))
  np.testing.assert_allclose(path[0, -1], (1, 2 + 3 * 30 / 31), atol=1e-9)


def test_streams_differ_by_seed_number_and_name():
  draws = {canvas.stream(*key).random() for key in [(0, 0, 'a'), (1, 0, 'a'), (0, 1, 'a'), (0, 0, 'b')]}
  assert len(draws) == 4
  assert canvas.stream(0, 0, 'a').random() in draws
