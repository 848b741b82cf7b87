"""Writing files: whole or not at all, and grey pictures fast."""

from __future__ import annotations

import os
import pathlib
import struct
import zlib

import numpy as np


def write_whole(path: pathlib.Path, text: str) -> None:
  """Writes UTF-8 text. Whenever the writer dies, `path` is either as it was or holds all of the text.

  Line ends stay as they are in the text; what UTF-8 has no place for (a file name in another encoding) is escaped.
  """
  fresh = path.with_name(f'.{path.name}.new')
  try:
    fresh.write_bytes(text.encode('utf-8', 'backslashreplace'))
    os.replace(fresh, path)
  except OSError:
    fresh.unlink(missing_ok=True)
    raise


def write_grey(path: pathlib.Path, pixels: np.ndarray) -> None:
  """Writes uint8 [H, W] as a grey PNG, without the search for a filter that takes Pillow most of its time.

  Masks are flat: they pack well by runs alone.
  """
  height, width = pixels.shape
  rows = np.zeros((height, width + 1), np.uint8)  # each row begins with its filter, 0 = none
  rows[:, 1:] = pixels
  packer = zlib.compressobj(1, zlib.DEFLATED, 15, 9, zlib.Z_RLE)
  packed = packer.compress(rows.data) + packer.flush()
  chunks = [(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 0, 0, 0, 0)), (b'IDAT', packed), (b'IEND', b'')]
  path.write_bytes(b'\x89PNG\r\n\x1a\n' + b''.join(
      struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data)) for name, data in chunks))
