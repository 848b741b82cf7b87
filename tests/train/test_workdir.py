"""A working directory belongs to one configuration."""

import functools
import json

import pytest

from lesion_jax.train.workdir import claim_workdir, differing

CONFIG = {'seed': 0, 'stages': ('segment', 'grade'), 'segment': {'rate': 1e-3, 'milestones': ()}}


@pytest.fixture
def run(tmp_path):
  """A directory in which a run of CONFIG has begun."""
  workdir = tmp_path / 'some' / 'where'
  claim_workdir(workdir, CONFIG)
  (workdir / 'segment').mkdir()
  return workdir


def test_it_is_made_and_holds_the_configuration(run):
  assert json.loads((run / 'config.json').read_text()) == json.loads(json.dumps(CONFIG))
  assert sorted(path.name for path in run.iterdir()) == ['config.json', 'segment']


def test_the_same_configuration_may_go_on(run):
  before = (run / 'config.json').read_bytes()
  claim_workdir(run, CONFIG)
  assert (run / 'config.json').read_bytes() == before


def test_another_configuration_is_refused_by_the_keys_that_differ(run):
  other = {'seed': 1, 'stages': ('segment',), 'segment': {'rate': 1e-3, 'milestones': (), 'new': True}}
  with pytest.raises(ValueError) as error:
    claim_workdir(run, other)
  message = str(error.value)
  assert 'seed: 0 there, 1 now' in message
  assert "stages: ['segment', 'grade'] there, ['segment'] now" in message
  assert "segment.new: '(absent)' there, True now" in message
  assert 'rate' not in message and 'milestones' not in message
  assert '--workdir' in message


def test_a_mistake_put_right_before_anything_was_done_is_no_conflict(tmp_path):
  claim_workdir(tmp_path, {'seed': 1})
  claim_workdir(tmp_path, CONFIG)
  assert json.loads((tmp_path / 'config.json').read_text())['seed'] == 0


@pytest.mark.parametrize('text', ['{"seed": ', '[]', 'null', ''])
def test_a_configuration_that_cannot_be_read_is_named(run, text):
  (run / 'config.json').write_text(text)
  with pytest.raises(ValueError, match=r'config\.json is not readable JSON .*; put back the config\.json of that run .* --workdir'):
    claim_workdir(run, CONFIG)


def test_checkpoints_without_a_configuration_are_nobodys(run):
  (run / 'config.json').unlink()
  assert claim_workdir(run, CONFIG) == {}, 'nothing was trained'
  (run / 'config.json').unlink()
  (run / 'segment' / 'checkpoints' / '40').mkdir(parents=True)
  for config in (CONFIG, CONFIG | {'seed': 1}):
    with pytest.raises(ValueError, match=r'where has checkpoints \(segment/checkpoints/40\) and no config\.json .*put back .* another --workdir'):
      claim_workdir(run, config)
  assert not (run / 'config.json').exists()


def test_a_key_that_came_later_is_no_difference_where_it_says_what_was_done_before(run):
  compare = functools.partial(differing, added={'segment.weights': (), 'segment.ema': 0.0})
  later = CONFIG | {'segment': CONFIG['segment'] | {'weights': (), 'ema': 0.0}}
  claim_workdir(run, later, compare)
  with pytest.raises(ValueError) as error:
    claim_workdir(run, later | {'segment': later['segment'] | {'ema': 0.5}}, compare)
  assert 'segment.ema: 0.0 there, 0.5 now' in str(error.value) and 'weights' not in str(error.value)
  with pytest.raises(ValueError, match=r"segment\.ema: '\(absent\)' there, 0\.0 now"):
    claim_workdir(run, later)


def test_what_differs_is_said_of_either_side():
  then = {'a': {'b': [1, 2], 'c': 1}, 'gone': 0}
  now = {'a': {'b': (1, 2), 'c': 2}, 'new': None, 'added': 3}
  assert differing(then, now, {'added': 3}) == {
      'a.c': (1, 2), 'gone': (0, '(absent)'), 'new': ('(absent)', None)}
  assert differing(then, then) == {}
  assert differing({'added': 4}, {'added': 3}, {'added': 3}) == {'added': (4, 3)}


def test_what_no_step_depends_on_may_change_and_is_written_down(run):
  now = CONFIG | {'segment': CONFIG['segment'] | {'milestones': (3,)}}
  found = claim_workdir(run, now, may_differ=lambda key, *both: key == 'segment.milestones')
  assert found == {'segment.milestones': ([], [3])}
  assert json.loads((run / 'config.json').read_text())['segment']['milestones'] == [3]
  assert claim_workdir(run, now) == {}
  before = (run / 'config.json').read_bytes()
  with pytest.raises(ValueError) as error:
    claim_workdir(run, now | {'seed': 4, 'segment': CONFIG['segment']}, may_differ=lambda key, *both: key == 'segment.milestones')
  assert 'seed: 0 there, 4 now' in str(error.value) and 'milestones' not in str(error.value)
  assert (run / 'config.json').read_bytes() == before


def test_of_other_changes_it_says_how_a_run_begins_with_what_was_learned(run):
  other = CONFIG | {'segment': CONFIG['segment'] | {'rate': 0.1}}
  with pytest.raises(ValueError, match=rf'by --config\.segment\.init={run}/segment/bundle, which is there once this run has finished'):
    claim_workdir(run, other)
  (run / 'segment' / 'bundle').mkdir()
  with pytest.raises(ValueError, match=rf'what this one has learned by --config\.segment\.init={run}/segment/bundle\.$'):
    claim_workdir(run, other)
