"""One evaluation step: forward pass and integer counts. A pure function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from lesion_jax import metrics
from lesion_jax.core import Example, unpack_targets


def make_count_step(
    apply: Callable[..., Any], *, thresholds: Any = 0.5, histograms: bool = False, axis_name: str | None = None
) -> Callable[[Any, Example], dict[str, jax.Array]]:
  """Builds `count_step(variables, batch) -> counts`, the counts of the whole global batch, equal on all devices.

  Args:
    apply: `module.apply`.
    thresholds: of the lesion probabilities, a number or [8].
    histograms: also count scores by bin, for the AUPR ('histogram', int32 [2, 8, bins]); costs time.
    axis_name: the mapped axis of the devices; None on one.

  Returns:
    The step. It counts what the network computes: the pixels and images of `metrics.segmentation_counts` for a
    network that finds lesions, and `confusion` [5, 5] for one that grades.
  """

  def count_step(variables: Any, batch: Example) -> dict[str, jax.Array]:
    prediction = apply(variables, batch['image'], train=False).probabilities()
    targets = unpack_targets(batch)
    counts = {}
    if prediction.lesions is not None:
      counts |= metrics.segmentation_counts(prediction, targets, thresholds)
    if prediction.maps is not None and histograms:
      counts['histogram'] = metrics.score_histogram(prediction, targets)
    if prediction.grades is not None:
      counts['confusion'] = metrics.confusion(prediction.grades, targets.grade)
    return counts if axis_name is None else jax.lax.psum(counts, axis_name)

  return count_step
