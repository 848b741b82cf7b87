"""The hardest pixels of photographs without a lesion: what marks a healthy eye, learned away.

A whole photograph has two million pixels, and it is called diseased by a few hundred of them (`metrics.presence`). A mean
over all pixels hardly sees these; here they are all that counts. Mining the hardest negatives is an old means of
detection (Shrivastava et al., "Training Region-based Object Detectors with Online Hard Example Mining", 2016); to do it
by image and lesion, and to leave alone what has the lesion, is our choice.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from lesion_jax.core import Array, Outputs, Targets
from lesion_jax.losses.inputs import lesion_maps
from lesion_jax.losses.loss import Loss
from lesion_jax.losses.reduce import MeanSums, mean_value

HARDEST = 100  # pixels of an image and lesion; our choice
TILE = 128  # pixels, see `_threshold`


def hard_negatives(factor: float, weights: Array | None = None) -> Loss:
  """Returns the mean cross entropy of the HARDEST most probable scored pixels, over the images and lesions without the
  lesion.

  Args:
    factor: of the mean in the loss, above 0.
    weights: float [8] of the lesions in the mean, or None.

  Returns:
    A loss of networks with lesion maps, part 'hard_negatives', in nats and before the factor. Pairs of image and lesion
    count that `Targets.evaluated` knows, with no scored positive; 0 with zero gradient where there is none. Pixels that
    tie with the last of the HARDEST count too.
  """
  of_lesions = np.ones(1, np.float32) if weights is None else np.asarray(weights, np.float32)

  def sums(outputs: Outputs, targets: Targets) -> MeanSums:
    logits, scored = lesion_maps(outputs), targets.scored
    absent = targets.evaluated & ~jnp.any(targets.lesions & scored, axis=(1, 2))
    logits = jnp.where(scored, logits, -jnp.inf)
    hard = scored & ~(logits < _threshold(jax.lax.stop_gradient(logits))[:, None, None])  # what is NaN too
    nats = jnp.sum(jnp.where(hard, jax.nn.softplus(jnp.where(hard, logits, 0)), 0), axis=(1, 2))
    share = jnp.where(absent, of_lesions, 0)
    mean = nats / jnp.maximum(jnp.sum(hard, axis=(1, 2)), 1)
    return MeanSums(jnp.sum(share * mean), jnp.sum(share))

  def value(totals: MeanSums, lam: Array | float) -> dict[str, jax.Array]:
    del lam
    mean = mean_value(totals)
    return {'loss': factor * mean, 'hard_negatives': mean}

  return Loss(sums, value)


def _threshold(logits: jax.Array) -> jax.Array:
  """The HARDEST-th largest value of each map, [B, K] of [B, H, W, K]; the least where there are fewer.

  The largest values of all lie in as many tiles as there are values to find, those with the largest maxima: one pass over
  the pixels, where a sort would take dozens.
  """
  images, height, width, lesions = logits.shape
  count, tiles = min(HARDEST, height * width), -(-height * width // TILE)
  flat = jnp.moveaxis(logits.reshape(images, height * width, lesions), -1, 1)
  flat = jnp.pad(flat, ((0, 0), (0, 0), (0, tiles * TILE - height * width)), constant_values=-jnp.inf)
  flat = flat.reshape(images, lesions, tiles, TILE)
  if tiles > count:
    _, best = jax.lax.top_k(flat.max(axis=-1), count)
    flat = jnp.take_along_axis(flat, best[..., None], axis=2)
  return jax.lax.top_k(flat.reshape(images, lesions, -1), count)[0][..., -1]
