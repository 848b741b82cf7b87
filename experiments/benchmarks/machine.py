"""What a machine can do at most, measured, and how much of it a computation needs at least."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend import core

MATMUL = {'cpu': 2048, 'gpu': 8192}  # side of the matrices
COPIED = {'cpu': 2**26, 'gpu': 2**29}  # floats: far more than any cache holds
REPEATS = 7


class Work(NamedTuple):
  """Of one convolution or matrix product: floating-point operations, a multiplication and an addition being two, and the
  bytes of its two operands and its result."""

  flops: int
  bytes: int


def count(function: Callable[..., Any], *arguments: Any) -> list[Work]:
  """Returns the convolutions and matrix products of a function, counted from their shapes, borders as if they were
  inside.

  Loops are counted once. All else, element by element, can be computed on the way and is not counted.
  """
  return [_work(equation) for equation in _equations(jax.make_jaxpr(function)(*arguments).jaxpr)
          if equation.primitive.name in ('conv_general_dilated', 'dot_general')]


def roofline(works: list[Work], flops_per_second: float, bytes_per_second: float) -> float:
  """Returns seconds that they need one after the other, each as long as its arithmetic or its memory takes."""
  return sum(max(work.flops / flops_per_second, work.bytes / bytes_per_second) for work in works)


def _equations(jaxpr: core.Jaxpr) -> Iterator[Any]:
  for equation in jaxpr.eqns:
    yield equation
    for value in equation.params.values():
      inside = getattr(value, 'jaxpr', value)  # of a closed one
      if isinstance(inside, core.Jaxpr):
        yield from _equations(inside)


def _work(equation: Any) -> Work:
  left, right = (operand.aval for operand in equation.invars)
  result = equation.outvars[0].aval
  size = sum(x.size * x.dtype.itemsize for x in (left, right, result))
  if equation.primitive.name == 'dot_general':
    (contracted, _), _ = equation.params['dimension_numbers']
    return Work(2 * result.size * math.prod(left.shape[axis] for axis in contracted), size)
  features = right.shape[equation.params['dimension_numbers'].rhs_spec[0]]
  return Work(2 * result.size * (right.size // features), size)


def limits(dtype: str) -> Mapping[str, float]:
  """Measures FLOP/s of one large matrix product and bytes/s, read and written, of adding 1 to a long vector: the best
  of REPEATS."""
  platform = 'cpu' if jax.default_backend() == 'cpu' else 'gpu'
  side = MATMUL[platform]
  matrix = jax.random.normal(jax.random.key(0), (side, side), dtype)  # constants draw less power and clock higher
  vector = jnp.zeros(COPIED[platform], jnp.float32)
  product, add = jax.jit(lambda x: x @ x), jax.jit(lambda x: x + 1)
  return {'matmul_flops_per_second': 2 * side**3 / _best(lambda: product(matrix)),
          'copy_bytes_per_second': 2 * vector.nbytes / _best(lambda: add(vector))}


def _best(run: Callable[[], Any]) -> float:
  jax.block_until_ready(run())
  found = []
  for _ in range(REPEATS):
    start = time.perf_counter()
    jax.block_until_ready(run())
    found.append(time.perf_counter() - start)
  return min(found)
