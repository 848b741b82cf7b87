"""The worker's process: messages on standard input become jobs, their answers messages on standard output.

It ends with its standard input, which the system closes however the front ends, and takes the private folder along.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import pathlib
import shutil
import signal
import sys
import threading
import warnings
from typing import Any, BinaryIO

from lesion_jax import machine
from lesion_jax.extras import MissingExtra
from lesion_jax.plugins import import_modules
from lesion_jax.serve import frames
from lesion_jax.serve.settings import Work

# What the other process runs. The path is that of this one, whatever made it.
PROGRAM = 'import sys; sys.path[:] = sys.argv[1:]; from lesion_jax.serve.worker import main; main()'


class Sender:
  """Writes messages whole, whichever thread they come from."""

  def __init__(self, file: BinaryIO) -> None:
    self._file, self._lock = file, threading.Lock()

  def send(self, header: dict[str, Any], blobs: list[bytes] | tuple[()] = ()) -> None:
    """Writes a message. Where nobody reads it any more the process is about to end."""
    with self._lock:
      try:
        for piece in frames.encode(header, blobs):
          self._file.write(piece)
        self._file.flush()
      except OSError:
        pass


def main() -> None:
  """Serves the front until it is gone."""
  signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the front's
  source, sender = os.fdopen(os.dup(0), 'rb'), Sender(os.fdopen(os.dup(1), 'wb'))
  nothing = os.open(os.devnull, os.O_RDWR)
  os.dup2(nothing, 0)
  os.dup2(2, 1)  # whatever a library prints
  start = frames.read(source)
  if start is None:
    os._exit(0)
  folder = pathlib.Path(start.header['folder'])
  engine = _begin(start.header['work'], folder, sender)
  _fall_silent(nothing)
  while (message := frames.read(source)) is not None:
    _take(engine, message, sender)
  shutil.rmtree(folder, ignore_errors=True)
  os._exit(0)  # threads that still work hold nobody up


def _begin(given: dict[str, Any], folder: pathlib.Path, sender: Sender) -> Any:
  """The engine, ready; a network that cannot be used is said to the front, and ends the process."""
  work = Work(**{key: tuple(value) if isinstance(value, list) else value for key, value in given.items()})
  machine.share_heaps()
  warnings.simplefilter('ignore')
  try:
    import_modules(work.imports)
    from lesion_jax.bulk import Refused
    from lesion_jax.serve.engine import Engine

    try:
      engine = Engine(work, folder)
      seconds = engine.warm_up()
    except Refused as error:
      raise ValueError(f'--{error}' if error.option else str(error)) from error
  except (ImportError, MissingExtra, OSError, RuntimeError, ValueError) as error:
    sender.send({'event': 'failed', 'error': str(error)})
    os._exit(2)
  sender.send({'event': 'ready', 'at_once': engine.at_once, 'model': engine.describe() | {
      'seconds_a_photograph': round(seconds, 3)}})
  return engine


def _fall_silent(nothing: int) -> None:
  """From the first photograph on, nothing that a library says goes anywhere: it may be of a patient. Where a crash was in the
  code still does."""
  faulthandler.enable(os.fdopen(os.dup(2), 'w'), all_threads=False)
  logging.disable()
  os.dup2(nothing, 1)
  os.dup2(nothing, 2)


def _take(engine: Any, message: frames.Frame, sender: Sender) -> None:
  header = message.header

  def answer(found: Any) -> None:
    sender.send({'id': header['id'], **found.header}, found.blobs)

  if header['op'] == 'predict':
    engine.predict(message.blobs[0], header['name'], header['include'], answer)
  else:
    engine.report(header['photographs'], message.blobs, answer)


def command() -> list[str]:
  """Returns how another process becomes a worker."""
  return [sys.executable, '-c', PROGRAM, *(path or os.curdir for path in sys.path)]
