"""An export is held to the Flax network before anybody gets it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import jax
import numpy as np

from lesion_jax.data import synthetic
from lesion_jax.export.source import HEADS, Source

TOLERANCE = 1e-4  # of a probability, unless the caller says otherwise
BATCHES = (1, 3)  # sizes; no format is built from an example of either

Run = Callable[[np.ndarray], Mapping[str, np.ndarray]]


class ExportError(RuntimeError):
  """What was written does not compute what the Flax network computes."""


def compare(run: Run, source: Source, tolerance: float = TOLERANCE) -> dict[str, float]:
  """Returns the largest difference in probability between an export and Flax, by head, over synthetic images in every
  batch size.

  Args:
    run: uint8 images [B, S, S, 3] -> probabilities by head, from what lies on the disk.
    source: the network.
    tolerance: of a probability.

  Raises:
    ExportError: a difference is above `tolerance` or not a number, or the heads, their shapes or types are others.
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
      if not difference <= tolerance:
        raise ExportError(f'its {head} differ from those of Flax by {difference:.1e} for {size} synthetic images, more '
                          f'than {tolerance:.0e}; nothing was left on the disk. Where logits are large float32 itself '
                          'is no more certain than that: then a higher tolerance may be right')
      largest[head] = max(largest[head], difference)
  return largest


def random_images(count: int, size: int) -> np.ndarray:
  """Generates uint8 [count, size, size, 3]: random images that look as photographs of retinas, always the same.

  Noise would not do. The running statistics of a trained network are those of photographs; noise at the same scale
  drives its logits to hundreds, where float32 itself is uncertain by more than TOLERANCE.
  """
  drawn = max(size, synthetic.MIN_SIZE)
  return np.stack([synthetic.generate(0, index, drawn).image[:size, :size] for index in range(count)])
