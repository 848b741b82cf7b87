"""Windows cover a square without a gap, begin on the grid of the networks, and share each pixel fairly."""

import sys

import numpy as np
import pytest

from lesion_jax.photograph import windows
from lesion_jax.photograph.windows import check_window, stitch, window_shares, window_starts

# Sizes that the grid divides and others, up to a whole photograph's.
LAID = [(96, 96), (97, 96), (128, 96), (200, 96), (255, 128), (1440, 448), (1440, 960), (1440, 1440), (2848, 512)]


@pytest.mark.parametrize('size, window', LAID)
def test_they_go_from_edge_to_edge_and_overlap(size, window):
  starts = window_starts(size, window)
  assert starts.dtype == np.int32 and starts[0] == 0 and starts[-1] == size - window
  assert all(start % 32 == 0 for start in starts[:-1])
  steps = np.diff(starts)
  assert (steps > 0).all() and (steps[:-1] <= window // 2).all() and (steps[-1:] <= window // 2 + 31).all()


def test_one_window_is_all_of_a_square_of_its_size():
  assert window_starts(448, 448).tolist() == [0]
  np.testing.assert_array_equal(window_shares(448, 448), np.ones((1, 448), np.float32))


def test_no_more_than_are_needed_for_steps_of_half_a_window():
  assert window_starts(1440, 448).tolist() == [0, 192, 384, 576, 768, 992]
  assert window_starts(1440, 960).tolist() == [0, 480]


@pytest.mark.parametrize('size, window', LAID)
def test_the_shares_of_each_pixel_add_up_to_1_and_none_is_0(size, window):
  starts, shares = window_starts(size, window), window_shares(size, window)
  assert shares.shape == (len(starts), window) and (shares > 0).all()
  total = np.zeros(size)
  for start, share in zip(starts, shares, strict=True):
    total[start:start + window] += share
  np.testing.assert_allclose(total, 1, atol=2e-7)


def test_where_windows_overlap_each_counts_the_less_the_nearer_its_border_is():
  starts, (first, second, *_) = window_starts(1440, 448), window_shares(1440, 448)
  overlap = slice(starts[1], 448)
  assert (np.diff(first[overlap]) < 0).all() and first[-1] < 0.01
  assert (np.diff(second[:starts[2] - starts[1]]) > 0).all() and second[0] < 0.01  # up to where the third begins
  np.testing.assert_array_equal(first[:starts[1]], 1)  # nobody else is there


@pytest.mark.parametrize('window', [-32, 1, 64, 100, 160, 4480, 96.0, '96', None, True])
def test_another_window_is_refused(window):
  with pytest.raises(ValueError, match=r'window=.* cannot be laid over a square of 150: give a multiple of 32 from 96'):
    check_window(window, 150)
  check_window(0, 150)


def test_the_whole_square_has_no_windows():
  with pytest.raises(ValueError, match='window=0 is the whole square'):
    window_starts(150, 0)


def test_it_needs_numpy_alone():
  assert {name for name in vars(windows) if getattr(vars(windows)[name], '__name__', '') in sys.modules} == {'np'}


class TestStitching:

  @staticmethod
  def bright(images):
    """What a network says that looks at each pixel alone."""
    return {'maps': np.repeat(images[..., :1], 8, axis=-1).astype(np.float32) / 255, 'lesions': None}

  @pytest.mark.parametrize('size', [96, 130, 160, 224])
  def test_a_network_that_sees_single_pixels_says_the_same(self, size):
    images = np.random.default_rng(size).integers(0, 256, (2, size, size, 3), np.uint8)
    found = stitch(self.bright, images, 96)
    expected = self.bright(images)['maps']
    assert found['maps'].dtype == np.float32
    np.testing.assert_allclose(found['maps'], expected, atol=5e-7)
    np.testing.assert_array_equal(found['lesions'], found['maps'].max((1, 2)))

  def test_every_window_is_of_one_shape(self):
    shapes = set()

    def run(images):
      shapes.add((images.shape, images.dtype, images.flags.c_contiguous))
      return self.bright(images)

    stitch(run, np.zeros((3, 150, 150, 3), np.uint8), 96)
    assert shapes == {((3, 96, 96, 3), np.dtype(np.uint8), True)}

  def test_images_that_are_no_squares_are_refused(self):
    with pytest.raises(ValueError, match=r'expected square images \[B, S, S, 3\]; got \[1, 100, 120, 3\]'):
      stitch(self.bright, np.zeros((1, 100, 120, 3), np.uint8), 96)
