"""The few functions of `scipy.ndimage` that the search for the field of view takes, with NumPy alone, of masks [h, w].

Neighbours are the four beside a pixel. Each gives what SciPy's function of that name gives, to the pixel.
"""

from __future__ import annotations

import numpy as np


def label(mask: np.ndarray) -> tuple[np.ndarray, int]:
  """Returns (int32 [h, w], n): the connected parts of a mask, 1 to n by their first pixel; 0 elsewhere.

  Runs of pixels along the rows are joined with those that they touch in the next row, all at once, until nothing is left to join.
  """
  height, width = mask.shape
  wide = width + 1  # a column between the end of a row and the start of the next
  flat = np.zeros(height * wide + 1, np.int8)
  flat[:-1].reshape(height, wide)[:, :width] = mask
  steps = np.diff(flat, prepend=np.int8(0))
  starts, ends = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
  first, last = np.searchsorted(ends, starts + wide, 'right'), np.searchsorted(starts, ends + wide, 'left')
  touched = np.maximum(last - first, 0)
  above = np.repeat(np.arange(len(starts)), touched)
  below = np.arange(len(above)) + np.repeat(first - (np.cumsum(touched) - touched), touched)
  roots = np.arange(len(starts))
  while (roots[above] != roots[below]).any():
    one, other = roots[above], roots[below]
    np.minimum.at(roots, np.maximum(one, other), np.minimum(one, other))
    while not np.array_equal(further := roots[roots], roots):
      roots = further
  kept, numbers = np.unique(roots, return_inverse=True)
  found = np.zeros(mask.shape, np.int32)
  found[np.asarray(mask, bool)] = np.repeat(numbers + 1, ends - starts)
  return found, len(kept)


def binary_erosion(mask: np.ndarray, iterations: int = 1, border_value: int = 0) -> np.ndarray:
  """Returns what is left of a mask without the pixels that have a neighbour outside of it; `border_value` is what lies
  around the array."""
  for _ in range(iterations):
    around = np.pad(mask, 1, constant_values=bool(border_value))
    mask = mask & around[:-2, 1:-1] & around[2:, 1:-1] & around[1:-1, :-2] & around[1:-1, 2:]
  return mask


def binary_propagation(seeds: np.ndarray, mask: np.ndarray) -> np.ndarray:
  """Returns the parts of a mask that have a seed, and the seeds."""
  labels, number = label(mask)
  reached = np.zeros(number + 1, bool)
  reached[labels[seeds]] = True
  reached[0] = False
  return reached[labels] | seeds
