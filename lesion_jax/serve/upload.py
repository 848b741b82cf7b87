"""What a caller sends, in memory alone: Starlette's own reader of forms would put larger files on a disk."""

from __future__ import annotations

import asyncio
import contextlib
import re
import urllib.parse
from collections.abc import Iterator
from typing import Any, NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from lesion_jax.serve.settings import Settings

UNNAMED = 'photograph'
LONGEST_NAME = 200  # characters of a name
LARGEST_HEADER, MOST_HEADERS = 4096, 8  # of a part: bytes of one, and how many
MOST_EMPTY = 16  # fields of a form in which nothing was chosen
# What is not shown of a name: signs that end lines, and those that turn the direction of writing.
UNSHOWN = re.compile('[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]')
EXTENDED = re.compile(rb";\s*filename\*\s*=\s*utf-8'[\w-]*'([^\s;\"]*)", re.IGNORECASE)
EMPTY = 'the body is empty; send the bytes of a photograph, or a form with it'


class Refusal(Exception):
  """A request that is not done. `status`: of HTTP; `why`: a word for the metrics; `after`: seconds until it may be."""

  def __init__(self, status: int, why: str, said: str, after: float | None = None) -> None:
    super().__init__(said)
    self.status, self.why, self.after = status, why, after


class Photograph(NamedTuple):
  """A file that came: its name without folders, and its bytes."""

  name: str
  data: bytes


class Gate:
  """Who is let in: so many photographs, and so many bytes for all of them.

  Args:
    settings: of the service.
    metrics: that say how full it is.
  """

  def __init__(self, settings: Settings, metrics: Any) -> None:
    self._settings, self._metrics = settings, metrics
    self._bytes = self._photographs = 0
    self.pause = 2.0  # seconds after which there may be room again

  @contextlib.contextmanager
  def bytes(self, size: int) -> Iterator[None]:
    """Opens a context in which so many bytes may be held. Raises Refusal, 503, where there is no room."""
    if self._bytes + size > self._settings.held_bytes:
      raise Refusal(503, 'bytes', 'the service holds as much for others as it may; ask again later', self.pause)
    self._bytes += size
    self._metrics.held.set(self._bytes)
    try:
      yield
    finally:
      self._bytes -= size
      self._metrics.held.set(self._bytes)

  @contextlib.contextmanager
  def photographs(self, number: int) -> Iterator[None]:
    """Opens a context in which so many photographs may wait or be at work. Raises Refusal, 503, where there is no room."""
    self.look(number)
    self._photographs += number
    self._metrics.queue.set(self._photographs)
    try:
      yield
    finally:
      self._photographs -= number
      self._metrics.queue.set(self._photographs)

  def look(self, number: int) -> None:
    """Raises Refusal, 503, where there is no room for so many photographs now."""
    if self._photographs and self._photographs + number > self._settings.queue:
      raise Refusal(503, 'queue', f'{self._photographs} photographs are waiting or at work, and no more are taken; ask again later',
                    self.pause)


# Who says no length and sends too much is heard out to so many times what is taken, and nothing of it kept: he would not read the answer
# before he has sent all, and would see a connection that broke.
OVERFLOW = 4


def announced(request: Request, most: int) -> int:
  """Returns how many bytes may come: what the caller says, or the most where it says nothing.

  Raises:
    Refusal: it is more than that, no number, or packed.
  """
  if request.headers.get('content-encoding', 'identity') != 'identity':
    raise Refusal(415, 'encoding', 'the body is packed (Content-Encoding); send it as it is, as photographs are packed themselves')
  size = request.headers.get('content-length')
  if size is None:
    return most
  if not size.isdecimal():
    raise Refusal(400, 'length', 'Content-Length is no number')
  if int(size) > most:
    raise Refusal(413, 'large', f'the body has {int(size):,} bytes, more than the {most:,} that are taken')
  return int(size)


async def read(request: Request, settings: Settings, most: int, photographs: int, metrics: Any) -> list[Photograph]:
  """Reads the photographs of a request: a form (multipart/form-data) with files, or one photograph's bytes as they are.

  Args:
    request: whose body was not read.
    settings: of the service.
    most: bytes of the body.
    photographs: at most.
    metrics: that count bytes.

  Raises:
    Refusal: there is none, there are too many, it is too large or too slow, or no form.
    starlette.requests.ClientDisconnect: the caller is gone.
  """
  kind, options = parse_options_header(request.headers.get('content-type', ''))
  if kind == b'application/x-www-form-urlencoded':
    raise Refusal(415, 'form', 'a form without files; send multipart/form-data (curl -F photograph=@file), or the bytes of the photograph '
                  'as they are (curl --data-binary @file -H "Content-Type: application/octet-stream")')
  if kind == b'multipart/form-data':
    body: _Form | _Plain = _Form(options.get(b'boundary', b''), photographs)
  else:
    body = _Plain()
  total = 0
  try:
    async with asyncio.timeout(settings.body_seconds):
      async for piece in request.stream():
        total += len(piece)
        metrics.received.inc(len(piece))
        if total > OVERFLOW * most:
          break
        if piece and total <= most:
          body.write(piece)
  except TimeoutError:
    if total <= most:
      raise Refusal(408, 'slow', f'the body did not come within {settings.body_seconds:g} seconds') from None
  if total > most:
    raise Refusal(413, 'large', f'the body has more than the {most:,} bytes that are taken')
  return body.photographs()


class _Plain:
  """One photograph's bytes."""

  def __init__(self) -> None:
    self._data = bytearray()

  def write(self, piece: bytes) -> None:
    self._data += piece

  def photographs(self) -> list[Photograph]:
    if not self._data:
      raise Refusal(400, 'empty', EMPTY)
    return [Photograph(UNNAMED, bytes(self._data))]


class _Form:
  """The files of multipart/form-data (RFC 7578)."""

  def __init__(self, boundary: bytes, most: int) -> None:
    self._most, self._found = most, list[Photograph]()
    self._headers: dict[bytes, bytes] = {}
    self._header, self._value, self._data = bytearray(), bytearray(), bytearray()
    self._ended, self._empty = False, 0
    try:
      self._parser = MultipartParser(boundary, {
          'on_part_begin': self._begin, 'on_part_data': self._part_data, 'on_part_end': self._part_end,
          'on_header_field': self._header_field, 'on_header_value': self._header_value, 'on_header_end': self._header_end,
          'on_end': self._end}, max_header_count=MOST_HEADERS, max_header_size=LARGEST_HEADER)
    except FormParserError:
      raise Refusal(400, 'form', 'the form names no boundary that can be one') from None
    if not boundary:
      raise Refusal(400, 'form', 'the form names no boundary')

  def write(self, piece: bytes) -> None:
    try:
      self._parser.write(piece)
    except FormParserError:
      raise Refusal(400, 'form', 'the form is broken: it is not as multipart/form-data has to be') from None

  def photographs(self) -> list[Photograph]:
    if not self._ended:
      raise Refusal(400, 'form', 'the form is cut off before its end')
    if not self._found:
      raise Refusal(400, 'empty', 'the form has no file; send one with a name (curl -F photograph=@file)')
    return self._found

  def _begin(self) -> None:
    self._headers, self._data = {}, bytearray()
    self._header, self._value = bytearray(), bytearray()

  def _header_field(self, data: bytes, start: int, end: int) -> None:
    self._header += data[start:end]

  def _header_value(self, data: bytes, start: int, end: int) -> None:
    self._value += data[start:end]

  def _header_end(self) -> None:
    self._headers[bytes(self._header).lower()] = bytes(self._value)
    self._header, self._value = bytearray(), bytearray()

  def _part_data(self, data: bytes, start: int, end: int) -> None:
    self._data += data[start:end]

  def _part_end(self) -> None:
    disposition = self._headers.get(b'content-disposition', b'')
    _, options = parse_options_header(disposition)
    name, data = options.get(b'filename', _extended(disposition)), self._data
    self._data = bytearray()
    if name is None:
      raise Refusal(400, 'form', 'the form has a field that is no file; options go into the address (?include=masks)')
    if not name and not data:  # a field of a page in which nothing was chosen
      self._empty += 1
      if self._empty > MOST_EMPTY:
        raise Refusal(400, 'form', 'the form has too many fields without a file')
      return
    if not data:
      raise Refusal(400, 'empty', 'a file of the form is empty')
    if len(self._found) == self._most:
      raise Refusal(400, 'many', f'the form has more than {self._most} {"file" if self._most == 1 else "files"}')
    self._found.append(Photograph(clean(name.decode('utf-8', 'replace')), bytes(data)))

  def _end(self) -> None:
    self._ended = True


def _extended(disposition: bytes) -> bytes | None:
  """A name that is written as filename*=utf-8''%C3%A4.jpg (RFC 8187), as some clients do where it has other letters than ASCII's; None
  where there is none."""
  found = EXTENDED.search(disposition)
  return urllib.parse.unquote_to_bytes(found[1]) if found else None


def clean(name: str) -> str:
  """Returns a name without folders and without what is not shown; UNNAMED where nothing is left."""
  name = UNSHOWN.sub('', re.split(r'[/\\]', name)[-1]).strip()
  return name[:LONGEST_NAME] if name.strip('.') else UNNAMED
