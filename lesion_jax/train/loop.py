"""The training loop: batches in, plateau, checkpoints and logs around a step function."""

from __future__ import annotations

import collections
import dataclasses
import math
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from absl import logging

from lesion_jax import machine
from lesion_jax.train import plateau as plateau_lib
from lesion_jax.train.checkpoint import Checkpoints, OtherRun, Restored, digest, first_line
from lesion_jax.train.plateau import PlateauState
from lesion_jax.train.logs import Logs
from lesion_jax.train.parallel import Devices
from lesion_jax.train.state import TrainState
from lesion_jax.train.step import StepParams

Tree = Any
# Losses are read this many steps late, so that the host never waits for the device.
LAG = 2


class NonFiniteLoss(FloatingPointError):
  """The loss or the gradient is not finite. The message names the step, the images and the last good checkpoint."""


@dataclasses.dataclass(frozen=True)
class Plan:
  """How long to train and how often to look.

  Attributes:
    max_steps: the run ends here at the latest; None: only early stop ends it.
    validate_every: steps between validations (each saves a checkpoint). The paper's 1,000.
    log_every: steps over which the training metrics are averaged, at most up to the next validation.
    save_every: steps between checkpoints without a validation, where validations are far apart; 0: none.
  """

  max_steps: int | None
  validate_every: int
  log_every: int = 50
  save_every: int = 0

  def __post_init__(self) -> None:
    if min(self.validate_every, self.log_every) < 1 or self.save_every < 0 or (self.max_steps is not None and self.max_steps < 1):
      raise ValueError(f'steps are counted from 1; got {self}')


@dataclasses.dataclass(frozen=True)
class TrainResult:
  """What `fit` returns.

  Attributes:
    state: the state of the best validation, in host memory; where the loss has two phases and the second was trained,
      of the best one there. The last state where the run was stopped, where the value was undefined at every validation
      (of the last phase), or where the best cannot be read.
    plateau: where the plateau ended.
    step: steps done.
    best_step: the step of `state`.
    finished: False where a signal stopped the run; the same command resumes it.
    phase: 'segmentation' or 'dual', in which phase of its loss `state` was trained; None where the loss has one phase,
      or the checkpoint, written by an earlier version, does not say.
    selected: whether `state` is that of a best validation; False where it is merely the last one.
    lost: what could not be kept, in a sentence: the best state, which `state` then is not, or where the run was stopped the
      last one; '' where nothing was lost.
  """

  state: TrainState
  plateau: PlateauState
  step: int
  best_step: int
  finished: bool
  phase: str | None = None
  selected: bool = True
  lost: str = ''


def fit(
    *,
    step_fn: Callable[..., Any],
    state: TrainState,
    frozen: Tree,
    batches: Iterator[dict[str, np.ndarray]],
    validate: Callable[[TrainState], tuple[float | None, dict[str, Any]]],
    plateau: PlateauState,
    plan: Plan,
    checkpoints: Checkpoints,
    make_logs: Callable[[int], Logs],
    devices: Devices,
    should_stop: Callable[[], bool] = lambda: False,
    schedule: Sequence[float] = (1.0,),
    criterion: str = 'criterion',
    losses: tuple[str, str] = ('', ''),
) -> TrainResult:
  """Trains until the plateau stops, `plan.max_steps` is reached, or `should_stop` says so.

  Resumes from the newest sound checkpoint where there is one; on CPU the result is then bit-identical to that of a run
  that was never interrupted. So does a run that has ended, where `plan.max_steps` is larger now: the result is that of a run
  that was this long from the beginning. (The validation at its end, where that was none of every `plan.validate_every`
  steps, then never was.)

  Args:
    step_fn: a mapped train step, see `Devices.train`.
    state: the fresh state, in host memory.
    frozen: frozen variables, or {}; a checkpoint is bound to them.
    batches: infinite; each batch with this process's rows. Has `get_state` and `set_state` (JSON); to resume from
      another number of processes, that is {'next_index': elements taken by this process}, as grain's.
    validate: gives the value that the plateau maximises, None or NaN where it is undefined, and a report to log.
    plateau: the plateau at the start.
    plan: lengths.
    checkpoints: where to save and from where to resume.
    make_logs: called once with the first step.
    devices: the devices that `step_fn` is mapped over.
    should_stop: asked after each step; on True the state is saved and the run stops.
    schedule: by steps done before, the share of the plateau's rate that a step takes, see `train.schedule.shares`; the
      last one holds for all steps after it.
    criterion: name of the metric that `validate` gives, for the log.
    losses: names of the loss before and after it becomes the dual one, for the log; '' says nothing.

  Raises:
    NonFiniteLoss: the loss, the gradient or a weight is not finite.
    OtherRun: the newest checkpoint is of other frozen variables, or its position in the data is not to be found here; or the
      run that was shorter is of an earlier version and does not say what was before its last validation; or of
      `Checkpoints.restore`, as OSError is.
  """
  template, step, best_step = state, 0, 0
  dual, best_dual = plateau.dual, plateau.dual  # whether the newest step, and the best state's, had the dual loss
  held = digest(jax.device_get(frozen))
  taken: dict[str, Any] = {}

  def take(found: Restored) -> None:
    meta = taken['meta'] = _without_last_validation(found, plan, checkpoints.directory)
    taken['plateau'] = plateau_lib.from_json(meta['control'], plateau)
    if not 0 <= meta['best_step'] <= found.step:
      raise ValueError(f'its best step is {meta["best_step"]}')
    batches.set_state(_position(meta, held, checkpoints.directory))

  if restored := checkpoints.restore(template, take):
    step, state = restored.step, restored.tree
    meta, plateau = taken['meta'], taken['plateau']
    best_step, dual, best_dual = meta['best_step'], meta.get('dual', plateau.dual), meta.get('best_dual')
  logs = make_logs(step)
  step_fn = _announced(step_fn, logs)
  if restored:
    logs.say(f'resuming from the checkpoint of step {step}')
    if plateau.stop:
      logs.say(f'early stop ended this training at step {step}')
  watch = _Watch(checkpoints, logs, plan.log_every)
  state, frozen = devices.replicate(state), devices.replicate(frozen)

  def rate_after(done: int) -> float:
    return plateau.learning_rate * float(schedule[min(done, len(schedule) - 1)])

  def save(before: dict[str, Any] | None = None) -> None:
    watch.check_all()
    _require_finite(state, step, checkpoints)
    meta = {'control': plateau_lib.to_json(plateau), 'data': batches.get_state(), 'best_step': best_step,
            'dual': dual, 'best_dual': best_dual, 'processes': jax.process_count(), 'frozen': held}
    also = () if before is None else (before['best_step'],)
    checkpoints.save(step, state, meta | ({} if before is None else {'before': before}), best_step=best_step, also=also)

  stopped = False
  try:
    while not (plateau.stop or step == plan.max_steps or stopped):
      batch = watch.take(batches)
      rate, dual = rate_after(step), plateau.dual
      step_params = StepParams(np.float32(rate), np.float32(plateau.segmentation_weight))
      state, metrics = step_fn(state, devices.shard(batch), frozen, step_params)
      step += 1
      watch.add(step, batch['id'], metrics | {'learning_rate': rate})
      logs.advance(loss=watch.shown)
      stopped = devices.agree(step, should_stop)
      regular = step % plan.validate_every == 0
      if regular or step == plan.max_steps:
        watch.flush()
        value, report = validate(state)
        # A longer run has no validation here, and resumes from what was before it.
        before = None if regular else {'control': plateau_lib.to_json(plateau), 'best_step': best_step, 'best_dual': best_dual}
        plateau = plateau_lib.update(plateau, value)
        if plateau.improved or plateau.best is None:  # without a best one the last counts
          best_step, best_dual = step, dual
        save(before)  # before anything else can fail
        logs.scalars(step, 'validation', report)
        logs.say(_describe(step, value, plateau, rate_after(step), criterion, losses[plateau.dual]))
        watch.restart()  # a validation says nothing about the speed of training
      elif stopped or (plan.save_every and step % plan.save_every == 0):
        save()
  finally:
    checkpoints.wait()
    logs.close()
  last = step, state
  returned_step, returned, lost = (*last, '') if stopped else _best(checkpoints, best_step, template, last)
  if stopped and step not in checkpoints.steps():
    lost = (f'the state of step {step} could not be saved to {checkpoints.directory}; the last one that is there is '
            f'{checkpoints.steps()[-1:] or "none"}')
  if returned_step != best_step:
    best_dual = dual
  phase = plateau_lib.DUAL if best_dual else plateau_lib.SEGMENTATION
  selected = not stopped and plateau.best is not None and returned_step == best_step
  if not stopped and plateau.best is None:
    logging.warning('there was no validation with a defined value by which to choose; the state returned is that of '
                    'step %d, the last one', returned_step)
  return TrainResult(jax.device_get(returned), plateau, step, returned_step, finished=not stopped, selected=selected, lost=lost,
                phase=phase if plateau.two_phases and best_dual is not None else None)


def _announced(step_fn: Callable[..., Any], logs: Logs) -> Callable[..., Any]:
  """The same function, which says of its first call that it compiles, and how long that took; the process keeps its memory from there on,
  where it wants to."""
  first = True

  def step(*arguments: Any) -> Any:
    nonlocal first
    if not first:
      return step_fn(*arguments)
    first, start = False, time.perf_counter()
    logs.say('the first step compiles: minutes for a network of full width, seconds where an earlier run has compiled it')
    result = step_fn(*arguments)
    logs.say(f'compiled in {time.perf_counter() - start:.0f} s')
    machine.keep_from_here()
    return result

  return step


def _without_last_validation(found: Restored, plan: Plan, directory: pathlib.Path) -> dict[str, Any]:
  """What is stored beside a checkpoint; where it is of a run that ended there with a validation that a longer one does not
  have, and the run is longer now, as it was before that validation. Raises OtherRun where that is not known."""
  meta, step = found.meta, found.step
  if step == plan.max_steps or meta['control']['validations'] <= step // plan.validate_every:
    return meta
  if 'before' not in meta:
    raise OtherRun(f'the run in {directory} ended with a validation after step {step}, none of every {plan.validate_every} steps, and, '
                   f'being of an earlier version, does not say what was before it. Remove {directory / str(step)} to resume from the '
                   'checkpoint before, or use another --workdir and start with init from its bundle')
  return meta | meta['before']


def _position(meta: dict[str, Any], held: str, directory: pathlib.Path) -> dict[str, Any]:
  """Where in the data the run of a checkpoint resumes. Raises OtherRun where it cannot."""
  if meta['frozen'] != held:
    raise OtherRun(f'the frozen part of the network is another one than that with which the checkpoints in {directory} '
                   'were trained; remove that folder to train anew, or use another --workdir')
  position, before, now = meta['data'], meta['processes'], jax.process_count()
  if before == now:
    return position
  if position.keys() != {'next_index'}:
    raise OtherRun(f'the checkpoints in {directory} were written by {before} process(es), and the position {position} '
                   f'in their data means nothing to {now}; resume with {before}')
  # It counts the elements of one process's share, and all shares together advance by the batch size.
  return {'next_index': position['next_index'] * before // now}


class _Watch:
  """Looks at losses a few steps late and logs their means, the speed, and the share of time spent waiting for data."""

  def __init__(self, checkpoints: Checkpoints, logs: Logs, every: int):
    self._checkpoints, self._logs, self._every = checkpoints, logs, every
    self._late: collections.deque[tuple[int, Any, dict[str, Any]]] = collections.deque()
    self.shown = '...'
    self.restart()

  def restart(self) -> None:
    """Begins a new mean, and a new measurement of speed."""
    self._sums: dict[str, float] = collections.defaultdict(float)
    self._count = self._rows = 0
    self._last: int | None = None
    self._waited, self._since = 0.0, time.perf_counter()

  def take(self, batches: Iterator[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    start = time.perf_counter()
    batch = next(batches)
    self._waited += time.perf_counter() - start
    return batch

  def add(self, step: int, ids: Any, metrics: dict[str, Any]) -> None:
    self._late.append((step, ids, metrics))
    if len(self._late) > LAG:
      self._check()

  def check_all(self) -> None:
    while self._late:
      self._check()

  def flush(self) -> None:
    """Logs what was not logged yet."""
    self.check_all()
    if self._last is not None:
      self._log()

  def _check(self) -> None:
    step, ids, metrics = self._late.popleft()
    values = {name: float(np.asarray(value)) for name, value in metrics.items()}
    if not all(math.isfinite(value) for value in values.values()):
      raise NonFiniteLoss(
          f'step {step} gave {values} on the images {", ".join(map(str, ids))}. The last good checkpoint is '
          f'{self._checkpoints.steps()[-1:] or "none"} in {self._checkpoints.directory}. Try a lower learning rate; '
          'with bfloat16 try float32.')
    self.shown = f'{values["loss"]:.4f}'
    self._count, self._rows, self._last = self._count + 1, self._rows + len(ids), step
    for name, value in values.items():
      self._sums[name] += value
    if step % self._every == 0:
      self._log()

  def _log(self) -> None:
    elapsed = time.perf_counter() - self._since
    means = {name: value / self._count for name, value in self._sums.items()}
    speed = {'images_per_second': self._rows / elapsed, 'waiting_for_data': self._waited / elapsed}
    self._logs.scalars(self._last, 'train', means | speed)
    self.restart()


def _require_finite(state: TrainState, step: int, checkpoints: Checkpoints) -> None:
  """Raises NonFiniteLoss where a weight is not finite: the loss of a step is of the weights before it, so the last update
  shows in none."""
  if not all(np.isfinite(np.asarray(leaf)).all() for leaf in jax.tree.leaves([state.params, state.batch_stats, state.ema])):
    raise NonFiniteLoss(f'the weights are not finite after step {step}. The last good checkpoint is '
                        f'{checkpoints.steps()[-1:] or "none"} in {checkpoints.directory}. Try a lower learning rate; with '
                        'bfloat16 try float32.')


def _describe(step: int, value: float | None, plateau: PlateauState, rate: float, criterion: str, loss: str) -> str:
  shown = 'undefined' if value is None or math.isnan(value) else f'{value:.4f}'
  best = 'none yet' if plateau.best is None else f'{plateau.best:.4f}'
  return f'step {step}: val/{criterion} {shown} (best {best}), learning rate {rate:g}' + (f', loss {loss}' if loss else '')


def _best(
    checkpoints: Checkpoints, best_step: int, template: TrainState, last: tuple[int, TrainState]
) -> tuple[int, TrainState, str]:
  """The best state and its step; where it cannot be read the last one's, and what is lost."""
  try:
    return best_step, checkpoints.read(best_step, template).tree, ''
  except Exception as error:  # noqa: BLE001 (a damaged or missing file must not lose the run)
    if best_step == last[0]:  # it is still here
      return *last, ''
    lost = f'the best checkpoint, step {best_step}, cannot be read ({first_line(error)}); the last state is used instead'
    logging.error(lost)
    return *last, lost
