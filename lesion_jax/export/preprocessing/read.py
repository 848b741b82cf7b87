"""Reads ordinary files of photographs with Pillow."""

from __future__ import annotations

import os

import numpy as np
from PIL import Image

from lesion_jax.photograph import tiff
from lesion_jax.photograph.orientation import turned


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
    upright = turned(image)
    return np.array(upright if upright.mode == 'RGB' else upright.convert('RGB'))
