"""SIGTERM and Ctrl-C as a wish to stop after the step under way."""

from __future__ import annotations

import contextlib
import os
import signal
from types import FrameType


_HEARD = b'\nstopping after the step under way; once more to end at once\n'
_STDERR = 2  # sys.stderr cannot be entered twice, and the progress bar may be in it when the signal comes


class Interrupt:
  """Context in which SIGTERM and the first Ctrl-C set a flag instead of ending the process. Call it to ask.

  It says so on stderr. A second one of the same kind ends the process as usual.
  """

  def __init__(self) -> None:
    self._wanted = False
    self._previous: dict[int, object] = {}

  def __call__(self) -> bool:
    return self._wanted

  def __enter__(self) -> Interrupt:
    self._previous = {number: signal.signal(number, self._handle) for number in (signal.SIGTERM, signal.SIGINT)}
    return self

  def __exit__(self, *unused: object) -> None:
    for number, handler in self._previous.items():
      signal.signal(number, handler)

  def _handle(self, number: int, frame: FrameType | None) -> None:
    del frame
    self._wanted = True
    signal.signal(number, self._previous[number])
    with contextlib.suppress(OSError):
      os.write(_STDERR, _HEARD)
