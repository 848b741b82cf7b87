"""Optimisers against their definitions, and the state's two halves."""

import jax
import numpy as np
import pytest
import torch_sgd

from lesion_jax.train.state import adamw as adamw_of_ours
from lesion_jax.train.state import TrainState, create_state, get_optimizer, in_encoder, join_frozen, split_frozen, unfit

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


def layer(seed):
  rng = np.random.default_rng(seed)
  params = {'conv': {'kernel': rng.normal(size=3)}, 'bn': {'scale': rng.normal(size=2), 'bias': rng.normal(size=2)}}
  return params, {'bn': {'mean': rng.normal(size=2), 'var': rng.normal(size=2)}}


def network():
  """Two layers of an encoder and a head with another encoder's name in front."""
  (a, a_stats), (b, b_stats), (head, _) = layer(0), layer(1), layer(2)
  return {'params': {'encoder': {'Conv_1': a, 'Mixed_2': b}, 'head': head},
          'batch_stats': {'encoder': {'Conv_1': a_stats, 'Mixed_2': b_stats}}}


def paths(tree):
  return {'/'.join(str(entry.key) for entry in path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)}


@pytest.mark.parametrize(('patterns', 'params', 'batch_stats'), [
    (['encoder/Conv_*'], {'encoder/Conv_1/conv/kernel', 'encoder/Conv_1/bn/scale', 'encoder/Conv_1/bn/bias'},
     {'encoder/Conv_1/bn/mean', 'encoder/Conv_1/bn/var'}),
    (['encoder/Conv_1', 'head'], {'encoder/Conv_1/conv/kernel', 'encoder/Conv_1/bn/scale', 'encoder/Conv_1/bn/bias',
                                  'head/conv/kernel', 'head/bn/scale', 'head/bn/bias'},
     {'encoder/Conv_1/bn/mean', 'encoder/Conv_1/bn/var'}),
    (['*/kernel'], {'encoder/Conv_1/conv/kernel', 'encoder/Mixed_2/conv/kernel', 'head/conv/kernel'}, set()),
    (['encoder/*/bn/*'], {f'encoder/{name}/bn/{leaf}' for name in ('Conv_1', 'Mixed_2') for leaf in ('scale', 'bias')},
     {f'encoder/{name}/bn/{leaf}' for name in ('Conv_1', 'Mixed_2') for leaf in ('mean', 'var')}),
])
def test_patterns_freeze_parameters_and_running_statistics_by_their_paths(patterns, params, batch_stats):
  variables = network()
  trainable, frozen = split_frozen(variables, None, patterns)
  assert (paths(frozen['params']), paths(frozen.get('batch_stats', {}))) == (params, batch_stats)
  for collection in ('params', 'batch_stats'):
    assert paths(trainable[collection]) == paths(variables[collection]) - paths(frozen.get(collection, {}))
  joined = join_frozen(trainable, frozen)
  assert jax.tree.structure(joined) == jax.tree.structure(variables)
  jax.tree.map(np.testing.assert_array_equal, joined, variables)


def test_patterns_go_with_a_frozen_branch():
  trainable, frozen = split_frozen(network(), 'head', ['encoder/Conv_1/conv'])
  assert paths(frozen['params']) == {'head/conv/kernel', 'head/bn/scale', 'head/bn/bias', 'encoder/Conv_1/conv/kernel'}
  assert paths(frozen) | paths(trainable) == paths(network())


@pytest.mark.parametrize(('patterns', 'message'), [
    (['encoder/Conv_9*'], r"'encoder/Conv_9\*'; the top-level names are encoder, head, and a path looks "),
    (['encoder', 'Head'], "fits the pattern 'Head'"),
    (['encoder', 'head'], r"freeze=\('encoder', 'head'\) leaves nothing to train"),
])
def test_patterns_that_make_no_sense_are_refused(patterns, message):
  with pytest.raises(ValueError, match=message):
    split_frozen(network(), None, patterns)


def test_a_state_is_evaluated_by_its_averages_where_it_has_them():
  variables = network()
  optimizer = get_optimizer('sgd', momentum=0.9, weight_decay=0.0)
  assert create_state(variables, optimizer).weights == variables and create_state(variables, optimizer).ema == {}
  state = create_state(variables, optimizer, ema=True)
  jax.tree.map(np.testing.assert_array_equal, state.ema, variables)
  assert not any(np.shares_memory(a, b) for a, b in zip(jax.tree.leaves(state.ema), jax.tree.leaves(variables),
                                                        strict=True))
  averages = {'params': {'w': 1}, 'batch_stats': {}}
  assert TrainState(0, {'w': 2}, {}, (), averages).weights == averages


def test_what_is_under_an_encoder():
  params = {'encoder': {'a': {'kernel': 1}}, 'lesion': {'encoder': {'kernel': 1}, 'head': {'kernel': 1}},
            'attention_encoder': {'kernel': 1}, 'head': {'kernel': 1, 'encoder': 1}}
  assert in_encoder(params) == {
      'encoder': {'a': {'kernel': True}}, 'lesion': {'encoder': {'kernel': True}, 'head': {'kernel': False}},
      'attention_encoder': {'kernel': True}, 'head': {'kernel': False, 'encoder': False}}


@pytest.mark.parametrize('name', ['sgd', 'adamw'])
def test_the_encoder_s_rate_scales_its_whole_update_with_the_decay(name):
  """As if the encoder's parameters had an optimiser of their own, with a rate of a fifth."""
  rng = np.random.default_rng(0)
  params = {module: {'kernel': rng.normal(size=4).astype(np.float32)} for module in ('encoder', 'head')}
  gradients = [{module: {'kernel': rng.normal(size=4).astype(np.float32)} for module in params} for _ in range(5)]
  oracle = torch_sgd.run if name == 'sgd' else adamw
  optimizer = get_optimizer(name, momentum=0.8, weight_decay=0.05, encoder_lr_factor=0.2)
  mine, state = params, optimizer.init(params)
  for gradient in gradients:
    direction, state = optimizer.update(gradient, state, mine)
    mine = jax.tree.map(lambda w, d: w - 0.1 * d, mine, direction)
  for module, rate in (('encoder', 0.02), ('head', 0.1)):
    expected = oracle(params[module]['kernel'], [g[module]['kernel'] for g in gradients], rate=rate, momentum=0.8,
                      decay=0.05)
    np.testing.assert_allclose(mine[module]['kernel'], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('name', ['sgd', 'adamw'])
def test_an_encoder_that_is_held_begins_as_if_training_began_there(name):
  rng = np.random.default_rng(2)
  params = {module: {'kernel': rng.normal(size=4).astype(np.float32)} for module in ('encoder', 'head')}
  gradients = [{module: {'kernel': rng.normal(size=4).astype(np.float32)} for module in params} for _ in range(7)]
  oracle = torch_sgd.run if name == 'sgd' else adamw
  optimizer = get_optimizer(name, momentum=0.8, weight_decay=0.05, encoder_held=3, encoder_lr_factor=0.5)
  mine, state = params, optimizer.init(params)
  for number, gradient in enumerate(gradients):
    direction, state = optimizer.update(gradient, state, mine)
    mine = jax.tree.map(lambda w, d: w - 0.1 * d, mine, direction)
    assert (np.asarray(mine['encoder']['kernel']) == params['encoder']['kernel']).all() == (number < 3)
  for module, rate, first in (('encoder', 0.05, 3), ('head', 0.1, 0)):
    expected = oracle(params[module]['kernel'], [g[module]['kernel'] for g in gradients[first:]], rate=rate, momentum=0.8,
                      decay=0.05)
    np.testing.assert_allclose(mine[module]['kernel'], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('name', ['sgd', 'adamw'])
def test_rates_by_depth_are_those_of_optimisers_with_these_rates(name):
  rng = np.random.default_rng(3)
  names = {('encoder', 'Conv_1'): 0.01, ('encoder', 'Mixed_2'): 0.3, ('encoder', 'Mixed_7'): 0.5, ('head', 'Conv_1'): 1.0}
  tree = lambda: {'encoder': {n: {'kernel': rng.normal(size=3).astype(np.float32)} for n in ('Conv_1', 'Mixed_2', 'Mixed_7')},
                  'head': {'Conv_1': {'kernel': rng.normal(size=3).astype(np.float32)}}}
  params, gradients = tree(), [tree() for _ in range(4)]
  factors = (('encoder/Conv_*', 0.01), ('encoder/Mixed_2', 0.3), ('encoder', 0.5))  # the first that fits
  optimizer = get_optimizer(name, momentum=0.8, weight_decay=0.05, lr_factors=factors)
  assert unfit(params, factors) == []
  mine, state = params, optimizer.init(params)
  for gradient in gradients:
    direction, state = optimizer.update(gradient, state, mine)
    mine = jax.tree.map(lambda w, d: w - 0.1 * d, mine, direction)
  oracle = torch_sgd.run if name == 'sgd' else adamw
  for (module, layer_name), factor in names.items():
    expected = oracle(params[module][layer_name]['kernel'], [g[module][layer_name]['kernel'] for g in gradients],
                      rate=0.1 * factor, momentum=0.8, decay=0.05)
    np.testing.assert_allclose(mine[module][layer_name]['kernel'], expected, rtol=1e-5, atol=5e-6)


def test_patterns_of_rates_that_nothing_takes_are_found():
  params = {'encoder': {'Conv_1': {'kernel': 1}}, 'head': {'kernel': 1}}
  assert unfit(params, (('encoder', 0.1), ('encoder/Conv_1', 0.2), ('decoder', 0.3))) == ['encoder/Conv_1', 'decoder']


@pytest.mark.parametrize('clip', [1.0, 3.0, 100.0])
def test_a_longer_gradient_is_shortened_over_all_parameters_before_decay_and_momentum(clip):
  rng = np.random.default_rng(1)
  w = rng.normal(size=8).astype(np.float32)
  gradients = rng.normal(size=(6, 8)).astype(np.float32)
  optimizer = get_optimizer('sgd', momentum=0.9, weight_decay=0.1, clip=clip)
  split = lambda x: {'a': x[:3], 'b': {'c': x[3:]}}
  state, mine = optimizer.init(split(w)), split(w)
  for gradient in gradients:
    direction, state = optimizer.update(split(gradient), state, mine)
    mine = jax.tree.map(lambda w, d: w - 0.1 * d, mine, direction)
  shortened = [g * min(1, clip / np.linalg.norm(g)) for g in gradients]
  expected = torch_sgd.run(w, shortened, rate=0.1, momentum=0.9, decay=0.1)
  np.testing.assert_allclose(np.concatenate([mine['a'], mine['b']['c']]), expected, rtol=1e-5, atol=1e-6)


def test_without_clipping_and_with_one_rate_the_optimizer_s_state_is_what_it_was():
  params = {'encoder': {'kernel': np.ones(2, np.float32)}}
  plain = get_optimizer('adamw', momentum=0.9, weight_decay=0.1).init(params)
  assert jax.tree.structure(plain) == jax.tree.structure(adamw_of_ours(momentum=0.9, weight_decay=0.1).init(params))


@pytest.mark.parametrize(('fields', 'message'), [
    ({'momentum': 1.0}, r'momentum is a share .* got 1\.0'), ({'momentum': -0.9}, 'momentum is'), ({'weight_decay': -1e-4}, 'weight_decay is 0 or more'),
    ({'clip': -1.0}, r'clip is .* got -1\.0'), ({'clip': float('nan')}, 'clip is'),
    ({'encoder_lr_factor': 0.0}, r"encoder_lr_factor is a factor .* freeze=\('encoder',\)"), ({'encoder_lr_factor': -1.0}, 'above 0'),
    ({'encoder_held': -1}, 'counts steps'), ({'lr_factors': (('encoder', 0),)}, 'belongs to freeze'),
    ({'lr_factors': ('encoder', 0.1)}, 'pairs of a pattern and a factor')])
def test_numbers_that_make_no_sense_are_refused(fields, message):
  with pytest.raises(ValueError, match=message):
    get_optimizer('sgd', **{'momentum': 0.9, 'weight_decay': 0.0} | fields)
