"""The keys of the configuration with their comments, as --help lists them."""

from __future__ import annotations

import pathlib
import sys

import pytest
from absl import flags
from ml_collections import config_flags

from configs import common
from lesion_jax import command
from lesion_jax.command import parse_flags
from lesion_jax.keys import STAGES, describe_keys

SOURCE = pathlib.Path(common.__file__).read_text('utf-8')
# How ml_collections loads a configuration file.
pytestmark = pytest.mark.filterwarnings('ignore:the load_module:DeprecationWarning')


def leaves(config, prefix=''):
  return {name for key, value in config.items()
          for name in (leaves(value, f'{prefix}{key}.') if hasattr(value, 'items') else {prefix + key})}


@pytest.fixture
def parse(monkeypatch):
  """`parse(*arguments)` with flags of its own; returns the configuration."""
  values = flags.FlagValues()
  monkeypatch.setattr(flags, 'FLAGS', values)
  monkeypatch.setattr(sys, 'path', list(sys.path))
  monkeypatch.setattr('lesion_jax.command.app.parse_flags_with_usage', values)

  def run(*arguments):
    argv = ['main', *arguments]
    config_flags.DEFINE_config_file('config', flag_values=values, sys_argv=argv)
    parse_flags(argv)
    return values.config

  return run


class TestKeys:

  def test_every_key_is_described_once_and_none_besides(self):
    names = [key.name for key in describe_keys(SOURCE)]
    spread = {name.replace('STAGE', stage, 1) if name.startswith('STAGE.') else name for name in names for stage in STAGES}
    assert len(names) == len(set(names))
    assert leaves(common.get_config()) <= spread
    assert {name for name in spread - leaves(common.get_config()) if '.model.' not in name} == set()

  def test_a_key_has_the_comments_above_it_and_behind_it(self):
    found = {key.name: key for key in describe_keys(SOURCE)}
    assert found['seed'].value == '0' and found['seed'].comment[0].startswith('of the initial weights')
    assert found['STAGE.bundle'].comment == ('a finished bundle to use instead of training this stage, or a network of the package by its name',)
    assert found['STAGE.model.width'] == ('STAGE.model.width', '1.0', (
        'multiplier of all channel counts; 1 is Inception-v3',))
    assert found['STAGE.lesion_weights'].comment[0].startswith('Weights of the lesions') and len(
        found['STAGE.lesion_weights'].comment) == 3
    assert found['grade.model.attention'].comment == ("of multitask: Eq. 7; 'cw_maxpool': Eq. 6",)
    assert found['segment.loss'].value == "'dual_dice'"

  def test_help_lists_them_with_the_values_of_the_configuration(self, parse, capsys):
    with pytest.raises(SystemExit) as end:
      parse('--config=idrid:cpu', '--help')
    said = capsys.readouterr().out
    assert end.value.code == 0
    assert '  --config.STAGE.data.size=1440\n      side of the square field of view' in said
    assert '  --config.STAGE.max_steps=800\n' in said and '--config.seed=0' in said
    assert "  --config.STAGE.momentum=0.9\n      IV-A; of AdamW its beta 1\n      (default: 0.95)\n" in said
    assert "  --config.STAGE.patience=4\n      after so many validations without improvement (IV-A)\n  --config" in said
    assert 'one of classify, common, grade, idrid, landmarks, multitask, segment by name' in said


class TestPresets:

  def test_a_name_is_the_file_with_its_argument(self, parse, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'configs').mkdir()  # of another project
    (tmp_path / 'configs' / '__init__.py').write_text('')
    config = parse('--config=segment:idrid', '--config.segment.learning_rate=0.5')
    assert (config.stages, config.segment.data.name, config.segment.learning_rate) == (('segment',), 'idrid', 0.5)

  def test_it_may_be_a_word_of_its_own(self, parse):
    assert parse('--config', 'grade').stages == ('grade',)

  def test_a_file_comes_before_a_name(self, parse, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'grade').write_text('from configs import common\n\n\ndef get_config():\n  config = common.get_config()\n'
                                    '  config.seed = 7\n  return config\n')
    monkeypatch.setattr(command, '_broken_config', lambda argv: None)
    assert command._with_presets(['main', '--config=grade', '--config=idrid:cpu'])[1] == '--config=grade'

  def test_a_name_that_there_is_not_lists_those_that_there_are(self, parse, capsys):
    with pytest.raises(SystemExit):
      parse('--config=multitsk')
    assert 'no such preset; name a file, such as configs/multitask.py in the clone, or one of classify, common, grade, idrid' in (
        capsys.readouterr().err)

  def test_without_a_configuration_those_that_there_are_are_listed(self, parse, capsys):
    with pytest.raises(SystemExit) as end:
      parse()
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith('error: --config is missing: name a configuration, one of classify, common, grade, idrid')

  def test_an_argument_of_one_that_takes_none_is_said(self, parse, capsys):
    with pytest.raises(SystemExit):
      parse('--config=landmarks:idrid')
    assert 'this configuration takes no argument' in capsys.readouterr().err

  def test_the_wheel_has_the_files_of_the_clone(self):
    setup = (pathlib.Path(common.__file__).parents[1] / 'setup.py').read_text('utf-8')
    assert "package_dir={'lesion_jax.presets.configs': 'configs'}" in setup
    assert command.presets_folder() == pathlib.Path(common.__file__).parent
