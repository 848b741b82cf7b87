"""Writing files: whole or not at all, and grey pictures fast."""

from __future__ import annotations

import os
import pathlib
import uuid

import numpy as np

from lesion_jax.photograph.png import encode_png


def write_whole(path: pathlib.Path, text: str) -> None:
  """Writes UTF-8 text. Whenever the writer dies, `path` is either as it was or holds all of the text.

  Line ends stay as they are in the text; what UTF-8 has no place for (a file name in another encoding) is escaped.
  """
  fresh = path.with_name(f'.{path.name}.{uuid.uuid4().hex[:8]}.new')  # another process may be writing it as well
  try:
    fresh.write_bytes(text.encode('utf-8', 'backslashreplace'))
    os.replace(fresh, path)
  except OSError:
    fresh.unlink(missing_ok=True)
    raise


def write_grey(path: pathlib.Path, pixels: np.ndarray) -> None:
  """Writes uint8 [H, W] as a grey PNG, bool [H, W] as one of a bit a pixel."""
  path.write_bytes(encode_png(pixels))
