"""A small fingerprint of a photograph, by which it is known again: resized, compressed anew, brightened, tinted, mirrored or turned by
quarters. A copy that was cut, turned by a few degrees or whose contrast was changed much is not known (our choice)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image

SIDE, SMALL = 32, 16
BLOCK = 2048  # fingerprints that are compared with as many others at once
PAIRS = 4096  # of them that are compared turn by turn at once
GAIN = (0.8, 1.25)  # by which a channel of one copy may be brighter than that of another
# Levels of 255 up to which two fingerprints are of one photograph. Measured at 16 x 16 in IDRiD's 81 and 492: copies, those of part A in
# part B and resized, compressed, brightened, tinted, mirrored and turned ones, have at most 1.3, others at least 2.6 (another exposure of
# one eye) and within a part 4.0. A gamma of 0.85 makes 1.6 to 2.9.
SAME = 2.0


def fingerprint(square: np.ndarray) -> np.ndarray:
  """Returns the field of view at 32 x 32, each pixel the mean of what it covers (our choice).

  Args:
    square: uint8 [S, S, 3], RGB, the square around the field of view.

  Returns:
    uint8 [32, 32, 3].
  """
  return np.asarray(Image.fromarray(square).resize((SIDE, SIDE), Image.Resampling.BOX))


def distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
  """Returns how far fingerprints are apart: the root mean square difference in levels of 255, whatever the exposure, the white balance
  and the orientation.

  Each channel of the second is brightened or darkened to fit that of the first, by a factor within GAIN, and of the eight ways in
  which it may be mirrored and turned by quarters the one that fits best is taken: so a copy that was changed so is still one.

  Args:
    one: uint8 [N, S, S, 3].
    other: uint8 [M, S, S, 3].

  Returns:
    float64 [N, M].
  """
  return np.min([_apart(one, turned) for turned in _turns(other)], axis=0)


def _apart(one: np.ndarray, other: np.ndarray) -> np.ndarray:
  """The same as they lie, float64 [N, M]."""
  squared = np.zeros((len(one), len(other)))
  for channel in range(3):
    a, b = (np.asarray(each[..., channel], np.float64).reshape(len(each), -1) for each in (one, other))
    product, own, others = a @ b.T, np.sum(a * a, axis=1)[:, None], np.sum(b * b, axis=1)[None]
    gain = np.clip(product / np.maximum(others, 1), *GAIN)
    squared += np.maximum(own - 2 * gain * product + gain * gain * others, 0)
  return np.sqrt(squared / max(1, one[0].size if len(one) else 1))


def _turns(prints: np.ndarray) -> Iterator[np.ndarray]:
  """Fingerprints [N, S, S, 3] in the eight ways."""
  for quarters in range(4):
    turned = np.rot90(prints, quarters, axes=(1, 2))
    yield turned
    yield turned[:, :, ::-1]


def _is_same(one: np.ndarray, other: np.ndarray) -> np.ndarray:
  """Whether `distances` are at most SAME, bool [N, M], without most of the work: the means over the eight ways are never further apart
  than the fingerprints themselves (a projection), and of few pairs these are near."""
  centres = [np.mean([np.asarray(turned, np.float64) for turned in _turns(prints)], axis=0) for prints in (one, other)]
  same = np.zeros((len(one), len(other)), bool)
  near = np.argwhere(_apart(*centres) <= SAME + 1e-6)
  for start in range(0, len(near), PAIRS):
    rows, columns = near[start:start + PAIRS].T
    a = np.asarray(one[rows], np.float64)
    for turned in _turns(other[columns]):
      b = np.asarray(turned, np.float64)
      gain = np.clip((a * b).sum((1, 2)) / np.maximum((b * b).sum((1, 2)), 1), *GAIN)
      same[rows, columns] |= np.sqrt(((a - gain[:, None, None] * b) ** 2).mean((1, 2, 3))) <= SAME
  return same


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
      found[rows] |= _is_same(one[rows], other[there:there + BLOCK]).any(axis=1)
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
      for row, column in np.argwhere(_is_same(one[start:start + BLOCK], other[there:there + BLOCK])):
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
