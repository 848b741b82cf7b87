"""Paths that lead nowhere are an error of the command in words, not of Python."""

import pathlib

import pytest

from lesion_jax import cli
from lesion_jax.places import home, is_name, real

SOUND = ('--model', 'idrid', '--out', 'out')


@pytest.fixture
def loop(tmp_path):
  """A link that leads to itself."""
  path = tmp_path / 'loop'
  path.symlink_to(path)
  return path


@pytest.fixture
def nowhere(request, loop, tmp_path):
  """A path that leads nowhere: a link to itself, and a name longer than names may be."""
  return loop if request.param == 'link' else tmp_path / ('loop' * 100)


def test_a_link_to_itself_and_an_unknown_home_stay_as_they_are(loop, monkeypatch):
  assert real(loop).name == 'loop' and home('~nobody-of-that-name/x') == pathlib.Path('~nobody-of-that-name/x')
  monkeypatch.setenv('HOME', str(loop.parent))
  assert home('~/x') == loop.parent / 'x' and real(loop.parent / '.' / 'y') == real(loop.parent) / 'y'


@pytest.mark.parametrize('name', ['~\0', '\ud800', '~\ud800'])
def test_what_is_no_name_of_a_file_stays_as_it_is(name):
  assert home(name) == pathlib.Path(name) and real(name) == pathlib.Path.cwd() / name and not is_name(name)
  assert is_name('x' * 300) and is_name('\udcff')


COMMANDS = (
    'predict {eye} --model {loop} --out {new}', 'predict {loop} --model idrid --out {new}', 'predict {eye} --model idrid --out {loop}',
    'info {loop}', 'export --model {loop} --to torch --out {new}', 'export --model idrid --to stablehlo --out {loop}',
    'evaluate --model {loop} --data folder --source {new}', 'evaluate --model idrid --data folder --source {loop}',
    'data folder --source {loop}', 'prepare folder --source {loop} --out {new}', 'consensus {loop} --images {loop} --out {new}',
    'ship {loop} --out {new}', 'import-weights {loop} --out {new}', 'rethreshold {loop} --threshold 0.5',
    'info ~nobody-of-that-name/x')


@pytest.mark.parametrize(('command', 'nowhere'), [
    *((command, 'link') for command in COMMANDS),
    *((command, 'name') for command in COMMANDS if not command.startswith('evaluate'))], indirect=['nowhere'])
def test_commands_say_it_in_a_sentence(command, nowhere, tmp_path, capsys):
  (tmp_path / 'eye.png').write_bytes(b'')
  words = [word.format(loop=nowhere, new=tmp_path / 'new', eye=tmp_path / 'eye.png') for word in command.split()]
  try:
    status = cli.main(words)
  except SystemExit as ended:
    status = ended.code
  said = capsys.readouterr().err
  assert status in (1, 2) and 'Traceback' not in said and ('loop' in said or 'nobody' in said)


@pytest.mark.parametrize('words', [('predict', '', *SOUND), ('predict', 'eye.png', '--out', ''), ('info', ''),
                                   ('export', '--model', '', '--to', 'torch', '--out', 'x'), ('rethreshold', ''),
                                   ('label-studio', 'predictions', '', '--out', 'x.json')])
def test_an_empty_path_is_not_taken_for_the_folder_that_one_is_in(words, tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(SystemExit) as ended:
    cli.main(list(words))
  assert ended.value.code == 2 and 'it is empty' in capsys.readouterr().err
  assert not list(tmp_path.iterdir())
