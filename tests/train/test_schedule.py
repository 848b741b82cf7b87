"""The shares of the rate against their formulas."""

import math

import numpy as np
import pytest

from lesion_jax.train.schedule import SCHEDULES, shares


def test_a_plateau_leaves_the_rate_as_it_is():
  np.testing.assert_array_equal(shares('plateau', max_steps=None), [1])
  np.testing.assert_array_equal(shares('plateau', max_steps=None, warm_up=4), [0, 0.25, 0.5, 0.75, 1])


@pytest.mark.parametrize('warm_up', [0, 10])
def test_cosine_is_half_a_wave_down_to_its_final_share(warm_up):
  found = shares('cosine', max_steps=110, warm_up=warm_up, final_lr_factor=0.05)
  expected = [n / warm_up if n < warm_up else
              0.05 + 0.95 * (1 + math.cos(math.pi * (n - warm_up) / (110 - warm_up))) / 2 for n in range(110)]
  assert found.dtype == np.float32
  np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(('warm_up', 'power'), [(0, 0.9), (7, 0.9), (7, 2.0)])
def test_poly_is_a_power_of_what_is_left(warm_up, power):
  found = shares('poly', max_steps=50, warm_up=warm_up, power=power)
  expected = [n / warm_up if n < warm_up else (1 - (n - warm_up) / (50 - warm_up)) ** power for n in range(50)]
  np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(('fields', 'message'), [
    ({'name': 'step'}, "unknown schedule 'step'; the schedules are plateau, cosine, poly"),
    ({'name': 'cosine', 'max_steps': None}, "'cosine' needs to know the length .* set max_steps, or .*'plateau'"),
    ({'name': 'poly', 'max_steps': None}, "'poly' needs to know the length"),
    ({'name': 'cosine', 'warm_up': 9}, 'got warm_up=9 of max_steps=9'),
    ({'name': 'plateau', 'warm_up': -1}, 'warm_up counts steps, from 0'),
    ({'name': 'cosine', 'final_lr_factor': 1.5}, r'in 0\.\.1; got 1\.5'),
    ({'name': 'poly', 'power': 0.0}, r'above 0; got 0\.0'),
])
def test_what_cannot_be_had_is_refused(fields, message):
  with pytest.raises(ValueError, match=message):
    shares(**{'max_steps': 9, **fields})


def test_every_schedule_begins_at_the_full_rate():
  assert [shares(name, max_steps=5)[0] for name in SCHEDULES] == [1, 1, 1]
