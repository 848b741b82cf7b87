"""Integer counts of one batch or of each of its images, on the device. They add up; the host keeps them as int64.

Integers, because float32 stops counting at 2^24 pixels, which is 21 images of 896 x 896. int32 holds one batch: a
count is at most B * S * S, and a batch where that reaches 2^31 (2,674 images of 896 x 896) is refused.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from lesion_jax.core import NUM_GRADES, NUM_LESIONS, UNKNOWN_GRADE, Array, Prediction, Targets

MAX_COUNT = 2**31 - 1


def segmentation_counts(
    prediction: Prediction, targets: Targets, thresholds: Array | float = 0.5, *, per_image: bool = False
) -> dict[str, jax.Array]:
  """Counts true and false positives and negatives per lesion, of pixels and of images.

  A score is positive where it is >= its threshold; the paper thresholds at 0.5 and leaves the equal case open. As
  the counts are sums over scored pixels only, padding rows, ignored pixels and lesions that are not annotated
  count nowhere.

  Args:
    prediction: probabilities. With `maps` [B, S, S, 8] an image is positive where any scored pixel is (Eq. 1);
      without, where `lesions` [B, 8] says so, and then no pixel counts are returned.
    targets: ground truth; an image is positive where any scored pixel is. An image counts for a lesion where that is
      known, `Targets.evaluated`: not without a scored pixel, and not where it is undecided, by maps or without.
    thresholds: scalar or [8], in [0, 1].
    per_image: count each image for itself.

  Returns:
    int32 [8], or [B, 8] per image, by name: pixel_tp, pixel_fp, pixel_fn (with maps only), image_tp, image_fp,
    image_fn, image_tn, and image_undecided, the images that are excluded because the lesion is undecided there.

  Raises:
    ValueError: when there are neither maps nor lesions, when shapes do not fit, or when int32 might overflow.
  """
  check_countable(targets)
  count = functools.partial(_count, per_image=per_image)
  truth = targets.lesions & targets.scored
  image_truth, evaluated = jnp.any(truth, axis=(1, 2)), targets.evaluated
  undecided = jnp.zeros_like(evaluated) if targets.undecided is None else targets.undecided
  if prediction.maps is not None:
    check_maps(prediction, targets)
    positive = (prediction.maps >= jnp.asarray(thresholds)) & targets.scored
    counts = {
        'pixel_tp': count(positive & truth),
        'pixel_fp': count(positive & ~truth),
        'pixel_fn': count(~positive & truth),
    }
    image_positive = jnp.any(positive, axis=(1, 2))
  elif prediction.lesions is not None:
    counts, image_positive = {}, prediction.lesions >= jnp.asarray(thresholds)
  else:
    raise ValueError('lesion counts need prediction.maps or prediction.lesions, and both are None; a grading network '
                     'is counted with `confusion`')
  return counts | {
      'image_tp': count(evaluated & image_positive & image_truth),
      'image_fp': count(evaluated & image_positive & ~image_truth),
      'image_fn': count(evaluated & ~image_positive & image_truth),
      'image_tn': count(evaluated & ~image_positive & ~image_truth),
      'image_undecided': count(undecided),
  }


def lesion_probabilities(prediction: Prediction, targets: Targets) -> jax.Array:
  """Returns how probable each image says each lesion is, by what `segmentation_counts` classifies images by.

  Args:
    prediction: probabilities. With `maps` [B, S, S, 8] the largest of the scored pixels (Eq. 1), 0 where none is
      scored; without, `lesions` [B, 8].
    targets: ground truth.

  Returns:
    float32 [B, 8].
  """
  if prediction.maps is None:
    return prediction.lesions
  check_maps(prediction, targets)
  return jnp.max(jnp.where(targets.scored, prediction.maps, 0), axis=(1, 2))


def confusion(grades: Array, truth: Array, *, per_image: bool = False) -> jax.Array:
  """Computes the confusion matrix of DR grades, rows the ground truth, columns the prediction.

  Args:
    grades: float [B, 5], probabilities or logits; the largest is the prediction, the lower grade where two tie.
    truth: int [B], 0..4, or UNKNOWN_GRADE for an image to exclude.
    per_image: one matrix for each image, with a single 1, or none.

  Returns:
    int32 [5, 5], or [B, 5, 5] per image.
  """
  predicted = jnp.argmax(grades, axis=-1)
  # The cell behind the last is in no matrix.
  cell = jnp.where(truth == UNKNOWN_GRADE, NUM_GRADES * NUM_GRADES, truth * NUM_GRADES + predicted)
  matrices = jax.nn.one_hot(cell, NUM_GRADES * NUM_GRADES, dtype=jnp.int32).reshape(-1, NUM_GRADES, NUM_GRADES)
  return matrices if per_image else jnp.sum(matrices, axis=0, dtype=jnp.int32)


def check_countable(targets: Targets) -> None:
  """Raises ValueError when a count over this batch might not fit into int32."""
  pixels = targets.scored.size // NUM_LESIONS
  if pixels > MAX_COUNT:
    raise ValueError(f'a batch of {pixels} pixels does not fit int32 counts (at most {MAX_COUNT}); use a smaller batch')


def check_maps(prediction: Prediction, targets: Targets) -> None:
  """Raises ValueError when lesion maps and ground truth differ in shape."""
  if prediction.maps.shape != targets.lesions.shape:
    raise ValueError(f'prediction.maps {prediction.maps.shape} and targets.lesions {targets.lesions.shape} must have '
                     'one shape [B, S, S, 8]; compare at the size of the network')


def _count(mask: jax.Array, *, per_image: bool) -> jax.Array:
  """int32 [8]: number of True over all but the last axis; per image [B, 8], over all but the first and the last."""
  return jnp.sum(mask, axis=tuple(range(int(per_image), mask.ndim - 1)), dtype=jnp.int32)
