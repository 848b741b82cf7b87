"""Pooling as a CPU does it fast: XLA there goes through a window pixel by pixel, on one core."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

# What a window does, and what lies around the image for it.
POOLS = {'reduce_window_max': (jnp.maximum, -jnp.inf), 'reduce_window_sum': (jnp.add, 0)}
# What a call of another function is, and where that function is kept.
CALLS = {'jit': 'jaxpr', 'pjit': 'jaxpr', 'custom_jvp_call': 'call_jaxpr'}


def sliced(function: Callable[..., Any]) -> Callable[..., Any]:
  """The same function, its windows of maxima and sums over rows and columns taken from shifted slices: first the rows,
  then the columns.

  The function is traced, and what it computes is repeated with other pools, so networks need not know of it. Maxima
  stay what they are, bit by bit; sums are taken in another order. Loops are left as they are. For inference alone:
  where pixels are equal, the gradient of a maximum would go another way.

  Args:
    function: pure; arrays in trees go in and come out.
  """

  def faster(*arguments: Any) -> Any:
    closed, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)
    results = _evaluate(closed.jaxpr, closed.consts, jax.tree.leaves(arguments))
    return jax.tree.unflatten(jax.tree.structure(shapes), results)

  return faster


def _evaluate(jaxpr: core.Jaxpr, constants: Sequence[Any], arguments: Sequence[Any]) -> list[Any]:
  """An interpreter of traced functions, as JAX's documentation describes them ('Writing custom Jaxpr interpreters')."""
  known = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*constants, *arguments], strict=True))
  read = lambda variable: variable.val if isinstance(variable, core.Literal) else known[variable]
  for equation in jaxpr.eqns:
    name, operands = equation.primitive.name, list(map(read, equation.invars))
    if name in CALLS:
      inside = equation.params[CALLS[name]]
      results = _evaluate(inside.jaxpr, inside.consts, operands)
    elif name in POOLS and _is_over_rows_and_columns(equation.params):
      results = [_pool(operands[0], *POOLS[name], equation.params)]
    else:
      results = equation.primitive.bind(*operands, **equation.primitive.get_bind_params(equation.params))
      results = results if equation.primitive.multiple_results else [results]
    known |= zip(equation.outvars, results, strict=True)
  return list(map(read, jaxpr.outvars))


def _is_over_rows_and_columns(parameters: dict[str, Any]) -> bool:
  window, strides, padding = (parameters[name] for name in ('window_dimensions', 'window_strides', 'padding'))
  return (len(window) == 4 and window[0] == window[3] == strides[0] == strides[3] == 1
          and padding[0] == padding[3] == (0, 0)
          and parameters['base_dilation'] == parameters['window_dilation'] == (1, 1, 1, 1))


def _pool(x: jax.Array, combine: Callable[..., jax.Array], outside: float, parameters: dict[str, Any]) -> jax.Array:
  """[B, H, W, C] -> [B, H', W', C]."""
  x = jnp.pad(x, parameters['padding'], constant_values=outside)
  for axis in (1, 2):
    window, stride = parameters['window_dimensions'][axis], parameters['window_strides'][axis]
    length = (x.shape[axis] - window) // stride * stride + 1
    x = functools.reduce(combine, (jax.lax.slice_in_dim(x, start, start + length, stride, axis)
                                   for start in range(window)))
  return x
