"""What a function computes, computed another way: its trace is repeated, and rules put other operations in place of some.

Networks need not know of it, and every network has it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from jax.extend import core

# What a call of another function is, and where that function is kept.
CALLS = {'jit': 'jaxpr', 'pjit': 'jaxpr', 'custom_jvp_call': 'call_jaxpr'}

Rule = Callable[..., jax.Array | None]


def rewritten(function: Callable[..., Any], rules: Mapping[str, Rule]) -> Callable[..., Any]:
  """The same function by other means.

  For inference alone: a rule keeps values, not the ways of gradients. Loops are left as they are.

  Args:
    function: pure; arrays in trees go in and come out.
    rules: by the name of a primitive with one result, `rule(*operands, **parameters)`, which returns that result, or
      None to leave it to the primitive.
  """

  def other(*arguments: Any) -> Any:
    closed, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)
    results = _evaluate(closed.jaxpr, closed.consts, jax.tree.leaves(arguments), rules)
    return jax.tree.unflatten(jax.tree.structure(shapes), results)

  return other


def _evaluate(jaxpr: core.Jaxpr, constants: Sequence[Any], arguments: Sequence[Any], rules: Mapping[str, Rule],
              ) -> list[Any]:
  """An interpreter of traced functions, as JAX's documentation describes them ('Writing custom Jaxpr interpreters')."""
  known = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*constants, *arguments], strict=True))
  read = lambda variable: variable.val if isinstance(variable, core.Literal) else known[variable]
  for equation in jaxpr.eqns:
    name, operands = equation.primitive.name, list(map(read, equation.invars))
    if name in CALLS:
      inside = equation.params[CALLS[name]]
      results = _evaluate(inside.jaxpr, inside.consts, operands, rules)
    else:
      with jax.named_scope(str(equation.source_info.name_stack)):  # profiles show to which module it belongs
        results = _apply(equation, operands, rules)
    known |= zip(equation.outvars, results, strict=True)
  return list(map(read, jaxpr.outvars))


def _apply(equation: core.JaxprEqn, operands: Sequence[Any], rules: Mapping[str, Rule]) -> list[Any]:
  rule = rules.get(equation.primitive.name)
  if rule and (result := rule(*operands, **equation.params)) is not None:
    return [result]
  results = equation.primitive.bind(*operands, **equation.primitive.get_bind_params(equation.params))
  return results if equation.primitive.multiple_results else [results]
