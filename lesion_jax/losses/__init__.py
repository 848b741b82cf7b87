"""Training losses by name. Each is a pair of pure functions, so that it is exact on any split of the batch.

    loss = get_loss('dual_dice')
    sums = across_devices(loss.sums(outputs, targets), 'batch')
    parts = loss.value(sums, lam)  # {'loss': ..., 'segmentation': ..., 'classification': ...}

What each is for; in brackets the names in the paper's tables, or the field's:

    dual_dice               lesion maps: Eq. 2, the paper's own loss of pixels and of images
    dice                    lesion maps: Eq. 3, the loss of the paper's baselines (Dice)
    cross_entropy           lesion maps: binary cross entropy per pixel and lesion
    weighted_cross_entropy  lesion maps: the same with true pixels weighted by lesion (WCE)
    focal                   lesion maps: the same with easy pixels played down (Focal)
    dice_cross_entropy      lesion maps: mean of the lesions' Dice losses + cross entropy, for small lesions (Dice-CE)
    focal_tversky           lesion maps: mean of the lesions' focal Tversky losses + cross entropy, which weighs what is
                            missed above what is wrongly marked
    presence_dice           lesions of an image: Eq. 4, for Inception-v3 and ABN as lesion classifiers
    grade_cross_entropy     DR grades: softmax cross entropy
    joint                   lesion maps and DR grades: dual_dice + grade_cross_entropy, both branches at once

`presence_dice` and `grade_cross_entropy` also train the further head of a network that has one (ABN's attention
branch). The paper tried `joint` (IV-A) and gives no weights; 1 for each is our choice, as is that training starts with
the dual loss, for its lesion branch has been trained. The two losses for small lesions are not the paper's.

Losses that take a lesion at a time (WITH_LESION_WEIGHTS) take weights, `get_loss(name, lesion_weights=...)`; in
the others all lesions share one ratio of sums. `hard_negatives` can be added to every loss of lesion maps.
"""

from __future__ import annotations

import functools
import math
import numbers
from collections.abc import Callable, Sequence

import jax
import numpy as np

from lesion_jax import plugins
from lesion_jax.core import LESION_KEYS, Array
from lesion_jax.losses.cross_entropy import (
    cross_entropy_loss, cross_entropy_sums, focal_loss, focal_sums, weighted_cross_entropy_loss,
    weighted_cross_entropy_sums, weighted_cross_entropy_value)
from lesion_jax.losses.dice import dice_loss, dice_value
from lesion_jax.losses.dual import classification_sums, dual_dice_loss, dual_sums, dual_value, segmentation_sums
from lesion_jax.losses.grading import grade_cross_entropy_loss, grade_sums
from lesion_jax.losses.hardest import hard_negatives
from lesion_jax.losses.loss import Loss, of_maps, on_maps, one_part, sum_of, with_auxiliary
from lesion_jax.losses.per_lesion import (
    LossesOfLesions, OverlapSums, dice_cross_entropy_loss, dice_losses, focal_tversky_loss, focal_tversky_losses,
    overlap_sums, overlap_value)
from lesion_jax.losses.reduce import across_devices, mean_value, share

__all__ = [
    'CRITERIA', 'LOSSES', 'WITH_LESION_WEIGHTS', 'Loss', 'across_devices', 'cross_entropy_loss', 'dice_cross_entropy_loss',
    'dice_loss', 'dual_dice_loss', 'focal_loss', 'focal_tversky_loss', 'get_loss', 'grade_cross_entropy_loss', 'register_loss',
    'share', 'sum_of', 'weighted_cross_entropy_loss', 'with_auxiliary']

_DUAL = Loss(dual_sums, dual_value)
_GRADES = one_part(grade_sums, mean_value, 'grading')


def _cross_entropy(weights: Array | None = None) -> Loss:
  return on_maps(functools.partial(cross_entropy_sums, weights=weights), mean_value)


def _weighted_cross_entropy(weights: Array | None = None) -> Loss:
  return on_maps(weighted_cross_entropy_sums, functools.partial(weighted_cross_entropy_value, weights=weights))


def _focal(weights: Array | None = None) -> Loss:
  return on_maps(functools.partial(focal_sums, weights=weights), mean_value)


def _overlap(losses: LossesOfLesions, weights: Array | None = None) -> Loss:
  """A mean over lesions, plus the cross entropy; it does not depend on lambda."""

  def value(sums: OverlapSums, lam: Array | float) -> dict[str, jax.Array]:
    del lam
    return overlap_value(sums, losses, weights)

  return Loss(of_maps(overlap_sums), value)


# Name -> the loss with weights of the lesions, float32 [8], or None.
WITH_LESION_WEIGHTS: dict[str, Callable[[Array | None], Loss]] = {
    'cross_entropy': _cross_entropy,
    'weighted_cross_entropy': _weighted_cross_entropy,
    'focal': _focal,
    'dice_cross_entropy': functools.partial(_overlap, dice_losses),
    'focal_tversky': functools.partial(_overlap, focal_tversky_losses),
}

LOSSES: dict[str, Loss] = {
    'dual_dice': _DUAL,
    'dice': one_part(segmentation_sums, dice_value, 'segmentation'),
    'presence_dice': with_auxiliary(one_part(classification_sums, dice_value, 'classification')),
    'grade_cross_entropy': with_auxiliary(_GRADES),
    **{name: build(None) for name, build in WITH_LESION_WEIGHTS.items()},
    'joint': sum_of(_DUAL, _GRADES),
}

# The figure of the validation split by which the best network is chosen where none is named, by loss; the means are of the
# lesions that occur in the split. The dual loss gives a little of the pixels' F1 for the images' (Table II), so both count.
CRITERIA = {
    'dual_dice': 'pixel_image_f1',
    'dice': 'pixel_f1',
    'presence_dice': 'image_f1',
    'grade_cross_entropy': 'kappa',
    'cross_entropy': 'pixel_f1',
    'weighted_cross_entropy': 'pixel_f1',
    'focal': 'pixel_f1',
    'dice_cross_entropy': 'pixel_f1',
    'focal_tversky': 'pixel_f1',
    'joint': 'kappa',
}
FIGURES = ('pixel_f1', 'image_f1', 'pixel_image_f1', 'aupr', 'kappa')  # of `evaluate.criterion`
WITHOUT_MAPS = ('presence_dice', 'grade_cross_entropy')


def register_loss(name: str, loss: Loss, *, criterion: str) -> None:
  """Adds a loss of one's own: `get_loss` and configurations then know it by name.

  Args:
    name: letters, digits and underscores.
    loss: two pure functions, see `Loss`.
    criterion: the metric of the validation split by which the best network is chosen, one of FIGURES. 'kappa' says that
      the loss learns grades, any other that it learns lesions.

  Raises:
    ValueError: another loss has the name, or there is no such metric.
    TypeError: it is no `Loss`.
  """
  plugins.check_new('loss', name, loss, LOSSES)
  if criterion not in FIGURES:
    raise ValueError(f'unknown criterion {criterion!r}; the best network can be chosen by {", ".join(FIGURES)}')
  if not isinstance(loss, Loss):
    raise TypeError(f'{loss!r} is no loss; make one of two functions, lesion_jax.losses.Loss(sums, value)')
  LOSSES[name], CRITERIA[name] = loss, criterion


def get_loss(name: str, *, lesion_weights: Sequence[float] = (), hard: float = 0.0) -> Loss:
  """Returns the loss of that name.

  Args:
    name: one of LOSSES.
    lesion_weights: () for lesions that weigh alike; else 8 numbers in the order of `core.LESIONS`, 0 or more and not
      all 0, for a loss of WITH_LESION_WEIGHTS. A mean over lesions is then weighted by them (among the lesions that
      take part in it), and a mean over scored elements by the weight of each element's lesion. Only their ratios
      count; a lesion of weight 0 is not learned. Whether and how to weigh is our choice.
    hard: factor of `hard_negatives`, which is added to a loss of lesion maps; 0 adds nothing.

  Raises:
    ValueError: there is no such loss, it takes no weights or hard negatives, or they are not such numbers.
  """
  weights = _checked_weights(name, lesion_weights)
  loss = LOSSES[name] if weights is None else WITH_LESION_WEIGHTS[name](weights)
  if not isinstance(hard, numbers.Real) or not 0 <= hard < math.inf:
    raise ValueError(f'hard_negatives={hard!r}: give a factor of 0 or more; 0 adds nothing')
  if hard and name in WITHOUT_MAPS:
    raise ValueError(f'the loss {name!r} takes no hard_negatives={hard}, for they are pixels of lesion maps; leave it at 0')
  return sum_of(loss, hard_negatives(float(hard), weights)) if hard else loss


def _checked_weights(name: str, lesion_weights: Sequence[float]) -> np.ndarray | None:
  """The weights over the largest of them, float32 [8]; None for lesions that weigh alike. Errors as of `get_loss`."""
  if not plugins.look_up('loss', name, LOSSES):
    raise ValueError(f'unknown loss {name!r}; the losses are {plugins.names("loss", LOSSES)}')
  if not len(lesion_weights):
    return None
  if name not in WITH_LESION_WEIGHTS:
    raise ValueError(f'the loss {name!r} takes no lesion_weights, for it has no term of each lesion (they are '
                     f'{tuple(lesion_weights)}); leave them empty, or choose one of {", ".join(WITH_LESION_WEIGHTS)}')
  usable = [weight for weight in lesion_weights if isinstance(weight, numbers.Real) and 0 <= weight < math.inf]
  if not len(usable) == len(lesion_weights) == len(LESION_KEYS) or not any(usable):
    raise ValueError(f'lesion_weights={tuple(lesion_weights)}: give {len(LESION_KEYS)} numbers of 0 or more, not all '
                     f'0, in the order {", ".join(LESION_KEYS)}; or () for lesions that weigh alike')
  return np.asarray(np.divide(usable, max(usable)), np.float32)
