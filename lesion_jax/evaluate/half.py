"""Counts at a probability of 0.5, the paper's threshold of pixels and of images (section III), whatever thresholds a bundle has."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import numpy as np

from lesion_jax import metrics
from lesion_jax.core import Prediction, Targets
from lesion_jax.evaluate.totals import Counts

HALF = 0.5  # also where a bundle had nothing to choose a threshold from
PIXELS = ('pixel_tp', 'pixel_fp', 'pixel_fn')
IMAGES = ('image_tp', 'image_fp', 'image_fn', 'image_tn')
SUFFIX = '_at_half'


def half_pixels(prediction: Prediction, targets: Targets) -> dict[str, jax.Array]:
  """Pixels right and wrong at 0.5, of each image, int32 [B, 8] by name, see `metrics.segmentation_counts`; nothing without maps."""
  if prediction.maps is None:
    return {}
  counts = metrics.segmentation_counts(prediction, targets, HALF, per_image=True)
  return {f'{name}{SUFFIX}': counts[name] for name in PIXELS}


def at_half(counts: Mapping[str, np.ndarray]) -> Counts | None:
  """Returns the counts of `image_counts` as they are at thresholds of 0.5.

  Images are called by their largest probability (Eq. 1), which counts have; pixels were counted at 0.5 beside those at the thresholds.

  Args:
    counts: of single images, [N, ...] each.

  Returns:
    The same, with other pixel and image counts; None of a network that finds no lesions, and of counts of before, which lack
    the pixels.
  """
  if 'image_tp' not in counts or 'pixel_tp' in counts and f'pixel_tp{SUFFIX}' not in counts:
    return None
  there = counts['image_tp'] + counts['image_fn'] > 0
  told = sum(counts[name] for name in IMAGES) > 0
  called = counts['lesion_probabilities'] >= HALF
  images = (called & there, called & ~there, ~called & there, ~called & ~there)
  pixels = {name: counts[f'{name}{SUFFIX}'] for name in PIXELS if name in counts}
  return {**counts, **pixels, **{name: (told & image).astype(np.int64) for name, image in zip(IMAGES, images, strict=True)}}
