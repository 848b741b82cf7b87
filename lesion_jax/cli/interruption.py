"""Ctrl-C and SIGTERM as a KeyboardInterrupt that is not lost.

Python raises wherever the main thread happens to be, and inside a callback of C code (a finaliser, a hook of the garbage
collector) the exception goes no further. So it is written down as well, and long loops ask.

A second signal, of either kind, ends the process at once, whatever it waits for: a thread may be busy with one file.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

_heard = threading.Event()


@contextlib.contextmanager
def listening() -> Iterator[None]:
  """Opens a context in which both signals raise KeyboardInterrupt; one that is ignored, as by `nohup`, stays ignored.
  Outside the main thread, to which signals belong, nothing changes."""
  _heard.clear()
  if threading.current_thread() is not threading.main_thread():
    yield
    return
  numbers = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) is not signal.SIG_IGN]
  before = {number: signal.signal(number, _interrupt) for number in numbers}
  try:
    yield
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)


def check() -> None:
  """Raises KeyboardInterrupt where there was a signal since `listening` began."""
  if _heard.is_set():
    raise KeyboardInterrupt


def _interrupt(number: int, frame: FrameType | None) -> None:
  del number, frame
  _heard.set()
  for each in (signal.SIGINT, signal.SIGTERM):
    if signal.getsignal(each) is _interrupt:
      signal.signal(each, signal.SIG_DFL)
  raise KeyboardInterrupt
