"""The interval that reports give: percentiles over the resamples that have the figure."""

import numpy as np
import pytest

from lesion_jax.evaluate.healthy import drawn_shares
from lesion_jax.evaluate.interval import LEVEL, check_draws, percentiles
from lesion_jax.evaluate.referral import referral


def test_it_is_of_what_is_defined():
  values = np.concatenate([np.linspace(0, 1, 41), np.full(5, np.nan)])
  np.testing.assert_allclose(percentiles(values), [0.025, 0.975])
  np.testing.assert_allclose(percentiles(values, level=0.5), [0.25, 0.75])
  assert percentiles(np.full(3, np.nan)) is None and percentiles(np.zeros(0)) is None and LEVEL == 0.95


@pytest.mark.parametrize('level', [95, 1, 0, -0.5, float('nan'), '0.9'])
def test_another_level_is_named(level):
  with pytest.raises(ValueError, match='the share of resamples inside the interval, above 0 and below 1'):
    percentiles(np.arange(10.0), level)


@pytest.mark.parametrize(('given', 'said'), [
    ({'resamples': 0}, 'resamples=0: give a whole number from 1 on'), ({'resamples': 2.5}, 'resamples=2.5: give a whole number'),
    ({'seed': -1}, 'seed=-1: give a whole number from 0 on'), ({'swaps': 0}, 'swaps=0: give a whole number from 1 on'),
    ({'seed': True}, 'seed=True')])
def test_draws_that_cannot_be_are_named(given, said):
  with pytest.raises(ValueError, match=said):
    check_draws(**given)
  check_draws(resamples=np.int64(1), seed=np.uint8(0), level=np.float32(0.5))


def test_figures_of_no_resamples_say_so():
  counts = {'grade': np.array([0, 3]), 'grade_probabilities': np.eye(5, dtype=np.float32)[[0, 3]]}
  ones = np.ones((2, 1))
  for draw in (lambda **draws: referral(counts, **draws), lambda **draws: drawn_shares(np.array([0, 1]), ones, ones, ones, **draws)):
    with pytest.raises(ValueError, match='resamples=0'):
      draw(resamples=0, seed=1)
    with pytest.raises(ValueError, match='seed=-1'):
      draw(resamples=1, seed=-1)
