"""Learning rate, plateau, early stop and the change of loss, as one pure state machine (section IV-A of the paper).

'If the validation performance does not improve in 4 consecutive validations, the learning rate will be divided by 10.
Early stop occurs once the performance does not improve in 10 consecutive validations. [...] we start with loss_seg. Once
the learning rate is reduced, loss_seg is replaced by loss_dual.'

Where the loss has these two phases, the second counts by itself: what counts as an improvement, and the patience,
begin anew with it, so that a network of the first phase is never returned for one that saw the dual loss. (Our choice;
the paper does not say. The rate stays as it is.)
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

SEGMENTATION, DUAL = 'segmentation', 'dual'  # the phases of a loss that has two
_RENAMED = {'rate': 'learning_rate', 'factor': 'lr_decay'}  # in checkpoints of before


@dataclasses.dataclass(frozen=True)
class PlateauState:
  """Everything that steers a run beside the parameters. Saved with each checkpoint.

  The first block is the policy and never changes in a run; the second is what `update` moves.

  Attributes:
    learning_rate: now.
    patience: validations without improvement after which the rate is divided; again at each multiple of it.
    stop_after: validations without improvement after which the run stops. The paper's 10.
    lr_decay: what the rate is divided by. The paper's 10.
    dual_weight: lambda of Eq. 2 once the loss is dual. The paper's 0.8.
    milestones: validations (counted from 1) at which the rate is divided without waiting for a plateau; for runs of
      a fixed, short length. Our addition, empty in the paper's setting.
    fixed: the rate follows a schedule of its own (`train.schedule`): a plateau neither divides it nor stops the run nor
      changes the loss. A milestone then does nothing but change the loss from loss_seg to loss_dual: without one, the
      loss stays loss_seg to the end.
    two_phases: the loss is loss_seg first and loss_dual after the change; False where the change means nothing to it.
    dual: whether loss_seg has been replaced by loss_dual.
    switched: after which validation that was; 0: it was not, or not in this run.
    validations: how many there have been.
    stale: how many since the best one of the phase.
    best: the best value of the phase; None before the first. Larger is better. The validation after which the loss
      changes is the last one of the first phase, and these three are of that phase until the next one.
    best_validation: which validation it was, counted from 1.
    reductions: how often the rate was divided.
    stop: the run is over.
  """

  learning_rate: float
  patience: int = 4
  stop_after: int = 10
  lr_decay: float = 10.0
  dual_weight: float = 0.8
  milestones: tuple[int, ...] = ()
  fixed: bool = False
  two_phases: bool = False

  dual: bool = False
  switched: int = 0
  validations: int = 0
  stale: int = 0
  best: float | None = None
  best_validation: int = 0
  reductions: int = 0
  stop: bool = False

  def __post_init__(self) -> None:
    if not self.learning_rate > 0 or not self.lr_decay > 1:
      raise ValueError(f'learning_rate must be above 0 and lr_decay above 1; got learning_rate={self.learning_rate}, '
                       f'lr_decay={self.lr_decay}')
    if self.patience < 1 or self.stop_after < 1:
      raise ValueError(f'patience and stop_after count validations, from 1; got {self.patience}, {self.stop_after}')
    if not 0 <= self.dual_weight <= 1:
      raise ValueError(f'dual_weight is lambda of Eq. 2, in 0..1; got {self.dual_weight}')

  @property
  def segmentation_weight(self) -> float:
    """Lambda of Eq. 2 now: 1 while the loss is loss_seg alone."""
    return self.dual_weight if self.dual else 1.0

  @property
  def improved(self) -> bool:
    """Whether the newest validation is the best so far, of its phase."""
    return self.validations > 0 and self.best_validation == self.validations


def update(plateau: PlateauState, value: float | None) -> PlateauState:
  """Returns the plateau after a validation that gave `value` (larger is better; None or NaN: undefined, no
  improvement)."""
  if plateau.two_phases and plateau.switched and plateau.switched == plateau.validations:  # the first of the dual phase
    plateau = dataclasses.replace(plateau, stale=0, best=None, best_validation=0)
  validations = plateau.validations + 1
  defined = value is not None and not math.isnan(value)
  if defined and (plateau.best is None or value > plateau.best):
    stale, best, best_validation = 0, float(value), validations
  else:
    stale, best, best_validation = plateau.stale + 1, plateau.best, plateau.best_validation
  milestone = validations in plateau.milestones
  stop = not plateau.fixed and stale >= plateau.stop_after
  reduce = not plateau.fixed and not stop and (milestone or (stale > 0 and stale % plateau.patience == 0))
  dual = plateau.dual or reduce or (plateau.fixed and milestone)
  return dataclasses.replace(
      plateau,
      learning_rate=plateau.learning_rate / plateau.lr_decay if reduce else plateau.learning_rate,
      reductions=plateau.reductions + reduce,
      dual=dual,
      switched=validations if dual and not plateau.dual else plateau.switched,
      validations=validations,
      stale=stale,
      best=best,
      best_validation=best_validation,
      stop=stop,
  )


def to_json(plateau: PlateauState) -> dict[str, Any]:
  """Returns a JSON object with every field."""
  return dataclasses.asdict(plateau) | {'milestones': list(plateau.milestones)}


def from_json(fields: Mapping[str, Any], policy: PlateauState | None = None) -> PlateauState:
  """Returns the inverse of `to_json`.

  Args:
    fields: of `to_json`, or of a version of it with fewer fields or other names.
    policy: where fields of the policy are taken from that are not there.
  """
  added = {} if policy is None else {name: getattr(policy, name) for name in ('fixed', 'two_phases')}
  fields = {_RENAMED.get(name, name): value for name, value in fields.items()}
  found = PlateauState(**{**added, **fields, 'milestones': tuple(fields['milestones'])})
  if found.two_phases and found.dual and 'switched' not in fields:  # when is not known: the phase begins here
    found = dataclasses.replace(found, switched=found.validations)
  return found
