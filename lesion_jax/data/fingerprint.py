"""A small fingerprint of a photograph, by which it is known again when it was resized or compressed anew."""

from __future__ import annotations

import numpy as np
from PIL import Image

SIDE = 32


def fingerprint(square: np.ndarray) -> np.ndarray:
  """The field of view at 32 x 32, each pixel the mean of what it covers (our choice).

  Args:
    square: uint8 [S, S, 3], RGB, the square around the field of view.

  Returns:
    uint8 [32, 32, 3].
  """
  return np.asarray(Image.fromarray(square).resize((SIDE, SIDE), Image.Resampling.BOX))
