"""Writing files: whole or not at all, and grey pictures fast; reading pictures that may be damaged."""

from __future__ import annotations

import contextlib
import pathlib
import struct
from collections.abc import Iterator

import numpy as np
from PIL import Image

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


@contextlib.contextmanager
def opened(path: pathlib.Path) -> Iterator[Image.Image]:
  """Opens a picture of a folder of results, which is decoded in the body.

  Raises:
    OSError: it cannot be read, or is damaged.
    ValueError: it is damaged: Pillow raises what is neither of these, too.
  """
  try:
    with Image.open(path) as image:
      yield image
  except (SyntaxError, EOFError, struct.error, Image.DecompressionBombError) as error:
    raise ValueError(f'{path} is damaged ({error}); predict again with --overwrite') from error
