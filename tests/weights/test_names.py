"""Names and layouts of torchvision and Flax."""

import numpy as np
import pytest

from lesion_jax.weights.names import to_flax, to_torch

RNG = np.random.default_rng(0)
STATE = {
    'Mixed_6b.branch7x7_2.conv.weight': RNG.normal(size=(5, 4, 1, 7)),
    'Mixed_6b.branch7x7_2.bn.weight': RNG.normal(size=5),
    'Mixed_6b.branch7x7_2.bn.bias': RNG.normal(size=5),
    'Mixed_6b.branch7x7_2.bn.running_mean': RNG.normal(size=5),
    'Mixed_6b.branch7x7_2.bn.running_var': RNG.normal(size=5),
    'fc.weight': RNG.normal(size=(3, 5)),
    'fc.bias': RNG.normal(size=3),
    'attention.gamma': RNG.normal(size=1),
}


def test_convolutions_become_hwio_and_dense_kernels_are_transposed():
  flat = to_flax(STATE)
  layer = 'Mixed_6b/branch7x7_2'
  expected = {
      f'params/{layer}/conv/kernel': np.einsum('oihw->hwio', STATE['Mixed_6b.branch7x7_2.conv.weight']),
      f'params/{layer}/bn/scale': STATE['Mixed_6b.branch7x7_2.bn.weight'],
      f'params/{layer}/bn/bias': STATE['Mixed_6b.branch7x7_2.bn.bias'],
      f'batch_stats/{layer}/bn/mean': STATE['Mixed_6b.branch7x7_2.bn.running_mean'],
      f'batch_stats/{layer}/bn/var': STATE['Mixed_6b.branch7x7_2.bn.running_var'],
      'params/fc/kernel': STATE['fc.weight'].T,
      'params/fc/bias': STATE['fc.bias'],
      'params/attention/gamma': STATE['attention.gamma'],
  }
  assert set(flat) == set(expected)
  for name, array in expected.items():
    np.testing.assert_array_equal(flat[name], array)


def test_there_and_back_is_the_same():
  back = to_torch(to_flax(STATE | {'Mixed_6b.branch7x7_2.bn.num_batches_tracked': np.array(7)}))
  assert set(back) == set(STATE)
  for name, array in STATE.items():
    np.testing.assert_array_equal(back[name], array)


@pytest.mark.parametrize('name, shape', [('a.weight', (1, 2, 3)), ('a.momentum', (1,)), ('weight', (2, 2))])
def test_what_the_table_does_not_know_is_an_error(name, shape):
  with pytest.raises(ValueError, match=rf"'{name}' of shape .*known are \*\.weight of rank 4"):
    to_flax({name: np.zeros(shape)})


@pytest.mark.parametrize('name', ['params/a/gain', 'batch_stats/a/kernel', 'params/kernel'])
def test_so_it_is_the_other_way(name):
  with pytest.raises(ValueError, match=rf"'{name}' of shape .*known are params/\*/kernel of rank 4"):
    to_torch({name: np.zeros((2, 2))})
