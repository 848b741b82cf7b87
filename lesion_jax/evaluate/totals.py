"""Counts of a whole split, on the host."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np

Counts = dict[str, np.ndarray]


def total_counts(step: Callable[[Any, Any], Any], variables: Any, batches: Iterable[Any]) -> Counts:
  """Sums the counts of all batches as int64: a batch's counts fit int32, a data set's may not.

  Args:
    step: `(variables, batch) -> counts`, see `make_count_step`; it splits and places the batch itself.
    variables: what the step takes, on the devices.
    batches: a finite iterable; rows of weight 0 count nowhere.

  Raises:
    ValueError: there was no batch.
  """
  total: Counts | None = None
  late: Any = None  # read one batch behind, so that the device has the next one while the host adds
  for batch in batches:
    counts = step(variables, batch)
    total, late = _add(total, late), counts
  total = _add(total, late)
  if total is None:
    raise ValueError('there is nothing to evaluate: no batch came')
  return total


def _add(total: Counts | None, counts: Any) -> Counts | None:
  if counts is None:
    return total
  more = jax.tree.map(lambda x: np.asarray(x, np.int64), counts)
  return more if total is None else {name: total[name] + more[name] for name in total}
