"""Pooling as a CPU does it fast: XLA there goes through a window pixel by pixel, on one core."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp


def _pool(combine: Callable[..., jax.Array], x: jax.Array, **parameters: Any) -> jax.Array | None:
  """A window over rows and columns taken from shifted slices, first the rows, then the columns: [B, H, W, C] -> [B, H',
  W', C]; None of any other window. Maxima stay what they are, bit by bit; sums are taken in another order."""
  window, strides, padding = (parameters[name] for name in ('window_dimensions', 'window_strides', 'padding'))
  plain = all(set(parameters[name]) == {1} for name in ('base_dilation', 'window_dilation'))
  if not plain or len(window) != 4 or any(
      window[axis] != 1 or strides[axis] != 1 or padding[axis] != (0, 0) for axis in (0, 3)):
    return None
  if any(max(padding[axis]) >= window[axis] for axis in (1, 2)):  # A window may see no pixel at all.
    return None
  if any(x.shape[axis] + sum(padding[axis]) < window[axis] or not x.shape[axis] for axis in (1, 2)):  # There is none.
    return None
  for axis in (1, 2):
    x = _along(combine, x, axis, window[axis], strides[axis], padding[axis])
  return x


def _along(combine: Callable[..., jax.Array], x: jax.Array, axis: int, window: int, stride: int, padding: Sequence[int],
           ) -> jax.Array:
  """Without an array that has the border in it, which XLA would compare with every pixel: where some of a window lies
  outside, the rest of it is combined, and such pieces are joined to those that are whole."""
  size, before = x.shape[axis], padding[0]
  count = (size + sum(padding) - window) // stride + 1
  # Of each pixel of the window, for which results it lies inside.
  inside = [range(max(0, -(-(before - offset) // stride)), min(count, (size - 1 + before - offset) // stride + 1))
            for offset in range(window)]
  cuts = sorted({0, count, *(end for one in inside for end in (one.start, one.stop) if 0 < end < count)})
  first = lambda result, offset: result * stride + offset - before
  return jnp.concatenate([
      functools.reduce(combine, (
          jax.lax.slice_in_dim(x, first(start, offset), first(stop - 1, offset) + 1, stride, axis)
          for offset, one in enumerate(inside) if one.start <= start and stop <= one.stop))
      for start, stop in itertools.pairwise(cuts)], axis)


# By what JAX calls them, see `rewriting.rewritten`.
RULES = {'reduce_window_max': functools.partial(_pool, jnp.maximum),
         'reduce_window_sum': functools.partial(_pool, jnp.add)}
