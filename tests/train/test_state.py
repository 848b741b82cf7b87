"""Optimisers against their definitions, and the state's two halves."""

import jax
import numpy as np
import pytest

from lesion_jax.train.state import create_state, get_optimizer, join_frozen, split_frozen

VARIABLES = {
    'params': {'lesion': {'w': np.ones(2, np.float32)}, 'grading': {'w': np.zeros(3, np.float32)}},
    'batch_stats': {'lesion': {'mean': np.ones(1, np.float32)}, 'grading': {'mean': np.zeros(1, np.float32)}},
}


def adamw(w, gradients, *, rate, momentum, decay):
  """Loshchilov and Hutter (2019), in NumPy."""
  mean = square = 0
  for t, gradient in enumerate(gradients, 1):
    mean, square = momentum * mean + (1 - momentum) * gradient, 0.999 * square + 0.001 * gradient**2
    direction = mean / (1 - momentum**t) / (np.sqrt(square / (1 - 0.999**t)) + 1e-8)
    w = w - rate * (direction + decay * w)
  return w


def test_adamw_is_the_published_one():
  rng = np.random.default_rng(0)
  w = rng.normal(size=5).astype(np.float32)
  gradients = rng.normal(size=(6, 5)).astype(np.float32)
  optimizer = get_optimizer('adamw', momentum=0.8, weight_decay=0.01)
  state, mine = optimizer.init(w), w
  for gradient in gradients:
    direction, state = optimizer.update(gradient, state, mine)
    mine = mine - 0.1 * direction
  np.testing.assert_allclose(mine, adamw(w, gradients, rate=0.1, momentum=0.8, decay=0.01), rtol=1e-5, atol=1e-6)


def test_an_unknown_optimizer_lists_the_known_ones():
  with pytest.raises(ValueError, match="unknown optimizer 'lion'; the optimizers are sgd, adamw"):
    get_optimizer('lion', momentum=0.9, weight_decay=0.0)


def test_joining_undoes_splitting():
  trainable, frozen = split_frozen(VARIABLES, 'lesion')
  assert set(trainable['params']) == {'grading'} and set(frozen['params']) == {'lesion'}
  joined = join_frozen(trainable, frozen)
  assert jax.tree.structure(joined) == jax.tree.structure(VARIABLES)
  jax.tree.map(np.testing.assert_array_equal, joined, VARIABLES)


@pytest.mark.parametrize('name', ['sgd', 'adamw'])
def test_a_fresh_state_is_in_host_memory_and_knows_nothing_of_what_is_frozen(name):
  trainable, _ = split_frozen(VARIABLES, 'lesion')
  state = create_state(trainable, get_optimizer(name, momentum=0.9, weight_decay=0.0))
  leaves = jax.tree_util.tree_leaves_with_path(state)
  assert all(isinstance(leaf, np.ndarray) for _, leaf in leaves)
  assert not any('lesion' in jax.tree_util.keystr(path) for path, _ in leaves)
  assert int(state.step) == 0
