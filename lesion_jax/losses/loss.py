"""The form of a loss, and losses made of others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from lesion_jax.core import Array, Outputs, Targets
from lesion_jax.losses.inputs import lesion_maps


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


class WithAuxiliary(NamedTuple):
  """The sums of a network's own outputs, and of its further head; None where it has none."""

  own: Any
  auxiliary: Any


def one_part(sums: Callable[[Outputs, Targets], Any], value: Callable[[Any], jax.Array], part: str) -> Loss:
  """Returns a loss of one part, which does not depend on `lam`."""

  def named(totals: Any, lam: Array | float) -> dict[str, jax.Array]:
    del lam
    loss = value(totals)
    return {'loss': loss, part: loss}

  return Loss(sums, named)


def of_maps(sums: Callable[[Array, Array, Array], Any]) -> Callable[[Outputs, Targets], Any]:
  """Returns `sums(logits, truth, mask)` as sums of the lesion maps of a network."""

  def of_outputs(outputs: Outputs, targets: Targets) -> Any:
    return sums(lesion_maps(outputs), targets.lesions, targets.scored)

  return of_outputs


def on_maps(sums: Callable[[Array, Array, Array], Any], value: Callable[[Any], jax.Array]) -> Loss:
  """Returns a loss of scored pixels alone, part 'segmentation', from `sums(logits, truth, mask)`."""
  return one_part(of_maps(sums), value, 'segmentation')


def with_auxiliary(loss: Loss) -> Loss:
  """Returns the loss, plus the same loss of `outputs.auxiliary` against the same ground truth, as part 'auxiliary'.

  Each has its own ratio of sums. They are added with weight 1, as Fukui et al. (Attention Branch Network, 2019) add
  the losses of the attention and the perception branch. For a network without a further head it is the loss itself.
  """

  def sums(outputs: Outputs, targets: Targets) -> WithAuxiliary:
    further = outputs.auxiliary
    return WithAuxiliary(loss.sums(outputs, targets), None if further is None else loss.sums(further, targets))

  def value(totals: WithAuxiliary, lam: Array | float) -> dict[str, jax.Array]:
    parts = loss.value(totals.own, lam)
    if totals.auxiliary is None:
      return parts
    auxiliary = loss.value(totals.auxiliary, lam)['loss']
    return parts | {'loss': parts['loss'] + auxiliary, 'auxiliary': auxiliary}

  return Loss(sums, value)


def sum_of(first: Loss, second: Loss) -> Loss:
  """Returns two losses of one network, added with weight 1. Their parts keep their names, which must differ."""

  def sums(outputs: Outputs, targets: Targets) -> tuple[Any, Any]:
    return first.sums(outputs, targets), second.sums(outputs, targets)

  def value(totals: tuple[Any, Any], lam: Array | float) -> dict[str, jax.Array]:
    one, other = first.value(totals[0], lam), second.value(totals[1], lam)
    return one | other | {'loss': one['loss'] + other['loss']}

  return Loss(sums, value)
