"""Which way up a photograph lies, by EXIF. Needs Pillow alone, so that exports carry this file."""

from __future__ import annotations

import struct
from typing import Any

from PIL import Image

ORIENTATION, ACROSS = 0x0112, (5, 6, 7, 8)  # of EXIF; those that exchange rows and columns
TURNS = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
         5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90}
# What Pillow raises for EXIF that is damaged.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, ArithmeticError, struct.error)


def exif_orientation(image: Image.Image) -> Any:
  """Returns what EXIF or XMP says of an open image, 1 to 8 if it is one of those; None where they say nothing, or are damaged: that is no
  damage of the pixels."""
  try:
    return image.getexif().get(ORIENTATION)
  except _DAMAGE:
    return None


def turned(image: Image.Image) -> Image.Image:
  """Returns an image upright, its pixels loaded. Pillow itself turns a TIFF as it loads it; its `exif_transpose` writes EXIF anew, which
  fails where that is odd. Raises what Pillow does where the pixels are damaged."""
  image.load()
  turn = TURNS.get(exif_orientation(image))
  return image if turn is None else image.transpose(turn)
