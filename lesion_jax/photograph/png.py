"""PNG that is small, fast to write and fast to read, on threads; and pictures of prepared records back to pixels.

Pillow tries five filters for each row, and holds the GIL while it writes to memory. Here photographs take each pixel
minus the one on its left, which compresses about as well, and masks are flat enough to do without.
"""

from __future__ import annotations

import functools
import io
import struct
import zlib

import numpy as np
from PIL import Image

SIGNATURE = b'\x89PNG\r\n\x1a\n'
NONE, SUB = 0, 1  # filters of a row
GREY, RGB = 0, 2  # colour types
FAST, MEMORY = 1, 9
HEADER = '>IIBBBBB'  # width, height, depth, colour type, and three of which the last is interlacing
BEFORE_HEADER = len(SIGNATURE) + 8  # the chunk's length and name
BEFORE_DATA = BEFORE_HEADER + struct.calcsize(HEADER) + 4  # and its checksum
AFTER_DATA = 4 + 12  # the checksum of the pixels, and the last chunk


def encode_png(pixels: np.ndarray) -> bytes:
  """Returns the bytes of a lossless PNG of uint8 [H, W], uint8 [H, W, 3], or of one bit a pixel: bool [H, W].

  Raises:
    ValueError: for an array of another kind.
  """
  grey = pixels.ndim == 2 and pixels.dtype in (np.uint8, np.bool_)
  if not grey and not (pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3):
    raise ValueError(f'expected uint8 [H, W] or [H, W, 3], or bool [H, W]; got {pixels.dtype} {list(pixels.shape)}')
  height, width = pixels.shape[:2]
  depth = 1 if pixels.dtype == np.bool_ else 8
  if grey:
    values = np.packbits(pixels, axis=1) if depth == 1 else pixels
    color, rows = GREY, np.full((height, values.shape[1] + 1), NONE, np.uint8)
    rows[:, 1:] = values
  else:
    color, rows = RGB, np.full((height, 3 * width + 1), SUB, np.uint8)
    flat = pixels.reshape(height, -1)
    rows[:, 1:4] = flat[:, :3]
    np.subtract(flat[:, 3:], flat[:, :-3], out=rows[:, 4:])
  packer = zlib.compressobj(FAST, zlib.DEFLATED, zlib.MAX_WBITS, MEMORY, zlib.Z_RLE)
  packed = packer.compress(rows.data) + packer.flush()
  header = struct.pack(HEADER, width, height, depth, color, 0, 0, 0)
  return SIGNATURE + _chunk(b'IHDR', header) + _chunk(b'IDAT', packed) + _chunk(b'IEND', b'')


def decode_picture(data: bytes) -> np.ndarray:
  """Decodes to uint8 [H, W, 3] the pixels of a JPEG or PNG in RGB, uint8 [H, W] of a grey one. What Pillow would read,
  bit by bit."""
  with Image.open(io.BytesIO(data)) as image:
    return np.asarray(image)


def decode_mask(data: bytes) -> np.ndarray:
  """Decodes to uint8 [H, W] the pixels of a grey PNG: `decode_picture` in half the time for what `encode_png` wrote,
  and in none for a mask in which nothing is set, as it is the same bytes each time."""
  width, height, depth, color, _, _, interlaced = struct.unpack_from(HEADER, data, BEFORE_HEADER)
  if data == _empty(height, width):
    return np.zeros((height, width), np.uint8)
  length, name = struct.unpack_from('>I4s', data, BEFORE_DATA)
  whole = BEFORE_DATA + 8 + length + AFTER_DATA == len(data)  # all in one chunk
  if whole and name == b'IDAT' and (depth, color, interlaced) == (8, GREY, 0):
    start = BEFORE_DATA + 8
    rows = zlib.decompress(memoryview(data)[start:start + length], bufsize=height * (width + 1))
    rows = np.frombuffer(rows, np.uint8).reshape(height, width + 1)
    if not rows[:, 0].any():  # no filter
      return rows[:, 1:]
  return decode_picture(data)


@functools.cache
def _empty(height: int, width: int) -> bytes:
  return encode_png(np.zeros((height, width), np.uint8))


def _chunk(name: bytes, data: bytes) -> bytes:
  return struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))


def check_png(data: bytes) -> None:
  """Holds the parts of a PNG that its pixels rest on to their check sums; Pillow leaves that of the coded pixels alone, and what is
  decoded from damaged ones looks like a photograph.

  Args:
    data: the file. What is cut off is not looked for.

  Raises:
    ValueError: what is damaged, in words that follow the file's name and a colon.
  """
  place = len(SIGNATURE)
  while place + 12 <= len(data):
    length, = struct.unpack_from('>I', data, place)
    name, end = data[place + 4:place + 8], place + 8 + length
    if name == b'IEND' or end + 4 > len(data):
      return
    if name[:1].isupper() and zlib.crc32(memoryview(data)[place + 4:end]) != struct.unpack_from('>I', data, end)[0]:
      raise ValueError(f'its part {name.decode("ascii", "replace")} is damaged, by its check sum; copy it again')
    place = end + 4
