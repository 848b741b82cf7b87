"""A limit of seconds to reading a photograph, by the clock on the wall.

Nothing stops a decoder in C, so it works where it can be left behind:

  most files           on a thread of its own that ends with the process and keeps nobody from ending. One that is given up works
                       on to its end, and counts among MOST until then. These decoders let other threads run meanwhile
  JPEG 2000            in a process of its own, which is killed: its decoder lets no other thread of its process run, so that no
                       clock there would strike

Checked with Pillow 13 by watching a second thread while 24 megapixels of each format were decoded: of JPEG 2000 it stood
still for as long as that took, 10 s, of all others for less than 0.1 s.
"""

from __future__ import annotations

import concurrent.futures
import contextvars
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from lesion_jax.photograph.threads import MAX_WORKERS, allowed_seconds

# Readings at once in a process, those that were given up and are still running among them (our choice): a folder of files
# that stall takes no more threads and memory than these.
MOST = 2 * MAX_WORKERS
# What the other process runs. The path is that of this one, whatever made it.
PROGRAM = ('import sys; sys.path[:] = sys.argv[3:]; from lesion_jax.photograph.read import answer; '
           'answer(float(sys.argv[1]), int(sys.argv[2]))')
REFUSED = 3  # its exit status where the photograph cannot be read; the cause is on its standard output
_slots = threading.BoundedSemaphore(MOST)

Result = TypeVar('Result')


class TooSlow(ValueError):
  """Reading took longer than it may."""

  def __init__(self, seconds: float) -> None:
    unit = 'second' if seconds == 1 else 'seconds'
    super().__init__(f'reading it takes longer than {seconds:g} {unit}, and was given up; save it again as JPEG or PNG, or allow '
                     'more seconds (--seconds, photograph.threads.limited)')


def within_seconds(function: Callable[[], Result]) -> Result:
  """Calls a function on a thread of its own, and waits for it as long as `allowed_seconds` says.

  Args:
    function: lets other threads run, as all Python does, or C that gives the interpreter's lock away.

  Returns:
    What it returns; what it raises is raised.

  Raises:
    TooSlow: it took longer, or so many before it are still running that it had no place.
  """
  seconds = allowed_seconds()
  future: concurrent.futures.Future[Result] = concurrent.futures.Future()
  context = contextvars.copy_context()

  def work() -> None:
    try:
      result = context.run(function)
    except BaseException as error:  # noqa: BLE001 (it is raised where it is waited for)
      future.set_exception(error)
    else:
      future.set_result(result)
    finally:
      _slots.release()

  end = time.monotonic() + seconds
  if not _slots.acquire(timeout=seconds):
    raise TooSlow(seconds)
  try:
    threading.Thread(target=work, name='photograph', daemon=True).start()
  except BaseException:
    _slots.release()
    raise
  if not concurrent.futures.wait([future], max(end - time.monotonic(), 0)).done:
    raise TooSlow(seconds)
  return future.result()


def in_a_process(data: bytes, most: int = 0) -> np.ndarray | None:
  """Returns the photograph of a file as `read_photograph` reads it, by another process.

  Args:
    data: the file.
    most: pixels that it may have; 0: as `read_photograph` says.

  Returns:
    uint8 [H, W, 3]; None where no other process can be started, as in a program that is frozen into one file.

  Raises:
    ValueError: why it cannot be read; TooSlow, where it takes longer than `allowed_seconds`.
  """
  if getattr(sys, 'frozen', False) or not sys.executable:
    return None
  seconds = allowed_seconds()
  command = [sys.executable, '-c', PROGRAM, repr(float(seconds)), str(most), *(path or os.curdir for path in sys.path)]
  try:
    done = subprocess.run(command, input=data, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=seconds, check=False,
                          start_new_session=True)  # Ctrl-C is this process's
  except subprocess.TimeoutExpired as error:
    raise TooSlow(seconds) from error
  except OSError:
    return None
  if done.returncode == REFUSED:
    raise ValueError(done.stdout.decode('utf-8', 'replace').strip())
  if done.returncode:
    raise ValueError(f'its decoder broke down over it (status {done.returncode}); save it again')
  height, width = np.frombuffer(done.stdout, '<u4', 2)
  return np.frombuffer(bytearray(done.stdout), np.uint8, offset=8).reshape(height, width, 3)  # that can be written to
