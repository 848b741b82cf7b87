"""Dual Dice loss: Eq. 2 of the paper, a pixel-level Dice (Eq. 3) and an image-level Dice (Eq. 4).

A lesion of five pixels hardly moves Eq. 3. Eq. 4 compares maxima over the image, where every lesion counts the
same whatever its size.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from lesion_jax.core import Array, Outputs, Targets, largest
from lesion_jax.losses.dice import DiceSums, dice_sums, dice_value
from lesion_jax.losses.inputs import lesion_maps, scored_elements
from lesion_jax.losses.reduce import across_devices


class DualSums(NamedTuple):
  """The sums of Eq. 3 and of Eq. 4."""

  segmentation: DiceSums
  classification: DiceSums


def presence(scores: Array, mask: Array) -> tuple[jax.Array, jax.Array]:
  """Computes Eq. 1 over the scored pixels: the largest score of each lesion in each image.

  On logits it is the better conditioned of the two: a float32 sigmoid makes ties of everything above 17.

  Args:
    scores: float [B, H, W, 8], logits or probabilities.
    mask: bool [B, H, W, 8], the pixels that are scored.

  Returns:
    The maxima [B, 8], 0 with zero gradient where no pixel of the image is scored for the lesion; and a bool [B, 8]
    that is False there. Of pixels that tie for the maximum the first takes its gradient.
  """
  scored_any = jnp.any(mask, axis=(1, 2))
  images, lesions = scores.shape[0], scores.shape[-1]
  maxima = largest(jnp.where(mask, scores, -jnp.inf).reshape(images, -1, lesions), 1)
  return jnp.where(scored_any, maxima, 0), scored_any


def segmentation_sums(outputs: Outputs, targets: Targets) -> DiceSums:
  """Returns the sums of Eq. 3 over scored pixels; others have no gradient, even where their logit is not finite. Raises ValueError for a
  network without lesion maps."""
  # Float32 before the sigmoid: bfloat16 cannot tell 0.997 from 1. And no NaN into it, whose slope would be one.
  logits, truth, scored = scored_elements('maps', lesion_maps(outputs), targets.lesions, targets.scored)
  return dice_sums(jax.nn.sigmoid(logits), truth, scored)


def classification_sums(outputs: Outputs, targets: Targets) -> DiceSums:
  """Returns the sums of Eq. 4 over images and lesions.

  P is the maximum of the map over the scored pixels, or sigmoid(outputs.lesions) for a classifier, which has no maps.
  T is whether any scored pixel is positive. A pair of image and lesion of which that is not known is excluded, for both
  kinds of network alike (`Targets.evaluated`): one without a scored pixel, and one whose only sign of the lesion is
  ignored (our choice; the paper leaves such annotation out without saying what becomes of T).

  Raises:
    ValueError: for a network with neither lesion maps nor lesion logits.
  """
  if outputs.maps is not None:
    logits, _ = presence(jnp.asarray(outputs.maps, jnp.float32), targets.scored)
  elif outputs.lesions is not None:
    logits = jnp.asarray(outputs.lesions, jnp.float32)
  else:
    raise ValueError('the classification loss needs outputs.maps [B, S, S, 8] or outputs.lesions [B, 8], and this '
                     "network has neither; a grading network is trained with 'grade_cross_entropy'")
  truth, evaluated = jnp.any(targets.lesions & targets.scored, axis=(1, 2)), targets.evaluated
  return dice_sums(jax.nn.sigmoid(jnp.where(evaluated, logits, 0)), truth, evaluated)


def dual_sums(outputs: Outputs, targets: Targets) -> DualSums:
  """Returns the sums of Eq. 3 and Eq. 4 over the local batch."""
  return DualSums(segmentation_sums(outputs, targets), classification_sums(outputs, targets))


def dual_value(sums: DualSums, lam: Array | float) -> dict[str, jax.Array]:
  """Computes Eq. 2 from global sums: {'loss', 'segmentation', 'classification'}, float32 scalars."""
  segmentation, classification = dice_value(sums.segmentation), dice_value(sums.classification)
  loss = lam * segmentation + (1 - lam) * classification
  return {'loss': loss, 'segmentation': segmentation, 'classification': classification}


def dual_dice_loss(
    maps: Array, targets: Targets, *, lam: Array | float = 0.8, axis_name: str | None = None
) -> jax.Array:
  """Computes Eq. 2: lam * loss_seg + (1 - lam) * loss_clf.

  Args:
    maps: float [B, S, S, 8], lesion logits.
    targets: ground truth, see `core.Targets`.
    lam: weight of the segmentation loss, may be traced; 0.8 in the paper, 1 is Eq. 3 alone.
    axis_name: mapped axis over which the batch is split, see `dice_loss`.

  Returns:
    float32 scalar.
  """
  sums = across_devices(dual_sums(Outputs(maps=maps), targets), axis_name)
  return dual_value(sums, lam)['loss']
