"""What strangers wrote does not steer the terminal."""

import sys

import pytest

from lesion_jax.cli import main
from lesion_jax.showing import escaping, printable


@pytest.mark.parametrize(('text', 'shown'), [
    ('plain é 网\tx\n', 'plain é 网\tx\n'),
    ('\x1b[2J\x07', '\\x1b[2J\\x07'),
    ('a\rb', 'a\\rb'),
    ('\x9b31m', '\\x9b31m'),
    ('gpj.\u202efdp', 'gpj.\\u202efdp'),
    ('\udc80', '\\udc80'),
])
def test_what_steers_is_shown(text, shown):
  assert printable(text) == shown


def test_everything_that_is_printed_goes_through_it_and_progress_bars_still_move(capsys):
  before = sys.stdout, sys.stderr
  with escaping():
    print('a\x1bb')
    sys.stderr.write('\r50 %')
    sys.stderr.writelines(['x\x00', 'y\rz'])
  assert (sys.stdout, sys.stderr) == before
  assert capsys.readouterr() == ('a\\x1bb\n', '\r50 %x\\x00y\\rz')


def test_a_command_shows_the_names_of_files(tmp_path, capsys):
  with pytest.raises(SystemExit):
    main(['predict', str(tmp_path / 'no\x1b]0;owned\x07.jpg'), '--model', str(tmp_path / 'no\x1b]0;owned\x07'),
          '--out', str(tmp_path / 'out')])
  said = capsys.readouterr().err
  assert '\x1b' not in said and '\x07' not in said and '\\x1b]0;owned\\x07' in said
