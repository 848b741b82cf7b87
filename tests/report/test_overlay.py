"""Outlines lie around lesions, in colours that everybody can tell apart."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from lesion_jax.core import LESION_KEYS, unpack_bits
from lesion_jax.report.overlay import COLORS, draw_overlay, legend_strip, lesion_masks
from lesion_jax.report.page import FALSE_ALARM_LINE

# Machado, Oliveira, Fernandes (2009), severity 1, on linear RGB.
VISION = {
    'normal': np.eye(3),
    'protanopia': [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    'deuteranopia': [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
}
RGB_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
RETINA = [(190, 90, 40), (140, 50, 20), (220, 130, 70), (90, 25, 10)]
FALSE_ALARM_RED = (212, 0, 26)


def lab(color, vision):
  """CIE L*a*b* of an sRGB colour as that vision has it."""
  rgb = np.array(color) / 255
  linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
  xyz = RGB_TO_XYZ @ np.clip(np.array(VISION[vision]) @ linear, 0, 1) / RGB_TO_XYZ.sum(axis=1)
  x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
  return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize('vision', VISION)
def test_colors_can_be_told_apart(vision):
  # A difference of 2.3 is just noticeable.
  assert tuple(COLORS) == LESION_KEYS
  for a, b in itertools.combinations(COLORS.values(), 2):
    assert np.linalg.norm(lab(a, vision) - lab(b, vision)) > 15, (a, b)
  for color, ground in itertools.product(COLORS.values(), [*RETINA, FALSE_ALARM_RED, FALSE_ALARM_LINE]):
    assert np.linalg.norm(lab(color, vision) - lab(ground, vision)) > 15, (color, ground)
  for ground in RETINA:
    assert np.linalg.norm(lab(FALSE_ALARM_LINE, vision) - lab(ground, vision)) > 15, ground


def test_the_outline_is_around_the_lesion_and_nowhere_else(make_truth):
  image = np.full((64, 64, 3), 90, np.uint8)
  drawn = draw_overlay(image, make_truth({'HaEx': (20, 40, 20, 40)}), width=2, legend=False)
  changed = (drawn != image).any(-1)
  assert not changed[20:40, 20:40].any()
  assert (drawn[30, 18:20] == COLORS['HaEx']).all()
  assert not changed[:16].any() and not changed[44:].any()


def test_what_is_not_asked_for_is_not_drawn(make_truth):
  image, truth = np.full((64, 64, 3), 90, np.uint8), make_truth({'MA': (5, 9, 5, 9), 'NV': (30, 50, 30, 50)})
  drawn = draw_overlay(image, truth, keys=['MA'], legend=False)
  assert (drawn[:20, :20] != 90).any()
  assert (drawn[20:] == 90).all()


def test_a_lesion_can_have_another_color(make_truth):
  image, truth = np.full((64, 64, 3), 90, np.uint8), make_truth({'MA': (5, 9, 5, 9), 'NV': (30, 50, 30, 50)})
  drawn = draw_overlay(image, truth, colors=COLORS | {'NV': (1, 2, 3)}, width=2, legend=False)
  assert (drawn[40, 28:30] == (1, 2, 3)).all() and (drawn[7, 3:5] == COLORS['MA']).all()


def test_an_image_without_lesions_and_one_full_of_them_stay_as_they_are(make_truth):
  image = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
  for boxes in ({}, {'vHE': (0, 64, 0, 64)}):
    np.testing.assert_array_equal(draw_overlay(image, make_truth(boxes), legend=False), image)


@pytest.mark.parametrize('packed', [True, False])
def test_lesions_of_another_size_are_brought_to_the_image(make_truth, packed):
  truth = make_truth({'CWS': (8, 16, 8, 16)}, size=32)
  lesions = truth if packed else unpack_bits(truth).astype(np.float32)
  drawn = draw_overlay(np.zeros((128, 128, 3), np.uint8), lesions, legend=False)
  rows = np.flatnonzero(drawn.any(axis=(1, 2)))
  assert abs(rows[0] - 31) <= 2 and abs(rows[-1] - 64) <= 2


def test_maps_are_cut_at_their_thresholds():
  maps = np.full((4, 4, 8), 0.3, np.float32)
  assert not lesion_masks(maps).any()
  masks = lesion_masks(maps, [0.2] + [0.5] * 7)
  assert masks[..., 0].all() and not masks[..., 1:].any()


@pytest.mark.parametrize('wrong', [np.zeros((4, 4)), np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 8), np.uint8)])
def test_other_arrays_are_refused(wrong):
  with pytest.raises(ValueError, match=r'expected packed masks, uint8 \[S, S\], or probability maps'):
    lesion_masks(wrong)


def test_the_legend_names_what_occurs_and_makes_the_picture_taller(make_truth):
  image = np.zeros((256, 256, 3), np.uint8)
  drawn = draw_overlay(image, make_truth({'MA': (60, 70, 60, 70)}, size=256))
  strip = drawn[256:]
  assert drawn.shape[1:] == (256, 3) and 15 < len(strip) < 60
  colors = {tuple(int(c) for c in pixel) for pixel in strip.reshape(-1, 3)}
  assert COLORS['MA'] in colors and COLORS['pHE'] not in colors
  assert len(legend_strip(256, LESION_KEYS)) > len(strip)  # several rows where one is too short
  assert legend_strip(256, []).any()
