"""The console script as a whole."""

from __future__ import annotations

import pytest

import lesion_jax
from lesion_jax import cli


def test_version(capsys):
  with pytest.raises(SystemExit) as stop:
    cli.main(['--version'])
  assert stop.value.code == 0
  assert capsys.readouterr().out == f'lesion-jax {lesion_jax.__version__}\n'


@pytest.mark.parametrize('command', [module.__name__.rpartition('.')[2] for module in cli.COMMANDS])
def test_every_command_explains_itself(command, capsys):
  with pytest.raises(SystemExit) as stop:
    cli.main([command.replace('_', '-'), '--help'])
  assert stop.value.code == 0
  said = capsys.readouterr().out
  assert 'examples:' in said and 'exit status:' in said
