"""One evaluation step: forward pass, integer counts and image-level probabilities. A pure function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from lesion_jax import metrics
from lesion_jax.core import Example, Prediction, unpack_bits, unpack_targets
from lesion_jax.evaluate.half import half_pixels


def make_count_step(
    predict_fn: Callable[[Any, Any], Prediction], *, thresholds: Any = 0.5, histograms: bool = False,
    axis_name: str | None = None,
) -> Callable[[Any, Example], dict[str, jax.Array]]:
  """Builds `count_step(variables, batch) -> counts`, what is to be known of each image of the whole global batch, equal
  on all devices.

  Args:
    predict_fn: pure, `(variables, images uint8 [B, S, S, 3]) -> Prediction`: of one network (`models.forward`), or of
      several, by windows, turned.
    thresholds: of the lesion probabilities, a number or [8].
    histograms: also count scores by bin, for the AUPR ('histogram', int32 [B, 2, 8, bins]); costs time.
    axis_name: the mapped axis of the devices; None on one.

  Returns:
    The step. It counts what the network computes, image by image in the order of `row`, which is that of the split
    however the batch was shared out (B is the global batch): the pixels and images of `metrics.segmentation_counts`,
    [B, 8] each, for a network that finds lesions, and `confusion` [B, 5, 5] for one that grades; with them, as float32,
    `lesion_probabilities` [B, 8] and `grade_probabilities` [B, 5]. `real` bool [B] is False for rows that only pad the
    batch, and `grade` int32 [B] is the true one, whether the network grades or not.

    An eye without lesions is one by its grade too, where nobody annotated lesions. So for a network that finds lesions
    there are, of all pixels that are not to be ignored, annotated or not: `presence_scores` and `maximum_scores` float32
    [B, 8], see `metrics.presence`, and with maps `called_pixels` and `known_pixels` int32 [B, 8], how many reach the
    threshold, and of how many. With maps there are also the pixels at 0.5, the paper's threshold, whatever `thresholds` are:
    `pixel_tp_at_half`, `pixel_fp_at_half` and `pixel_fn_at_half`, see `at_half`.
  """

  def count_step(variables: Any, batch: Example) -> dict[str, jax.Array]:
    prediction = predict_fn(variables, batch['image'])
    targets = unpack_targets(batch)
    images, row = {'real': batch['weight'] > 0, 'grade': targets.grade}, batch['row']
    if prediction.lesions is not None:
      images |= _presence(prediction, ~unpack_bits(batch['ignore']), thresholds)
      images |= metrics.segmentation_counts(prediction, targets, thresholds, per_image=True)
      images |= half_pixels(prediction, targets)
      images['lesion_probabilities'] = metrics.lesion_probabilities(prediction, targets)
    if prediction.grades is not None:
      images['confusion'] = metrics.confusion(prediction.grades, targets.grade, per_image=True)
      images['grade_probabilities'] = prediction.grades
    if prediction.maps is not None and histograms:
      images['histogram'] = metrics.score_histogram(prediction, targets, per_image=True)
    if axis_name is not None:
      images, row = jax.lax.all_gather((images, row), axis_name, tiled=True)
    order = jnp.argsort(row)  # of several processes, each has every P-th row
    return {name: value[order] for name, value in images.items()}

  return count_step


def _presence(prediction: Prediction, known: jax.Array, thresholds: Any) -> dict[str, jax.Array]:
  """What tells whether lesions are there, of the pixels `known`, bool [B, S, S, 8]."""
  maps = prediction.maps
  found = {'presence_scores': metrics.presence_scores(prediction, known)}
  if maps is None:
    return found | {'maximum_scores': prediction.lesions}
  pixels = lambda mask: jnp.sum(mask, axis=(1, 2), dtype=jnp.int32)
  return found | {
      'maximum_scores': jnp.max(jnp.where(known, maps, 0), axis=(1, 2)),
      'called_pixels': pixels((maps >= jnp.asarray(thresholds)) & known),
      'known_pixels': pixels(known),
  }
