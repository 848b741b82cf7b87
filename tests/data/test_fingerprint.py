"""A photograph is known again when it was resized, compressed or brightened, and is not taken for another."""

import io

import numpy as np
import pytest
from PIL import Image
from real import IDRID

from lesion_jax.data import fingerprint as module
from lesion_jax.data import synthetic
from lesion_jax.data.field import square_field
from lesion_jax.data.fingerprint import distances, fingerprint, reduced, twins


def copy(square):
  """The photograph at 70 % of its size, as JPEG of quality 60, 3 % brighter."""
  side = round(0.7 * len(square))
  small = Image.fromarray(square).resize((side, side), Image.Resampling.BICUBIC)
  buffer = io.BytesIO()
  small.point(lambda level: min(255, round(1.03 * level))).save(buffer, 'JPEG', quality=60)
  return np.asarray(Image.open(buffer).convert('RGB'))


@pytest.fixture(scope='module')
def drawn():
  return [synthetic.generate(seed=0, index=number, size=128).image for number in range(24)]


def prints_of(squares):
  return reduced(np.stack([fingerprint(square) for square in squares]))


def test_copies_are_found_and_nothing_else(drawn):
  known = prints_of(drawn[:12])
  asked = prints_of([copy(drawn[3]), *drawn[12:], copy(drawn[11])])
  np.testing.assert_array_equal(twins(asked, known), [True, *12 * [False], True])
  apart = distances(prints_of(drawn), prints_of(drawn))
  np.testing.assert_array_equal(apart <= module.SAME, np.eye(len(drawn), dtype=bool))


def test_blocks_change_nothing(drawn, monkeypatch):
  known, asked = prints_of(drawn[:10]), prints_of(drawn[5:])
  monkeypatch.setattr(module, 'BLOCK', 4)
  np.testing.assert_array_equal(twins(asked, known), np.arange(5, 24) < 10)
  assert not twins(asked, known[:0]).any() and twins(asked[:0], known).shape == (0,)


def test_the_reduced_print_is_the_rounded_mean_of_four_pixels():
  prints = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
  means = prints.astype(np.float64).reshape(3, 16, 2, 16, 2, 3).mean(axis=(2, 4))
  np.testing.assert_array_equal(reduced(prints), np.floor(means + 0.5))
  assert reduced(prints[:0]).shape == (0, 16, 16, 3)
