"""How far a job has come, as a bar."""

from __future__ import annotations

import io
import sys

from lesion_jax.data.progress import progress_bar, silent


class Terminal(io.StringIO):
  """What a bar is drawn on."""

  def isatty(self):
    return True


def drawn(monkeypatch, stream, **options):
  monkeypatch.setattr(sys, 'stderr', stream)
  with progress_bar('preparing idrid', **options) as show:
    for done in range(4):
      show(done, 3)
  return stream.getvalue()


def test_a_terminal_sees_a_bar_that_ends_full(monkeypatch):
  last = drawn(monkeypatch, Terminal()).rpartition('\r')[2]
  assert last.startswith('preparing idrid: 100%') and '3/3' in last and 'photo' in last


def test_a_file_and_who_wants_quiet_see_none(monkeypatch):
  assert drawn(monkeypatch, io.StringIO()) == drawn(monkeypatch, Terminal(), quiet=True) == ''


def test_silence_says_nothing(capsys):
  silent(1, 2)
  assert capsys.readouterr() == ('', '')
