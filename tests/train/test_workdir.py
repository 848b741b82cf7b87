"""A working directory belongs to one configuration."""

import json

import pytest

from lesion_jax.train.workdir import claim_workdir

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


def test_a_configuration_that_cannot_be_read_is_named(run):
  (run / 'config.json').write_text('{"seed": ')
  with pytest.raises(ValueError, match=r'config\.json is not readable JSON .* --workdir'):
    claim_workdir(run, CONFIG)
