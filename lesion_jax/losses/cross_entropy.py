"""Cross entropies of lesion maps: plain, weighted by lesion, and focal. The paper's other losses in Table II.

Lesions overlap, so each is a binary problem of its own: t in {0, 1}, p = sigmoid(logit), and p_t the probability of
what is true, p where t = 1 and 1 - p where t = 0. -log p_t is softplus(-logit) or softplus(logit), which is finite
where p has long been rounded to 0 or 1.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from lesion_jax.core import Array
from lesion_jax.losses.inputs import count, scored_elements
from lesion_jax.losses.reduce import MeanSums, across_devices, mean_value

# The share of pixels that a lesion is predicted on is clamped to [MIN_SHARE, 1 - MIN_SHARE] before it becomes a weight.
MIN_SHARE = 1e-3


class WeightedSums(NamedTuple):
  """The sums of the weighted cross entropy, float32 [K], one number for each lesion.

  Attributes:
    positive: sum of -log p over scored elements with t = 1, in nats.
    negative: sum of -log(1 - p) over scored elements with t = 0, in nats.
    predicted: sum of p over scored elements.
    count: number of scored elements.
  """

  positive: jax.Array
  negative: jax.Array
  predicted: jax.Array
  count: jax.Array


def _mean_sums(terms: jax.Array, mask: Array, weights: Array | None) -> MeanSums:
  """The sums of the mean of the scored terms [..., K], weighted by lesion where there are weights [K]."""
  terms = jnp.where(mask, terms, 0)
  if weights is None:
    return MeanSums(jnp.sum(terms), count(mask))
  axes = tuple(range(terms.ndim - 1))
  return MeanSums(jnp.sum(weights * jnp.sum(terms, axes)), jnp.sum(weights * count(mask, axes)))


def cross_entropy_sums(
    logits: Array, truth: Array, mask: Array | None = None, *, weights: Array | None = None
) -> MeanSums:
  """Computes the sum of -log p_t over the scored elements, and their number. Arguments and errors as of
  `cross_entropy_loss`."""
  logits, positive, mask = scored_elements('logits', logits, truth, mask)
  return _mean_sums(jax.nn.softplus(jnp.where(positive, -logits, logits)), mask, weights)


def cross_entropy_loss(
    logits: Array, truth: Array, mask: Array | None = None, *, weights: Array | None = None,
    axis_name: str | None = None,
) -> jax.Array:
  """Computes the mean of -log p_t over all scored elements of the (global) batch, in nats.

  Args:
    logits: float [...]; computed in float32 whatever the dtype.
    truth: bool or {0, 1} [...].
    mask: bool [...] or None, the elements to score. What is not scored has no gradient, even where its logit is not
      finite.
    weights: float [K] or None, of the lesions (the last axis), 0 or more and not all 0; only their ratios count. The
      mean is then weighted, each scored element with the weight of its lesion. None weighs all alike.
    axis_name: mapped axis over which the batch is split, see `dice_loss`.

  Returns:
    float32 scalar; 0 with zero gradient where nothing is scored.

  Raises:
    ValueError: when the shapes differ.
  """
  return mean_value(across_devices(cross_entropy_sums(logits, truth, mask, weights=weights), axis_name))


def weighted_cross_entropy_sums(logits: Array, truth: Array, mask: Array | None = None) -> WeightedSums:
  """Returns the sums for each lesion. Arguments and errors as of `weighted_cross_entropy_loss`."""
  logits, positive, mask = scored_elements('logits', logits, truth, mask)
  nats = jax.nn.softplus(jnp.where(positive, -logits, logits))
  axes = tuple(range(logits.ndim - 1))
  return WeightedSums(
      positive=jnp.sum(jnp.where(positive, nats, 0), axes),
      negative=jnp.sum(jnp.where(mask & ~positive, nats, 0), axes),
      predicted=jnp.sum(jnp.where(mask, jax.nn.sigmoid(logits), 0), axes),
      count=count(mask, axes),
  )


def lesion_weights(sums: WeightedSums) -> jax.Array:
  """Computes w_j = (N_j - sum p_j) / sum p_j, the weight of the true pixels of lesion j, float32 [K], without a
  gradient.

  The more seldom a lesion is predicted, the more its true pixels count. Two things here are our choice, for Sudre et
  al. do not speak of them. The weight is a constant to the gradient: else the loss falls by predicting more of the
  lesion anywhere. And the predicted share sum p_j / N_j is clamped to [0.001, 0.999], so w_j to [1/999, 999]: the
  weight of a lesion that is predicted nowhere would be infinite. The clamp binds for a lesion that is rightly predicted
  on less than a thousandth of the scored pixels, as microaneurysms are: a true pixel then weighs 999 and no more.
  """
  share = jax.lax.stop_gradient(sums.predicted / jnp.maximum(sums.count, 1))
  share = jnp.clip(share, MIN_SHARE, 1 - MIN_SHARE)
  return (1 - share) / share


def weighted_cross_entropy_value(sums: WeightedSums, weights: Array | None = None) -> jax.Array:
  """Computes sum_j (w_j * positive_j + negative_j) / sum_j N_j, float32 scalar; 0 with zero gradient where nothing is
  scored. With `weights` [K], both sums are weighted by them."""
  terms, number = lesion_weights(sums) * sums.positive + sums.negative, sums.count
  if weights is not None:
    terms, number = weights * terms, weights * number
  return mean_value(MeanSums(jnp.sum(terms), jnp.sum(number)))


def weighted_cross_entropy_loss(
    logits: Array, truth: Array, mask: Array | None = None, *, weights: Array | None = None,
    axis_name: str | None = None,
) -> jax.Array:
  """Cross entropy in which the true pixels of a lesion weigh as much as its predictions leave out (the paper's WCE).

  Sudre et al., "Generalised Dice overlap as a deep learning loss function for highly unbalanced segmentations", 2017:
  (1/N) * sum over pixels of -w t log p - (1 - t) log(1 - p), with w = (N - sum p) / sum p. They write it for one
  foreground class; a weight of its own for each lesion is our choice, as is that of `lesion_weights`. N and the sums
  are those of the whole (global) batch.

  Args:
    logits: float [..., K], lesions last; computed in float32 whatever the dtype.
    truth: bool or {0, 1} [..., K].
    mask: bool [..., K] or None, the elements to score. What is not scored has no gradient, even where its logit is
      not finite.
    weights: float [K] or None, of the lesions beside the w above, as of `cross_entropy_loss`.
    axis_name: mapped axis over which the batch is split, see `dice_loss`.

  Returns:
    float32 scalar; 0 with zero gradient where nothing is scored.

  Raises:
    ValueError: when the shapes differ.
  """
  sums = across_devices(weighted_cross_entropy_sums(logits, truth, mask), axis_name)
  return weighted_cross_entropy_value(sums, weights)


def focal_sums(
    logits: Array, truth: Array, mask: Array | None = None, *, gamma: float = 2.0, alpha: float = 0.8,
    weights: Array | None = None,
) -> MeanSums:
  """Computes the sum of the focal terms over the scored elements, and their number. Arguments and errors as of
  `focal_loss`."""
  logits, positive, mask = scored_elements('logits', logits, truth, mask)
  against = jnp.where(positive, -logits, logits)  # the logit of 1 - p_t
  # (1 - p_t)^gamma by its logarithm: at 1 - p_t = 0 the slope of the power itself is infinite for gamma below 1.
  terms = jnp.exp(-gamma * jax.nn.softplus(-against)) * jax.nn.softplus(against)
  return _mean_sums(jnp.where(positive, alpha, 1 - alpha) * terms, mask, weights)


def focal_loss(
    logits: Array, truth: Array, mask: Array | None = None, *, gamma: float = 2.0, alpha: float = 0.8,
    weights: Array | None = None, axis_name: str | None = None,
) -> jax.Array:
  """Computes the mean of -alpha_t (1 - p_t)^gamma log p_t over all scored elements of the (global) batch.

  Lin et al., "Focal Loss for Dense Object Detection", 2017, Eq. 5: what is already right hardly counts. They divide
  the sum by the number of anchors that belong to an object; a batch of ours may have not one true pixel, and the mean
  over all scored elements is our choice. Then gamma = 0 and alpha = 0.5 give half the cross entropy. They also start
  the last bias at -log(99), a low prior; ours starts at 0, as for every loss.

  Args:
    logits: float [...]; computed in float32 whatever the dtype.
    truth: bool or {0, 1} [...].
    mask: bool [...] or None, the elements to score. What is not scored has no gradient, even where its logit is not
      finite.
    gamma: exponent, 0 or more; 2 in both papers.
    alpha: weight of t = 1 in [0, 1]; t = 0 weighs 1 - alpha. 0.8 in the paper, 0.25 in Lin et al.
    weights: float [K] or None, of the lesions, as of `cross_entropy_loss`.
    axis_name: mapped axis over which the batch is split, see `dice_loss`.

  Returns:
    float32 scalar; 0 with zero gradient where nothing is scored.

  Raises:
    ValueError: when the shapes differ.
  """
  sums = focal_sums(logits, truth, mask, gamma=gamma, alpha=alpha, weights=weights)
  return mean_value(across_devices(sums, axis_name))
