"""Counting what a network gets right on a split, on all devices: what training and `lesion-jax evaluate` share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np

from lesion_jax.core import NUM_LESIONS, Prediction
from lesion_jax.cpu import arranged
from lesion_jax.data.pipeline import Source, eval_batches
from lesion_jax.evaluate import Counts, image_counts, make_count_step
from lesion_jax.train.parallel import AXIS, Devices


def make_counter(
    predict_fn: Callable[[Any, Any], Prediction], devices: Devices, *, batch_size: int, thresholds: Any = 0.5,
    watch: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> Callable[..., Counts]:
  """Builds `count(variables, source, keep_histograms=False) -> counts` of `evaluate.image_counts`, one program for all
  splits.

  Args:
    predict_fn: as `evaluate.make_count_step` takes it.
    devices: that share the batches.
    batch_size: over all devices, a multiple of their number.
    thresholds: of the lesion probabilities, a number or [8].
    watch: what the batches go through on their way, a progress bar for instance.

  Returns:
    The function. `variables` is what `predict_fn` takes first, on the host.
  """
  # As an array in any case: one number or eight equal ones are then one program to the compilation cache.
  thresholds = np.broadcast_to(np.asarray(thresholds, np.float32), NUM_LESIONS)
  predict_fn = arranged(predict_fn, devices.platform)
  step = devices.evaluate(make_count_step(predict_fn, thresholds=thresholds, histograms=True, axis_name=AXIS))

  def count(variables: Any, source: Source, *, keep_histograms: bool = False) -> Counts:
    batches = eval_batches(source, batch_size=batch_size, shard_index=jax.process_index(),
                           shard_count=jax.process_count())
    return image_counts(lambda variables, batch: step(variables, devices.shard(batch)), devices.replicate(variables),
                        watch(batches), keep_histograms=keep_histograms)

  return count
