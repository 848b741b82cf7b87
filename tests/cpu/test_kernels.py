"""Gradients of kernels from arrays with their border in them are the gradients, of every kind of convolution that has a border."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from lesion_jax.cpu import kernels
from lesion_jax.cpu.rewriting import rewritten

RULES = {'conv_general_dilated': kernels.convolve}


def draw(*shape):
  """Normal float32."""
  return np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32)


def gradients(function, x, kernel):
  """Of a scalar in which each result has its own weight."""
  weights = np.random.default_rng(0).normal(size=jax.eval_shape(function, x, kernel).shape).astype(np.float32)
  return jax.value_and_grad(lambda x, kernel: (function(x, kernel) * weights).sum(), (0, 1))


def convolution(strides=(1, 1), padding=((1, 1), (1, 1)), layout=('NHWC', 'HWIO', 'NHWC'), **others):
  """A function of x and kernel."""
  return lambda x, kernel: jax.lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=layout, **others)


@pytest.mark.parametrize('function, x, kernel', [
    (convolution(), (2, 9, 7, 5), (3, 3, 5, 4)),
    (convolution((2, 2)), (2, 9, 8, 5), (3, 3, 5, 4)),
    (convolution((2, 3), ((2, 0), (0, 1))), (2, 9, 8, 5), (3, 2, 5, 4)),
    (convolution((1, 1), ((0, 0), (3, 3))), (1, 4, 9, 5), (1, 7, 5, 4)),
    (convolution(rhs_dilation=(2, 2), padding=((2, 2), (2, 2))), (2, 9, 7, 5), (3, 3, 5, 4)),
    (convolution(feature_group_count=2), (2, 9, 7, 6), (3, 3, 3, 4)),
    (convolution(layout=('NCHW', 'OIHW', 'NCHW')), (2, 5, 9, 7), (4, 5, 3, 3)),
], ids=['plain', 'strides', 'uneven', 'a row', 'dilated', 'groups', 'channels first'])
def test_value_and_gradients(function, x, kernel):
  x, kernel = draw(*x), draw(*kernel)
  other = rewritten(function, RULES)
  assert 'custom_vjp' in str(jax.make_jaxpr(other)(x, kernel))
  found, expected = (jax.jit(gradients(one, x, kernel))(x, kernel) for one in (other, function))
  for one, right in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
    np.testing.assert_allclose(one, right, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('function', [
    convolution(padding='VALID'), convolution(lhs_dilation=(2, 2)), convolution(padding=((-1, 1), (0, 0)))],
    ids=['no border', 'transposed', 'cut off'])
def test_others_are_left_alone(function, request):
  x, kernel = draw(2, 9, 7, 5), draw(3, 3, 5, 4)
  other = rewritten(function, RULES)
  assert str(jax.make_jaxpr(other)(x, kernel)).count('conv_general_dilated[') == 1 and 'custom_vjp' not in str(jax.make_jaxpr(other)(x, kernel))
  if 'cut off' not in request.node.name:  # what XLA makes of that on a CPU is wrong, and another number each time
    np.testing.assert_allclose(other(x, kernel), function(x, kernel), rtol=1e-5, atol=1e-5)
