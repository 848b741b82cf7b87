"""From a photograph to the square that the network takes. Needs NumPy and Pillow.

`prepare('photograph.jpg', **config['preprocessing'])` gives `pixels`, uint8 [S, S, 3], and `crop`, the place of that square in the
photograph; `crop.invert(map)` brings a map of the square back to the photograph's own pixels. It does what `lesion_jax.predict.prepare`
does, to the pixel: every export brings it along. What lesion_jax looks for besides, damage in files and whether a photograph can be
graded, it does not look for.
"""

from __future__ import annotations

import os
from typing import NamedTuple

import numpy as np

from lesion_jax.export.preprocessing.read import read_photograph
from lesion_jax.photograph.crop import SQUARE, Crop, locate, whole

MIN_SIDE = 64  # of a photograph, in pixels, unless the network takes fewer


class Square(NamedTuple):
  """What the network takes of a photograph.

  Attributes:
    pixels: uint8 [S, S, 3].
    crop: where they lie in the photograph.
    doubts: what is to be said of the photograph as a whole: 'second part', 'surround'.
  """

  pixels: np.ndarray
  crop: Crop
  doubts: tuple[str, ...]


def prepare(photograph: str | os.PathLike | np.ndarray, size: int, crop: str, window: int = 0) -> Square:
  """Cuts a photograph to the square around its field of view and resizes it.

  Args:
    photograph: a file, or uint8 [H, W, 3] in RGB, upright.
    size: side S of the square, in pixels: `preprocessing.size` of config.json.
    crop: likewise: 'field of view'; or 'square', where a photograph that is square stays as it is, if there is a field of view in it.
    window: likewise, and not used here: `windows.py` cuts what this returns.

  Raises:
    ValueError: it has fewer than MIN_SIDE pixels along a side, or no field of view, or two; or the file is not read.
  """
  del window
  image = photograph if isinstance(photograph, np.ndarray) else read_photograph(photograph)
  height, width = image.shape[:2]
  if min(height, width) < (least := min(MIN_SIDE, size)):
    raise ValueError(f'{height}x{width} pixels are too few to see a retina; expected {least} along each side')
  found, doubts = locate(image)
  if crop == SQUARE and height == width:
    found = whole(height, width)
  return Square(found.apply(image, size), found, doubts)
