"""A traced function computed again with some of its operations replaced.

Networks need not know of it, and every network has it.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from jax.extend import core

CALLS = ('jit', 'pjit')  # primitives that call another function and do nothing else
AGAIN = 'remat2'  # the one whose function is computed a second time for its gradient

Rule = Callable[..., jax.Array | None]


def rewritten(function: Callable[..., Any], rules: Mapping[str, Rule]) -> Callable[..., Any]:
  """Returns the same function by other means.

  It has the gradients that the rules have; what is computed a second time to save memory, still is. Loops, conditions and functions
  with derivatives of their own (`jax.custom_jvp`, `jax.custom_vjp`) are left as they are: what a loop goes through again and again
  is to be rewritten before it goes in. (The parameters of loops in traced functions change with each version of JAX.)

  Args:
    function: pure; arrays in trees go in and come out.
    rules: by the name of a primitive with one result, `rule(*operands, **parameters)`, which returns that result, or
      None to leave it to the primitive.
  """

  @functools.wraps(function)
  def other(*arguments: Any, **named: Any) -> Any:
    closed, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments, **named)
    results = _evaluate(closed.jaxpr, closed.consts, jax.tree.leaves((arguments, named)), rules)
    return jax.tree.unflatten(jax.tree.structure(shapes), results)

  return other


def _evaluate(jaxpr: core.Jaxpr, constants: Sequence[Any], arguments: Sequence[Any], rules: Mapping[str, Rule],
              ) -> list[Any]:
  """An interpreter of traced functions, as JAX's documentation describes them ('Writing custom Jaxpr interpreters')."""
  known = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*constants, *arguments], strict=True))
  read = lambda variable: variable.val if isinstance(variable, core.Literal) else known[variable]
  for equation in jaxpr.eqns:
    with _scope(equation):
      results = _apply(equation, list(map(read, equation.invars)), rules)
    known |= zip(equation.outvars, results, strict=True)
  return list(map(read, jaxpr.outvars))


def _scope(equation: core.JaxprEqn) -> contextlib.AbstractContextManager:
  """The names of the modules to which an operation belongs, for profiles."""
  names = str(equation.source_info.name_stack)
  return jax.named_scope(names) if names else contextlib.nullcontext()


def _apply(equation: core.JaxprEqn, operands: Sequence[Any], rules: Mapping[str, Rule]) -> list[Any]:
  name = equation.primitive.name
  if name in CALLS:
    inside = equation.params['jaxpr']
    return _evaluate(inside.jaxpr, inside.consts, operands, rules)
  if name == AGAIN and not equation.params['differentiated']:  # else it is computed the second time already
    again = jax.checkpoint(lambda *operands: _evaluate(equation.params['jaxpr'], (), operands, rules),
                           prevent_cse=equation.params['prevent_cse'], policy=equation.params['policy'])
    return again(*operands)
  rule = rules.get(name)
  if rule and (result := rule(*operands, **equation.params)) is not None:
    return [result]
  results = equation.primitive.bind(*operands, **equation.primitive.get_bind_params(equation.params))
  return results if equation.primitive.multiple_results else [results]
