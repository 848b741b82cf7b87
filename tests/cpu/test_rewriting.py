"""A function computed by other means is the same function, whatever is called inside."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from lesion_jax.cpu.rewriting import rewritten

X = np.arange(6, dtype=np.float32)
SINE = {'sin': lambda x, accuracy: jnp.cos(x)}  # nobody could overlook it


def test_rules_reach_what_is_called_inside_and_trees_come_back():
  inside = jax.jit(lambda x: nn.relu(jnp.sin(x)))
  function = lambda tree, scale: {'a': scale * inside(tree['x']), 'b': tree['y']}
  found = jax.jit(rewritten(function, SINE))({'x': X, 'y': 3.0}, 2.0)
  np.testing.assert_allclose(found['a'], 2 * np.maximum(np.cos(X), 0), rtol=1e-6)
  assert found['b'] == 3


def test_a_rule_may_leave_an_operation():
  found = rewritten(jnp.sin, {'sin': lambda x, accuracy: None})(X)
  np.testing.assert_array_equal(found, jnp.sin(X))


def test_loops_and_conditions_are_left_as_they_are():
  for function in (lambda x: jax.lax.map(jnp.sin, x), lambda x: jax.lax.while_loop(lambda x: x[0] < 1, lambda x: jnp.sin(x) + 1, x),
                   lambda x: jax.lax.cond(x[1] > 0, jnp.sin, jnp.cos, x)):
    np.testing.assert_array_equal(rewritten(function, SINE)(X), function(X))


def test_arguments_may_be_named():
  function = lambda x, *, scale: scale * jnp.sin(x)
  np.testing.assert_allclose(rewritten(function, SINE)(scale=2.0, x=X), 2 * np.cos(X), rtol=1e-6)


def test_operations_of_several_results_and_constants():
  constant = jnp.asarray(X)
  function = lambda x: jax.lax.top_k(x * constant, 2)
  for found, expected in zip(rewritten(function, SINE)(-X), function(-X), strict=True):
    np.testing.assert_array_equal(found, expected)


def test_what_is_computed_twice_to_save_memory_is_reached_and_computed_twice_still():
  function = rewritten(jax.checkpoint(lambda x: jnp.sin(jnp.sin(x))), SINE)
  np.testing.assert_allclose(function(X), np.cos(np.cos(X)), rtol=1e-6)
  derivative = str(jax.make_jaxpr(jax.grad(lambda x: function(x).sum()))(X))
  assert 'differentiated=True' in derivative  # computed again between the gradients


def test_what_has_derivatives_of_its_own_is_left_as_it_is():
  own = jax.custom_vjp(jnp.sin)
  own.defvjp(lambda x: (jnp.sin(x), x), lambda x, gradient: (3 * gradient,))
  found, gradient = jax.value_and_grad(lambda x: rewritten(own, SINE)(x).sum())(X)
  assert found == np.float32(jnp.sin(X).sum())
  np.testing.assert_array_equal(gradient, np.full(6, 3, np.float32))
  assert jax.grad(rewritten(nn.relu, SINE))(0.0) == 0  # and not 0.5, that of a maximum


def test_names_of_modules_stay():
  class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
      return jax.jit(lambda x: jnp.sin(x) * 2)(nn.Dense(3, name='inner')(x))

  function = lambda x: Net().apply({'params': {'inner': {'kernel': np.eye(6, 3, dtype=np.float32),
                                                         'bias': np.zeros(3, np.float32)}}}, x)
  text = jax.jit(rewritten(function, SINE)).lower(X).as_text(debug_info=True)
  assert '/Net/inner/dot_general' in text and '/Net/cos' in text
