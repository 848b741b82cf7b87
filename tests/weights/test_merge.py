"""Loading by flat names: everything fits, or the error lists what does not."""

import jax
import numpy as np
import pytest

from lesion_jax.weights.merge import merge


@pytest.fixture
def variables():
  layer = lambda: {'conv': {'kernel': np.zeros((1, 1, 2, 3), np.float32)}, 'bn': {'scale': np.zeros(3, np.float32)}}
  return {
      'params': {'encoder': {'a': layer(), 'b': layer()}, 'head': {'kernel': np.zeros((3, 2), np.float32)}},
      'batch_stats': {'encoder': {'a': {'bn': {'mean': np.zeros(3, np.float32)}}}},
  }


@pytest.fixture
def loaded():
  rng = np.random.default_rng(0)
  shapes = {'conv/kernel': (1, 1, 2, 3), 'bn/scale': (3,)}
  params = {f'params/{layer}/{name}': rng.normal(size=shape) for layer in 'ab' for name, shape in shapes.items()}
  return params | {'batch_stats/a/bn/mean': rng.normal(size=3)}


def test_it_replaces_the_module_and_leaves_the_rest_and_the_input(variables, loaded):
  merged = merge(variables, loaded)
  for layer in 'ab':
    actual = merged['params']['encoder'][layer]['conv']['kernel']
    assert actual.dtype == np.float32
    np.testing.assert_array_equal(actual, loaded[f'params/{layer}/conv/kernel'].astype(np.float32))
  np.testing.assert_allclose(merged['batch_stats']['encoder']['a']['bn']['mean'], loaded['batch_stats/a/bn/mean'])
  assert merged['params']['head'] is not None and not merged['params']['head']['kernel'].any()
  assert not any(leaf.any() for leaf in jax.tree.leaves(variables))
  assert jax.tree.structure(merged) == jax.tree.structure(variables)


def test_the_prefix_may_be_deep_or_empty(variables, loaded):
  deep = {key: {'lesion': tree} for key, tree in variables.items()}
  assert merge(deep, loaded, prefix='lesion/encoder')['params']['lesion']['encoder']['b']['bn']['scale'].any()
  whole = {key: tree['encoder'] for key, tree in variables.items()}
  assert merge(whole, loaded, prefix='')['params']['b']['bn']['scale'].any()


def test_the_error_lists_both_sides_and_both_shapes(variables, loaded):
  del loaded['params/a/bn/scale']
  loaded['params/fc/kernel'] = np.zeros((3, 5))
  loaded['params/b/bn/scale'] = np.zeros(4)
  with pytest.raises(ValueError) as error:
    merge(variables, loaded)
  message = str(error.value)
  assert 'missing from the weights (1):\n    params/a/bn/scale' in message
  assert 'left over in the weights (1):\n    params/fc/kernel' in message
  assert 'of another shape (1):\n    params/b/bn/scale (model (3,), weights (4,))' in message
  assert 'allow_' not in message  # there is no such option to give


def test_a_long_list_is_shortened(variables, loaded):
  loaded |= {f'params/extra{i:02}/kernel': np.zeros(1) for i in range(50)}
  with pytest.raises(ValueError, match=r'extra07/kernel\n    and 42 more'):
    merge(variables, loaded)


def test_patterns_excuse_names(variables, loaded):
  del loaded['params/b/conv/kernel'], loaded['params/b/bn/scale']
  loaded['params/fc/kernel'] = np.zeros((3, 5))
  merged = merge(variables, loaded, allow_missing=('b/*',), allow_extra=('AuxLogits/*', 'fc/*'))
  assert merged['params']['encoder']['a']['bn']['scale'].any()
  assert not merged['params']['encoder']['b']['bn']['scale'].any()
  with pytest.raises(ValueError, match='left over'):
    merge(variables, loaded, allow_missing=('b/*',), allow_extra=('f',))


def test_another_shape_needs_both_excuses(variables, loaded):
  loaded['params/b/bn/scale'] = np.ones(4)
  for excuse in ({'allow_missing': ('b/*',)}, {'allow_extra': ('b/*',)}):
    with pytest.raises(ValueError, match='of another shape'):
      merge(variables, loaded, **excuse)
  merged = merge(variables, loaded, allow_missing=('b/bn/*',), allow_extra=('b/bn/*',))
  assert not merged['params']['encoder']['b']['bn']['scale'].any()
  assert merged['params']['encoder']['b']['conv']['kernel'].any()


def test_an_unknown_prefix_shows_what_there_is(variables, loaded):
  with pytest.raises(ValueError, match=r"nothing at 'backbone'.*\['encoder', 'head'\]"):
    merge(variables, loaded, prefix='backbone')
