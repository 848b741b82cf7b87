"""Winograd's convolutions are convolutions, about as exact as XLA's."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from lesion_jax.cpu import winograd
from lesion_jax.cpu.rewriting import rewritten

SAME, VALID = ((1, 1), (1, 1)), ((0, 0), (0, 0))


def convolution(x, kernel, strides=(1, 1), padding=SAME, **others):
  """Of [B, H, W, C] by [3, 3, C, D]."""
  return jax.lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=('NHWC', 'HWIO', 'NHWC'), **others)


def fast(function):
  """The function with the convolutions that are tested."""
  return rewritten(function, winograd.RULES)


def draw(*shape):
  """Normal float32."""
  return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def is_replaced(function, *arguments):
  """Whether no convolution is left."""
  return 'conv_general_dilated' not in str(jax.make_jaxpr(fast(function))(*arguments))


@pytest.fixture
def always(monkeypatch):
  """Small ones too."""
  monkeypatch.setattr(winograd, 'MIN_CHANNELS', 1)
  monkeypatch.setattr(winograd, 'MIN_TILES', 1)


@pytest.mark.parametrize('padding', [SAME, VALID, ((2, 0), (0, 1))])
@pytest.mark.parametrize('rows, columns', [(8, 6), (7, 5), (3, 4)])
def test_any_size_and_border(always, rows, columns, padding):
  x, kernel = draw(2, rows, columns, 5), draw(3, 3, 5, 4)
  function = lambda x, kernel: convolution(x, kernel, padding=padding)
  assert is_replaced(function, x, kernel)
  found, expected = jax.jit(fast(function))(x, kernel), function(x, kernel)
  assert found.shape == expected.shape
  np.testing.assert_allclose(found, expected, atol=2e-5)


def test_it_is_as_near_to_float64_as_the_plain_one_but_for_a_factor():
  x, kernel = draw(1, 24, 24, 256), draw(3, 3, 256, 256) / np.float32(np.sqrt(9 * 256))
  assert is_replaced(convolution, x, kernel)
  padded = np.pad(x.astype(np.float64), ((0, 0), *SAME, (0, 0)))
  exact = sum(np.einsum('bhwc,cd->bhwd', padded[:, i:i + 24, j:j + 24], kernel[i, j].astype(np.float64))
              for i in range(3) for j in range(3))
  plain, found = (np.abs(np.asarray(function(x, kernel)) - exact).max() for function in (convolution, fast(convolution)))
  assert found < 4 * plain
  assert found < 1e-5  # of results of about 1


@pytest.mark.parametrize('options', [
    {'strides': (2, 2)}, {'rhs_dilation': (2, 2)}, {'lhs_dilation': (2, 2)}, {'feature_group_count': 2}])
def test_other_kinds_are_left_alone(always, options):
  x, kernel = draw(2, 8, 8, 4), draw(3, 3, 4 // options.get('feature_group_count', 1), 4)
  assert not is_replaced(lambda x, kernel: convolution(x, kernel, **options), x, kernel)


def test_other_kernels_layouts_and_types_are_left_alone(always):
  x = draw(1, 8, 8, 4)
  assert not is_replaced(convolution, x, draw(1, 7, 4, 4))
  assert not is_replaced(convolution, x.astype(jax.numpy.bfloat16), draw(3, 3, 4, 4).astype(jax.numpy.bfloat16))
  other = lambda x, kernel: jax.lax.conv_general_dilated(x, kernel, (1, 1), SAME,
                                                         dimension_numbers=('NHWC', 'OIHW', 'NHWC'))
  assert not is_replaced(other, x, draw(4, 4, 3, 3))


def test_what_cuts_the_border_off_is_left_alone(always):
  x, kernel = draw(1, 8, 8, 4), draw(3, 3, 4, 4)
  assert not is_replaced(lambda x, kernel: convolution(x, kernel, padding=((-1, 1), (0, 0))), x, kernel)


def test_few_channels_or_tiles_are_left_alone():
  assert is_replaced(convolution, draw(1, 32, 32, 256), draw(3, 3, 256, 256))
  assert not is_replaced(convolution, draw(1, 32, 32, 96), draw(3, 3, 96, 256))
  assert not is_replaced(convolution, draw(1, 32, 32, 256), draw(3, 3, 256, 96))
  assert not is_replaced(convolution, draw(1, 14, 14, 256), draw(3, 3, 256, 256))


@pytest.mark.parametrize('padding', [SAME, VALID, ((2, 0), (0, 1))])
def test_gradients_are_those_of_the_plain_one(always, padding):
  x, kernel = draw(2, 7, 6, 5), draw(3, 3, 5, 4)
  weights = draw(*convolution(x, kernel, padding=padding).shape)
  function = lambda x, kernel: (convolution(x, kernel, padding=padding) * weights).sum()
  found, expected = (jax.jit(jax.grad(one, (0, 1)))(x, kernel) for one in (fast(function), function))
  for one, other in zip(found, expected, strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
