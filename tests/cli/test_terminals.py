"""Whatever standard output and error are, status and files say what was done."""

from __future__ import annotations

import io
import os
import pathlib
import subprocess
import sys

import pytest

from lesion_jax import cli
from lesion_jax.showing import Escaping

COMMAND = [sys.executable, '-c', 'import sys; from lesion_jax import cli; sys.exit(cli.main(sys.argv[1:]))']


def _run(script, *, arguments=(), **environment):
  """The command behind a shell: '"$@"' in the script."""
  return subprocess.run(['bash', '-c', f'set -o pipefail; {script}', 'bash', *COMMAND, *arguments], capture_output=True, text=True,
                        env=os.environ | environment, cwd=pathlib.Path(__file__).parents[2], check=False, timeout=300)


def test_a_name_that_the_terminal_has_no_letters_for_is_escaped():
  buffer = io.BytesIO()
  stream = Escaping(io.TextIOWrapper(buffer, 'ascii'))
  print('œil 左眼 \x1b[31m', file=stream)
  stream.flush()
  assert buffer.getvalue() == b'\\u0153il \\u5de6\\u773c \\x1b[31m\n'


@pytest.mark.parametrize('script', ['"$@" | true', '"$@" | head -n 1', '"$@" 2>&-', '"$@" <&- 2>&-'])
def test_a_pipe_that_breaks_and_a_missing_error_stream_are_no_failure(script):
  found = _run(script, arguments=['predict', '--help'])
  assert (found.returncode, found.stderr) == (0, '')


def test_info_behind_head():
  found = _run('"$@" | head -n 1', arguments=['info'])
  assert found.returncode == 0 and found.stdout == 'versions\n' and 'rror' not in found.stderr


@pytest.mark.skipif(not pathlib.Path('/dev/full').exists(), reason='there is no device that is full')
def test_what_cannot_be_printed_is_said():
  found = _run('"$@" > /dev/full', arguments=['info', '--json'])
  assert found.returncode == 1
  assert found.stderr.strip().splitlines()[-1] == 'what is printed could not be written: No space left on device'


def test_without_a_home_programs_are_kept_in_a_folder_of_ones_own(monkeypatch):
  from lesion_jax import runtime

  for name in ('JAX_COMPILATION_CACHE_DIR', 'XDG_CACHE_HOME', 'HOME'):
    monkeypatch.delenv(name, raising=False)

  def unknown():
    raise RuntimeError('Could not determine home directory.')

  monkeypatch.setattr(runtime.pathlib.Path, 'home', unknown)
  assert runtime.cache_dir().name == f'lesion_jax-{os.getuid()}'


def test_a_full_disk_while_the_page_is_written_keeps_what_was_there(predict, save, monkeypatch, capsys):
  from lesion_jax.bulk import run

  status, out = predict(save('a.png', grade=1))
  before = (out / 'report.html').read_bytes()

  def full(path, entries):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(run, 'write_report', full)
  status, out = predict(save('b.png', grade=2))
  said = capsys.readouterr()
  assert status == 1 and 'report.html could not be written: [Errno 28] No space left on device' in said.err
  assert said.out.splitlines()[-2:][0].startswith('1 of 1 photographs predicted') and 'see ' not in said.out.splitlines()[-2]
  assert (out / 'report.html').read_bytes() == before and (out / 'b' / 'result.json').exists()
  assert 'b,predicted' in (out / 'results.csv').read_text()


def test_streams_are_given_back(capsys):
  before = sys.stdout, sys.stderr
  with pytest.raises(SystemExit):
    cli.main(['--version'])
  assert (sys.stdout, sys.stderr) == before
