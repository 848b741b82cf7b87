"""Text of strangers on a terminal: file names, configurations, tables. What would steer the terminal is shown instead."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

# C0 and C1 but the end of a line and the tab, what turns the direction of reading, separators of lines that are none, and
# halves of surrogate pairs, by which Python keeps bytes of file names that are no UTF-8.
_STEERING = re.compile('[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]')


def printable(text: str) -> str:
  """Returns the text with each character that would steer a terminal written as Python writes it, '\\x1b' for an
  escape."""
  return _STEERING.sub(lambda match: match[0].encode('unicode_escape').decode(), text)


class Escaping:
  """A text stream that writes `printable` text to another. A carriage return at the start or the end of what is written at
  once stays: progress bars begin with it.

  What the other's encoding has no place for is escaped too. Where nobody reads any more, as behind `| head`, the rest is
  dropped without a word: the work continues. `failure` is any other reason why text could not be written.
  """

  def __init__(self, stream: Any):
    self._stream, self._gone = stream, False
    self.failure: OSError | None = None

  def write(self, text: str) -> int:
    """Writes it, and returns its length."""
    inside = text.strip('\r')
    start = len(text) - len(text.lstrip('\r'))
    shown = '\r' * start + printable(inside) + '\r' * (len(text) - start - len(inside))
    encoding = getattr(self._stream, 'encoding', None)
    if encoding:
      shown = shown.encode(encoding, 'backslashreplace').decode(encoding)
    self._attempt(lambda: self._stream.write(shown))
    return len(text)

  def writelines(self, lines: Any) -> None:
    """Writes several."""
    for line in lines:
      self.write(line)

  def flush(self) -> None:
    """Sends on what is held back."""
    self._attempt(self._stream.flush)

  def _attempt(self, act: Callable[[], Any]) -> None:
    if self._gone:
      return
    try:
      act()
    except OSError as error:
      self._gone = True
      if not isinstance(error, BrokenPipeError):
        self.failure = error
      # Python sends the rest once more when it ends, and would complain: it goes where nobody reads.
      with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)

  def __getattr__(self, name: str) -> Any:
    return getattr(self._stream, name)


def open_missing() -> None:
  """Opens standard input, output and error where a program was started without them, on nothing: else the next file that is
  opened would take the place of one, and what is printed would go into it."""
  for number, name in enumerate(('stdin', 'stdout', 'stderr')):
    try:
      os.fstat(number)
    except OSError:
      mode = os.O_RDONLY if number == 0 else os.O_WRONLY
      if (opened := os.open(os.devnull, mode)) != number:
        os.dup2(opened, number)
        os.close(opened)
    if getattr(sys, name) is None:
      setattr(sys, name, open(number, 'w' if number else 'r', closefd=False))  # for the life of the process


@contextlib.contextmanager
def escaping() -> Iterator[tuple[Any, Any]]:
  """Opens a context in which all that is printed is `printable`, whoever prints it; gives both streams."""
  before = sys.stdout, sys.stderr
  sys.stdout, sys.stderr = ours = tuple(stream and Escaping(stream) for stream in before)
  try:
    yield ours
  finally:
    for stream in ours:
      if stream:
        stream.flush()
    for name, own, other in zip(('stdout', 'stderr'), ours, before, strict=True):
      if getattr(sys, name) is own:
        setattr(sys, name, other)
