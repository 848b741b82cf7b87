"""Reads ordinary files of photographs with Pillow."""

from __future__ import annotations

import os

import numpy as np
from PIL import Image

from lesion_jax.photograph import tiff

ORIENTATION = 0x0112  # of EXIF
TURNS = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
         5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90}


def read_photograph(path: str | os.PathLike) -> np.ndarray:
  """Returns a file as uint8 [H, W, 3], RGB, upright by its EXIF orientation, transparency dropped; of several pictures
  the first, of a TIFF the page that is the photograph, see `tiff.choose_page`.

  Raises:
    OSError: it is no picture, or damaged.
    ValueError: its numbers have more than 8 bits, whose white is not known, or are stored in a way that Pillow mistakes.
  """
  with Image.open(path) as image:
    if image.format == 'TIFF':
      tiff.choose_page(image)
    if image.mode.startswith(('I', 'F')):
      raise ValueError(f'its pixels are numbers of more than 8 bits ({image.mode!r}); convert it to 8 bits a channel')
    image.load()  # by which a TIFF is turned already
    try:
      turn = TURNS.get(image.getexif().get(ORIENTATION))
    except Exception:  # noqa: BLE001 (whatever Pillow raises for EXIF that is damaged: then nothing is known)
      turn = None
    turned = image if turn is None else image.transpose(turn)
    return np.array(turned if turned.mode == 'RGB' else turned.convert('RGB'))
