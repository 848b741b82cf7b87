"""The interval that reports give: percentiles over the resamples that have the figure."""

import numpy as np

from lesion_jax.evaluate.interval import LEVEL, percentiles


def test_it_is_of_what_is_defined():
  values = np.concatenate([np.linspace(0, 1, 41), np.full(5, np.nan)])
  np.testing.assert_allclose(percentiles(values), [0.025, 0.975])
  np.testing.assert_allclose(percentiles(values, level=0.5), [0.25, 0.75])
  assert percentiles(np.full(3, np.nan)) is None and percentiles(np.zeros(0)) is None and LEVEL == 0.95
