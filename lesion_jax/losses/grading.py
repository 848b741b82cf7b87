"""Softmax cross entropy of DR grades, the mean over the images whose grade is known.

The paper trains its grading networks with it (III-B). The mean over graded images alone is our choice.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from lesion_jax.core import Array, Outputs, Targets
from lesion_jax.losses.inputs import count, grade_logits
from lesion_jax.losses.reduce import MeanSums, across_devices, mean_value


def grade_cross_entropy_sums(logits: Array, grade: Array) -> MeanSums:
  """Computes the sum of -log p(grade) in nats over the images with a known grade, and their number.

  Args:
    logits: float [B, K]; summed in float32 whatever the dtype.
    grade: int [B], 0..K-1, or negative (`core.UNKNOWN_GRADE`) for an image to exclude, which then has no gradient.
  """
  known = grade >= 0
  logits = jnp.where(known[:, None], logits, 0).astype(jnp.float32)
  nats = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.where(known, grade, 0))
  return MeanSums(jnp.sum(jnp.where(known, nats, 0)), count(known))


def grade_cross_entropy_loss(logits: Array, grade: Array, *, axis_name: str | None = None) -> jax.Array:
  """Computes the mean over the graded images of the (global) batch, in nats.

  Args:
    logits: float [B, K].
    grade: int [B], 0..K-1, or negative for an image to exclude.
    axis_name: mapped axis over which the batch is split, see `dice_loss`.

  Returns:
    float32 scalar; 0 with zero gradient where no image has a grade.
  """
  return mean_value(across_devices(grade_cross_entropy_sums(logits, grade), axis_name))


def grade_sums(outputs: Outputs, targets: Targets) -> MeanSums:
  """Returns `grade_cross_entropy_sums` of the grade head. Raises ValueError for a network without one."""
  return grade_cross_entropy_sums(grade_logits(outputs), targets.grade)
