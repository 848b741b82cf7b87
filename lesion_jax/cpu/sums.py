"""Sums over pixels as a CPU does them fast: by matrix products, which are a library's."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from lesion_jax.cpu.rewriting import rewritten

Function = TypeVar('Function', bound=Callable[..., Any])
MIN_SIZE = 1 << 12  # of an array, below which there is nothing to gain
SHORT, LONGEST = 256, 1024  # so many numbers are best added up one after the other, and so many at most


def summed(function: Function, platform: str | None = None) -> Function:
  """Returns the same function with its sums over rows and columns of channels, or over everything, as matrix products with
  ones, on a CPU.

  BatchNorm has two of them forward and three backward, and a norm of gradients one for each kernel: it is meant for a training
  step, gradient and all.

  Args:
    function: pure; arrays in trees go in and come out.
    platform: 'cpu', 'gpu' ...; None: JAX's default.
  """
  return rewritten(function, RULES) if (platform or jax.default_backend()) == 'cpu' else function


def _sum(x: jax.Array, axes: Sequence[int], **parameters: Any) -> jax.Array | None:
  """Of float32 [..., W, C], to [C] or to a number; None of others. Sums of sums, of large arrays of sums of these, each of about as many
  numbers: roundings add up hardly more than in XLA's own."""
  del parameters
  if x.dtype != jnp.float32 or x.ndim < 3 or x.size < MIN_SIZE or tuple(axes) not in (
      tuple(range(x.ndim - 1)), tuple(range(x.ndim))):
    return None
  channels = x.shape[-1]
  steps = _steps(x.size // channels)
  if max(steps) > LONGEST:
    return None
  found = x
  for count in steps:
    found = jnp.ones(count, x.dtype) @ found.reshape(count, -1)
  return found.sum() if len(axes) == x.ndim else found


@functools.cache
def _steps(count: int) -> tuple[int, ...]:
  """Factors of a number, as near to each other as it has them."""
  factors = []
  for left in range(2 if count <= SHORT**2 else 3, 0, -1):
    near = count ** (1 / left)
    divisors = [pair for one in range(1, math.isqrt(count) + 1) if not count % one for pair in (one, count // one)]
    factors.append(min(divisors, key=lambda each: abs(math.log(each / near))))
    count //= factors[-1]
  return tuple(factors)


RULES = {'reduce_sum': _sum}
