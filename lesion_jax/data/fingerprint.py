"""A small fingerprint of a photograph, by which it is known again when it was resized or compressed anew."""

from __future__ import annotations

import numpy as np
from PIL import Image

SIDE = 32
GAIN = (0.8, 1.25)  # by which one copy may be brighter than another
SAME = 2.5  # levels of 255 up to which two fingerprints are of one photograph: of IDRiD, copies have at most 1.7, others from 4


def fingerprint(square: np.ndarray) -> np.ndarray:
  """The field of view at 32 x 32, each pixel the mean of what it covers (our choice).

  Args:
    square: uint8 [S, S, 3], RGB, the square around the field of view.

  Returns:
    uint8 [32, 32, 3].
  """
  return np.asarray(Image.fromarray(square).resize((SIDE, SIDE), Image.Resampling.BOX))


def distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
  """How far fingerprints are apart: the root mean square difference in levels of 255, whatever the exposure.

  The second is brightened or darkened to fit the first, by a factor within GAIN, so that a copy whose brightness was
  changed is still one.

  Args:
    one: uint8 [N, 32, 32, 3].
    other: uint8 [M, 32, 32, 3].

  Returns:
    float64 [N, M].
  """
  a, b = (np.asarray(each, np.float64).reshape(len(each), -1) for each in (one, other))
  product, own, others = a @ b.T, np.sum(a * a, axis=1)[:, None], np.sum(b * b, axis=1)[None]
  gain = np.clip(product / np.maximum(others, 1), *GAIN)
  squared = own - 2 * gain * product + gain * gain * others
  return np.sqrt(np.maximum(squared, 0) / max(1, a.shape[1]))


def twins(one: np.ndarray, other: np.ndarray) -> np.ndarray:
  """Which fingerprints of the first are of a photograph that is among the second, bool [N]."""
  if not len(one) or not len(other):
    return np.zeros(len(one), bool)
  return distances(one, other).min(axis=1) <= SAME
