"""An export is held to the Flax network before anybody gets it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import jax
import numpy as np

from lesion_jax.export.source import HEADS, Source

TOLERANCE = 1e-4  # of a probability
BATCHES = (1, 3)  # sizes; no format is built from an example of either
CELLS = (1, 8, 64)  # sides of the random images' squares of one colour, in pixels: from noise to patches

Run = Callable[[np.ndarray], Mapping[str, np.ndarray]]


class ExportError(RuntimeError):
  """What was written does not compute what the Flax network computes."""


def compare(run: Run, source: Source) -> dict[str, float]:
  """The largest difference in probability between an export and Flax, by head, over random images in every batch size.

  Args:
    run: uint8 images [B, S, S, 3] -> probabilities by head, from what lies on the disk.
    source: the network.

  Raises:
    ExportError: a difference is above TOLERANCE or not a number, or the heads, their shapes or types are others.
  """
  images = random_images(max(BATCHES), source.size)
  function, weights = jax.jit(source.function), jax.device_put(source.weights)
  single = [function(weights, images[row:row + 1]) for row in range(len(images))]
  expected = {head: np.concatenate([np.asarray(row[head]) for row in single]) for head in HEADS if head in single[0]}
  largest = dict.fromkeys(expected, 0.0)
  for size in BATCHES:
    found = run(images[:size])
    described = {head: f'{value.dtype} {list(value.shape)}' for head, value in found.items()}
    wanted = {head: f'{value.dtype} {[size, *value.shape[1:]]}' for head, value in expected.items()}
    if described != wanted:
      raise ExportError(f'for {size} images it returns {described}, Flax {wanted}; nothing was left on the disk')
    for head, value in expected.items():
      difference = float(np.abs(found[head] - value[:size]).max())
      if not difference <= TOLERANCE:
        raise ExportError(f'its {head} differ from those of Flax by {difference:.1e} for {size} random images, more '
                          f'than {TOLERANCE:.0e}; nothing was left on the disk')
      largest[head] = max(largest[head], difference)
  return largest


def random_images(count: int, size: int) -> np.ndarray:
  """uint8 [count, size, size, 3]: squares of random colours, their side from CELLS in turn. Always the same."""
  rng = np.random.default_rng(0)
  images = np.empty((count, size, size, 3), np.uint8)
  for row, image in enumerate(images):
    cell = CELLS[row % len(CELLS)]
    colors = rng.integers(0, 256, (-(-size // cell),) * 2 + (3,), np.uint8)
    image[:] = colors.repeat(cell, axis=0).repeat(cell, axis=1)[:size, :size]
  return images
