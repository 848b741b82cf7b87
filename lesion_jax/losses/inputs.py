"""What the losses take: the head of a network that they need, and scores, truth and mask of one shape."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from lesion_jax.core import Array, Outputs


def lesion_maps(outputs: Outputs) -> jax.Array:
  """Returns the lesion logits [B, S, S, 8] in float32. Raises ValueError for a network without lesion maps."""
  if outputs.maps is None:
    raise ValueError('the segmentation loss needs outputs.maps [B, S, S, 8], and this network has none; train a '
                     "classifier with 'presence_dice' or 'grade_cross_entropy', or choose a segmentation network")
  return jnp.asarray(outputs.maps, jnp.float32)


def grade_logits(outputs: Outputs) -> jax.Array:
  """Returns the grade logits [B, 5] in float32. Raises ValueError for a network without a grade head."""
  if outputs.grades is None:
    raise ValueError('the grading loss needs outputs.grades [B, 5], and this network has none; choose a grading '
                     "network, or train lesions with 'dual_dice'")
  return jnp.asarray(outputs.grades, jnp.float32)


def scored_elements(
    name: str, scores: Array, truth: Array, mask: Array | None
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Scores and truth with nothing in them where they are not scored.

  Args:
    name: what the scores are, for the error.
    scores: float [...], in any dtype.
    truth: bool or {0, 1} [...], of the same shape.
    mask: bool [...], of the same shape; None scores everything.

  Returns:
    The scores in float32, 0 without a gradient where they are not scored (not even a NaN passes); a bool that is True
    where an element is scored and true; and the mask.

  Raises:
    ValueError: when the shapes differ.
  """
  mask = jnp.ones(truth.shape, bool) if mask is None else mask
  if not scores.shape == truth.shape == mask.shape:
    raise ValueError(
        f'{name} {scores.shape}, truth {truth.shape} and mask {mask.shape} must have one shape; '
        'resize or broadcast them before the loss')
  return jnp.where(mask, scores, 0).astype(jnp.float32), truth.astype(bool) & mask, mask


def count(mask: Array, axis: tuple[int, ...] | None = None) -> jax.Array:
  """Returns the number of True along `axis` (None: in all), float32 from an exact integer: float32 stops counting at
  2^24."""
  return jnp.sum(mask, axis=axis, dtype=jnp.int32).astype(jnp.float32)
