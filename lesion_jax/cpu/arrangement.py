"""A function of networks as a platform computes it fastest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax

from lesion_jax.cpu import kernels, pools, winograd
from lesion_jax.cpu.rewriting import rewritten

Function = TypeVar('Function', bound=Callable[..., Any])


def arranged(function: Function, platform: str | None = None) -> Function:
  """Returns the same function, and the same gradient, as a platform computes them fastest. On a CPU pools are taken from slices, wide 3x3
  convolutions by Winograd's algorithm, and the gradients of other kernels from arrays that have their border in them.

  Args:
    function: pure; arrays in trees go in and come out. Forward-mode derivatives (`jax.jvp`) it has no longer.
    platform: 'cpu', 'gpu' ...; None: JAX's default.
  """
  return rewritten(function, RULES) if (platform or jax.default_backend()) == 'cpu' else function


def _convolve(x: jax.Array, kernel: jax.Array, **parameters: Any) -> jax.Array | None:
  """The first that takes it."""
  found = winograd.convolve(x, kernel, **parameters)
  return kernels.convolve(x, kernel, **parameters) if found is None else found


RULES = pools.RULES | {'conv_general_dilated': _convolve}
