"""What the command line says to a mistake: one line, and which values are allowed."""

import pathlib

import pytest
from absl import flags
from ml_collections import config_flags

from lesion_jax.command import BAD_INPUT, one_line_errors, parse_flags

# How ml_collections loads a configuration file.
pytestmark = pytest.mark.filterwarnings('ignore:the load_module:DeprecationWarning')
CONFIG = pathlib.Path(__file__).parents[1] / 'configs' / 'multitask.py'


@pytest.fixture
def parse(monkeypatch):
  """`parse('--config.seed=1')` with flags of its own; returns the configuration."""
  values = flags.FlagValues()
  monkeypatch.setattr(flags, 'FLAGS', values)
  monkeypatch.setattr('lesion_jax.command.app.parse_flags_with_usage', values)

  def run(*arguments, config=CONFIG):
    argv = ['main', f'--config={config}', *arguments]
    config_flags.DEFINE_config_file('config', flag_values=values, sys_argv=argv)
    parse_flags(argv)
    return values.config

  return run


def test_a_known_key_is_set(parse):
  config = parse('--config.segment.learning_rate=0.5', '--config.stages=segment', '--config.grade.model.remat')
  assert (config.segment.learning_rate, config.stages, config.grade.model.remat) == (0.5, ('segment',), True)


@pytest.mark.parametrize(('argument', 'message'), [
    ('--config.nope=1', "config has no key 'nope'; its keys are classify, grade, landmarks, seed, segment, stages"),
    ('--config.segment.nope=1', "config.segment has no key 'nope'; its keys are accumulate, augmentation, batch_size"),
    ('--config.segment.data.nme=x', "config.segment.data has no key 'nme'; its keys are aside, ask_once, centred, count"),
    ('--config.nope.learning_rate=1', "config has no key 'nope'"),
    ('--config.seed.rate=1', 'config.seed is the value 0 and has no keys'),
    ('--noconfig.segment.nope', "config.segment has no key 'nope'"),
])
def test_an_unknown_key_lists_the_valid_ones(parse, capsys, argument, message):
  with pytest.raises(SystemExit) as end:
    parse(argument)
  said = capsys.readouterr().err
  assert end.value.code == BAD_INPUT
  assert said.startswith('error: --config.') and said.count('\n') == 1
  assert message in said


def test_a_key_by_the_name_that_it_had_gives_its_name_of_now(parse, capsys):
  with pytest.raises(SystemExit):
    parse('--config.segment.rate=1')
  assert capsys.readouterr().err == 'error: --config.segment.rate: config.segment.rate is called learning_rate now\n'


def test_so_does_a_file_that_sets_it(parse, capsys, tmp_path):
  mine = tmp_path / 'mine.py'
  mine.write_text('from configs import common\n\n\ndef get_config():\n  config = common.get_config()\n'
                  '  config.grade.update(factor=3.0)\n  return config\n')
  with pytest.raises(SystemExit):
    parse(config=mine)
  assert capsys.readouterr().err == f'error: --config={mine}: the key factor is called lr_decay now\n'


@pytest.mark.parametrize('argument', ['--config.seed=many', '--nope=1'])
def test_what_absl_refuses_it_refuses(parse, argument):
  with pytest.raises(flags.Error):
    parse(argument)


@pytest.mark.parametrize(('arguments', 'said'), [
    (['config.seed=3'], 'error: config.seed=3: a flag begins with --'), (['--config.grade.model.remat', 'False', 'x y'], "error: False 'x y': a flag")])
def test_a_word_that_belongs_to_no_flag_is_refused_and_not_ignored(parse, capsys, arguments, said):
  with pytest.raises(SystemExit) as end:
    parse(*arguments)
  assert end.value.code == BAD_INPUT and capsys.readouterr().err.startswith(said)


def test_an_error_of_the_named_kind_is_one_line(capsys):
  with pytest.raises(SystemExit) as end, one_line_errors(ValueError, OSError, status=3):
    raise FileNotFoundError('no such folder: x')
  assert (end.value.code, capsys.readouterr().err) == (3, 'error: no such folder: x\n')


def test_another_error_keeps_its_traceback():
  with pytest.raises(TypeError), one_line_errors(ValueError):
    raise TypeError('a bug')
