"""SIGTERM and Ctrl-C as a wish to stop after the step under way."""

from __future__ import annotations

import collections
import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType


_HEARD = b'\nstopping after the step under way; once more to end at once\n'
_STDERR = 2  # sys.stderr cannot be entered twice, and the progress bar may be in it when the signal comes


class Interrupted(KeyboardInterrupt):
  """A signal came where there is no step to finish."""


class Interrupt:
  """Context in which SIGTERM and the first Ctrl-C set a flag instead of ending the process. Call it to ask.

  It says so on stderr. A second one of the same kind ends the process as usual, however close it comes: Python calls a
  handler once for all signals that came while it was busy, so the system writes down each.
  """

  def __init__(self) -> None:
    self._wanted = self._at_once = False
    self._previous: dict[int, object] = {}
    self._written: tuple[int, int] | None = None  # the ends of a pipe, a byte for each signal
    self._counts: collections.Counter[int] = collections.Counter()
    self._wakeup = -1

  def __call__(self) -> bool:
    return self._wanted

  def __enter__(self) -> Interrupt:
    self._written = os.pipe()
    for end in self._written:
      os.set_blocking(end, False)
    self._wakeup = signal.set_wakeup_fd(self._written[1], warn_on_full_buffer=False)
    self._previous = {number: signal.signal(number, self._handle) for number in (signal.SIGTERM, signal.SIGINT)}
    return self

  def __exit__(self, *unused: object) -> None:
    for number, handler in self._previous.items():
      signal.signal(number, handler)
    signal.set_wakeup_fd(self._wakeup)
    for end in self._written or ():
      os.close(end)
    self._written = None

  @contextlib.contextmanager
  def at_once(self) -> Iterator[None]:
    """Opens a context in which a signal raises Interrupted instead, for what has no steps: preparing, evaluating. So
    does one that came before, and nobody asked."""
    if self._wanted:
      raise Interrupted
    self._at_once = True
    try:
      yield
    finally:
      self._at_once = False
    if self._wanted:  # Python lost the exception in a callback of C code
      raise Interrupted

  def _handle(self, number: int, frame: FrameType | None) -> None:
    self._wanted = True
    signal.signal(number, self._previous[number])
    if self._count(number) > 1:  # the second is here already
      os.kill(os.getpid(), number)
      return
    if self._at_once:
      raise Interrupted
    with contextlib.suppress(OSError):
      os.write(_STDERR, _HEARD)

  def _count(self, number: int) -> int:
    """How many signals of the kind the system wrote down."""
    with contextlib.suppress(BlockingIOError):
      self._counts.update(os.read(self._written[0], 4096) if self._written else ())
    return self._counts[number]
