"""Reads ordinary files of photographs with Pillow."""

from __future__ import annotations

import os

import numpy as np
from PIL import Image, ImageOps


def read_photograph(path: str | os.PathLike) -> np.ndarray:
  """Returns a file as uint8 [H, W, 3], RGB, upright by its EXIF orientation, transparency dropped; of several pictures
  the first.

  Raises:
    OSError: it is no picture, or damaged.
    ValueError: its numbers have more than 8 bits, whose white is not known.
  """
  with Image.open(path) as image:
    if image.mode.startswith(('I', 'F')):
      raise ValueError(f'its pixels are numbers of more than 8 bits ({image.mode!r}); convert it to 8 bits a channel')
    ImageOps.exif_transpose(image, in_place=True)
    return np.array(image if image.mode == 'RGB' else image.convert('RGB'))
