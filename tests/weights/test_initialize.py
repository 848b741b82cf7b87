"""Initial variables: same tree as model.init, same numbers from the same seed, and the variances that are promised."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lesion_jax.weights.initialize import initialize


class Small(nn.Module):
  extra: str = 'gamma'

  @nn.compact
  def __call__(self, x, *, train, offset=0.0):
    x = nn.Conv(64, (3, 3), name='conv')(x + offset)
    x = nn.BatchNorm(use_running_average=not train, name='bn')(x)
    x = x * (1 + self.param(self.extra, nn.initializers.ones, (1,)))
    return nn.Dense(512, name='fc')(x.mean((1, 2)))


EXAMPLE = jax.ShapeDtypeStruct((2, 8, 8, 64), jnp.float32)


def test_the_tree_is_that_of_init():
  expected = Small().init(jax.random.key(0), jnp.zeros(EXAMPLE.shape), train=False)
  variables = initialize(Small(), EXAMPLE, 0, offset=1.0)
  assert jax.tree.map(np.shape, variables) == jax.tree.map(np.shape, expected)
  assert all(isinstance(x, np.ndarray) and x.dtype == np.float32 for x in jax.tree.leaves(variables))


def test_a_model_without_statistics_has_an_empty_collection():
  class Plain(nn.Module):
    @nn.compact
    def __call__(self, x, *, train):
      return nn.Dense(2)(x)

  assert initialize(Plain(), jnp.zeros((1, 3)), 0)['batch_stats'] == {}


def test_numbers_depend_on_the_seed_and_the_name_alone():
  one, again, other = (initialize(Small(), EXAMPLE, seed)['params'] for seed in (1, 1, 2))
  jax.tree.map(np.testing.assert_array_equal, one, again)
  assert not np.array_equal(one['conv']['kernel'], other['conv']['kernel'])
  renamed = initialize(Small(extra='scale'), EXAMPLE, 1)['params']
  np.testing.assert_array_equal(renamed['conv']['kernel'], one['conv']['kernel'])


@pytest.mark.parametrize('layer, variance', [('conv', 2 / (3 * 3 * 64)), ('fc', 1 / 64)])
def test_kernels_are_truncated_normals_of_the_promised_variance(layer, variance):
  kernel = initialize(Small(), EXAMPLE, 0)['params'][layer]['kernel']
  np.testing.assert_allclose(kernel.var(), variance, rtol=0.03)
  np.testing.assert_allclose(kernel.mean(), 0, atol=0.02 * np.sqrt(variance))
  assert np.abs(kernel).max() <= 2 * np.sqrt(variance) / 0.879 < 2.4 * kernel.std()


def test_the_rest_is_constant_and_gamma_closes_its_gate():
  variables = initialize(Small(), EXAMPLE, 0)
  constants = {
      'scale': variables['params']['bn']['scale'], 'bias': variables['params']['bn']['bias'],
      'gamma': variables['params']['gamma'], **variables['batch_stats']['bn'],
  }
  assert {name: set(x.tolist()) for name, x in constants.items()} == {
      'scale': {1}, 'bias': {0}, 'gamma': {0}, 'mean': {0}, 'var': {1},
  }


def test_an_unknown_name_is_an_error():
  with pytest.raises(ValueError, match="'params/temperature'.*kernel, bias"):
    initialize(Small(extra='temperature'), EXAMPLE, 0)
