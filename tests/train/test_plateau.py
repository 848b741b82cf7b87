"""The plateau rule of section IV-A, as a state machine."""

import json
import math

import pytest

from lesion_jax.train.plateau import PlateauState, from_json, to_json, update


def run(plateau, values):
  history = []
  for value in values:
    plateau = update(plateau, value)
    history.append(plateau)
  return history


def test_an_improvement_is_strict_and_resets_the_count():
  a, b, c = run(PlateauState(1.0), [0.5, 0.5, 0.6])
  assert (a.improved, b.improved, c.improved) == (True, False, True)
  assert (a.stale, b.stale, c.stale) == (0, 1, 0)
  assert (c.best, c.best_validation) == (0.6, 3)


def test_the_rate_is_divided_at_4_and_8_without_improvement_and_the_run_stops_at_10():
  history = run(PlateauState(1e-3), [0.5] + [0.4] * 10)
  assert [round(math.log10(c.learning_rate)) for c in history] == [-3] * 4 + [-4] * 4 + [-5] * 3
  assert [c.stop for c in history] == [False] * 10 + [True]


def test_the_loss_becomes_dual_when_the_rate_is_first_divided_and_stays_so():
  history = run(PlateauState(1e-3), [0.5, 0.4, 0.4, 0.4, 0.4, 0.9, 0.95])
  assert [c.dual for c in history] == [False] * 4 + [True] * 3
  assert [c.segmentation_weight for c in history] == [1.0] * 4 + [0.8] * 3


def test_the_dual_phase_begins_anew_and_keeps_the_rate():
  history = run(PlateauState(1e-3, two_phases=True), [0.9, 0.4, 0.4, 0.4, 0.4, 0.3, 0.2, 0.35, 0.1])
  assert [c.dual for c in history] == [False] * 4 + [True] * 5
  assert [c.best for c in history] == [0.9] * 5 + [0.3, 0.3, 0.35, 0.35]
  assert [c.improved for c in history] == [True, False, False, False, False, True, False, True, False]
  assert [c.stale for c in history] == [0, 1, 2, 3, 4, 0, 1, 0, 1]
  assert [round(math.log10(c.learning_rate)) for c in history] == [-3] * 4 + [-4] * 5
  assert {c.switched for c in history[4:]} == {5}


def test_in_the_dual_phase_patience_is_counted_anew():
  history = run(PlateauState(1e-3, two_phases=True), [0.9] + [0.4] * 4 + [0.3] + [0.2] * 10)
  assert [round(math.log10(c.learning_rate)) for c in history] == [-3] * 4 + [-4] * 5 + [-5] * 4 + [-6] * 3
  assert [c.stop for c in history] == [False] * 15 + [True]


def test_a_best_value_at_the_very_change_is_of_the_first_phase():
  history = run(PlateauState(1.0, two_phases=True, milestones=(2,)), [0.1, 0.5, 0.2])
  assert [(c.dual, c.best, c.best_validation) for c in history] == [(False, 0.1, 1), (True, 0.5, 2), (True, 0.2, 3)]


def test_a_loss_of_one_phase_is_judged_over_the_whole_run():
  history = run(PlateauState(1.0, milestones=(2,)), [0.9, 0.1, 0.2])
  assert [c.best for c in history] == [0.9] * 3 and [c.stale for c in history] == [0, 1, 2]


def test_a_control_stored_in_the_dual_phase_by_an_earlier_version_begins_it_where_it_goes_on():
  stored = to_json(run(PlateauState(1.0, milestones=(1,)), [0.9, 0.8])[-1])
  for name in ('fixed', 'two_phases', 'switched'):
    del stored[name]
  policy = PlateauState(1.0, milestones=(1,), two_phases=True)
  assert from_json(stored).best == 0.9 and not from_json(stored).two_phases
  assert update(from_json(stored, policy), 0.1).best == 0.1


def test_a_milestone_divides_the_rate_although_the_value_improves():
  history = run(PlateauState(1.0, milestones=(2,)), [0.1, 0.2, 0.3])
  assert [c.learning_rate for c in history] == [1.0, 0.1, 0.1]
  assert [c.dual for c in history] == [False, True, True]


def test_under_a_fixed_schedule_a_plateau_does_nothing_and_a_milestone_changes_the_loss_alone():
  history = run(PlateauState(1.0, fixed=True, milestones=(5,)), [0.5] * 12)
  assert {c.learning_rate for c in history} == {1.0} and not any(c.stop or c.reductions for c in history)
  assert [c.dual for c in history] == [False] * 4 + [True] * 8


def test_one_stored_under_the_names_of_before_is_read():
  now = PlateauState(1e-3, lr_decay=3.0)
  stored = to_json(now)
  stored |= {'rate': stored.pop('learning_rate'), 'factor': stored.pop('lr_decay')}
  assert from_json(stored) == now


def test_one_stored_before_there_were_schedules_is_not_fixed():
  stored = to_json(PlateauState(1e-3))
  del stored['fixed']
  assert from_json(stored) == PlateauState(1e-3)


@pytest.mark.parametrize('undefined', [None, math.nan])
def test_an_undefined_value_is_no_improvement(undefined):
  first, second = run(PlateauState(1.0), [undefined, 0.1])
  assert (first.best, first.stale) == (None, 1)
  assert second.improved


def test_it_survives_json():
  plateau = run(PlateauState(1e-3, milestones=(7, 9)), [0.5, 0.4])[-1]
  assert from_json(json.loads(json.dumps(to_json(plateau)))) == plateau


@pytest.mark.parametrize('fields', [{'learning_rate': 0}, {'learning_rate': 1, 'lr_decay': 1}, {'learning_rate': 1, 'patience': 0},
                                    {'learning_rate': 1, 'stop_after': 0}, {'learning_rate': 1, 'dual_weight': 1.5}])
def test_a_policy_that_makes_no_sense_is_refused(fields):
  with pytest.raises(ValueError, match=r'got'):
    PlateauState(**fields)
