"""PNG as the project writes it, read by another decoder."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from lesion_jax.data import synthetic
from lesion_jax.photograph.png import decode_mask, decode_picture, encode_png


@pytest.mark.parametrize('shape', [(1, 1), (7, 5), (64, 64), (1, 1, 3), (7, 5, 3), (64, 64, 3)])
def test_every_pixel_comes_back(shape):
  pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
  with Image.open(io.BytesIO(encode_png(pixels))) as image:
    assert image.format == 'PNG' and image.mode == ('RGB' if len(shape) == 3 else 'L')
    np.testing.assert_array_equal(np.asarray(image), pixels)


def test_views_are_written_as_they_look():
  pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
  for view in (pixels[::2, ::-1], pixels[..., 1], pixels[..., ::-1], pixels.transpose(1, 0, 2)):
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(encode_png(view)))), view)


def test_a_photograph_is_no_larger_than_pillow_makes_it():
  image, buffer = synthetic.generate(seed=0, index=3, size=256).image, io.BytesIO()
  Image.fromarray(image).save(buffer, format='PNG', compress_level=1)
  assert len(encode_png(image)) < len(buffer.getvalue())


@pytest.mark.parametrize('pixels', [np.zeros((4, 4)), np.zeros((4, 4, 4), np.uint8), np.zeros(4, np.uint8)])
def test_other_arrays_are_refused(pixels):
  with pytest.raises(ValueError, match='uint8'):
    encode_png(pixels)


def test_pictures_are_read_as_pillow_reads_them():
  image, buffer = synthetic.generate(seed=0, index=3, size=64).image, io.BytesIO()
  Image.fromarray(image).save(buffer, format='JPEG', quality=90)
  np.testing.assert_array_equal(decode_picture(buffer.getvalue()), np.asarray(Image.open(buffer)))
  np.testing.assert_array_equal(decode_picture(encode_png(image)), image)


@pytest.mark.parametrize('mask', [
    np.zeros((9, 7), np.uint8), np.eye(64, dtype=np.uint8) * 129, np.full((3, 5), 255, np.uint8),
    np.random.default_rng(0).integers(0, 256, (33, 65), np.uint8),
], ids=['empty', 'diagonal', 'full', 'noise'])
def test_masks_come_back_whoever_wrote_them(mask):
  for options in (None, {'compress_level': 1}, {'compress_level': 9}):
    buffer = io.BytesIO()
    if options:
      Image.fromarray(mask).save(buffer, format='PNG', **options)
    decoded = decode_mask(buffer.getvalue() if options else encode_png(mask))
    np.testing.assert_array_equal(decoded, mask)
    assert decoded.dtype == np.uint8


def test_a_mask_is_read_without_pillow(monkeypatch):
  monkeypatch.setattr(Image, 'open', lambda *_: pytest.fail('Pillow was asked'))
  np.testing.assert_array_equal(decode_mask(encode_png(np.eye(5, dtype=np.uint8))), np.eye(5))
