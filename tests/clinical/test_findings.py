"""Regions and areas of hand-made masks, in all and by quadrant."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from lesion_jax.clinical.findings import QUADRANTS, Regions, Smallest, measure, without_small
from lesion_jax.photograph.field import Field, find_field_of_view

SIZE = 40


def measured(mask, *arguments, **named):
  return measure(Regions.of_mask(mask), *arguments, **named)


@pytest.fixture
def field():
  """All of the square, quartered in the middle."""
  return Field(np.ones((SIZE, SIZE), bool), SIZE // 2, SIZE // 2)


def draw(*boxes):
  """A mask with boxes (top, bottom, left, right)."""
  mask = np.zeros((SIZE, SIZE), bool)
  for top, bottom, left, right in boxes:
    mask[top:bottom, left:right] = True
  return mask


def regions(found):
  return [found['quadrants'][name]['regions'] for name in QUADRANTS]


def test_an_empty_mask_has_nothing(field):
  found = measured(draw(), field, SIZE)
  assert (found['regions'], found['pixels'], found['share'], regions(found)) == (0, 0, 0, [0, 0, 0, 0])


def test_pixels_that_touch_at_a_corner_are_one_region(field):
  assert measured(draw((3, 4, 3, 4), (4, 5, 4, 5)), field, SIZE)['regions'] == 1
  assert measured(draw((3, 4, 3, 4), (5, 6, 4, 5)), field, SIZE)['regions'] == 2


def test_regions_are_counted_by_quadrant_as_the_picture_is_seen(field):
  found = measured(draw((2, 4, 2, 4), (2, 4, 30, 32), (6, 8, 30, 32), (30, 31, 5, 6), (35, 36, 5, 6), (38, 39, 5, 6)),
                  field, SIZE)
  assert regions(found) == [1, 2, 3, 0] and found['regions'] == 6


def test_a_region_belongs_to_its_centroid_and_its_area_to_every_quadrant_by_pixel(field):
  found = measured(draw((4, 8, 10, 24)), field, SIZE)  # 10 columns on the left, 4 on the right
  assert regions(found) == [1, 0, 0, 0]
  assert [found['quadrants'][name]['pixels'] for name in QUADRANTS] == [40, 16, 0, 0]


def test_a_centroid_on_both_lines_is_in_the_lower_right(field):
  assert regions(measured(draw((18, 22, 18, 22)), field, SIZE)) == [0, 0, 0, 1]


def test_areas_are_in_pixels_of_the_photograph(field):
  assert measured(draw((4, 8, 4, 8)), field, side=3 * SIZE)['pixels'] == 16 * 9
  assert measured(draw((4, 8, 4, 8)), field, side=SIZE // 2)['pixels'] == 4


def test_shares_are_of_the_field_of_view_and_of_what_lies_inside():
  inside = np.zeros((SIZE, SIZE), bool)
  inside[10:30, 10:30] = True
  found = measured(draw((5, 15, 10, 14)), Field(inside, 20, 20), SIZE)
  assert found['pixels'] == 40 and found['share'] == 20 / 400
  assert sum(found['quadrants'][name]['share'] for name in QUADRANTS) == pytest.approx(found['share'])


def test_mask_and_field_of_different_sizes_are_refused(field):
  with pytest.raises(ValueError, match=r'the mask is \[8, 8\], the field of view \[40, 40\]'):
    measured(np.zeros((8, 8), bool), field, 8)


def disc(side, center, radius, level=90):
  rows, columns = np.mgrid[:side, :side]
  square = np.zeros((side, side, 3), np.uint8)
  square[np.hypot(rows - center[0], columns - center[1]) <= radius] = level
  return square


@pytest.mark.parametrize('side', [300, 1200])
def test_the_field_of_view_is_found_with_its_centre(side):
  square = disc(side, (0.5 * side, 0.45 * side), 0.4 * side)
  square[side // 2, side // 2] = 0  # a hole
  field = find_field_of_view(square, 200)
  assert field.inside.mean() == pytest.approx(np.pi * 0.4 ** 2, rel=0.01)
  assert abs(field.row - 100) <= 1 and abs(field.column - 90) <= 1
  assert field.inside[100, 100]


def test_specks_beside_the_field_are_not_of_it():
  square = disc(200, (100, 100), 60)
  square[:4, :4] = 255
  assert not find_field_of_view(square, 200).inside[:10, :10].any()


def test_glare_beside_the_field_is_not_of_it():
  square = disc(200, (100, 100), 60, level=150)
  square[:, 120:] = np.maximum(square[:, 120:], 16)
  field = find_field_of_view(square, 200)
  assert not field.inside[:, 170:].any() and abs(field.row - 100) <= 1 and abs(field.column - 100) <= 1


def test_a_reflection_that_sticks_out_does_not_move_the_quadrants():
  square = disc(200, (100, 100), 60)
  square[95:105, 150:185] = 90
  field = find_field_of_view(square, 200)
  assert abs(field.row - 100) <= 1 and abs(field.column - 100) <= 1


def test_a_square_without_anything_bright_is_all_field():
  field = find_field_of_view(np.zeros((50, 50, 3), np.uint8), 64)
  assert field.inside.all() and (field.row, field.column) == (32, 32)


class TestMillimetres:

  def test_areas_are_of_the_photographs_pixels_and_its_spacing(self, field):
    mask = draw((0, 4, 0, 5), (30, 33, 30, 36))
    found = measured(mask, field, 4 * SIZE, spacing=(0.005, 0.006))
    assert found['mm2'] == pytest.approx(38 * 16 * 0.005 * 0.006, abs=1e-6)
    assert [found['quadrants'][name]['mm2'] for name in QUADRANTS] == pytest.approx(
        [20 * 16 * 3e-5, 0, 0, 18 * 16 * 3e-5], abs=1e-6)

  def test_without_one_there_are_none(self, field):
    found = measured(draw((0, 4, 0, 5)), field, SIZE)
    assert 'mm2' not in found and 'mm2' not in found['quadrants']['upper_left']


class TestSmallestRegion:

  def test_regions_below_it_are_omitted_and_the_others_stay(self):
    big, small = draw((2, 5, 2, 5)), draw((20, 22, 20, 23), (23, 24, 23, 24))  # the second of 6 pixels, and one apart
    mask = big | small
    np.testing.assert_array_equal(without_small(mask, 7), big)
    np.testing.assert_array_equal(mask, big | small)
    assert without_small(mask, 1) is mask and without_small(big, 9) is big and not without_small(mask, 10).any()

  def test_pixels_that_touch_at_a_corner_count_together(self):
    mask = draw((1, 2, 1, 2), (2, 3, 2, 3))
    assert without_small(mask, 2).sum() == 2 and not without_small(mask, 3).any()

  @pytest.mark.parametrize('chosen, pixels', [
      (Smallest(1), 1), (Smallest(2.5), 3), (Smallest(7), 7), (Smallest(1, 'disc areas'), 31), (Smallest(0.001, 'disc areas'), 1)])
  def test_its_pixels_are_those_of_the_network_or_a_share_of_the_field(self, field, chosen, pixels):
    assert chosen.pixels(field) == pixels  # 0.019 of 1600 pixels are 30.4

  def test_it_says_itself_in_words(self):
    assert [str(each) for each in (Smallest(1), Smallest(6), Smallest(0.001, 'disc areas'))] == [
        '1 pixel', '6 pixels', '0.001 disc areas']
    assert Smallest.of({'value': 6, 'unit': 'pixels'}) == Smallest(6)


@pytest.mark.parametrize('size, share', [(40, 0.02), (97, 0.004), (200, 0.0005), (64, 0.5), (33, 0.0), (96, 1.0)])
def test_patch_by_patch_the_regions_are_those_of_the_whole_mask(size, share):
  rng = np.random.default_rng(size)
  mask = ndimage.binary_dilation(rng.random((size, size)) < share, iterations=2)
  labels, count = ndimage.label(mask, np.ones((3, 3)))
  found = np.zeros((size, size), int)
  rows, columns, of, number, side = Regions.of_mask(mask)
  found[rows, columns] = of
  assert (number, side) == (count, size)
  assert len(set(zip(found.ravel().tolist(), labels.ravel().tolist(), strict=True))) == count + (not mask.all())  # but for their order
  np.testing.assert_array_equal(found > 0, mask)
