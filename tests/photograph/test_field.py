"""The field of view where a threshold alone is fooled, and on real photographs measured by hand."""

from __future__ import annotations

import numpy as np
import pytest
from drawing import fundus
from scipy import ndimage

from lesion_jax.photograph import field
from lesion_jax.photograph.crop import find_field, read_field

SHAPE, CENTRE, RADIUS = (400, 600), (200, 300), 180
BOX = (20, 120, 380, 480)  # top, left, bottom, right of the disc
# First and last column of the retina at its widest, in the photograph's pixels (4288x2848). Measured by hand: from the
# luminance along the rows about the middle, where a step from the border to the retina is a few pixels wide, and
# checked by eye in crops of 120x60 pixels at six times their size. The field reaches past the top and the bottom.
# IDRiD_01 has glare beyond its right edge, up to 16 of 255; IDRiD_12 was taken at another magnification.
MEASURED = {
    'IDRiD_01': (290, 3700), 'IDRiD_05': (275, 3684), 'IDRiD_09': (286, 3695), 'IDRiD_12': (105, 3906),
    'IDRiD_16': (284, 3693), 'IDRiD_55': (276, 3685), 'IDRiD_56': (275, 3685),
}


@pytest.mark.parametrize('name', MEASURED)
def test_real_photographs_are_found_within_a_hundredth(real_idrid, name):
  path, = real_idrid.glob(f'A*/1*/*/{name}.jpg')
  _, crop = read_field(path)
  left, right = MEASURED[name]
  diameter = right - left
  assert abs(crop.left - left) < 0.01 * diameter and abs(crop.left + crop.side - right) < 0.01 * diameter
  assert crop.top + crop.side / 2 == pytest.approx(2848 / 2, abs=0.01 * diameter), 'cut at top and bottom alike'


def _edges(image):
  crop = find_field(image)
  return crop.top, crop.left, crop.top + crop.side, crop.left + crop.side


def _from_edge(shape=SHAPE, centre=CENTRE, radius=RADIUS):
  """Pixels from the disc's edge, positive inside."""
  rows, columns = np.mgrid[:shape[0], :shape[1]] + 0.5
  return radius - np.hypot(rows - centre[0], columns - centre[1])


def _disc():
  return fundus(*SHAPE, centre=CENTRE, radius=RADIUS).astype(float)


def _bytes(image):
  return np.clip(image, 0, 255).astype(np.uint8)


def test_a_retina_that_fades_to_the_edge_is_held_whole():
  fading = _disc() * np.clip(0.16 + _from_edge() / 150, 0, 1)[..., None]
  luminance = fading @ (0.299, 0.587, 0.114)
  assert 10 < np.median(luminance[(_from_edge() > 0) & (_from_edge() < 3)]) < 20, 'darker than any rim of glare'
  assert _edges(_bytes(fading)) == pytest.approx(BOX, abs=2)


@pytest.mark.parametrize('share', [0.3, 1.0], ids=['one side', 'all around'])
def test_glare_beyond_the_edge_does_not_widen_it(share):
  """As in IDRiD_01: 16 of 255 beside the retina, less farther out."""
  glare = np.clip(16 + _from_edge() / 8, 0, 16) * (np.arange(SHAPE[1]) >= (1 - share) * SHAPE[1])
  assert _edges(_bytes(np.maximum(_disc(), glare[..., None]))) == pytest.approx(BOX, abs=2)


@pytest.mark.parametrize('width', [3, 12, 400], ids=['thin', 'thick', 'everywhere'])
def test_noise_in_the_border_above_the_threshold_does_not_widen_it(width):
  noise = np.random.default_rng(0).integers(4, 19, SHAPE) * ((_from_edge() <= 0) & (_from_edge() > -width))
  assert _edges(_bytes(np.maximum(_disc(), noise[..., None]))) == pytest.approx(BOX, abs=2)


@pytest.mark.parametrize('row, column, size', [(200, 490, 20), (30, 200, 24), (330, 450, 28)])
def test_a_bright_reflection_at_the_edge_does_not_widen_it(row, column, size):
  image = _disc()
  image[row - size:row + size, column - size:column + size] = 240
  assert _edges(_bytes(image)) == pytest.approx(BOX, abs=4)


def test_a_notch_as_cameras_mark_the_upper_right_stays_within():
  image = _disc()
  image[70:95, 440:452] = image[200, 300]
  assert _edges(_bytes(image)) == BOX


def test_a_small_date_stamp_beside_a_cut_field_is_left_out():
  image = fundus(*SHAPE, centre=CENTRE, radius=260).astype(float)
  image[380:392, 4:34] = 255
  assert _edges(_bytes(image)) == (-60, 40, 460, 560)


def test_an_off_centre_field_cut_by_the_frame_on_one_side():
  image = fundus(*SHAPE, centre=(200, 130), radius=180)
  assert _edges(image) == (20, -25, 380, 335), 'the square is about what can be seen'


def test_a_field_cut_within_the_frame_keeps_its_width():
  image = _disc()
  image[:80], image[320:] = 0, 0
  assert _edges(_bytes(image)) == BOX


def test_a_rectangular_field_is_no_circle():
  image = np.zeros((*SHAPE, 3), np.uint8)
  image[50:350, 100:500] = 120
  assert _edges(image) == (0, 100, 400, 500)


def test_only_noise_is_no_field():
  noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=SHAPE), 3)
  image = _bytes(np.repeat((noise > 0.32)[..., None] * 30.0, 3, axis=-1))
  with pytest.raises(ValueError, match='no field of view'):
    find_field(image)


@pytest.mark.parametrize('shape, share', [((1, 1), 1.0), ((7, 30), 0.0), ((40, 33), 0.45), ((64, 64), 0.6), ((5, 5), 1.0)])
def test_what_is_faster_than_scipy_says_what_scipy_says(shape, share):
  mask = np.random.default_rng(0).random(shape) < share
  np.testing.assert_array_equal(field._filled(mask), ndimage.binary_fill_holes(mask))
  for times in (1, 3):
    np.testing.assert_array_equal(field._grown(mask, times), ndimage.binary_dilation(mask, iterations=times))
