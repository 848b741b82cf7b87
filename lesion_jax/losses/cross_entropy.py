"""Softmax cross entropy for DR grades, the mean over the images whose grade is known.

The paper trains its grading networks with a softmax over five grades and does not name the loss; cross entropy is
our choice.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from lesion_jax.core import Array, Outputs, Targets
from lesion_jax.losses.reduce import across_devices


class CrossEntropySums(NamedTuple):
  """Sum of -log p(grade) in nats over graded images, and their number; float32 scalars."""

  total: jax.Array
  count: jax.Array


def cross_entropy_sums(logits: Array, grade: Array) -> CrossEntropySums:
  """Sums over the images with a known grade, in float32 whatever the dtype of the logits.

  Args:
    logits: float [B, K].
    grade: int [B], 0..K-1, or negative (`core.UNKNOWN_GRADE`) for an image to leave out.
  """
  known = grade >= 0
  nats = optax.softmax_cross_entropy_with_integer_labels(
      jnp.asarray(logits, jnp.float32), jnp.where(known, grade, 0))
  return CrossEntropySums(jnp.sum(jnp.where(known, nats, 0)), jnp.sum(known).astype(jnp.float32))


def cross_entropy_value(sums: CrossEntropySums) -> jax.Array:
  """Mean in nats, float32 scalar; 0 with zero gradient where no image has a grade."""
  return sums.total / jnp.maximum(sums.count, 1)


def cross_entropy_loss(logits: Array, grade: Array, *, axis_name: str | None = None) -> jax.Array:
  """Mean softmax cross entropy over the graded images of the (global) batch; see `dice_loss` for `axis_name`."""
  return cross_entropy_value(across_devices(cross_entropy_sums(logits, grade), axis_name))


def grade_sums(outputs: Outputs, targets: Targets) -> CrossEntropySums:
  """`cross_entropy_sums` of the grade head. Raises ValueError for a network without one."""
  if outputs.grades is None:
    raise ValueError('the grading loss needs outputs.grades [B, 5], and this network has none; choose a grading '
                     "network, or train lesions with 'dual_dice'")
  return cross_entropy_sums(outputs.grades, targets.grade)
