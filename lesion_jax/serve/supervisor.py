"""The front's side of the worker: it is started, given photographs, waited for, and started anew when it ends.

What was in a worker that ended is lost, and said so; what waited in front of it goes to the next one. A worker that answers to
nothing for too long is killed, and that is then such an end.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import pathlib
import time
from collections.abc import Sequence
from typing import Any

from lesion_jax.serve import frames, private, worker
from lesion_jax.serve.settings import Settings
from lesion_jax.serve.telemetry import LONGEST, Log, Metrics

PAUSES = (0.5, 2.0, 5.0, 15.0, 30.0)  # seconds before each further start in a row that failed; after the last one it is given up
SECOND_LOOK = 1.0  # seconds between two looks at whether the worker still answers
ENDING = 5.0  # seconds that it may take to end
LOST = 'lost'


class Unavailable(Exception):
  """There is no answer now; the message says why. `after`: seconds until it is worth to ask again."""

  def __init__(self, said: str, after: float) -> None:
    super().__init__(said)
    self.after = after


class Supervisor:
  """One worker after the other.

  Args:
    settings: of the service.
    folder: private, for the worker.
    log: where it is said what happens.
    metrics: likewise.

  Attributes:
    model: what the worker says of its network; {} before it was ready for the first time.
    failure: why there will be no worker any more; ''.
    ended: is set then.
    process: number of the worker's process; None where there is none.
  """

  def __init__(self, settings: Settings, folder: pathlib.Path, log: Log, metrics: Metrics) -> None:
    self.settings, self.folder, self.log, self.metrics = settings, folder, log, metrics
    self.model: dict[str, Any] = {}
    self.failure, self.ended = '', asyncio.Event()
    self._ready, self._slots = asyncio.Event(), asyncio.Semaphore(1)
    self._pending: dict[int, tuple[asyncio.Future[frames.Frame], float]] = {}
    self._numbers, self._answered = itertools.count(1), 0.0
    self._child: asyncio.subprocess.Process | None = None
    self._running: asyncio.Task[None] | None = None

  @property
  def ready(self) -> bool:
    """Whether photographs are taken."""
    return self._ready.is_set()

  @property
  def process(self) -> int | None:
    """Number of the worker's process."""
    return self._child.pid if self._child and self._child.returncode is None else None

  def start(self) -> None:
    """Begins; readiness comes later."""
    self._running = asyncio.create_task(self._run())

  async def stop(self) -> None:
    """Ends the worker, and whoever waits for it."""
    if self._running:
      self._running.cancel()
      with contextlib.suppress(asyncio.CancelledError):
        await self._running
    await self._end(ENDING)
    self._lose()

  async def ask(self, header: dict[str, Any], blobs: Sequence[bytes], patience: int = 1) -> frames.Frame:
    """Has the worker do something.

    Args:
      header: with 'op'.
      blobs: what belongs to it.
      patience: as many times `wait_seconds` are waited.

    Returns:
      Its answer, see `engine.Answer`.

    Raises:
      Unavailable: it takes too long, or the worker ended over it.
    """
    seconds, loop = patience * self.settings.wait_seconds, asyncio.get_running_loop()
    try:
      async with asyncio.timeout(seconds):
        answer = await asyncio.shield(await self._give(header, blobs, loop))
    except TimeoutError:
      raise Unavailable(f'no answer within {seconds:g} seconds: the service has more to do than it can, or was started anew; ask '
                        'again later', 10) from None
    if answer.header['status'] == LOST:
      raise Unavailable('the part of the service that reads photographs ended while it had this one, and is started anew; ask '
                        'again. A photograph with which this happens each time is one that it cannot read', 5)
    return answer

  async def _give(
      self, header: dict[str, Any], blobs: Sequence[bytes], loop: asyncio.AbstractEventLoop,
  ) -> asyncio.Future[frames.Frame]:
    """Writes a message once there is room for it, and returns what its answer will be. The room is taken until then, whether
    anybody still waits or not."""
    while True:
      await self._ready.wait()
      slots = self._slots
      await slots.acquire()
      if self.ready and slots is self._slots:
        break
      slots.release()  # of a worker that ended meanwhile
    future, number = loop.create_future(), next(self._numbers)
    future.add_done_callback(lambda _: slots.release())
    self._pending[number] = future, time.monotonic()
    pipe = self._child.stdin
    for piece in frames.encode(header | {'id': number}, blobs):  # all of it at once: nothing comes between two pieces
      pipe.write(piece)
    with contextlib.suppress(ConnectionError):  # it has ended, which is seen where it is read
      await pipe.drain()
    return future

  async def _run(self) -> None:
    """A worker after the other, until there is no use."""
    failures = 0
    while True:
      try:
        was_ready, said = await self._serve()
      except (OSError, ValueError, LookupError) as error:  # no process could be started, or it speaks another language
        was_ready, said = False, f'the worker cannot be used: {error}'
        await self._end(0)
      failures = 0 if was_ready else failures + 1
      if not self.model or failures > len(PAUSES):  # it never was, or is no more
        self.failure = said or 'the worker ended before it was ready'
        self.log('given up', 'error', cause=self.failure)
        self.ended.set()
        return
      self.metrics.restarts.inc()
      await asyncio.sleep(PAUSES[max(failures - 1, 0)])

  async def _serve(self) -> tuple[bool, str]:
    """One worker from its start to its end; returns whether it was ready, and what it said where it could not be."""
    child = self._child = await asyncio.create_subprocess_exec(
        *worker.command(), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        start_new_session=True)
    watching = [asyncio.create_task(each) for each in (self._listen(child.stderr), self._look(child))]
    said = ''
    try:
      for piece in frames.encode({'folder': str(self.folder), 'work': dataclasses.asdict(self.settings.work)}):
        child.stdin.write(piece)
      while (frame := await frames.receive(child.stdout)) is not None:
        if frame.header.get('event') == 'failed':
          said = frame.header['error']
        elif frame.header.get('event') == 'ready':
          self._begin(frame.header)
        elif (waiting := self._pending.pop(frame.header['id'], None)) is not None:
          self._answered = time.monotonic()
          waiting[0].set_result(frame)
        del frame
      await self._end(1)
    finally:
      for task in watching:
        task.cancel()
      was_ready = self.ready
      self._ready.clear()
      self.metrics.ready.set(0)
    self.log('worker ended', 'error', status=child.returncode, lost=len(self._pending), cause=said or None)
    self._lose()
    private.empty(self.folder)
    return was_ready, said

  def _begin(self, header: dict[str, Any]) -> None:
    self.model, self._slots = header['model'], asyncio.Semaphore(header['at_once'])
    self._ready.set()
    self.metrics.ready.set(1)
    self.log('ready', network=self.model['name'], digest=self.model['digest'], devices=self.model['devices'],
             seconds_a_photograph=self.model['seconds_a_photograph'])

  def _lose(self) -> None:
    """Tells all who wait for a worker that it is no more."""
    pending, self._pending = self._pending, {}
    for future, _ in pending.values():
      if not future.done():
        future.set_result(frames.Frame({'status': LOST}, []))

  async def _end(self, seconds: float) -> None:
    """Ends the worker: by its standard input, and where that takes longer, at once."""
    child = self._child
    if child is None:
      return
    if child.returncode is None:
      child.stdin.close()
      try:
        async with asyncio.timeout(seconds):
          await child.wait()
      except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
          child.kill()
    await child.wait()

  async def _listen(self, lines: asyncio.StreamReader) -> None:
    """What the worker says on standard error, which is nothing of photographs, see `worker`."""
    while said := await lines.read(1 << 16):
      for line in said.decode('utf-8', 'replace').splitlines():
        self.log('worker says', 'warning', text=line.strip()[:LONGEST])

  async def _look(self, child: asyncio.subprocess.Process) -> None:
    """Kills a worker that has something to do and has not answered to anything for twice as long as anybody waits."""
    while True:
      await asyncio.sleep(SECOND_LOOK)
      oldest = min((since for _, since in self._pending.values()), default=None)
      if oldest is not None and time.monotonic() - max(oldest, self._answered) > 2 * self.settings.wait_seconds:
        self.log('worker killed', 'error', cause='it has not answered for too long')
        with contextlib.suppress(ProcessLookupError):
          child.kill()
        return
