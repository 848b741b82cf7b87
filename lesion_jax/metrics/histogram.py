"""Histograms of lesion scores, fine enough that the area under the precision-recall curve can be bounded tightly.

Networks trained with Dice answer close to 0 or close to 1, so bins of equal width would put almost everything into
the first and the last. Here the bins are fine at both ends: below 0.5 every octave of p is cut into 64, above 0.5
every octave of 1 - p, down to 2^-24, the step of a float32 just below 1. Two scores in one bin differ by less than
1/64 in p or in 1 - p, about 0.016 in the logit. Exactly 0 and exactly 1 have a bin of their own, and the thresholds
0, 0.1, ..., 1 are boundaries, so that counts at `score > threshold` are exact. All of it is our choice.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np

from lesion_jax.core import NUM_LESIONS, Array, Prediction, Targets
from lesion_jax.metrics.counts import check_countable, check_maps

# 0, 0.1, ..., 1 in float32: the thresholds of `curves.average_precision_11`.
TENTHS = np.linspace(0, 1, 11).astype(np.float32)

_MANTISSA_BITS = 6  # 64 bins an octave
_SHIFT = 23 - _MANTISSA_BITS  # float32 has 23 bits of mantissa below 8 of exponent
_HALF = (127 - 1) << _MANTISSA_BITS  # the leading bits of 0.5
_TINY = ((127 - 24) << _MANTISSA_BITS) - 1  # one below the leading bits of 2^-24
_OCTAVE_BINS = 2 * (_HALF - _TINY) + 1
SCORE_BINS = _OCTAVE_BINS + len(TENTHS) - 1  # nothing exceeds the threshold 1


def score_bin(probabilities: Array) -> Array:
  """Returns the bin of each probability, int32 in 0..SCORE_BINS - 1, never smaller for a larger probability.

  The leading bits of a positive float32 grow with its value, so they are a logarithmic scale without a logarithm,
  monotone to the last bit. Each of TENTHS that a score exceeds moves it one bin further up.

  Args:
    probabilities: float32 [...], in [0, 1]. NumPy in, NumPy out; JAX in, JAX out.
  """
  xp = np if isinstance(probabilities, np.ndarray | np.generic) else jnp
  p = xp.asarray(probabilities, xp.float32)
  low = p < 0.5
  leading = xp.maximum(xp.where(low, p, 1 - p).view(xp.int32) >> _SHIFT, _TINY)  # 1 - p is exact for p >= 0.5
  octave = xp.where(low, leading - _TINY, 2 * _HALF - leading - _TINY)
  # Compared as bit patterns, as XLA may take the smallest numbers above 0 for 0.
  return octave + sum((p.view(xp.int32) > tenth).astype(xp.int32) for tenth in TENTHS.view(np.int32))


def score_histogram(prediction: Prediction, targets: Targets, *, per_image: bool = False) -> jax.Array:
  """Returns how many scored pixels of each lesion fall into each bin.

  Args:
    prediction: probabilities, with `maps` [B, S, S, 8].
    targets: ground truth. Pixels that are not scored count nowhere.
    per_image: one histogram for each image, 189 kB.

  Returns:
    int32 [2, 8, SCORE_BINS], or [B, 2, 8, SCORE_BINS] per image: negatives, then positives. Histograms add up over
    batches; sum them as int64.

  Raises:
    ValueError: for a prediction without maps, shapes that do not fit, or a batch that int32 might not count.
  """
  if prediction.maps is None:
    raise ValueError('a histogram of pixel scores needs prediction.maps, and this network has none')
  check_maps(prediction, targets)
  check_countable(targets)
  shape = (len(prediction.maps) if per_image else 1, 2, NUM_LESIONS, SCORE_BINS)
  image = jnp.arange(shape[0], dtype=jnp.int32)[:, None, None, None]
  lesion = jnp.arange(NUM_LESIONS, dtype=jnp.int32)
  cell = ((image * 2 + targets.lesions) * NUM_LESIONS + lesion) * SCORE_BINS + score_bin(prediction.maps)
  cells = math.prod(shape)
  # One cell behind the last takes what is not scored.
  counts = jnp.zeros(cells + 1, jnp.int32).at[jnp.where(targets.scored, cell, cells)].add(1)[:-1].reshape(shape)
  return counts if per_image else counts[0]


def of_one_lesion(histogram: np.ndarray) -> np.ndarray:
  """Returns the histogram of one lesion, int [2, SCORE_BINS]: negatives, then positives. Raises ValueError for another
  shape."""
  counts = np.asarray(histogram)
  if counts.shape != (2, SCORE_BINS):
    raise ValueError(f'expected a histogram [2, {SCORE_BINS}] of one lesion (negatives, positives), got '
                     f'{list(counts.shape)}; of a histogram [2, 8, bins] take [:, lesion]')
  return counts
