"""The hint whether a photograph is gradable: nothing against IDRiD's, the right word against spoiled copies of them."""

from __future__ import annotations

import numpy as np
import pytest
from drawing import fundus
from PIL import Image, ImageFilter

from lesion_jax.data import synthetic
from lesion_jax.photograph import quality
from lesion_jax.photograph.crop import find_field
from lesion_jax.photograph.field import find_field_of_view, mask_of
from lesion_jax.photograph.quality import assess
from lesion_jax.photograph.read import read_photograph


@pytest.fixture(scope='module')
def drawn() -> np.ndarray:
  return synthetic.generate(seed=0, index=3, size=896).image


def _blur(image, pixels):
  return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(pixels)))


def _light(image, factor):
  return np.clip(image * float(factor), 0, 255).astype(np.uint8)


SPOILED = {
    'blurred': lambda image: _blur(image, 16 * image.shape[1] / 4288),
    'dark': lambda image: _light(image, 0.2),
    'overexposed': lambda image: _light(image, 6),
    'cut': lambda image: image[:, :int(0.63 * image.shape[1])],
}


def test_a_drawn_photograph_is_gradable(drawn):
  quality = assess(drawn)
  assert quality.gradable and quality.reasons == ()
  assert quality.to_json() == {'gradable': True, 'sharpness': quality.sharpness, 'light': quality.light,
                               'coverage': quality.coverage, 'reasons': []}


@pytest.mark.parametrize('number', [1, 12, 15, 16, 56])
def test_real_photographs_are_gradable_and_spoiled_ones_are_not(real_idrid, number):
  path, = real_idrid.glob(f'A*/1*/*/IDRiD_{number:02d}.jpg')
  image = np.asarray(Image.fromarray(read_photograph(path)).reduce(3))
  assert assess(find_field(image).apply(image, 896)).reasons == ()
  for reason, spoil in SPOILED.items():
    spoiled = spoil(image)
    assert reason in assess(find_field(spoiled).apply(spoiled, 896)).reasons, reason


def test_noise_without_anything_under_it_is_no_detail(drawn):
  noise = np.random.default_rng(0).normal(0, 25, drawn.shape)
  noisy = np.clip(_blur(drawn, 25) + noise * drawn.any(-1, keepdims=True), 0, 255).astype(np.uint8)
  assert 'noisy' in assess(noisy).reasons
  faint = np.clip(drawn + noise / 10, 0, 255).astype(np.uint8)
  assert 'noisy' not in assess(faint).reasons


@pytest.mark.parametrize('detail, reasons', [(2.0, ()), (0.5, ()), (0.49, ('few pixels',)), (0.07, ('few pixels',))])
def test_a_thumbnail_is_not_gradable_however_sharp(drawn, detail, reasons):
  assert assess(drawn, detail=detail).reasons == reasons


def test_sharpness_does_not_depend_on_brightness_and_size(drawn):
  reference = assess(drawn).sharpness
  assert assess(_light(drawn, 0.6)).sharpness == pytest.approx(reference, rel=0.1)
  larger = np.asarray(Image.fromarray(drawn).resize((1792, 1792), Image.Resampling.BICUBIC))
  assert assess(larger).sharpness == pytest.approx(reference, rel=0.05)
  found = [assess(_blur(drawn, pixels)).sharpness for pixels in (0, 1, 2, 4)]
  assert found == sorted(found, reverse=True), 'the more it is blurred the less it is'


def test_light_is_the_median_of_green_within_the_field():
  assert assess(_disc(200, 95, 77)).light == 77


def test_coverage_is_the_share_of_the_circle():
  whole, cut = _disc(400, 180, 90), _disc(400, 180, 90)
  cut[:, :200] = 0
  assert assess(whole).coverage == pytest.approx(1, abs=0.02)
  assert assess(cut).coverage == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize('size', [1440, 512, 300])
def test_the_field_that_was_found_for_the_network_is_taken(size, monkeypatch):
  """Once for a photograph; a network of fewer pixels found it on a copy too small for this."""
  view = _disc(900, 430, 90)
  found, alone, looked = find_field_of_view(view, size), assess(view), []
  monkeypatch.setattr(quality, 'mask_of', lambda *arguments: looked.append(arguments) or mask_of(*arguments))
  assert assess(view, (), found) == alone
  assert len(looked) == (size < 512)


@pytest.mark.parametrize('level', [0, 120])
def test_a_picture_of_nothing_has_a_quality_too(level):
  quality = assess(np.full((64, 64, 3), level, np.uint8))
  assert not quality.gradable and quality.sharpness == 0


def _disc(size, radius, green):
  image = np.zeros((size, size, 3), np.uint8)
  image[fundus(size, size, radius=radius)[..., 0] > 0] = (0, green, 0)
  return image
