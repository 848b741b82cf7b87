"""Training losses by name. Each is a pair of pure functions, so that it is exact on any split of the batch.

    loss = get_loss('dual_dice')
    sums = across_devices(loss.sums(outputs, targets), 'batch')
    parts = loss.value(sums, lam)  # {'loss': ..., 'segmentation': ..., 'classification': ...}
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from lesion_jax.core import Array, Outputs, Targets
from lesion_jax.losses.cross_entropy import cross_entropy_loss, cross_entropy_value, grade_sums
from lesion_jax.losses.dice import dice_loss, dice_value
from lesion_jax.losses.dual import classification_sums, dual_dice_loss, dual_sums, dual_value, segmentation_sums
from lesion_jax.losses.reduce import across_devices, share

__all__ = ['LOSSES', 'Loss', 'across_devices', 'cross_entropy_loss', 'dice_loss', 'dual_dice_loss', 'get_loss', 'share']


class Loss(NamedTuple):
  """A loss as sums over the local batch and a value of the global sums.

  Attributes:
    sums: (outputs, targets) -> a pytree of float32 arrays that add up over the parts of a batch.
    value: (global sums, lam) -> {'loss': scalar to minimise, and its parts by name}, float32. `lam` is a traced
      scalar, the weight of the segmentation loss in Eq. 2 (1 = segmentation alone, 0.8 = the paper's dual loss);
      losses without that choice ignore it. A change of `lam` compiles nothing.
  """

  sums: Callable[[Outputs, Targets], Any]
  value: Callable[[Any, Array | float], dict[str, jax.Array]]


def _single(value: Callable[[Any], jax.Array], part: str) -> Callable[[Any, Array | float], dict[str, jax.Array]]:
  """A `Loss.value` for a loss of one part."""

  def named(sums: Any, lam: Array | float) -> dict[str, jax.Array]:
    del lam
    loss = value(sums)
    return {'loss': loss, part: loss}

  return named


LOSSES: dict[str, Loss] = {
    'dual_dice': Loss(dual_sums, dual_value),  # Eq. 2, the paper's
    'dice': Loss(segmentation_sums, _single(dice_value, 'segmentation')),  # Eq. 3
    'presence_dice': Loss(classification_sums, _single(dice_value, 'classification')),  # Eq. 4, lesion classifiers
    'grade_cross_entropy': Loss(grade_sums, _single(cross_entropy_value, 'grading')),
}


def get_loss(name: str) -> Loss:
  """The loss of that name. Raises ValueError, listing the names, when there is none."""
  if name not in LOSSES:
    raise ValueError(f'unknown loss {name!r}; the losses are {", ".join(LOSSES)}')
  return LOSSES[name]
