"""The interval that reports give beside a figure: percentiles of its resamples."""

from __future__ import annotations

import numbers

import numpy as np

LEVEL = 0.95


def percentiles(values: np.ndarray, level: float = LEVEL) -> list[float] | None:
  """Returns the percentile interval of what is defined.

  Args:
    values: float [R], the figure of each resample, NaN where it is undefined there.
    level: the share of the resamples inside, above 0 and below 1.

  Returns:
    [low, high]; None where no resample has the figure.

  Raises:
    ValueError: for another level.
  """
  check_draws(level=level)
  defined = values[~np.isnan(values)]
  return [float(end) for end in np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])] if defined.size else None


def check_draws(*, resamples: int = 1, swaps: int = 1, seed: int = 0, level: float = LEVEL) -> None:
  """Holds what intervals are drawn with to what it can be; to be called before anything that takes long.

  Raises:
    ValueError: resamples or swaps are no whole number from 1 on, the seed is none from 0 on, or the level is not above 0 and below 1.
  """
  for name, value, least in (('resamples', resamples, 1), ('swaps', swaps, 1), ('seed', seed, 0)):
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
      raise ValueError(f'{name}={value!r}: give a whole number from {least} on')
  if not isinstance(level, numbers.Real) or not 0 < level < 1:
    raise ValueError(f'level={level!r}: give the share of resamples inside the interval, above 0 and below 1')
