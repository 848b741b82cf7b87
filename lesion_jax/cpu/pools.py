"""Pooling, and its gradient, as a CPU does it fast: XLA there goes through a window pixel by pixel, on one core."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Window(NamedTuple):
  """Along one axis.

  Attributes:
    axis: rows or columns.
    length: in pixels.
    stride: between two results.
    before: pixels of the border before the first one.
    size: pixels of the axis.
    count: results.
  """

  axis: int
  length: int
  stride: int
  before: int
  size: int
  count: int

  def inside(self) -> list[range]:
    """Returns of each pixel of the window for which results it lies on the axis, and not in the border."""
    return [range(max(0, -((offset - self.before) // self.stride)),
                  min(self.count, (self.size - 1 + self.before - offset) // self.stride + 1))
            for offset in range(self.length)]

  def take(self, x: jax.Array, offset: int, start: int, stop: int) -> jax.Array:
    """Returns that pixel of the window, for the results from `start` on."""
    first = start * self.stride + offset - self.before
    return jax.lax.slice_in_dim(x, first, first + (stop - start - 1) * self.stride + 1, self.stride, self.axis)


def _pool(along: Callable[[jax.Array, Window], jax.Array], axes: Sequence[int], x: jax.Array, **parameters: Any,
          ) -> jax.Array | None:
  """A window over rows and columns taken from shifted slices, one of the axes after the other: [B, H, W, C] -> [B, H', W', C];
  None of any other window. Maxima stay what they are, bit by bit; sums are taken in another order."""
  window, strides, padding = (parameters[name] for name in ('window_dimensions', 'window_strides', 'padding'))
  plain = all(set(parameters[name]) == {1} for name in ('base_dilation', 'window_dilation'))
  if not plain or len(window) != 4 or any(
      window[axis] != 1 or strides[axis] != 1 or padding[axis] != (0, 0) for axis in (0, 3)):
    return None
  if any(max(padding[axis]) >= window[axis] or min(padding[axis]) < 0 for axis in (1, 2)):  # A window may see no pixel, or not all.
    return None
  if any(x.shape[axis] + sum(padding[axis]) < window[axis] or not x.shape[axis] for axis in (1, 2)):  # There is none.
    return None
  for axis in axes:
    size, stride = x.shape[axis], strides[axis]
    count = (size + sum(padding[axis]) - window[axis]) // stride + 1
    x = along(x, Window(axis, window[axis], stride, padding[axis][0], size, count))
  return x


def _combine(combine: Callable[..., jax.Array], x: jax.Array, window: Window) -> jax.Array:
  """Without an array that has the border in it, which XLA would compare with every pixel: where some of a window lies
  outside, the rest of it is combined, and such pieces are joined to those that are whole."""
  inside = window.inside()
  cuts = sorted({0, window.count, *(end for one in inside for end in (one.start, one.stop) if 0 < end < window.count)})
  return jnp.concatenate([
      functools.reduce(combine, (window.take(x, offset, start, stop) for offset, one in enumerate(inside)
                                 if one.start <= start and stop <= one.stop))
      for start, stop in itertools.pairwise(cuts)], window.axis)


def _spread(parts: Sequence[jax.Array | None], window: Window, like: jax.Array) -> jax.Array:
  """Adds up what each pixel of the window gives to the pixels of the axis.

  Pixels that are a stride apart are added up by themselves, and then put between each other: XLA is slow where it has to
  leave gaps.

  Args:
    parts: one for each pixel of the window, of the results for which it lies inside; None where it never does.
    window: the window.
    like: what was pooled.
  """
  axis, stride, length = window.axis, window.stride, -(-window.size // window.stride)
  sums = [jnp.zeros((*like.shape[:axis], length, *like.shape[axis + 1:]), like.dtype)] * stride
  for offset, (one, part) in enumerate(zip(window.inside(), parts, strict=True)):
    shift, phase = divmod(offset - window.before, stride)
    if part is not None:
      sums[phase] += _placed(part, axis, one.start + shift, length)
  x = jnp.stack(sums, axis + 1).reshape(*like.shape[:axis], length * stride, *like.shape[axis + 1:])
  return jax.lax.slice_in_dim(x, 0, window.size, 1, axis)


def _placed(part: jax.Array, axis: int, start: int, length: int) -> jax.Array:
  """As long as that along the axis, with zeros (no hits) around it."""
  edges = [(0, 0, 0)] * part.ndim
  edges[axis] = (start, length - start - part.shape[axis], 0)
  return jax.lax.pad(part, jnp.zeros((), part.dtype), edges)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _maximum(x: jax.Array, window: Window) -> jax.Array:
  return _combine(jnp.maximum, x, window)


def _maximum_forth(x: jax.Array, window: Window) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
  maxima = _combine(jnp.maximum, x, window)
  return maxima, (x, maxima)


def _maximum_back(window: Window, seen: tuple[jax.Array, jax.Array], gradient: jax.Array) -> tuple[jax.Array]:
  """All of it to the first of equal maxima, as XLA and PyTorch have it, and to what is not a number."""
  x, maxima = seen
  free, parts = jnp.ones(maxima.shape, bool), []
  for offset, one in enumerate(window.inside()):
    if not one:
      parts.append(None)
      continue
    cut = lambda y, one=one: jax.lax.slice_in_dim(y, one.start, one.stop, 1, window.axis)
    hit = ~(window.take(x, offset, one.start, one.stop) < cut(maxima)) & cut(free)
    parts.append(jnp.where(hit, cut(gradient), 0))
    free &= ~_placed(hit, window.axis, one.start, window.count)
  return _spread(parts, window, x),


_maximum.defvjp(_maximum_forth, _maximum_back)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _sum(x: jax.Array, window: Window) -> jax.Array:
  return _combine(jnp.add, x, window)


def _sum_back(window: Window, x: jax.Array, gradient: jax.Array) -> tuple[jax.Array]:
  parts = [jax.lax.slice_in_dim(gradient, one.start, one.stop, 1, window.axis) if one else None for one in window.inside()]
  return _spread(parts, window, x),


_sum.defvjp(lambda x, window: (_combine(jnp.add, x, window), x), _sum_back)

# By what JAX calls them, see `rewriting.rewritten`. The first of equal maxima is that of the first row, as XLA goes through a window.
RULES = {'reduce_window_max': functools.partial(_pool, _maximum, (2, 1)),
         'reduce_window_sum': functools.partial(_pool, _sum, (1, 2))}
