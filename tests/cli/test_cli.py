"""The console script as a whole."""

from __future__ import annotations

import argparse
import os
import signal

import pytest

import lesion_jax
from lesion_jax import cli
from lesion_jax.cli import info, options
from lesion_jax.photograph import threads


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


def test_without_a_command_those_that_there_are_are_listed(capsys):
  assert cli.main([]) == 2
  said = capsys.readouterr().err
  assert 'lesions and grade of photographs' in said and 'consensus' in said


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


@pytest.mark.parametrize(('read', 'text', 'said'), [
    (options.positive, 'many', "'many' is not a whole number from 1 on"), (options.positive, '0.5', 'whole number from 1 on'),
    (options.probability, 'few', "'few' is not a number above 0 and at most 1")])
def test_what_is_no_number_is_said_with_what_may_be_given(read, text, said):
  with pytest.raises(argparse.ArgumentTypeError, match=said):
    read(text)


@pytest.mark.parametrize(('command', 'seconds'), [('predict', None), ('rethreshold', None), ('prepare', None), ('serve', 30)])
def test_help_says_the_seconds_that_are_the_default(command, seconds, monkeypatch, capsys):
  monkeypatch.setenv('COLUMNS', '1000')
  with pytest.raises(SystemExit):
    cli.main([command, '--help'])
  assert f'the others continue (default {seconds or int(threads.SECONDS)})\n' in capsys.readouterr().out
  needed = {'predict': ['x', '--out', 'y'], 'rethreshold': ['x']}.get(command, [])
  assert cli.make_parser().parse_args([command, *needed]).seconds == seconds


@pytest.mark.parametrize(('arguments', 'said'), [
    (['predict', 'x.jpg', '--out', 'out', '--maps-at', 'photograph'], '--maps-at photograph says where'),
    (['compare', 'first', 'second', '--grade-column', 'DR'], '--grade-column names a column of --grades'),
    (['data', 'synthetic', '--shown', '3', '--ids'], '--shown is of the contact sheet that --stats draws'),
    (['data', 'synthetic', '--out', 'about'], '--out is where --stats and --ids write'),
    (['data', '--stats'], '--stats is of one data set: say which, as in `lesion-jax data folder --stats ...`'),
    (['prepare', '--out', 'data'], '--out is of one data set'), (['prepare', '--source', 'photographs'], '--source is of one data set')])
def test_an_option_that_would_do_nothing_is_refused(arguments, said, tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(SystemExit) as stop:
    cli.main(arguments)
  assert stop.value.code == 2 and said in capsys.readouterr().err
  assert not any(tmp_path.iterdir())


@pytest.mark.parametrize('text', ['9' * 400, '0', '-1', '1P', ''])
def test_what_is_no_amount_of_memory_is_said(text):
  with pytest.raises(argparse.ArgumentTypeError, match='no amount of memory'):
    options.memory(text)
