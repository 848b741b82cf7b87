"""The interval that reports give beside a figure: percentiles of its resamples."""

from __future__ import annotations

import numpy as np

LEVEL = 0.95


def percentiles(values: np.ndarray, level: float = LEVEL) -> list[float] | None:
  """Returns the percentile interval of what is defined.

  Args:
    values: float [R], the figure of each resample, NaN where it is undefined there.
    level: the share of the resamples inside, above 0 and below 1.

  Returns:
    [low, high]; None where no resample has the figure.
  """
  defined = values[~np.isnan(values)]
  return [float(end) for end in np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])] if defined.size else None
