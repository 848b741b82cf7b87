"""FCN: which taps are scored, and how the scores are added. That it equals torch is in tests/golden."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from every_model import WIDTH, forward, pictures, variables_of
from tiny import TinyEncoder

from lesion_jax.models.fcn import FCN, STRIDES
from lesion_jax.weights.initialize import initialize

tiny = functools.partial(FCN, encoder=TinyEncoder, width=WIDTH)


def with_scores(variables, **scores):
  """The variables with constant scores: zero kernels, the given biases."""
  constant = {name: {'kernel': np.zeros_like(variables['params'][name]['kernel']), 'bias': np.full(8, bias, np.float32)}
              for name, bias in scores.items()}
  return variables | {'params': variables['params'] | constant}


@pytest.mark.parametrize('stride', STRIDES)
def test_the_taps_from_the_deepest_to_the_stride_are_scored(stride):
  params = variables_of(tiny(stride=stride))['params']
  assert set(params) == {'encoder'} | {f'score_{s}' for s in STRIDES if s >= stride}


def test_the_scores_of_all_taps_are_added():
  network = tiny(stride=8)
  variables = with_scores(variables_of(network), score_32=1, score_16=10, score_8=100)
  np.testing.assert_allclose(forward(network)(variables, pictures(1, 45, 61))['maps'], 111, rtol=1e-6)


def test_a_finer_score_of_zero_leaves_the_coarser_network():
  """Doubling to the grid of stride 16 and then to full size differs from one step only by interpolation."""
  fine, coarse = tiny(stride=8), tiny(stride=16)
  variables = with_scores(variables_of(fine), score_8=0)
  images = pictures(2, 64, 64)
  expected = forward(coarse)({'params': {k: v for k, v in variables['params'].items() if k != 'score_8'},
                              'batch_stats': variables['batch_stats']}, images)['maps']
  found = forward(fine)(variables, images)['maps']
  np.testing.assert_allclose(np.mean(found, (1, 2)), np.mean(expected, (1, 2)), rtol=1e-4, atol=1e-4)
  assert np.corrcoef(np.ravel(found), np.ravel(expected))[0, 1] > 0.99


def test_scores_are_added_in_float32():
  """In bfloat16 a sum near 256 would be a multiple of 2."""
  network = tiny(stride=8, dtype=jnp.bfloat16)
  images, variables = pictures(2, 64, 64), variables_of(network)
  base, far = (np.asarray(forward(network)(with_scores(variables, score_8=bias), images)['maps']) for bias in (0, 256))
  assert base.std() > 0.01
  np.testing.assert_allclose(far - 256, base, atol=1e-4)


def test_another_stride_is_an_error():
  with pytest.raises(ValueError, match='FCN has no stride 4; choose one of 32, 16, 8'):
    initialize(tiny(stride=4), jax.ShapeDtypeStruct((1, 32, 32, 3), np.uint8), 0)
