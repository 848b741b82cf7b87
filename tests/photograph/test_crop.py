"""Field of view, crop and the way back."""

from __future__ import annotations

import numpy as np
import pytest
from drawing import block, fundus, save
from PIL import Image
from tiny import pack_bits

from lesion_jax.core import unpack_bits
from lesion_jax.photograph.crop import Crop, find_field, read_field, whole


def _edges(crop):
  return crop.top, crop.left, crop.top + crop.side, crop.left + crop.side


class TestFindField:

  def test_centred(self):
    assert _edges(find_field(fundus(200, 300, radius=90))) == (10, 60, 190, 240)

  def test_off_centre(self):
    assert _edges(find_field(fundus(200, 300, centre=(105, 110), radius=80))) == (25, 30, 185, 190)

  def test_cut_at_top_and_bottom_reaches_past_the_photograph(self):
    assert _edges(find_field(fundus(200, 300, radius=140))) == (-40, 10, 240, 290)

  def test_a_dark_retina_is_held_whole(self):
    dark = (fundus(200, 300, radius=90) * 0.2).astype(np.uint8)  # luminance about 20; Otsu would halve it
    dark[:, 150:] = dark[:, 150:] * 0.8
    assert _edges(find_field(dark)) == (10, 60, 190, 240)

  def test_noise_in_the_border_and_a_date_stamp_do_not_widen_it(self):
    image = np.maximum(fundus(200, 300, radius=90), np.random.default_rng(0).integers(0, 9, (200, 300, 3), np.uint8))
    image[5:15, 5:50] = 255
    assert _edges(find_field(image)) == (10, 60, 190, 240)

  def test_a_hole_in_the_field_does_not_split_it(self):
    image = fundus(200, 300, radius=90)
    image[60:140, 80:220] = 0
    assert _edges(find_field(image)) == (10, 60, 190, 240)

  def test_a_retina_that_fills_the_frame_is_all_field(self):
    assert find_field(np.full((80, 80, 3), 99, np.uint8)) == Crop(top=0, left=0, side=80, height=80, width=80)

  def test_a_large_photograph_is_found_to_within_one_pixel_of_the_reduced_copy(self):
    edges = np.array(_edges(find_field(fundus(1400, 2100, radius=650))))
    slack = np.array([50, 400, 1350, 1700]) - edges
    assert np.all(slack[:2] >= 0) and np.all(slack[2:] <= 0), 'the square is never tighter than the field'
    assert np.abs(slack).max() <= 4

  @pytest.mark.parametrize('image', [
      np.zeros((100, 150, 3), np.uint8),
      np.full((100, 150, 3), 10, np.uint8),
      fundus(100, 150, radius=8),
  ], ids=['black', 'as dark as a border', 'too small'])
  def test_no_field_is_said(self, image):
    with pytest.raises(ValueError, match='no field of view found in this 100x150 photograph'):
      find_field(image)

  @pytest.mark.parametrize('image', [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 3)), np.zeros((9, 9, 4), np.uint8)])
  def test_only_rgb_bytes_are_taken(self, image):
    with pytest.raises(ValueError, match='uint8'):
      find_field(image)

  def test_errors_about_the_field_name_the_file(self, tmp_path):
    path = save(tmp_path / 'black.png', np.zeros((40, 40, 3), np.uint8))
    with pytest.raises(ValueError, match=r'black\.png: no field of view'):
      read_field(path)

  def test_real_photographs(self, real_idrid):
    for path in sorted(real_idrid.glob('A*/1*/*/*.jpg'))[::7]:
      image, crop = read_field(path)
      assert (crop.height, crop.width) == (2848, 4288)
      # Two masks of this camera: 3,430 pixels wide, and 3,800 in IDRiD_04, 12, 57 and 65; both cut at top and bottom.
      assert min(abs(crop.side - 3430), abs(crop.side - 3800)) <= 60, path.name
      assert crop.top < 0 and crop.top + crop.side > crop.height
      bright = np.asarray(Image.fromarray(image).convert('L')) > 30
      outside = bright[:, :crop.left].sum() + bright[:, crop.left + crop.side:].sum()
      assert outside <= 1e-5 * bright.sum(), path.name


class TestCrop:

  def test_apply_cuts_and_pads_with_black(self):
    image = np.random.default_rng(0).integers(1, 256, (6, 9, 3), np.uint8)
    square = Crop(top=-2, left=1, side=8, height=6, width=9).apply(image, 8)
    np.testing.assert_array_equal(square[2:], image[:, 1:])
    assert not square[:2].any()

  def test_apply_keeps_the_mean_where_it_shrinks(self):
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    assert whole(64, 64).apply(image, 16).mean() == pytest.approx(image.mean(), abs=1)

  def test_masks_follow_the_image(self):
    """A bit is set where it covers at least 45% of the reduced pixel."""
    masks = np.random.default_rng(0).random((32, 32, 8)) < 0.45
    share = masks.reshape(8, 4, 8, 4, 8).mean((1, 3))
    reduced = unpack_bits(whole(32, 32).apply_mask(pack_bits(masks), 8))
    np.testing.assert_array_equal(reduced, share >= 0.45)

  def test_masks_that_grow_take_the_nearest_neighbour(self):
    packed = np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)
    np.testing.assert_array_equal(whole(8, 8).apply_mask(packed, 24), packed.repeat(3, 0).repeat(3, 1))

  def test_masks_are_cut_as_the_image_is(self):
    mask = block(2, 3, 4, 5, (20, 30))
    crop = Crop(top=-5, left=0, side=30, height=20, width=30)
    image = np.repeat(mask[..., None], 3, -1).astype(np.uint8) * 255
    np.testing.assert_array_equal(crop.apply_mask(mask.astype(np.uint8), 30) > 0, crop.apply(image, 30)[..., 0] > 0)

  @pytest.mark.parametrize('order', [0, 1])
  def test_invert_undoes_apply(self, order):
    crop = Crop(top=-8, left=16, side=64, height=48, width=96)
    coarse = np.random.default_rng(0).random((16, 16), np.float32)
    fine = crop.invert(coarse, order)
    assert fine.shape == (48, 96) and fine.dtype == np.float32
    assert not fine[:, :16].any() and not fine[:, 80:].any()
    if order == 0:
      np.testing.assert_array_equal(fine[:, 16:80], coarse.repeat(4, 0).repeat(4, 1)[8:56])

  def test_invert_of_a_reduced_smooth_picture_is_that_picture(self):
    rows, columns = np.mgrid[:120, :200] / 60
    image = ((np.sin(rows) + np.cos(columns) + 2) * 60).astype(np.uint8)
    crop = Crop(top=-20, left=30, side=160, height=120, width=200)
    back = crop.invert(crop.apply(np.repeat(image[..., None], 3, -1), 80)[..., 0])
    inner = slice(5, -5), slice(35, 185)
    assert np.abs(back[inner] - image[inner]).max() < 2.5

  def test_arrays_of_another_photograph_are_refused(self):
    crop = Crop(top=0, left=0, side=6, height=6, width=9)
    with pytest.raises(ValueError, match='6x9 pixels'):
      crop.apply(np.zeros((9, 6, 3), np.uint8), 4)
    with pytest.raises(ValueError, match=r'\[s, s\]'):
      crop.invert(np.zeros((4, 5)))
    with pytest.raises(ValueError, match='order=3'):
      crop.invert(np.zeros((4, 4)), order=3)

  def test_whole_takes_squares_alone(self):
    with pytest.raises(ValueError, match='expected a square photograph; got 6x9'):
      whole(6, 9)


@pytest.mark.parametrize('crop', [
    Crop(-9, 5, 60, 40, 70), Crop(3, 4, 30, 40, 70), Crop(-4, -8, 90, 80, 70), Crop(0, 0, 40, 40, 40), Crop(5, -3, 30, 40, 70),
    Crop(-12, 30, 52, 40, 70)], ids=str)
@pytest.mark.parametrize('size', [16, 30, 97])
def test_the_square_is_what_pillow_makes_of_the_whole_square_bit_by_bit(rng, crop, size):
  image = rng.integers(0, 256, (crop.height, crop.width, 3), np.uint8)
  square = np.zeros((crop.side, crop.side, 3), np.uint8)
  for row, column in np.ndindex(crop.side, crop.side):
    if 0 <= row + crop.top < crop.height and 0 <= column + crop.left < crop.width:
      square[row, column] = image[row + crop.top, column + crop.left]
  expected = np.asarray(Image.fromarray(square).resize((size, size), Image.Resampling.BILINEAR))
  np.testing.assert_array_equal(crop.apply(image, size), expected)
  np.testing.assert_array_equal(crop.apply(Image.fromarray(image), size), expected)
