"""What the service tells those who run it: metrics for Prometheus, and a line of JSON for each thing that happens.

Neither holds a name of a file, a path of a caller's, an address that was asked for beyond the routes that there are, or a word
out of a photograph.
"""

from __future__ import annotations

import datetime
import json
import logging
import os
import pathlib
import sys
import threading
from typing import Any, TextIO

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160)
LONGEST = 500  # characters of a text in a log


class Log:
  """Lines of JSON: 'time' (UTC), 'level', 'event' and what belongs to it."""

  def __init__(self, file: TextIO | None = None) -> None:
    self._file, self._lock = file, threading.Lock()

  def __call__(self, event: str, level: str = 'info', **fields: Any) -> None:
    """Writes a line; a log that cannot be written stops nothing."""
    line = json.dumps({'time': datetime.datetime.now(datetime.UTC).isoformat(timespec='milliseconds'), 'level': level,
                       'event': event} | {key: value for key, value in fields.items() if value is not None}, default=str)
    with self._lock:
      try:
        print(line, file=self._file or sys.stderr, flush=True)
      except (OSError, ValueError):
        pass


class Handler(logging.Handler):
  """Python's own logging as such lines: the message as it was written, without what was put into it, and of an exception its kind
  and place."""

  def __init__(self, log: Log) -> None:
    super().__init__(logging.WARNING)
    self._log = log

  def emit(self, record: logging.LogRecord) -> None:
    """Writes a line."""
    cause = None
    if record.exc_info and record.exc_info[1] is not None:
      trace = record.exc_info[2]
      while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
      cause = type(record.exc_info[1]).__name__ + (
          f' at {pathlib.Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}' if trace else '')
    self._log('log', record.levelname.lower(), logger=record.name, message=str(record.msg)[:LONGEST].strip(), cause=cause)


class Metrics:
  """What is counted and measured, in a registry of its own."""

  def __init__(self) -> None:
    self.registry = registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    name = lambda what: f'lesion_jax_{what}'
    self.requests = Counter(name('requests'), 'Answers, by route and status.', ['route', 'status'], registry=registry)
    self.request_seconds = Histogram(name('request_seconds'), 'From the first byte of a request to the last of its answer.', ['route'],
                                     buckets=SECONDS, registry=registry)
    self.photographs = Counter(name('photographs'), 'Photographs by what became of them.', ['outcome'], registry=registry)
    self.step_seconds = Histogram(name('step_seconds'), 'Of a photograph in the worker: queue, read, wait, network, write.', ['step'],
                                  buckets=SECONDS, registry=registry)
    self.batch = Histogram(name('batch_photographs'), 'Photographs in the pass in which a photograph was.', buckets=(1, 2, 4, 8, 16, 32, 64),
                           registry=registry)
    self.refused = Counter(name('refused'), 'Requests that were not let in, by why.', ['why'], registry=registry)
    self.received = Counter(name('received_bytes'), 'Bytes of bodies.', registry=registry)
    self.restarts = Counter(name('worker_restarts'), 'Workers that ended, and were started anew.', registry=registry)
    self.ready = Gauge(name('ready'), '1 where photographs are taken.', registry=registry)
    self.queue = Gauge(name('queue_photographs'), 'Photographs that are waiting or at work.', registry=registry)
    self.held = Gauge(name('held_bytes'), 'Bytes that are held for callers, or may become so.', registry=registry)
    self.worker_memory = Gauge(name('worker_resident_bytes'), "The worker's memory, on Linux.", registry=registry)

  def text(self, worker: int | None) -> tuple[bytes, str]:
    """Returns the text for Prometheus and its type.

    Args:
      worker: number of the worker's process.
    """
    self.worker_memory.set(resident(worker) if worker else 0)
    return generate_latest(self.registry), CONTENT_TYPE_LATEST


def resident(process: int) -> int:
  """Returns the bytes that a process has in memory, 0 where that is not known."""
  try:
    return int(pathlib.Path(f'/proc/{process}/statm').read_text('ascii').split()[1]) * os.sysconf('SC_PAGE_SIZE')
  except (OSError, ValueError, IndexError):
    return 0
