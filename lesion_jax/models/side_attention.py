"""The side-attention block (section III-B, Eq. 5-7): lesion maps weigh the grader's last feature maps."""

from __future__ import annotations

import functools

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from lesion_jax.core import Array, largest

HIDDEN = 64  # channels between the two 3x3 convolutions of Eq. 7. Our choice; the paper says 'lightweight'.


@functools.lru_cache(maxsize=64)
def _averaging_matrix(size: int, grid: int) -> np.ndarray:
  """float32 [grid, size]: row i averages the pixels floor(i*size/grid) .. ceil((i+1)*size/grid), as torch's
  adaptive_avg_pool does. Equal cells where the grid divides the size."""
  matrix = np.zeros((grid, size), np.float32)
  for i in range(grid):
    start, stop = i * size // grid, -(-(i + 1) * size // grid)
    matrix[i, start:stop] = 1 / (stop - start)
  return matrix


def average_to_grid(maps: Array, grid: tuple[int, int]) -> Array:
  """Averages maps [B, H, W, C] down to [B, *grid, C]. Two small matrix products, so any size works and exports."""
  rows, columns = (_averaging_matrix(size, cells) for size, cells in zip(maps.shape[1:3], grid, strict=True))
  return jnp.einsum('ih,bhwc,jw->bijc', rows, maps, columns, precision='highest')


class ConvAttention(nn.Module):
  """Eq. 7: two 3x3 convolutions turn the lesion maps into one weight map a feature channel, in (0, 1)."""

  features: int
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, maps: Array) -> Array:
    """[B, h, w, 8] probabilities -> [B, h, w, features]."""
    x = nn.relu(nn.Conv(HIDDEN, (3, 3), dtype=self.dtype, name='conv_1')(maps))
    return nn.sigmoid(nn.Conv(self.features, (3, 3), dtype=self.dtype, name='conv_2')(x))


class CWMaxPool(nn.Module):
  """Eq. 6: channel-wise max pooling; the same weight, the strongest lesion response, for every feature channel."""

  features: int
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, maps: Array) -> Array:
    """[B, h, w, 8] probabilities -> [B, h, w, 1], broadcast over the features by Eq. 5."""
    return largest(maps, -1)[..., None].astype(self.dtype)


ATTENTION = {'conv': ConvAttention, 'cw_maxpool': CWMaxPool}
