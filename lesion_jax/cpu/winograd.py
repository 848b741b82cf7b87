"""3x3 convolutions of many channels with 16 products where there are 36.

Source: Lavin and Gray, 'Fast Algorithms for Convolutional Neural Networks', CVPR 2016, F(2x2, 3x3), after Winograd: four
results at a time come from a tile of 4x4 pixels. What has to be added up before and after costs memory traffic, which
pays on a CPU where a product has many channels on both sides. Errors are of the size of XLA's, up to a factor of 4 in the
test; a pixel that is not finite spoils the tiles in which it lies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

# From how many channels in and out, and tiles, it pays: see experiments/results/benchmark/convolutions.md.
MIN_CHANNELS, MIN_TILES = 256, 128


def convolve(x: jax.Array, kernel: jax.Array, **parameters: Any) -> jax.Array | None:
  """Returns the convolution of x [B, H, W, C] with kernel [3, 3, C, D]; None where it is of another kind, or this does
  not pay.

  Args:
    x: float32.
    kernel: float32.
    **parameters: of `jax.lax.conv_general_dilated_p`.
  """
  layout = parameters['dimension_numbers']
  plain = (layout.lhs_spec == layout.out_spec == (0, 3, 1, 2) and layout.rhs_spec == (3, 2, 0, 1)
           and parameters['feature_group_count'] == parameters['batch_group_count'] == 1
           and all(tuple(parameters[name]) == (1, 1) for name in ('window_strides', 'lhs_dilation', 'rhs_dilation')))
  types = {x.dtype, kernel.dtype, jnp.dtype(parameters['preferred_element_type'] or jnp.float32)}
  padding = parameters['padding']
  if not plain or kernel.shape[:2] != (3, 3) or types != {jnp.dtype('float32')} or min(map(min, padding)) < 0:
    return None
  size = [x.shape[axis] + sum(padding[axis - 1]) - 2 for axis in (1, 2)]
  tiles = [-(-length // 2) for length in size]
  if min(kernel.shape[2:]) < MIN_CHANNELS or x.shape[0] * tiles[0] * tiles[1] < MIN_TILES:
    return None
  missing = [2 * count - length for count, length in zip(tiles, size, strict=True)]  # of the last tile: 0 or 1
  x = jnp.pad(x, ((0, 0), *((before, after + more) for (before, after), more in zip(padding, missing, strict=True)),
                  (0, 0)))
  return _convolve(x, kernel, tiles)[:, :size[0], :size[1]]


def _convolve(x: jax.Array, kernel: jax.Array, tiles: Sequence[int]) -> jax.Array:
  """[B, 2 h + 2, 2 w + 2, C], no border, in h x w tiles -> [B, 2 h, 2 w, D]."""
  kernel = _after(x, kernel)
  pixels = [part for row in _spread(x, 1, tiles[0]) for part in _spread(row, 2, tiles[1])]
  weights = [part for row in _weigh(kernel) for part in _weigh(row)]
  # One product after the other: XLA's batched product is slower.
  products = [jnp.einsum('bhwc,cd->bhwd', *pair) for pair in zip(pixels, weights, strict=True)]
  rows = [_gather(*products[start:start + 4]) for start in range(0, 16, 4)]
  quarters = [_gather(*(row[column] for row in rows)) for column in range(2)]  # [column][row] of each tile's results
  y = jnp.stack([jnp.stack([quarters[column][row] for column in range(2)], axis=3) for row in range(2)], axis=2)
  return y.reshape(x.shape[0], 2 * tiles[0], 2 * tiles[1], kernel.shape[-1])


def _after(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """The kernel as it is, once x is known, as far as the compiler can tell: else it transforms the kernels of all layers before the first
  one, which hold 0.1 GB of memory until their turn."""
  first = x[0, 1, 1, 0]  # no border
  return jnp.where((first > 0) & (first < 0), 0, kernel)  # never


def _spread(x: jax.Array, axis: int, count: int) -> tuple[jax.Array, ...]:
  """B^T d of the source, along one axis: from the four pixels of each of `count` tiles, two apart."""
  a, b, c, d = (jax.lax.slice_in_dim(x, start, start + 2 * count - 1, 2, axis) for start in range(4))
  return a - c, b + c, c - b, b - d


def _weigh(kernel: jax.Array) -> tuple[jax.Array, ...]:
  """G g of the source, along the first axis, which goes."""
  a, b, c = kernel
  outer, inner = (a + c) / 2, b / 2
  return a, outer + inner, outer - inner, c


def _gather(a: jax.Array, b: jax.Array, c: jax.Array, d: jax.Array) -> tuple[jax.Array, jax.Array]:
  """A^T m of the source: the two results."""
  return a + b + c, b - c - d


# By what JAX calls it, see `rewriting.rewritten`.
RULES = {'conv_general_dilated': convolve}
