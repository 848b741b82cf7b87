"""Losses for small lesions: a Dice or focal Tversky loss of each lesion, their mean, and the binary cross entropy.

In Eq. 3 of the paper all lesions share one ratio, so a lesion weighs as much as its area. Here every lesion has a ratio
of its own, pooled over the scored pixels of the whole global batch, and microaneurysms count like hard exudates.

A lesion without one positive in the batch takes no part in the mean: its Dice loss, P / (P + 1), is near 1 for all but
an empty map and says little of how much is wrong. That it is not there, the cross entropy teaches, and so it does in a
batch of negatives alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from lesion_jax.core import Array
from lesion_jax.losses.inputs import count, scored_elements
from lesion_jax.losses.reduce import MeanSums, across_devices, mean_value

# Added to both sides of the fraction 2 I / (P + T), and of TP / (TP + alpha FN + beta FP).
SMOOTHING = 1.0


class OverlapSums(NamedTuple):
  """The sums of both losses over scored elements, float32 [K], one number for each lesion.

  The three parts of P and T by themselves, for a difference such as T - I would lose what is nearly right to rounding.

  Attributes:
    found: sum of p where t = 1, the true positives (TP, or I).
    missed: sum of 1 - p where t = 1, the false negatives (FN); T = found + missed.
    wrong: sum of p where t = 0, the false positives (FP); P = found + wrong.
    positives: number of elements with t = 1.
    nats: sum of the binary cross entropy, -log p where t = 1 and -log(1 - p) where t = 0.
    count: number of elements.
  """

  found: jax.Array
  missed: jax.Array
  wrong: jax.Array
  positives: jax.Array
  nats: jax.Array
  count: jax.Array


LossesOfLesions = Callable[[OverlapSums], jax.Array]


def overlap_sums(logits: Array, truth: Array, mask: Array | None = None) -> OverlapSums:
  """Returns the sums for each lesion. Arguments and errors as of `dice_cross_entropy_loss`."""
  logits, positive, mask = scored_elements('logits', logits, truth, mask)
  against = jnp.where(positive, -logits, logits)  # the logit of what is not true
  error = jax.nn.sigmoid(against)
  axes = tuple(range(logits.ndim - 1))
  return OverlapSums(
      found=jnp.sum(jnp.where(positive, jax.nn.sigmoid(logits), 0), axes),
      missed=jnp.sum(jnp.where(positive, error, 0), axes),
      wrong=jnp.sum(jnp.where(mask & ~positive, error, 0), axes),
      positives=count(positive, axes),
      nats=jnp.sum(jnp.where(mask, jax.nn.softplus(against), 0), axes),
      count=count(mask, axes),
  )


def dice_losses(sums: OverlapSums) -> jax.Array:
  """Computes 1 - (2 I + 1) / (P + T + 1) of each lesion, float32 [K] in [0, 1). I = sum p t, P = sum p, T = sum t."""
  errors = sums.missed + sums.wrong  # P + T - 2 I
  return errors / (2 * sums.found + errors + SMOOTHING)


def focal_tversky_losses(
    sums: OverlapSums, *, alpha: float = 0.7, beta: float = 0.3, gamma: float = 4 / 3
) -> jax.Array:
  """Computes (1 - TI)^(1 / gamma) of each lesion, TI = (TP + 1) / (TP + alpha FN + beta FP + 1), float32 [K] in [0,
  1)."""
  errors = alpha * sums.missed + beta * sums.wrong
  rest = errors / (sums.found + errors + SMOOTHING)  # 1 - TI
  # The slope of the power at 0 is infinite. That of the sums falls faster, so 0 is the limit of their product.
  some = rest != 0  # as is NaN
  return jnp.where(some, jnp.where(some, rest, 1) ** (1 / gamma), 0)


def overlap_value(
    sums: OverlapSums, losses: LossesOfLesions, weights: Array | None = None
) -> dict[str, jax.Array]:
  """Returns the mean of a loss over the lesions that have a positive, plus the binary cross entropy over all scored
  elements.

  Args:
    sums: of the whole (global) batch.
    losses: `sums -> [K]`, `dice_losses` or `focal_tversky_losses`.
    weights: float [K] or None, of the lesions in both means; see `dice_cross_entropy_loss`.

  Returns:
    {'loss', 'segmentation', 'cross_entropy'}, float32 scalars. 'segmentation' is the mean over lesions, 0 with zero
    gradient where none has a positive; 'cross_entropy' is in nats, 0 with zero gradient where nothing is scored; 'loss'
    is their sum, each with weight 1.
  """
  weights = jnp.ones_like(sums.count) if weights is None else jnp.asarray(weights, jnp.float32)
  part = jnp.where(sums.positives > 0, weights, 0)
  segmentation = mean_value(MeanSums(jnp.sum(part * losses(sums)), jnp.sum(part)))
  cross_entropy = mean_value(MeanSums(jnp.sum(weights * sums.nats), jnp.sum(weights * sums.count)))
  return {'loss': segmentation + cross_entropy, 'segmentation': segmentation, 'cross_entropy': cross_entropy}


def dice_cross_entropy_loss(
    logits: Array, truth: Array, mask: Array | None = None, *, weights: Array | None = None,
    axis_name: str | None = None,
) -> jax.Array:
  """Computes the mean over lesions of their Dice losses, plus the binary cross entropy (Dice-CE, as the field calls
  it).

  mean_j [1 - (2 I_j + 1) / (P_j + T_j + 1)] + mean of -log p_t, with I = sum p t, P = sum p, T = sum t over the scored
  elements of lesion j in the whole (global) batch. Isensee et al. (nnU-Net, 2021) add the two with weight 1, as is done
  here, and average Dice over classes. The smoothing of 1 is our choice, and so is the rule that a lesion without a
  positive takes no part in the mean of Dice.

  Args:
    logits: float [..., K], lesions last; computed in float32 whatever the dtype.
    truth: bool or {0, 1} [..., K].
    mask: bool [..., K] or None, the elements to score. What is not scored has no gradient, even where its logit is not
      finite.
    weights: float [K] or None, of the lesions, 0 or more and not all 0; only their ratios count. Both means are then
      weighted: Dice over the lesions that take part, the cross entropy over the scored elements, each with the weight
      of its lesion. None weighs all alike.
    axis_name: mapped axis over which the batch is split, see `dice_loss`.

  Returns:
    float32 scalar; 0 with zero gradient where nothing is scored.

  Raises:
    ValueError: when the shapes differ.
  """
  return overlap_value(across_devices(overlap_sums(logits, truth, mask), axis_name), dice_losses, weights)['loss']


def focal_tversky_loss(
    logits: Array, truth: Array, mask: Array | None = None, *, alpha: float = 0.7, beta: float = 0.3,
    gamma: float = 4 / 3, weights: Array | None = None, axis_name: str | None = None,
) -> jax.Array:
  """Computes the mean over lesions of their focal Tversky losses, plus the binary cross entropy.

  mean_j (1 - TI_j)^(1 / gamma) + mean of -log p_t, with TI = (TP + 1) / (TP + alpha FN + beta FP + 1), TP = sum p t,
  FN = sum (1 - p) t and FP = sum p (1 - t) over the scored elements of lesion j in the whole (global) batch.

  Abraham & Khan, "A Novel Focal Tversky Loss Function with Improved Attention U-Net for Lesion Segmentation", 2019:
  alpha is the weight of what is missed and beta of what is wrongly marked, and the exponent is 1 / gamma, 0.75 with
  their gamma of 4/3. Elsewhere the letters stand for other things: Salehi et al. (2017), whose Tversky loss it builds
  on, give alpha to false positives, and many programs name the exponent itself gamma. The smoothing of 1 is that of
  their program. They sum over classes; the mean, the rule that a lesion without a positive takes no part in it, and the
  cross entropy beside it (else a batch of negatives alone would teach nothing) are our choice.

  Args:
    logits: float [..., K], lesions last; computed in float32 whatever the dtype.
    truth: bool or {0, 1} [..., K].
    mask: bool [..., K] or None, as of `dice_cross_entropy_loss`.
    alpha: weight of false negatives, above 0.
    beta: weight of false positives, above 0; alpha = beta = 0.5 is Dice.
    gamma: 1 to 3 in the paper; 1 is the Tversky loss. Above 1, a lesion that is nearly right keeps a steeper slope.
    weights: float [K] or None, of the lesions, as of `dice_cross_entropy_loss`.
    axis_name: mapped axis over which the batch is split, see `dice_loss`.

  Returns:
    float32 scalar; 0 with zero gradient where nothing is scored. The gradient is finite where TI is 1.

  Raises:
    ValueError: when the shapes differ.
  """
  def losses(sums: OverlapSums) -> jax.Array:
    return focal_tversky_losses(sums, alpha=alpha, beta=beta, gamma=gamma)

  return overlap_value(across_devices(overlap_sums(logits, truth, mask), axis_name), losses, weights)['loss']
