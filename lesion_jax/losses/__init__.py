"""Training losses by name. Each is a pair of pure functions, so that it is exact on any split of the batch.

    loss = get_loss('dual_dice')
    sums = across_devices(loss.sums(outputs, targets), 'batch')
    parts = loss.value(sums, lam)  # {'loss': ..., 'segmentation': ..., 'classification': ...}

What each is for; the names in the paper's tables in brackets:

    dual_dice               lesion maps: Eq. 2, the paper's own loss of pixels and of images
    dice                    lesion maps: Eq. 3, the loss of the paper's baselines (Dice)
    cross_entropy           lesion maps: binary cross entropy per pixel and lesion
    weighted_cross_entropy  lesion maps: the same with true pixels weighted by lesion (WCE)
    focal                   lesion maps: the same with easy pixels played down (Focal)
    presence_dice           lesions of an image: Eq. 4, for Inception-v3 and ABN as lesion classifiers
    grade_cross_entropy     DR grades: softmax cross entropy
    joint                   lesion maps and DR grades: dual_dice + grade_cross_entropy, both branches at once

`presence_dice` and `grade_cross_entropy` also train the further head of a network that has one (ABN's attention
branch). The paper tried `joint` (IV-A) and gives no weights; 1 for each is our choice, as is that training starts with
the dual loss, for its lesion branch has been trained.
"""

from __future__ import annotations

from lesion_jax.losses.cross_entropy import (
    cross_entropy_loss, cross_entropy_sums, focal_loss, focal_sums, weighted_cross_entropy_loss,
    weighted_cross_entropy_sums, weighted_cross_entropy_value)
from lesion_jax.losses.dice import dice_loss, dice_value
from lesion_jax.losses.dual import classification_sums, dual_dice_loss, dual_sums, dual_value, segmentation_sums
from lesion_jax.losses.grading import grade_cross_entropy_loss, grade_sums
from lesion_jax.losses.loss import Loss, on_maps, one_part, sum_of, with_auxiliary
from lesion_jax.losses.reduce import across_devices, mean_value, share

__all__ = [
    'LOSSES', 'Loss', 'across_devices', 'cross_entropy_loss', 'dice_loss', 'dual_dice_loss', 'focal_loss', 'get_loss',
    'grade_cross_entropy_loss', 'share', 'sum_of', 'weighted_cross_entropy_loss', 'with_auxiliary']

_DUAL = Loss(dual_sums, dual_value)
_GRADES = one_part(grade_sums, mean_value, 'grading')

LOSSES: dict[str, Loss] = {
    'dual_dice': _DUAL,
    'dice': one_part(segmentation_sums, dice_value, 'segmentation'),
    'presence_dice': with_auxiliary(one_part(classification_sums, dice_value, 'classification')),
    'grade_cross_entropy': with_auxiliary(_GRADES),
    'cross_entropy': on_maps(cross_entropy_sums, mean_value),
    'weighted_cross_entropy': on_maps(weighted_cross_entropy_sums, weighted_cross_entropy_value),
    'focal': on_maps(focal_sums, mean_value),
    'joint': sum_of(_DUAL, _GRADES),
}


def get_loss(name: str) -> Loss:
  """The loss of that name. Raises ValueError, listing the names, when there is none."""
  if name not in LOSSES:
    raise ValueError(f'unknown loss {name!r}; the losses are {", ".join(LOSSES)}')
  return LOSSES[name]
