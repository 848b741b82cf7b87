"""A photograph becomes the square that the network takes."""

from __future__ import annotations

import numpy as np
import pytest
from drawing import fundus
from oracle import photograph
from PIL import Image

from lesion_jax.photograph.crop import Crop
from lesion_jax.predict import Square, prepare


def test_the_square_is_the_field_of_view():
  square = prepare(photograph(200, 300, center=(110, 160), radius=80), 64)
  assert (square.pixels.shape, square.pixels.dtype) == ((64, 64, 3), np.uint8)
  assert abs(square.crop.side - 161) <= 2
  assert square.pixels[32, 0].any() and not square.pixels[0, 0].any()  # it touches the edges, not the corners


def test_a_square_passes_through_when_it_fits():
  square = prepare(photograph(), 64)
  assert prepare(square, 64) is square
  with pytest.raises(ValueError, match=r'its pixels are \[64, 64, 3\]; this network takes \[32, 32, 3\]'):
    prepare(square, 32)


def test_any_shape_goes_without_cropping():
  assert prepare(photograph(), 64, crop=False).crop == Crop(top=-50, left=0, side=300, height=200, width=300)
  assert isinstance(prepare(np.zeros((9, 9, 3), np.uint8), 4, crop=False), Square)


def test_a_black_square_is_refused_unless_it_is_said_to_be_a_field():
  with pytest.raises(ValueError, match='eye: no field of view.*goes through whole with crop=False'):
    prepare(np.zeros((90, 90, 3), np.uint8), 64, crop=None, name='eye')


@pytest.mark.parametrize('crop', [None, True, False])
def test_nothing_is_no_photograph(crop):
  with pytest.raises(ValueError, match=r'eye: it is empty, \[0, 0, 3\]'):
    prepare(np.zeros((0, 0, 3), np.uint8), 64, crop=crop, name='eye')


@pytest.mark.parametrize('width, side', [(200, 200), (300, 161)])
def test_left_open_only_what_is_not_square_is_cropped(width, side):
  square = prepare(photograph(200, width, center=(110, 100), radius=80), 64, crop=None)
  assert abs(square.crop.side - side) <= 2


@pytest.mark.parametrize('shape, crop', [((1, 1), True), ((2, 3000), None), ((63, 63), False)])
def test_a_photograph_too_small_to_see_a_retina_is_refused(shape, crop):
  """A thumbnail would be called healthy."""
  pixels = ' too few to see a retina; expected 64 along each side'
  with pytest.raises(ValueError, match=f'{shape[0]}x{shape[1]} pixels are{pixels}'):
    prepare(np.full((*shape, 3), 128, np.uint8), 100, crop=crop)
  assert prepare(np.full((48, 48, 3), 128, np.uint8), 48, crop=False).pixels.shape == (48, 48, 3)


@pytest.mark.parametrize('crop', [True, False, None])
@pytest.mark.parametrize('shape', [(65, 65000), (20000, 100)])
def test_a_strip_is_refused_and_takes_no_square_of_its_length(crop, shape):
  with pytest.raises(ValueError, match=rf'the photograph: .* is a strip of {max(shape)} pixels in a picture of {shape[0]}x{shape[1]}'):
    prepare(np.full((*shape, 3), 90, np.uint8), 64, crop=crop)


def test_a_retina_in_a_long_picture_is_found():
  eye = fundus(100, 100, seed=1)
  picture = np.zeros((100, 1200, 3), np.uint8)
  picture[:, 700:800] = eye
  assert prepare(picture, 64).crop.side <= 106


@pytest.fixture(scope='module')
def jpeg(tmp_path_factory):
  path = tmp_path_factory.mktemp('reduced') / 'eye.jpg'
  Image.fromarray(fundus(300, 434)).resize((1303, 901), Image.Resampling.BICUBIC).save(path, quality=95)
  return path


class TestReduced:
  """JPEG files are decoded at a fraction of their size where the field keeps as many pixels as the network takes."""

  @pytest.mark.parametrize('size, side', [(400, 432), (200, 216), (100, 108)])
  def test_it_is_nearly_the_same_square_at_the_same_place(self, jpeg, size, side):
    whole, reduced = (prepare(jpeg, size, view=2048, reduced=each) for each in (False, True))
    assert (reduced.crop.height, reduced.crop.width) == (901, 1303) and abs(len(reduced.view) - side) <= 0.1 * side
    np.testing.assert_allclose([reduced.crop.top, reduced.crop.left, reduced.crop.side],
                               [whole.crop.top, whole.crop.left, whole.crop.side], atol=16)
    if reduced.crop == whole.crop:
      assert np.abs(reduced.pixels.astype(int) - whole.pixels).mean() < 2

  def test_a_field_that_would_be_too_small_is_decoded_in_full_size(self, jpeg):
    """The longer side of the photograph allows a half, the field does not."""
    whole, reduced = (prepare(jpeg, 600, view=2048, reduced=each) for each in (False, True))
    np.testing.assert_array_equal(reduced.pixels, whole.pixels)
    assert reduced.crop == whole.crop
    with jpeg.open('rb') as file:  # which cannot be read twice
      np.testing.assert_array_equal(prepare(file, 600, reduced=True).pixels, whole.pixels)
    np.testing.assert_array_equal(prepare(jpeg.read_bytes(), 200, reduced=True).pixels, prepare(jpeg, 200, reduced=True).pixels)

  @pytest.mark.parametrize('orientation', [1, 3, 6, 8])
  def test_it_is_upright(self, jpeg, tmp_path, orientation):
    with Image.open(jpeg) as image:
      exif = image.getexif()
      exif[0x0112] = orientation
      image.save(tmp_path / 'turned.jpg', exif=exif, quality=95)
    whole, reduced = (prepare(tmp_path / 'turned.jpg', 200, crop=False, reduced=each) for each in (False, True))
    assert (reduced.crop.height, reduced.crop.width) == (whole.crop.height, whole.crop.width)
    assert np.abs(reduced.pixels.astype(int) - whole.pixels).mean() < 2

  def test_of_everything_else_nothing_changes(self, tmp_path):
    Image.fromarray(fundus(300, 300)).save(tmp_path / 'eye.png')
    for each in (tmp_path / 'eye.png', fundus(300, 300), Image.fromarray(fundus(300, 300))):
      np.testing.assert_array_equal(prepare(each, 64, reduced=True).pixels, prepare(each, 64).pixels)

  def test_what_is_wrong_is_said_of_the_whole_photograph(self, tmp_path):
    Image.new('RGB', (1000, 800)).save(tmp_path / 'black.jpg')
    with pytest.raises(ValueError, match='no field of view found in this 800x1000 photograph'):
      prepare(tmp_path / 'black.jpg', 64, reduced=True)
