"""Histograms of scores against NumPy, and the promises about their bins."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lesion_jax.core import Prediction
from lesion_jax.metrics.histogram import SCORE_BINS, TENTHS, score_bin, score_histogram


@pytest.fixture
def scores(rng):
  """Scores of every magnitude, the extremes and both neighbours of every threshold, in rising order."""
  polarised = 1 / (1 + np.exp(-rng.normal(size=20_000) * 12))
  thresholds = [TENTHS, np.nextafter(TENTHS, np.float32(0)), np.nextafter(TENTHS, np.float32(1))]
  return np.sort(np.concatenate([rng.random(20_000), polarised, *thresholds]).astype(np.float32))


def test_bins_rise_with_the_score_from_the_first_to_the_last(scores):
  bins = score_bin(scores)
  assert np.all(np.diff(bins) >= 0)
  assert (bins[0], bins[-1]) == (0, SCORE_BINS - 1)


def test_zero_and_one_are_alone_in_their_bins(scores):
  assert np.all(scores[score_bin(scores) == 0] == 0)
  assert np.all(scores[score_bin(scores) == SCORE_BINS - 1] == 1)


def test_every_tenth_is_a_boundary(scores):
  for tenth in TENTHS:
    np.testing.assert_array_equal(scores > tenth, score_bin(scores) > score_bin(tenth))


def test_scores_of_one_bin_are_within_a_64th(scores):
  scores = scores[(scores >= 2**-24) & (scores < 1)].astype(np.float64)
  same = np.diff(score_bin(scores)) == 0
  nearest_end = np.minimum(scores[:-1], 1 - scores[1:])[same]
  assert np.all(np.diff(scores)[same] <= nearest_end / 64 * (1 + 1e-6))


def test_device_and_host_agree(scores):
  np.testing.assert_array_equal(jax.jit(score_bin)(jnp.asarray(scores)), score_bin(scores))


def test_equals_numpy_over_scored_pixels(prediction, targets):
  histogram = jax.jit(score_histogram)(prediction, targets)
  assert histogram.dtype == jnp.int32
  assert histogram.shape == (2, 8, SCORE_BINS)
  truth, scored, bins = np.asarray(targets.lesions), np.asarray(targets.scored), score_bin(np.asarray(prediction.maps))
  for label in (0, 1):
    for lesion in range(8):
      mine = scored[..., lesion] & (truth[..., lesion] == label)
      expected = np.bincount(bins[..., lesion][mine], minlength=SCORE_BINS)
      np.testing.assert_array_equal(histogram[label, lesion], expected)


def test_histograms_of_images_add_up_to_that_of_the_batch(prediction, targets):
  whole, histograms = jax.jit(score_histogram), jax.jit(functools.partial(score_histogram, per_image=True))
  found = np.asarray(histograms(prediction, targets))
  assert found.shape == (8, 2, 8, SCORE_BINS) and found.dtype == np.int32
  np.testing.assert_array_equal(found.sum(0), whole(prediction, targets))
  for image in range(8):
    alone = jnp.asarray(np.arange(8) == image)[:, None, None, None]
    np.testing.assert_array_equal(found[image], whole(prediction, targets.replace(scored=targets.scored & alone)))


def test_nothing_scored_counts_nothing(prediction, targets):
  assert not np.any(score_histogram(prediction, targets.replace(scored=jnp.zeros_like(targets.scored))))


def test_what_has_no_maps_is_refused(targets):
  with pytest.raises(ValueError, match='needs prediction.maps'):
    score_histogram(Prediction(), targets)
