"""The loop: when it looks, when it ends, what it returns, and how it goes on. The network is a single number."""

import errno
import logging
import math
import os
import re

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from lesion_jax.train.checkpoint import Checkpoints, digest
from lesion_jax.train.plateau import PlateauState
from lesion_jax.train.logs import Logs, read_scalars
from lesion_jax.train.loop import NonFiniteLoss, OtherRun, Plan, fit
from lesion_jax.train.parallel import AXIS, Devices
from lesion_jax.train.state import TrainState

DEVICES = Devices(jax.devices()[:2])


def step(state, batch, frozen, step_params):
  """w moves towards the mean of the batch."""
  mean = jax.lax.pmean(jnp.mean(batch['image']), AXIS) + frozen['offset']
  params = {'w': state.params['w'] + step_params.learning_rate * (mean - state.params['w'])}
  metrics = {'loss': mean, 'segmentation_weight': step_params.segmentation_weight}
  return TrainState(state.step + 1, params, {}, ()), metrics


STEP = DEVICES.train(step)


class Batches:
  """Batch n is drawn from seed n; `poisoned` ones hold a NaN."""

  def __init__(self, poisoned=()):
    self.next, self.poisoned = 0, poisoned

  def __next__(self):
    self.next += 1
    image = np.random.default_rng(self.next).normal(size=4).astype(np.float32)
    image[1] = math.nan if self.next in self.poisoned else image[1]
    return {'image': image, 'weight': np.ones(4, np.float32),
            'id': np.array([f'image-{self.next}-{row}' for row in range(4)])}

  def get_state(self):
    return {'next': self.next}

  def set_state(self, state):
    self.next = state['next']


class Elements(Batches):
  """Its position counts elements, as grain's."""

  def get_state(self):
    return {'next_index': self.next * 4}

  def set_state(self, state):
    assert state['next_index'] % 4 == 0
    self.next = state['next_index'] // 4


@pytest.fixture
def run(tmp_path):
  """`run(values, ...)` fits in a directory of its own, where the n-th validation gives values[n - 1]."""
  made = []

  def start(values=(0.1, 0.2, 0.3), *, name='run', max_steps=7, every=3, plateau=None, batches=None, stop_at=None,
            log_every=1, offset=0.0, schedule=(1.0,), names=None):
    checkpoints = Checkpoints(tmp_path / name / 'checkpoints')
    made.append(checkpoints)
    start.checkpoints, start.batches, start.validated = checkpoints, batches or Batches(), []

    def validate(state):
      at = int(state.step)
      start.validated.append(at)
      return values[min(-(-at // every), len(values)) - 1], {'value': 0.5}

    return fit(
        step_fn=STEP, state=TrainState(np.int32(0), {'w': np.float32(0)}, {}, ()),
        frozen={'offset': np.float32(offset)},
        batches=start.batches, validate=validate, plateau=plateau or PlateauState(0.5),
        plan=Plan(max_steps, every, log_every), checkpoints=checkpoints,
        make_logs=lambda step: Logs(tmp_path / name, total=max_steps, start=step),
        devices=DEVICES, should_stop=lambda: start.batches.next == stop_at, schedule=schedule, **(names or {}))

  start.scalars = lambda name='run': read_scalars(tmp_path / name / 'metrics.csv')
  yield start
  for checkpoints in made:
    checkpoints.close()


def test_it_validates_every_so_many_steps_and_once_more_at_the_end(run):
  trained = run(max_steps=7, every=3)
  assert run.validated == [3, 6, 7]
  assert (trained.step, trained.finished, trained.best_step) == (7, True, 7)


def test_it_says_that_the_first_step_compiles_and_no_other(run, monkeypatch):
  said = []
  monkeypatch.setattr(Logs, 'say', lambda self, text: said.append(text))
  run(max_steps=4, every=4)
  assert said[0].startswith('the first step compiles') and re.fullmatch(r'compiled in \d+ s', said[1])
  assert len(said) == 3 and said[2] == 'step 4: val/criterion 0.1000 (best 0.1000), learning rate 0.5'


def test_it_says_which_metric_and_which_loss(run, monkeypatch):
  said = []
  monkeypatch.setattr(Logs, 'say', lambda self, text: said.append(text))
  names = {'criterion': 'pixel_f1', 'losses': ('dice', 'dual_dice')}
  run([0.0212, math.nan], max_steps=6, every=3, plateau=PlateauState(0.5, milestones=(2,), two_phases=True), names=names)
  assert said[2:] == ['step 3: val/pixel_f1 0.0212 (best 0.0212), learning rate 0.5, loss dice',
                      'step 6: val/pixel_f1 undefined (best 0.0212), learning rate 0.05, loss dual_dice']


def test_the_last_validation_is_not_done_twice(run):
  run(max_steps=6, every=3)
  assert run.validated == [3, 6]


def test_early_stop_ends_it(run):
  trained = run([0.5, 0.4, 0.4, 0.4], max_steps=None, every=2, plateau=PlateauState(0.5, patience=1, stop_after=2))
  assert (trained.step, trained.plateau.stop, trained.finished) == (6, True, True)


def test_the_best_state_is_returned_and_not_the_last(run):
  trained = run([0.1, 0.9, 0.2], max_steps=9)
  assert (trained.step, trained.best_step, trained.plateau.best) == (9, 6, 0.9)
  at_6 = run([0.1, 0.9], max_steps=6, name='shorter')
  assert digest(trained.state) == digest(at_6.state)
  assert int(trained.state.step) == 6


def test_a_schedule_scales_the_rate_step_by_step_and_its_last_share_goes_on(run):
  run([0.5, 0.4], max_steps=6, every=2, plateau=PlateauState(0.5, patience=1), schedule=np.float32([0, 0.5, 1, 0.25]))
  assert run.scalars()['train', 'learning_rate'][1] == pytest.approx([0, 0.25, 0.5, 0.125, 0.0125, 0.0125])  # divided after 4


def test_under_a_schedule_of_its_own_a_run_goes_to_its_end(run):
  plateau = PlateauState(0.5, patience=1, stop_after=2, fixed=True, milestones=(2,))
  trained = run([0.5, 0.4], max_steps=8, every=2, plateau=plateau, schedule=np.linspace(1, 0, 8))
  assert (trained.step, trained.best_step, trained.plateau.stop) == (8, 2, False)
  rates, weights = (run.scalars()['train', name][1] for name in ('learning_rate', 'segmentation_weight'))
  assert rates == pytest.approx(0.5 * np.linspace(1, 0, 8))
  assert weights == pytest.approx([1.0] * 4 + [0.8] * 4)


def test_the_rate_and_the_loss_change_at_the_plateau(run):
  run([0.5, 0.4], max_steps=6, every=2, plateau=PlateauState(0.5, patience=1))
  rates, weights = (run.scalars()['train', name][1] for name in ('learning_rate', 'segmentation_weight'))
  assert rates == pytest.approx([0.5] * 4 + [0.05] * 2)
  assert weights == pytest.approx([1.0] * 4 + [0.8] * 2)


@pytest.mark.parametrize('stop_at', [1, 3, 4, 6])
def test_stopped_and_started_again_it_ends_bit_identical(run, stop_at):
  whole = run([0.3, 0.2, 0.1], plateau=PlateauState(0.5, patience=1), name='whole')
  first = run([0.3, 0.2, 0.1], plateau=PlateauState(0.5, patience=1), stop_at=stop_at)
  assert (first.finished, first.step, run.checkpoints.steps()[-1]) == (False, stop_at, stop_at)
  second = run([0.3, 0.2, 0.1], plateau=PlateauState(0.5, patience=1))
  assert digest(second.state) == digest(whole.state)
  assert (second.plateau, second.step, second.best_step) == (whole.plateau, whole.step, whole.best_step)
  assert run.scalars()['train', 'loss'] == run.scalars('whole')['train', 'loss']


def change_meta(checkpoints, **changes):
  """Replaces the newest checkpoint by one with the same arrays that says something else."""
  template = TrainState(np.int32(0), {'w': np.float32(0)}, {}, ())
  step, tree, meta = checkpoints.restore(template)
  checkpoints.save(step + 1, tree, meta | changes)
  checkpoints.wait()


@pytest.mark.parametrize(('before', 'next_index'), [(2, 8), (4, 4), (1, 16)])
def test_it_goes_on_at_the_same_image_with_another_number_of_processes(run, before, next_index):
  """Each of `before` processes had taken its share of four batches of four."""
  run(batches=Elements(), stop_at=4)
  change_meta(run.checkpoints, processes=before, data={'next_index': next_index})
  run(batches=Elements(), max_steps=5)
  assert run.batches.next == 4


def test_a_position_that_means_nothing_to_another_number_of_processes_is_refused(run):
  run(stop_at=4)
  change_meta(run.checkpoints, processes=2)
  with pytest.raises(OtherRun, match=r"written by 2 process.* \{'next': 4\} .*resume with 2"):
    run()


def test_a_checkpoint_is_bound_to_its_frozen_variables(run):
  run(stop_at=4)
  with pytest.raises(OtherRun, match=r'frozen part .* another one .*run/checkpoints.* remove .* another --workdir'):
    run(offset=1.0)
  assert run().step == 7


def test_a_validation_is_saved_before_it_is_logged(run, monkeypatch):
  monkeypatch.setattr(Logs, 'scalars', lambda self, step, split, values: 1 / (split != 'validation'))
  with pytest.raises(ZeroDivisionError):
    run()
  assert run.checkpoints.steps() == [3]


def test_a_finished_run_started_again_takes_no_batch(run):
  first = run()
  second = run(batches=Batches())
  assert run.batches.next == 7 and run.validated == []  # the position of the checkpoint, where it stays
  assert digest(second.state) == digest(first.state)


@pytest.mark.parametrize('poisoned', [5, 6, 7])
def test_a_loss_that_is_not_finite_stops_it_and_names_step_images_and_checkpoint(run, poisoned):
  with pytest.raises(NonFiniteLoss) as error:
    run(batches=Batches(poisoned={poisoned}), max_steps=7)
  message = str(error.value)
  assert f'step {poisoned} gave' in message
  assert ', '.join(f'image-{poisoned}-{row}' for row in range(4)) in message
  assert f'last good checkpoint is [{3 if poisoned < 7 else 6}]' in message
  assert max(run.checkpoints.steps()) < poisoned


def test_losses_are_read_late_but_logged_under_their_own_step(run):
  run()
  batches = Batches()
  means = [float(next(batches)['image'].mean()) for _ in range(7)]
  steps, losses = run.scalars()['train', 'loss']
  assert (steps, losses) == (list(range(1, 8)), pytest.approx(means, abs=1e-6))


def test_a_row_is_the_mean_since_the_row_before(run):
  run(log_every=5)
  batches = Batches()
  means = [float(next(batches)['image'].mean()) for _ in range(7)]
  expected = [np.mean(means[:3]), np.mean(means[3:5]), means[5], means[6]]  # a validation ends a row too
  assert run.scalars()['train', 'loss'] == ([3, 5, 6, 7], pytest.approx(expected, abs=1e-6))


def test_speed_and_the_share_of_waiting_for_data_are_logged(run):
  run()
  waiting, speed = (run.scalars()['train', name][1] for name in ('waiting_for_data', 'images_per_second'))
  assert all(0 <= share <= 1 for share in waiting) and all(rate > 0 for rate in speed)


def test_without_a_defined_value_the_last_state_is_returned_and_it_is_said(run, caplog):
  with caplog.at_level(logging.WARNING):
    trained = run([None, math.nan, None])
  assert (trained.best_step, int(trained.state.step), trained.selected, trained.plateau.best) == (7, 7, False, None)
  assert 'no validation with a defined value' in caplog.text and 'step 7, the last one' in caplog.text


def test_a_value_that_is_defined_once_is_the_best(run):
  trained = run([None, 0.1, None])
  assert (trained.best_step, trained.selected) == (6, True)


TWO = PlateauState(0.5, patience=1, two_phases=True)


def test_where_the_loss_became_dual_only_a_network_that_saw_it_is_returned(run):
  """The best value of all came before the change."""
  trained = run([0.9, 0.8, 0.3, 0.5, 0.4], max_steps=15, plateau=TWO)
  assert (trained.best_step, int(trained.state.step), trained.plateau.best) == (12, 12, 0.5)
  assert (trained.phase, trained.selected) == ('dual', True)


def test_before_the_loss_becomes_dual_the_best_of_the_first_phase_is_returned(run):
  trained = run([0.1, 0.9, 0.8], max_steps=9, plateau=PlateauState(0.5, two_phases=True))
  assert (trained.best_step, trained.phase) == (6, 'segmentation')


def test_a_change_at_the_last_validation_leaves_no_network_of_the_dual_phase(run):
  trained = run([0.9, 0.8], max_steps=6, plateau=TWO)
  assert trained.plateau.dual and (trained.best_step, trained.phase, trained.selected) == (3, 'segmentation', True)


def test_without_a_defined_value_in_the_dual_phase_its_last_state_is_returned(run):
  trained = run([0.9, 0.8, None], max_steps=12, plateau=TWO)
  assert (trained.best_step, trained.phase, trained.selected) == (12, 'dual', False)


@pytest.mark.parametrize('stop_at', [2, 6, 7, 9, 11])
def test_stopped_in_either_phase_it_returns_the_same_in_the_end(run, stop_at):
  values = [0.9, 0.8, 0.3, 0.2]
  whole = run(values, max_steps=12, plateau=TWO, name='whole')
  first = run(values, max_steps=12, plateau=TWO, stop_at=stop_at)
  assert (first.finished, first.selected) == (False, False)
  second = run(values, max_steps=12, plateau=TWO)
  assert digest(second.state) == digest(whole.state)
  assert (second.best_step, second.phase, second.plateau) == (9, 'dual', whole.plateau)


def test_a_loss_of_one_phase_has_none_to_report(run):
  assert run([0.9, 0.8, 0.3], plateau=PlateauState(0.5, patience=1)).phase is None


def test_when_the_best_checkpoint_is_gone_the_last_state_is_used_and_it_is_said(run, caplog, monkeypatch):
  monkeypatch.setattr(Checkpoints, 'read', lambda *unused: (_ for _ in ()).throw(OSError('gone')))
  with caplog.at_level(logging.ERROR):
    trained = run([0.9, 0.1, 0.1])
  assert (int(trained.state.step), trained.best_step, trained.selected) == (7, 7, False)
  assert 'step 3, cannot be read (gone)' in caplog.text
  assert trained.lost == 'the best checkpoint, step 3, cannot be read (gone); the last state is used instead'


def test_the_last_state_is_not_lost_where_it_is_the_best(run, monkeypatch):
  monkeypatch.setattr(Checkpoints, 'read', lambda *unused: (_ for _ in ()).throw(OSError('gone')))
  trained = run([0.1, 0.2, 0.3])
  assert (trained.best_step, trained.selected, trained.lost) == (7, True, '')


def full(*unused, **options):
  raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_stopped_run_whose_state_cannot_be_saved_says_so(run, monkeypatch):
  first = run(stop_at=3)
  assert first.lost == ''
  monkeypatch.setattr(ocp.CheckpointManager, 'save', full)
  trained = run(stop_at=4)
  assert (trained.finished, trained.step) == (False, 4)
  assert trained.lost.startswith('the state of step 4 could not be saved to ') and trained.lost.endswith('is [3]')


def test_the_best_outlives_a_full_disk(run, monkeypatch):
  whole = run([0.1, 0.9, 0.2], max_steps=9, name='whole')
  run([0.1, 0.9, 0.2], max_steps=9, stop_at=4)
  monkeypatch.setattr(ocp.CheckpointManager, 'save', full)
  trained = run([0.1, 0.9, 0.2], max_steps=9)
  assert run.checkpoints.steps() == [3, 4]
  assert (trained.best_step, trained.selected, trained.lost) == (6, True, '') and digest(trained.state) == digest(whole.state)


@pytest.mark.parametrize('best', [-1, 99, 'x', None])
def test_a_checkpoint_that_says_what_cannot_be_is_refused_and_nothing_is_lost(run, best):
  """It was damage once, and training went on from the one before. But its digest holds: it was written so, by whatever version."""
  run(stop_at=3)
  run(stop_at=4)
  change_meta(run.checkpoints, best_step=best)
  with pytest.raises(OtherRun, match=r'checkpoint 5 in .* is whole, .*another version wrote it.*remove .*checkpoints/5 to resume from the'):
    run(max_steps=7)
  assert run.checkpoints.steps() == [3, 4, 5] and run.validated == []


def test_where_every_checkpoint_is_damaged_it_begins_anew_and_they_are_kept(run):
  run(stop_at=3)
  run(stop_at=4)
  for path in run.checkpoints.directory.glob('*/meta/metadata'):
    path.write_bytes(path.read_bytes()[:20])
  assert run().step == 7
  assert sorted(path.name for path in run.checkpoints.directory.with_name('checkpoints_damaged').iterdir()) == ['3', '4']


def test_weights_that_are_not_finite_are_never_saved(run, monkeypatch):
  """The loss of a step is of the weights before it, so the last update shows in none."""
  def diverging(state, batch, frozen, step_params):
    after, metrics = step(state, batch, frozen, step_params)
    return after.replace(params={'w': jnp.where(state.step == 2, jnp.inf, after.params['w'])}), metrics

  monkeypatch.setitem(globals(), 'STEP', DEVICES.train(diverging))
  with pytest.raises(NonFiniteLoss, match=r'weights are not finite after step 3. The last good checkpoint is none'):
    run()


@pytest.mark.parametrize('fields', [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_steps_are_counted_from_1(fields):
  with pytest.raises(ValueError, match='counted from 1'):
    Plan(*fields)


class TestMoreSteps:
  """A run that ended goes on where max_steps is larger: as if it had been that long from the beginning."""

  @pytest.mark.parametrize('values', [
      (0.7, 0.2, 0.3, 0.4, 0.1),  # the best of the long run lies before the end of the short one, whose best is its last
      (0.5, 0.4, 0.3, 0.2, 0.6), (0.1, 0.2, 0.3, 0.4, 0.5)])
  @pytest.mark.parametrize('end', [6, 7, pytest.param(8, marks=pytest.mark.slow)])
  def test_it_is_a_run_that_was_longer_from_the_beginning(self, run, values, end):
    plateau = PlateauState(0.5, patience=2, stop_after=20)
    long = run(values, max_steps=13, plateau=plateau, name='long')
    short = run([*values[:2], 0.9], max_steps=end, plateau=plateau, name='grown')
    assert short.finished and short.step == end and (short.best_step == end or end == 6)
    grown = run(values, max_steps=13, plateau=plateau, name='grown')
    assert run.validated == [step for step in (9, 12, 13) if step > end]
    assert digest(grown.state) == digest(long.state)
    assert (grown.plateau, grown.best_step, grown.phase) == (long.plateau, long.best_step, long.phase)

  def test_it_may_grow_again_and_without_an_end(self, run):
    values, plateau = (0.1, 0.5, 0.2, 0.3, 0.4, 0.2), PlateauState(0.5, stop_after=3)
    long = run(values, max_steps=None, plateau=plateau, name='long')
    for end in (4, 8, None):
      grown = run(values, max_steps=end, plateau=plateau, name='grown')
    assert (digest(grown.state), grown.plateau, grown.best_step, grown.step) == (
        digest(long.state), long.plateau, long.best_step, long.step)

  def test_one_that_early_stop_has_ended_stays_as_it_is(self, run, monkeypatch):
    said, plateau = [], PlateauState(0.5, patience=1, stop_after=2)
    ended = run([0.5, 0.4, 0.4], max_steps=20, plateau=plateau)
    monkeypatch.setattr(Logs, 'say', lambda self, text: said.append(text))
    again = run([0.5, 0.4, 0.4], max_steps=40, plateau=plateau)
    assert (again.step, again.best_step, run.validated) == (ended.step, ended.best_step, []) == (9, 3, [])
    assert 'early stop ended this training at step 9' in said

  def test_one_of_an_earlier_version_says_which_checkpoint_to_remove(self, run, monkeypatch):
    save = Checkpoints.save
    monkeypatch.setattr(Checkpoints, 'save', lambda self, step, tree, meta, **options: save(
        self, step, tree, {key: value for key, value in meta.items() if key != 'before'}, **options))
    run(max_steps=7)
    monkeypatch.undo()
    assert run(max_steps=7).step == 7
    with pytest.raises(OtherRun, match=r'ended with a validation after step 7, none of every 3 steps, .* Remove .*checkpoints/7 to resume from'):
      run(max_steps=9)
