"""The gradient of a kernel as a CPU computes it fast: XLA reads an array that has its border in it about twice as fast there as one
around which it has to imagine one (what that earns: experiments/results/benchmark/tricks.md)."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp


def convolve(x: jax.Array, kernel: jax.Array, **parameters: Any) -> jax.Array | None:
  """Returns the convolution as XLA computes it, with that gradient; None where there is no border, or one that cuts off.

  Args:
    x: of any layout.
    kernel: likewise.
    **parameters: of `jax.lax.conv_general_dilated_p`.
  """
  padding = parameters['padding']
  if not any(map(any, padding)) or min(map(min, padding)) < 0 or set(parameters['lhs_dilation']) != {1}:
    return None

  def plain(x: jax.Array, kernel: jax.Array, padding: Any = padding) -> jax.Array:
    chosen = parameters | {'padding': padding}
    return jax.lax.conv_general_dilated_p.bind(x, kernel, **chosen)

  def forth(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return plain(x, kernel), (x, kernel)

  def back(seen: tuple[jax.Array, jax.Array], gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, kernel = seen
    of_x = jax.vjp(lambda x: plain(x, kernel), x)[1](gradient)
    borders = dict(zip(parameters['dimension_numbers'].lhs_spec[2:], padding, strict=True))
    framed = jnp.pad(x, [borders.get(axis, (0, 0)) for axis in range(x.ndim)])
    of_kernel = jax.vjp(lambda kernel: plain(framed, kernel, ((0, 0),) * len(padding)), kernel)[1](gradient)
    return *of_x, *of_kernel

  convolution = jax.custom_vjp(lambda x, kernel: plain(x, kernel))
  convolution.defvjp(forth, back)
  return convolution(x, kernel)
