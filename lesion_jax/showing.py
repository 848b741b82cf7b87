"""Text of strangers on a terminal: file names, configurations, tables. What would steer the terminal is shown instead."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator
from typing import Any

# C0 and C1 but the end of a line and the tab, what turns the direction of reading, separators of lines that are none, and
# halves of surrogate pairs, by which Python keeps bytes of file names that are no UTF-8.
_STEERING = re.compile('[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]')


def printable(text: str) -> str:
  """The text with each character that would steer a terminal written as Python writes it, '\\x1b' for an escape."""
  return _STEERING.sub(lambda match: match[0].encode('unicode_escape').decode(), text)


class Escaping:
  """A text stream that writes `printable` text to another. A carriage return at the start or the end of what is written at
  once stays: progress bars begin with it."""

  def __init__(self, stream: Any):
    self._stream = stream

  def write(self, text: str) -> int:
    """Writes it, and returns its length."""
    inside = text.strip('\r')
    start = len(text) - len(text.lstrip('\r'))
    self._stream.write('\r' * start + printable(inside) + '\r' * (len(text) - start - len(inside)))
    return len(text)

  def writelines(self, lines: Any) -> None:
    """Writes several."""
    for line in lines:
      self.write(line)

  def __getattr__(self, name: str) -> Any:
    return getattr(self._stream, name)


@contextlib.contextmanager
def escaping() -> Iterator[None]:
  """Context in which all that is printed is `printable`, whoever prints it."""
  before = sys.stdout, sys.stderr
  sys.stdout, sys.stderr = ours = tuple(stream and Escaping(stream) for stream in before)
  try:
    yield
  finally:
    for name, own, other in zip(('stdout', 'stderr'), ours, before, strict=True):
      if getattr(sys, name) is own:
        setattr(sys, name, other)
