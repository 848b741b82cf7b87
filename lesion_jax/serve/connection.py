"""How long a connection may take, and how many there may be: what uvicorn leaves to a proxy, which there may not be.

A caller that asks for nothing, or that does not take its answer, keeps a place and memory. Time for the body of a request is
kept where it is read, see `upload`.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from lesion_jax.serve.settings import Settings

LOOK = 1.0  # seconds between two looks at a connection
LINGERING = 5.0  # seconds that closing may take
SLOWEST = 4096  # bytes a second at which an answer has to be taken


def refusal(status: str, said: str) -> bytes:
  """Returns an answer in full, for a connection on which nothing else is said."""
  body = json.dumps({'error': said}).encode() + b'\n'
  return (f'HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n'
          f'{"retry-after: 2" + chr(13) + chr(10) if status.startswith("503") else ""}connection: close\r\n\r\n').encode() + body


class Line:
  """Tells whether a caller takes what is sent. A slow line is one that takes it: what is left has to become less by SLOWEST.

  Args:
    seconds: in which it has to.
  """

  def __init__(self, seconds: float):
    self._seconds = seconds
    self._since: tuple[float, int] | None = None  # when it was last looked, and how many bytes were left

  def takes(self, now: float, unsent: int) -> bool:
    """Returns False where `unsent` bytes, that are left at `now`, are too many for what was left before."""
    since, before = self._since or (now, unsent)
    if not unsent or now - since <= self._seconds:
      self._since = (since, before) if unsent else None
      return True
    self._since = now, unsent
    return before - unsent >= SLOWEST * (now - since)


def protocol(settings: Settings) -> type[H11Protocol]:
  """Returns the class of connections of a service."""

  class Connection(H11Protocol):
    """A connection that is closed when its time is over."""

    def connection_made(self, transport: Any) -> None:
      super().connection_made(transport)
      self._since, self._closing, self._heard = time.monotonic(), None, False
      self._line = Line(settings.send_seconds)
      self._look: asyncio.TimerHandle | None = self.loop.call_later(LOOK, self._watch)
      self._turned_away = len(self.connections) > settings.connections
      if self._turned_away:
        self._say('503 Service Unavailable', 'the service has as many connections as it may have; ask again later')

    def data_received(self, data: bytes) -> None:
      if not self._turned_away and not self.transport.is_closing():
        self._heard = True
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
      if self._look:
        self._look.cancel()
      super().connection_lost(exc)

    def on_response_complete(self) -> None:
      self._since, self._heard = time.monotonic(), False
      super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
      del msg
      if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
        self._say('400 Bad Request', 'this is no HTTP request')
      else:
        self.transport.abort()

    def _say(self, status: str, said: str) -> None:
      if not self.transport.is_closing():
        self.transport.write(refusal(status, said))
        self.transport.close()

    def _watch(self) -> None:
      self._look = self.loop.call_later(LOOK, self._watch)
      now, unsent = time.monotonic(), self.transport.get_write_buffer_size()
      self._closing = (self._closing or now) if self.transport.is_closing() and not unsent else None
      if self._closing and now - self._closing > LINGERING or not self._line.takes(now, unsent):
        self.transport.abort()
      elif (self.cycle is None or self.cycle.response_complete) and not self.transport.is_closing() and (
          now - self._since > settings.header_seconds):
        if self._heard and self.conn.our_state is h11.IDLE:
          self._say('408 Request Timeout', f'no request came within {settings.header_seconds:g} seconds')
        else:
          self.transport.close()

  return Connection
