"""Configurations that cannot be are one sentence before anything starts."""

import sys

import pytest
import tiny_config
from absl import flags
from ml_collections import ConfigDict, config_flags
from tiny_config import changed

from configs import common, idrid
from lesion_jax import stages
from lesion_jax.command import BAD_INPUT, parse_flags
from lesion_jax.stages import values


def test_those_of_the_clone_are_right_and_the_keys_are_theirs():
  for config in (common.get_config(), tiny_config.get_config(), idrid.get_config('gpu')):
    stages.check_values(config)
  config = common.get_config()
  assert {*values.KEYS, *values.LATER} == set(config) and set(values.DATA_KEYS) == set(config.segment.data)
  assert set(values.STAGE_KEYS) == set(config.segment) == set(config.grade) == set(config.classify)


@pytest.mark.parametrize(('changes', 'message'), [
    ({'seed': -1}, 'config.seed=-1: a seed is a whole number from 0 to 4294967295'),
    ({'seed': 2**32}, 'config.seed=4294967296: a seed'),
    ({'segment__data__seed': -3}, 'config.segment.data.seed=-3: a seed'),
    ({'segment__milestones': (1.5,)}, r'config.segment.milestones=\(1.5,\): whole numbers from 1 on'),
    ({'grade__milestones': (2, 0)}, r'config.grade.milestones=\(2, 0\): whole numbers from 1 on'),
    ({'segment__model__decoder_channels': (True,)}, 'decoder_channels=.*whole numbers'),
    ({'segment__learning_rate': float('nan')}, 'config.segment.learning_rate=nan: a finite number'),
    ({'grade__weight_decay': float('inf')}, 'config.grade.weight_decay=inf: a finite number'),
    ({'segment__augmentation__tint': (1.0, float('nan'))}, 'tint=.*: finite numbers'),
    ({'segment__data__size': 4288}, 'config.segment.data.size=4288: a number of pixels from 1 to 4096; prediction takes no'),
    ({'grade__data__size': 0}, 'config.grade.data.size=0: a number of pixels from 1'),
    ({'segment__warm_up': -2}, 'config.segment.warm_up=-2: a whole number from 0 on'),
    ({'segment__freeze': (3,)}, 'config.segment.freeze=.*texts'),
    ({'segment__augmentation__rotation': ('a', 'b')}, r"config.segment.augmentation.rotation=\('a', 'b'\): numbers, such as"),
    ({'segment__augmentation__field': (True, 2.0)}, 'augmentation.field=.*: numbers'),
    ({'grade__data__weights': ('3', '1')}, 'config.grade.data.weights=.*: numbers'),
    ({'segment__data__draw_lesions': ('a',) * 8}, 'draw_lesions=.*: numbers'),
    ({'segment__data__crop_scale': (None, 1.0)}, 'crop_scale=.*: numbers'),
])
def test_a_number_that_is_none_is_named(changes, message):
  with pytest.raises(ValueError, match=message):
    stages.check_values(changed(**changes))


def test_a_stage_that_came_later_is_needed_where_it_runs_alone():
  config = common.get_config()
  with config.unlocked():
    del config['landmarks']
  stages.check_values(config)
  config.stages = ('landmarks',)
  with pytest.raises(ValueError, match='config lacks landmarks; start'):
    stages.check_values(config)


def test_a_configuration_of_ones_own_is_told_what_it_lacks():
  with pytest.raises(ValueError, match='config lacks seed, segment, classify, grade; start .* configs/common.py'):
    stages.check_values(ConfigDict({'stages': ('segment',)}))
  config = ConfigDict(common.get_config().to_dict())
  del config.grade.data.leaks
  with pytest.raises(ValueError, match='config.grade.data lacks leaks'):
    stages.check_values(config)
  config = ConfigDict(common.get_config().to_dict() | {'grade': 3})
  with pytest.raises(ValueError, match="config.grade is '3' and has no keys"):
    stages.check_values(config)


@pytest.mark.filterwarnings('ignore:the load_module:DeprecationWarning')
class TestFile:

  @pytest.fixture
  def refused(self, tmp_path, monkeypatch, capsys):
    """`refused(text, argument='') -> what is said` of a configuration file with that text."""

    def run(text, argument=''):
      path = tmp_path / 'own.py'
      if text is not None:
        path.write_text(text)
      found = flags.FlagValues()
      monkeypatch.setattr(flags, 'FLAGS', found)
      monkeypatch.setattr('lesion_jax.command.app.parse_flags_with_usage', found)
      argv = ['main', f'--config={path}{argument}']
      config_flags.DEFINE_config_file('config', flag_values=found, sys_argv=argv)
      with pytest.raises(SystemExit) as end:
        parse_flags(argv)
      said = capsys.readouterr().err
      assert end.value.code == BAD_INPUT and said.count('\n') == 1 and said.startswith('error: --config=')
      return said

    return run

  def test_it_raises(self, refused):
    said = refused('def get_config(name):\n  raise ValueError("choose one of a, b")', ':retina')
    assert 'own.py:retina: choose one of a, b' in said
    assert 'own.py: ZeroDivisionError: division by zero' in refused('def get_config():\n  return 1 / 0')
    assert 'own.py: SyntaxError' in refused('def')

  def test_it_is_none(self, refused):
    assert 'no such file' in refused(None)
    assert 'it has no function get_config()' in refused('x = 1')
    assert 'returns dict, not a ConfigDict' in refused('def get_config():\n  return {}')

  def test_the_clone_is_not_at_hand(self, refused, monkeypatch, tmp_path):
    for name in [name for name in sys.modules if name.partition('.')[0] in ('configs', 'experiments')]:
      monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, 'path', [place for place in sys.path if 'site-packages' in place or 'lib/python' in place])
    monkeypatch.setattr('lesion_jax.command.presets_folder', lambda: tmp_path / 'presets' / 'configs')
    said = refused('from experiments import record\ndef get_config():\n  return record')
    assert "No module named 'experiments'" in said and 'start the command there' in said
