"""TensorBoard's event file."""

from __future__ import annotations

import pathlib
import socket
import time
from typing import Any

from lesion_jax.extras import needs

with needs('train'):
  from tensorboardX import RecordWriter
  from tensorboardX.proto.event_pb2 import Event, SessionLog
  from tensorboardX.summary import scalar


class Events:
  """Writes scalars for TensorBoard, in the caller's thread.

  tensorboardX's SummaryWriter hands them to a thread of its own; once that has died of a full disk, the caller waits
  for ever for room in its queue.

  Args:
    directory: created when missing.
    start: steps already done; TensorBoard hides what an earlier file holds of later ones.

  Raises:
    OSError: here and in all methods, where the file cannot be written. They may be called again.
  """

  def __init__(self, directory: pathlib.Path, start: int):
    directory.mkdir(parents=True, exist_ok=True)
    # TensorBoard knows its files by this name.
    self._records = RecordWriter(str(directory / f'events.out.tfevents.{time.time():.0f}.{socket.gethostname()}'))
    self._write(file_version='brain.Event:2')
    self._write(step=start + 1, session_log=SessionLog(status=SessionLog.START))

  def scalar(self, step: int, name: str, value: float) -> None:
    """Adds one number to a curve."""
    self._write(step=step, summary=scalar(name, value))

  def flush(self) -> None:
    """Has everything on disk when it returns."""
    self._records.flush()

  def close(self) -> None:
    """Flushes and closes the file; may be called again."""
    self._records.close()

  def _write(self, **fields: Any) -> None:
    self._records.write(Event(wall_time=time.time(), **fields).SerializeToString())
