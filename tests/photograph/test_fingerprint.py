"""A photograph is known again when it was resized, compressed, brightened, tinted, mirrored or turned, and is not taken for another."""

import numpy as np
import pytest
from drawing import copy_of
from real import IDRID

from lesion_jax.data import synthetic
from lesion_jax.photograph import fingerprint as module
from lesion_jax.photograph.crop import read_field
from lesion_jax.photograph.fingerprint import distances, fingerprint, reduced, twins
from lesion_jax.photograph.read import read_photograph


@pytest.fixture(scope='module')
def drawn():
  return [synthetic.generate(seed=0, index=number, size=384).image for number in range(16)]


def prints_of(squares):
  return reduced(np.stack([fingerprint(square) for square in squares]))


def test_copies_are_found_and_nothing_else(drawn, tmp_path):
  known = prints_of(drawn[:12])
  copies = [read_photograph(copy_of(drawn[number], tmp_path / f'{number}.jpg')) for number in (3, 11)]
  asked = prints_of([copies[0], *drawn[12:], copies[1]])
  np.testing.assert_array_equal(twins(asked, known), [True, *4 * [False], True])
  apart = distances(prints_of(drawn), prints_of(drawn))
  np.testing.assert_array_equal(apart <= module.SAME, np.eye(len(drawn), dtype=bool))


@pytest.mark.parametrize('change', [
    lambda image: image[:, ::-1], lambda image: image[::-1], lambda image: np.rot90(image), lambda image: np.rot90(image, 2)[::-1],
    lambda image: (image * np.array([1.0, 0.93, 0.85])).astype(np.uint8),
    lambda image: (np.rot90(image, 3) * np.array([0.9, 1.1, 1.0])).clip(0, 255).astype(np.uint8)])
def test_mirrored_turned_and_tinted_copies_are_the_same_photograph(drawn, change):
  known = prints_of(drawn)
  same = distances(prints_of([change(drawn[number]) for number in (2, 9)]), known) <= module.SAME
  np.testing.assert_array_equal(same, [np.arange(16) == number for number in (2, 9)])
  np.testing.assert_array_equal(twins(known, prints_of([change(drawn[2])])), np.arange(16) == 2)


def test_the_short_way_finds_what_all_distances_say():
  """Of pictures that differ by about as much as is still the same."""
  rng = np.random.default_rng(0)
  base = rng.integers(40, 200, (5, 16, 16, 3))
  near = np.concatenate([np.clip(base + rng.normal(0, module.SAME * factor, base.shape).round(), 0, 255) for factor in (0.9, 1, 1.02, 1.1)])
  one, other = base.astype(np.uint8), np.rot90(near, axes=(1, 2)).astype(np.uint8)
  expected = distances(one, other) <= module.SAME
  assert 5 <= expected.sum() <= 15
  np.testing.assert_array_equal(twins(other, one), expected.any(axis=0))
  for row, places in enumerate(module.twins_of(one, other)):
    np.testing.assert_array_equal(places, np.flatnonzero(expected[row]))


def test_blocks_change_nothing(drawn, monkeypatch):
  known, asked = prints_of(drawn[:10]), prints_of(drawn[5:])
  monkeypatch.setattr(module, 'BLOCK', 4)
  monkeypatch.setattr(module, 'PAIRS', 3)
  np.testing.assert_array_equal(twins(asked, known), np.arange(5, 16) < 10)
  assert not twins(asked, known[:0]).any() and twins(asked[:0], known).shape == (0,)


def test_the_reduced_print_is_the_rounded_mean_of_four_pixels():
  prints = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
  means = prints.astype(np.float64).reshape(3, 16, 2, 16, 2, 3).mean(axis=(2, 4))
  np.testing.assert_array_equal(reduced(prints), np.floor(means + 0.5))
  assert reduced(prints[:0]).shape == (0, 16, 16, 3)


@pytest.mark.skipif(not IDRID.is_dir(), reason='IDRiD is not at hand')
def test_real_photographs_and_their_copies(tmp_path):
  """Two photographs that are in both parts of IDRiD, two others, and a copy of one of those."""

  def print_of(path):
    image, field = read_field(path)
    return reduced(fingerprint(field.apply(image, 256))[None])[0]

  folder, training = '1. Original Images', 'a. Training Set'
  one = [IDRID / 'A. Segmentation' / folder / training / f'IDRiD_{number}.jpg' for number in ('01', '02')]
  other = [IDRID / 'B. Disease Grading' / folder / training / f'IDRiD_{number}.jpg'
           for number in ('366', '102', '001', '003')]
  other.append(copy_of(read_photograph(other[2]), tmp_path / 'copy.jpg'))
  known, asked = (np.stack([print_of(path) for path in paths]) for paths in (one, other))
  same = distances(known, asked) <= module.SAME
  np.testing.assert_array_equal(same, [[False, True, False, False, False], [True, False, False, False, False]])
  np.testing.assert_array_equal(twins(asked[4:], asked[:3]), [True])
  assert not twins(asked[3:4], asked[[0, 1, 2, 4]]).any()
