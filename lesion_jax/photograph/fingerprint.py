"""A small fingerprint of a photograph, by which it is known again when it was resized or compressed anew."""

from __future__ import annotations

import numpy as np
from PIL import Image

SIDE, SMALL = 32, 16
BLOCK = 2048  # fingerprints that are compared with as many others at once
GAIN = (0.8, 1.25)  # by which one copy may be brighter than another
# Levels of 255 up to which two fingerprints are of one photograph. Of IDRiD's 81 and 492 (measured), at 32 x 32 copies have at
# most 1.7 and others at least 4.0; at 16 x 16 at most 1.3, and at least 3.6.
SAME = 2.5


def fingerprint(square: np.ndarray) -> np.ndarray:
  """Returns the field of view at 32 x 32, each pixel the mean of what it covers (our choice).

  Args:
    square: uint8 [S, S, 3], RGB, the square around the field of view.

  Returns:
    uint8 [32, 32, 3].
  """
  return np.asarray(Image.fromarray(square).resize((SIDE, SIDE), Image.Resampling.BOX))


def distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
  """Returns how far fingerprints are apart: the root mean square difference in levels of 255, whatever the exposure.

  The second is brightened or darkened to fit the first, by a factor within GAIN, so that a copy whose brightness was
  changed is still one.

  Args:
    one: uint8 [N, S, S, 3].
    other: uint8 [M, S, S, 3].

  Returns:
    float64 [N, M].
  """
  a, b = (np.asarray(each, np.float64).reshape(len(each), -1) for each in (one, other))
  product, own, others = a @ b.T, np.sum(a * a, axis=1)[:, None], np.sum(b * b, axis=1)[None]
  gain = np.clip(product / np.maximum(others, 1), *GAIN)
  squared = own - 2 * gain * product + gain * gain * others
  return np.sqrt(np.maximum(squared, 0) / max(1, a.shape[1]))


def twins(one: np.ndarray, other: np.ndarray) -> np.ndarray:
  """Returns which fingerprints of the first are of a photograph that is among the second, bool [N].

  They are compared by blocks: the memory that this takes does not grow with N and M.

  Args:
    one: uint8 [N, S, S, 3].
    other: uint8 [M, S, S, 3].
  """
  found = np.zeros(len(one), bool)
  for start in range(0, len(one), BLOCK):
    rows = slice(start, start + BLOCK)
    for there in range(0, len(other), BLOCK):
      found[rows] |= distances(one[rows], other[there:there + BLOCK]).min(axis=1) <= SAME
  return found


def twins_of(one: np.ndarray, other: np.ndarray) -> list[np.ndarray]:
  """Returns for each fingerprint of the first the places in the second of the same photograph, ascending, int [of any
  length].

  By blocks, as `twins`.

  Args:
    one: uint8 [N, S, S, 3].
    other: uint8 [M, S, S, 3].
  """
  found: list[list[np.ndarray]] = [[np.zeros(0, int)] for _ in one]
  for start in range(0, len(one), BLOCK):
    for there in range(0, len(other), BLOCK):
      near = distances(one[start:start + BLOCK], other[there:there + BLOCK]) <= SAME
      for row, column in np.argwhere(near):
        found[start + row].append(np.array([there + column]))
  return [np.concatenate(places) for places in found]


def reduced(prints: np.ndarray) -> np.ndarray:
  """Fingerprints at 16 x 16, means of 2 x 2 pixels: those that are compared and kept in bundles, a quarter of the size.

  Args:
    prints: uint8 [N, 32, 32, 3].

  Returns:
    uint8 [N, 16, 16, 3].
  """
  cells = prints.reshape(len(prints), SMALL, 2, SMALL, 2, 3).astype(np.uint16)
  return ((cells.sum(axis=(2, 4), dtype=np.uint16) + 2) // 4).astype(np.uint8)
