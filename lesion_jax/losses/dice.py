"""Dice loss with squared terms, pooled over pixels, lesions and images: Eq. 3 of the paper."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from lesion_jax.core import Array
from lesion_jax.losses.inputs import count, scored_elements
from lesion_jax.losses.reduce import across_devices


class DiceSums(NamedTuple):
  """The three sums of Eq. 3 and 4, float32 scalars.

  Attributes:
    intersection: sum of p * t.
    predicted: sum of p^2.
    truth: sum of t^2, which is the sum of t for a binary truth.
  """

  intersection: jax.Array
  predicted: jax.Array
  truth: jax.Array


def dice_sums(probabilities: Array, truth: Array, mask: Array | None = None) -> DiceSums:
  """Sums over the scored elements, in float32 whatever the dtype of the input.

  Args:
    probabilities: float [...], in [0, 1].
    truth: bool or {0, 1} [...], of the same shape.
    mask: bool [...], of the same shape; None scores everything. What is not scored has no gradient, even where its
      probability is not finite.

  Raises:
    ValueError: when the shapes differ.
  """
  p, positive, _ = scored_elements('probabilities', probabilities, truth, mask)
  return DiceSums(
      intersection=jnp.sum(jnp.where(positive, p, 0)),
      predicted=jnp.sum(p * p),
      truth=count(positive),
  )


def dice_value(sums: DiceSums) -> jax.Array:
  """Computes 1 - 2I / (P2 + T2), float32 scalar in [0, 1].

  Where both sums are 0 (nothing is scored, or nothing is there and exactly nothing was predicted) the ratio is
  undefined; the loss is then 0 with zero gradient, for there is nothing to correct (our choice). NaN stays NaN.
  """
  denominator = sums.predicted + sums.truth
  # Below 1 there is no positive, so I is 0 and the ratio too, whatever it is divided by. Divided by itself its slope would be 0 / 0: the
  # square of a small sum is 0 in float32.
  ratio = 2 * sums.intersection / jnp.where(denominator < 1, 1, denominator)
  return jnp.where(denominator != 0, 1 - ratio, 0)  # not > 0, by which NaN would be nothing to correct


def dice_loss(
    probabilities: Array, truth: Array, mask: Array | None = None, *, axis_name: str | None = None
) -> jax.Array:
  """Computes Eq. 3 over all elements of the (global) batch.

  Args:
    probabilities: float [...], in [0, 1].
    truth: bool or {0, 1} [...].
    mask: bool [...] or None, the elements to score.
    axis_name: mapped axis over which the batch is split. The value is then the global loss on every device, and the
      `psum` (not the mean) of the devices' gradients is its gradient.

  Returns:
    float32 scalar.

  Raises:
    ValueError: when the shapes differ.
  """
  return dice_value(across_devices(dice_sums(probabilities, truth, mask), axis_name))
