"""Overlapping windows over a square: where they lie, how they are blended, and the blending in NumPy.

A network that learned from crops is asked about windows of that size. A window knows little of what lies beyond its
border, so where windows overlap each counts the less the nearer its border is: linear ramps along rows and columns,
multiplied (our choice; nnU-Net has a Gaussian, which also falls towards the border). The weights of
one pixel add up to 1.

Windows begin at multiples of GRID pixels, where a network of stride 32 sees the grid that it sees in the whole square;
they step by at most half a window, and the last one ends at the square's own edge, up to a cell further. Nothing is
padded.

Needs NumPy alone, so that exports carry this file.
"""

from __future__ import annotations

import numpy as np

GRID = 32
MIN_WINDOW = 96  # pixels: three cells of a network of stride 32


def check_window(window: int, size: int) -> None:
  """Holds a window to what can be laid over a square of `size` pixels; 0 stands for the whole square at once.

  Raises:
    ValueError: it is neither 0 nor a multiple of GRID from MIN_WINDOW to `size`.
  """
  whole = isinstance(window, (int, np.integer)) and not isinstance(window, bool)
  if not whole or (window and (window % GRID or not MIN_WINDOW <= window <= size)):
    raise ValueError(f'window={window!r} pixels cannot be laid over a square of {size}: give a multiple of {GRID} from '
                     f'{MIN_WINDOW} to {size}, the size of the crops that the network learned from, or 0 for the whole '
                     'square at once')


def window_starts(size: int, window: int) -> np.ndarray:
  """Returns the first pixel of each window along one axis, int32 [n], rising from 0 to size - window.

  Raises:
    ValueError: of `check_window`, and where the window is 0.
  """
  check_window(window, size)
  if not window:
    raise ValueError('window=0 is the whole square, which has no windows')
  rest = size - window
  cells, step = rest // GRID, window // 2 // GRID  # of the grid, to the last window and from one to the next
  steps = max(1, -(-cells // step)) if rest else 0
  starts = np.arange(steps + 1) * cells // max(steps, 1) * GRID  # evenly spread
  starts[-1] = rest
  return starts.astype(np.int32)


def window_shares(size: int, window: int) -> np.ndarray:
  """Returns how much each window counts at each of its pixels along one axis, float32 [n, window].

  At every pixel of the axis the shares of the windows over it add up to 1. The share of a window of two axes is the
  product of both.
  """
  starts = window_starts(size, window)
  ramp = np.minimum(np.arange(window) + 0.5, window - 0.5 - np.arange(window))
  total = np.zeros(size)
  for start in starts:
    total[start:start + window] += ramp
  return np.stack([ramp / total[start:start + window] for start in starts]).astype(np.float32)


def stitch(run, images, window):
  """Returns what a network says of whole squares, asked window by window.

  One window of all images goes through `run` at a time: beside its own memory this takes the maps, 32 bytes a pixel of
  an image.

  Args:
    run: uint8 [B, window, window, 3] -> the network's probabilities by name; 'maps' [B, window, window, 8] must be
      among them, and nothing else is looked at.
    images: uint8 [B, S, S, 3].
    window: side of the windows, in pixels.

  Returns:
    {'maps': float32 [B, S, S, 8], 'lesions': float32 [B, 8]}: the blended maps, and their maxima.

  Raises:
    ValueError: the images are not square, or the window cannot be laid over them.
  """
  images = np.asarray(images)
  if images.ndim != 4 or images.shape[1] != images.shape[2]:
    raise ValueError(f'expected square images [B, S, S, 3]; got {list(images.shape)}')
  size = images.shape[1]
  starts, shares = window_starts(size, window), window_shares(size, window)
  maps = None
  for top, down in zip(starts, shares, strict=True):
    for left, across in zip(starts, shares, strict=True):
      rows, columns = slice(top, top + window), slice(left, left + window)
      found = np.asarray(run(np.ascontiguousarray(images[:, rows, columns]))['maps'], np.float32)
      if maps is None:
        maps = np.zeros((len(images), size, size, found.shape[-1]), np.float32)
      maps[:, rows, columns] += found * (down[:, None] * across)[..., None]
  return {'maps': maps, 'lesions': maps.max(axis=(1, 2))}
