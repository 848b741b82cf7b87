"""Sums over pixels as a CPU does them fast: XLA adds up there number by number, matrix products are a library's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from lesion_jax.cpu.rewriting import rewritten

Function = TypeVar('Function', bound=Callable[..., Any])
MIN_SIZE = 1 << 12  # of an array, below which there is nothing to gain


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
  """Of float32 [..., W, C], to [C] or to a number; None of others. First all rows, then the columns of what is left: in two
  steps roundings add up about as little as XLA's own."""
  del parameters
  if x.dtype != jnp.float32 or x.ndim < 3 or x.size < MIN_SIZE or tuple(axes) not in (
      tuple(range(x.ndim - 1)), tuple(range(x.ndim))):
    return None
  width, channels = x.shape[-2:]
  rows = x.reshape(-1, width * channels)
  row = jnp.ones(len(rows), x.dtype) @ rows
  found = jnp.ones(width, x.dtype) @ row.reshape(width, channels)
  return found.sum() if len(axes) == x.ndim else found


RULES = {'reduce_sum': _sum}
