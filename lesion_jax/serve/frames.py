"""How front and worker speak: a header in JSON, and bytes behind it. Nothing that is read is run."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Sequence
from typing import Any, BinaryIO, NamedTuple

LENGTH = struct.Struct('>I')
LONGEST_HEADER = 16 << 20


class Frame(NamedTuple):
  """One message.

  Attributes:
    header: plain JSON.
    blobs: bytes, as many as the sender gave.
  """

  header: dict[str, Any]
  blobs: list[bytes]


def encode(header: dict[str, Any], blobs: Sequence[bytes] = ()) -> list[bytes]:
  """Returns a message as pieces that are to be written one after the other."""
  text = json.dumps(header | {'blobs': [len(blob) for blob in blobs]}).encode()
  return [LENGTH.pack(len(text)), text, *blobs]


def read(file: BinaryIO) -> Frame | None:
  """Reads a message; None at the end of the file, wherever in a message that is."""
  if not (text := _exactly(file, LENGTH.size)) or not (text := _exactly(file, _length(text))):
    return None
  header = json.loads(text)
  blobs = []
  for size in header.pop('blobs'):
    blob = _exactly(file, size)
    if blob is None:
      return None
    blobs.append(blob)
  return Frame(header, blobs)


async def receive(reader: asyncio.StreamReader) -> Frame | None:
  """Reads a message as `read` does, without stopping the others."""
  try:
    header = json.loads(await reader.readexactly(_length(await reader.readexactly(LENGTH.size))))
    return Frame(header, [await reader.readexactly(size) for size in header.pop('blobs')])
  except (asyncio.IncompleteReadError, ConnectionError):
    return None


def _length(text: bytes) -> int:
  length, = LENGTH.unpack(text)
  if length > LONGEST_HEADER:
    raise ValueError(f'a header of {length} bytes is none')
  return length


def _exactly(file: BinaryIO, size: int) -> bytes | None:
  data = file.read(size)
  return data if data is not None and len(data) == size else None
