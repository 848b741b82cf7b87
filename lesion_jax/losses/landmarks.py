"""Cross entropy of the landmarks' places: where a landmark is, as a distribution over cells, or that it is not in the picture.

A cell is as good as the one beside it, so the truth is a Gaussian about the place, of one cell's width, cut off at the grid's
edge and summing to 1; of a landmark outside the picture all of it is on 'not in the picture'. (Our choice.)
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from lesion_jax.core import Array, Outputs, Targets
from lesion_jax.losses.inputs import count
from lesion_jax.losses.loss import one_part
from lesion_jax.losses.reduce import MeanSums, mean_value

SIGMA = 1.0  # of the truth, in cells


def landmark_truth(places: Array, grid: int, size: int, sigma: float = SIGMA) -> jax.Array:
  """The distribution that the network is held to.

  Args:
    places: float [..., 2], row and column in pixels of the picture; outside 0..size: not in it. NaN gives NaN.
    grid: cells along a side.
    size: of the picture, in pixels.
    sigma: of the Gaussian, in cells.

  Returns:
    float32 [..., grid * grid + 1], summing to 1; the last is 'not in the picture'.
  """
  at = jnp.asarray(places, jnp.float32) * (grid / size)
  centres = jnp.arange(grid, dtype=jnp.float32) + 0.5
  one = jax.nn.softmax(-0.5 * ((at[..., None] - centres) / sigma) ** 2, axis=-1)  # [..., 2, grid], a product of both
  cells = (one[..., 0, :, None] * one[..., 1, None, :]).reshape(*places.shape[:-1], grid * grid)
  inside = jnp.all((at >= 0) & (at <= grid), axis=-1, keepdims=True)
  return jnp.concatenate([jnp.where(inside, cells, 0), jnp.where(inside, 0.0, 1.0)], axis=-1)


def landmark_cross_entropy_sums(logits: Array, places: Array, size: int) -> MeanSums:
  """Sum of -sum(truth log p) in nats over the landmarks whose place is known, and their number.

  Args:
    logits: float [B, 2, g * g + 1]; summed in float32 whatever the dtype.
    places: float [B, 2, 2] as in core.Example; NaN for a landmark to leave out, which then has no gradient.
    size: of the picture, in pixels.

  Raises:
    ValueError: the cells are no square grid.
  """
  grid = round((logits.shape[-1] - 1) ** 0.5)
  if grid * grid + 1 != logits.shape[-1]:
    raise ValueError(f'logits {list(logits.shape)} are of no square grid and one more answer')
  known = jnp.all(jnp.isfinite(places), axis=-1)
  truth = landmark_truth(jnp.where(known[..., None], places, 0), grid, size)
  logits = jnp.where(known[..., None], logits, 0).astype(jnp.float32)
  nats = -jnp.sum(truth * jax.nn.log_softmax(logits, axis=-1), axis=-1)
  return MeanSums(jnp.sum(jnp.where(known, nats, 0)), count(known))


def _sums(outputs: Outputs, targets: Targets) -> MeanSums:
  if outputs.landmarks is None or targets.landmarks is None:
    raise ValueError('the loss of landmarks needs outputs.landmarks [B, 2, g * g + 1] and places in the data; train a '
                     'network of lesion_jax.models.landmarks on a data set with landmarks, idrid_landmarks for instance')
  return landmark_cross_entropy_sums(outputs.landmarks, targets.landmarks, targets.lesions.shape[1])


LANDMARK_CROSS_ENTROPY = one_part(_sums, mean_value, 'landmarks')
