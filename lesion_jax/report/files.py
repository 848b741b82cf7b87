"""Writing files: whole or not at all, and grey pictures fast."""

from __future__ import annotations

import pathlib

import numpy as np

from lesion_jax.photograph.png import encode_png
from lesion_jax.whole import whole


def write_whole(path: pathlib.Path, text: str) -> None:
  """Writes UTF-8 text. Whenever the writer dies, `path` is either as it was or holds all of the text.

  Line ends stay as they are in the text; what UTF-8 has no place for (a file name in another encoding) is escaped.
  """
  with whole(path) as fresh:
    fresh.write_bytes(text.encode('utf-8', 'backslashreplace'))


def write_grey(path: pathlib.Path, pixels: np.ndarray) -> None:
  """Writes uint8 [H, W] as a grey PNG, bool [H, W] as one of a bit a pixel."""
  path.write_bytes(encode_png(pixels))
