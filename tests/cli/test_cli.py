"""The console script as a whole."""

from __future__ import annotations

import argparse
import os
import signal

import pytest

import lesion_jax
from lesion_jax import cli
from lesion_jax.cli import info, options


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


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_ends_without_a_traceback(monkeypatch, capsys, number):
  monkeypatch.setattr(info, 'describe_installation', lambda **options: os.kill(os.getpid(), number))
  assert cli.main(['info']) == 130
  assert capsys.readouterr().err == 'interrupted\n'
  assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize(('said', 'shown'), [
    ('source_dir is missing: give it', '--source is missing: give it'),
    ('data_dir=/x lies inside', '--prepared /x lies inside'),
    ("Judge the others with leaks='leave-out', or all with leaks='keep'", 'Judge the others with --leaks leave-out, or all with '
     '--leaks keep'),
    ('or with other_crop=True all the same', 'or with --other-crop all the same'),
    ('out=file is a file', '--out file is a file'),
    ("leaks: look at 'out' and leave it out: --config.data.leaks=keep", "--leaks: look at 'out' and leave it out: "
     '--config.data.leaks=keep'),
])
def test_the_arguments_that_the_library_names_are_shown_as_options(said, shown):
  flags = {'source_dir': '--source', 'data_dir': '--prepared', 'leaks': '--leaks', 'other_crop': '--other-crop', 'out': '--out'}
  assert options.in_flags(ValueError(said), flags) == shown


@pytest.mark.parametrize('read, text', [
    (options.thresholds, '0.3,0.5'), (options.thresholds, 'MA=0.3,0.5,MA=0.4'), (options.smallest, '3,4'), (options.smallest, 'MA=3,MA=0.1DA')])
def test_of_two_numbers_for_one_thing_none_is_taken(read, text):
  with pytest.raises(argparse.ArgumentTypeError, match='two numbers for (all lesions|MA)'):
    read(text)
  assert options.thresholds('0.3,MA=0.5') | {'MA': 0.3} == options.thresholds('0.3')


@pytest.mark.parametrize('text', ['9' * 400, '0', '-1', '1P', ''])
def test_what_is_no_amount_of_memory_is_said(text):
  with pytest.raises(argparse.ArgumentTypeError, match='no amount of memory'):
    options.memory(text)
