"""One step is the same on one device and on several, in one piece and in micro-batches."""

import dataclasses
import os

import jax
import numpy as np
import pytest
import torch_sgd
from flax import traverse_util
from tiny import random_batch

from lesion_jax.augment import Augmentation, augment
from lesion_jax.cpu import kernels, sums, winograd
from lesion_jax.losses import get_loss
from lesion_jax.models.layers import max_pool
from lesion_jax.train.parallel import AXIS, Devices
from lesion_jax.train.state import create_state, get_optimizer, sgd, split_frozen
from lesion_jax.train.step import StepParams, make_train_step


class FrozenNorm:
  """The network with BatchNorm in inference mode, whose batches can be split without changing what it computes."""

  def __init__(self, module):
    self.module = module

  def apply(self, variables, images, *, train, mutable):
    del train, mutable
    return self.module.apply(variables, images, train=False), {'batch_stats': variables['batch_stats']}


def relative(a, b):
  """The largest difference of two trees, relative to the largest entry of each leaf."""
  pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
  return max(float(np.max(np.abs(np.asarray(x) - np.asarray(y))) / max(np.max(np.abs(np.asarray(y))), 1e-12))
             for x, y in pairs)


def gradient_by(step, state, batch, step_params):
  """The gradient, which plain SGD keeps as its trace."""
  after, metrics = step(state, batch, {}, step_params)
  return after.opt_state, metrics


@pytest.fixture(scope='module')
def plain(lab):
  """Loss and gradient of a batch of 8 on one device, with frozen BatchNorm."""
  optimizer = sgd(momentum=0.0, weight_decay=0.0)
  state = lab.state()
  frozen = FrozenNorm(lab.network())
  step_params = StepParams(np.float32(1), np.float32(0.8))

  def make(**options):
    return make_train_step(frozen.apply, get_loss('dual_dice'), optimizer, **options)

  gradient, metrics = gradient_by(jax.jit(make()), state, random_batch(0, 8), step_params)
  return make, state, step_params, gradient, metrics


def test_four_devices_with_two_rows_each_equal_one_device_with_eight(plain):
  make, state, step_params, gradient, metrics = plain
  devices = Devices(jax.devices()[:4])
  step = devices.train(make(axis_name=AXIS))
  placed = devices.replicate(state)
  found, split = gradient_by(step, placed, devices.shard(random_batch(0, 8)), step_params)
  assert relative(split['loss'], metrics['loss']) < 1e-5
  assert relative(found, gradient) < 1e-5


def test_as_a_cpu_takes_it_fastest_a_step_has_the_same_loss_and_gradient(lab, monkeypatch):
  for module, name in ((winograd, 'MIN_CHANNELS'), (winograd, 'MIN_TILES'), (sums, 'MIN_SIZE')):
    monkeypatch.setattr(module, name, 1)
  optimizer, state, step_params = sgd(momentum=0.0, weight_decay=0.0), lab.state(), StepParams(np.float32(1), np.float32(0.8))
  fast, plain = (make_train_step(lab.network().apply, get_loss('dual_dice'), optimizer, platform=platform) for platform in ('cpu', 'gpu'))
  texts = [str(jax.make_jaxpr(step)(state, random_batch(0, 8), {}, step_params)) for step in (fast, plain)]
  for name in ('conv_general_dilated', 'reduce_sum'):
    assert texts[0].count(f'{name}[') < texts[1].count(f'{name}[')
  (found, one), (expected, other) = (gradient_by(jax.jit(step), state, random_batch(0, 8), step_params) for step in (fast, plain))
  assert relative(one['loss'], other['loss']) < 1e-5
  assert relative(found, expected) < 1e-4


def test_as_a_cpu_takes_it_fastest_kernels_have_gradients_of_their_own(lab):
  step = make_train_step(lab.network().apply, get_loss('dual_dice'), sgd(), platform='cpu')
  traced = []
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(kernels, 'convolve', lambda *operands, convolve=kernels.convolve, **named: traced.append(convolve(*operands, **named)) or traced[-1])
    jax.eval_shape(step, lab.state(), random_batch(0, 8), {}, StepParams(np.float32(1), np.float32(0.8)))
  assert any(each is not None for each in traced)


@pytest.mark.parametrize('accumulate', [1, 2])
def test_as_a_cpu_takes_it_fastest_pools_and_sums_are_replaced_in_micro_batches_too(lab, monkeypatch, accumulate):
  monkeypatch.setattr(sums, 'MIN_SIZE', 1)

  def apply(*given, **named):  # a network with a pool, which the tiny one has not
    outputs, updates = lab.network().apply(*given, **named)
    return dataclasses.replace(outputs, maps=max_pool(outputs.maps, stride=1, padding='SAME')), updates

  def trace(platform):
    step = make_train_step(apply, get_loss('dual_dice'), sgd(), platform=platform, accumulate=accumulate)
    return str(jax.make_jaxpr(step)(lab.state(), random_batch(0, 8), {}, StepParams(np.float32(1), np.float32(0.8))))

  fast, plain = trace('cpu'), trace('gpu')
  assert 'select_and_scatter' in plain and 'select_and_scatter' not in fast
  assert fast.count('reduce_sum[') < 0.7 * plain.count('reduce_sum[')


@pytest.mark.parametrize('accumulate', [2, 4])
def test_micro_batches_equal_the_whole_batch(plain, accumulate):
  make, state, step_params, gradient, metrics = plain
  found, split = gradient_by(jax.jit(make(accumulate=accumulate)), state, random_batch(0, 8), step_params)
  assert relative(split['loss'], metrics['loss']) < 1e-5
  assert relative(found, gradient) < 1e-5


def test_synchronised_batch_norm_makes_the_whole_step_independent_of_the_devices(lab):
  batch = random_batch(1, 8)
  after, metrics = jax.jit(lab.step())(lab.state(), batch, {}, lab.step_params)
  devices = Devices(jax.devices()[:4])
  step = devices.train(lab.step(bn_axis=AXIS, axis_name=AXIS))
  split, split_metrics = step(devices.replicate(lab.state()), devices.shard(batch), {}, lab.step_params)
  assert relative(split_metrics, metrics) < 1e-5
  assert relative(split.params, after.params) < 1e-5
  assert relative(split.batch_stats, after.batch_stats) < 1e-5


def run(step, state, batches, frozen, step_params):
  for batch in batches:
    state, metrics = step(state, batch, frozen, step_params)
  return jax.device_get(state), metrics


def average(before, now, decay):
  return jax.tree.map(lambda a, b: decay * np.float64(a) + (1 - decay) * np.float64(b), before, now)


def test_averages_follow_parameters_and_statistics_and_change_nothing_else(lab):
  flag = 'xla_cpu_use_fusion_emitters'  # the same roundings in two programs take the way of users, see conftest.py
  options = {flag: True} if flag in os.environ['XLA_FLAGS'] else None
  plain, step = (jax.jit(each, compiler_options=options) for each in (lab.step(), lab.step(ema=0.15)))
  state, other = create_state(lab.variables, lab.optimizer, ema=True), lab.state()
  expected = lab.variables
  for n, decay in enumerate((1 / 10, 0.15, 0.15)):  # min(0.15, (1 + n) / (10 + n))
    batch = random_batch(n, 4)
    state, other = step(state, batch, {}, lab.step_params)[0], plain(other, batch, {}, lab.step_params)[0]
    expected = average(expected, {'params': state.params, 'batch_stats': state.batch_stats}, decay)
  assert relative((state.params, state.batch_stats, state.opt_state),
                  (other.params, other.batch_stats, other.opt_state)) < 1e-6
  assert relative(state.ema, expected) < 1e-6
  assert relative(state.ema['params'], state.params) > 1e-3
  assert other.ema == {}


@pytest.fixture(scope='module')
def everything(lab):
  """`make(**options)`: a step with averages, clipping, a smaller rate for the encoder and frozen blocks; its state and
  what is frozen. BatchNorm as in inference, whose batches can be split."""
  patterns = ('encoder/block_2', 'encoder/block_4/conv', 'decoder_16s/*/bn/*')
  trainable, frozen = split_frozen(lab.variables, None, patterns)
  optimizer = get_optimizer('adamw', momentum=0.9, weight_decay=0.1, clip=0.05, encoder_lr_factor=0.3)

  def make(**options):
    return make_train_step(FrozenNorm(lab.network()).apply, get_loss('dual_dice'), optimizer, ema=0.9, **options)

  return make, lambda: create_state(trainable, optimizer, ema=True), frozen


def test_all_of_it_is_the_same_on_four_devices_and_in_micro_batches(everything):
  make, state, frozen = everything
  step_params = StepParams(np.float32(1e-3), np.float32(0.8))
  batches = [random_batch(n, 8) for n in range(2)]
  once, metrics = run(jax.jit(make()), state(), batches, frozen, step_params)
  assert metrics['gradient_norm'] > 0.05  # it is clipped, and the norm is that from before
  devices = Devices(jax.devices()[:4])
  ways = {
      'devices': run(devices.train(make(axis_name=AXIS)), devices.replicate(state()),
                     [devices.shard(batch) for batch in batches], devices.replicate(frozen), step_params),
      'micro-batches': run(jax.jit(make(accumulate=4)), state(), batches, frozen, step_params),
  }
  for way, (found, split) in ways.items():
    assert relative(split['gradient_norm'], metrics['gradient_norm']) < 1e-4, way
    assert relative((found.params, found.ema), (once.params, once.ema)) < 1e-3, way  # Adam divides by small numbers


def test_what_is_frozen_by_path_is_nowhere_in_the_state_and_stays(lab, everything):
  make, state, frozen = everything
  fresh = state()
  held = {'/'.join(path) for path in traverse_util.flatten_dict(frozen['params'])}
  assert 'encoder/block_2/conv/kernel' in held and 'encoder/block_4/bn/scale' not in held
  for tree in (fresh.params, fresh.ema['params'], fresh.opt_state):
    keys = [jax.tree_util.keystr(path, simple=True, separator='/') for path, _ in
            jax.tree_util.tree_leaves_with_path(tree)]
    assert keys and not any(key.endswith(name) for key in keys for name in held)
  after, _ = run(jax.jit(make()), fresh, [random_batch(0, 4)], frozen, lab.step_params)
  assert jax.tree.structure(after) == jax.tree.structure(fresh)


def test_statistics_that_are_frozen_stay_while_the_batch_still_normalises(lab):
  trainable, frozen = split_frozen(lab.variables, None, ('encoder/block_2',))
  step = jax.jit(lab.step())
  after, _ = step(create_state(trainable, lab.optimizer), random_batch(0, 4), frozen, lab.step_params)
  whole, _ = step(lab.state(), random_batch(0, 4), {}, lab.step_params)
  assert 'block_2' not in after.batch_stats['encoder'] and 'block_4' in after.batch_stats['encoder']
  assert relative(after.batch_stats, split_frozen({'params': whole.params, 'batch_stats': whole.batch_stats}, None,
                                                  ('encoder/block_2',))[0]['batch_stats']) < 1e-6


def test_an_encoder_that_is_held_keeps_its_statistics_for_so_many_steps(lab):
  optimizer = get_optimizer('sgd', momentum=0.9, weight_decay=0.0, encoder_held=2)
  step = jax.jit(make_train_step(lab.network().apply, get_loss('dual_dice'), optimizer, encoder_held=2))
  state = create_state(lab.variables, optimizer)
  for number in range(4):
    before, (state, _) = state, step(state, random_batch(number, 4), {}, lab.step_params)
    for found, known in ((state.params, before.params), (state.batch_stats, before.batch_stats)):
      assert (relative(found['encoder'], known['encoder']) == 0) == (number < 2)
    assert relative(state.params, before.params) > 0


def test_no_gradient_is_computed_through_what_is_frozen(lab):
  """The program without the backward pass of the first blocks has fewer operations than that with it, by more than the
  frozen parameters' own."""
  def cost(patterns):
    trainable, frozen = split_frozen(lab.variables, None, patterns)
    state = create_state(trainable, lab.optimizer)
    return jax.jit(lab.step()).lower(state, random_batch(0, 4), frozen, lab.step_params).compile().cost_analysis()['flops']

  assert cost(('encoder/block_2', 'encoder/block_4')) < 0.95 * cost(())


@pytest.mark.parametrize('decay', [1.0, -0.1])
def test_a_decay_that_is_none_is_refused(lab, decay):
  with pytest.raises(ValueError, match='ema is the decay of an average'):
    lab.step(ema=decay)


@pytest.mark.slow
def test_rematerialisation_changes_nothing(lab):
  batch = random_batch(1, 4)
  after, _ = jax.jit(lab.step())(lab.state(), batch, {}, lab.step_params)
  again, _ = jax.jit(lab.step(remat=True))(lab.state(), batch, {}, lab.step_params)
  assert relative(again.params, after.params) < 1e-5


def test_a_new_rate_or_loss_weight_does_not_recompile(lab):
  step = jax.jit(lab.step())
  for rate, weight in ((0.1, 1.0), (0.01, 0.8), (0.001, 0.8)):
    step(lab.state(), random_batch(1, 4), {}, StepParams(np.float32(rate), np.float32(weight)))
  assert step._cache_size() == 1


def test_a_mapped_step_compiles_once(lab, caplog):
  devices = Devices(jax.devices()[:4])
  step, state = devices.train(lab.step(axis_name=AXIS)), devices.replicate(lab.state())
  with jax.log_compiles():
    for _ in range(3):
      state, _ = step(state, devices.shard(random_batch(1, 8)), {}, lab.step_params)
  compiled = [record.message for record in caplog.records if record.message.startswith('Compiling jit(train_step)')]
  assert len(compiled) == 1, [record.message[:100] for record in caplog.records]


def test_sgd_is_torchs(lab):
  rng = np.random.default_rng(0)
  w = rng.normal(size=5).astype(np.float32)
  gradients = rng.normal(size=(6, 5)).astype(np.float32)
  optimizer, state, mine = lab.optimizer, lab.optimizer.init(w), w
  for gradient in gradients:
    direction, state = optimizer.update(gradient, state, mine)
    mine = mine - 0.1 * direction
  np.testing.assert_allclose(mine, torch_sgd.run(w, gradients, rate=0.1, momentum=0.95, decay=1e-4), rtol=1e-6)


def test_the_augmentation_does_not_depend_on_the_number_of_devices():
  batch = random_batch(2, 8)
  spec = Augmentation()
  one = jax.jit(lambda b: augment(b, seed=3, step=5, spec=spec))(batch)
  devices = Devices(jax.devices()[:4])
  alone = jax.pmap(lambda b: augment(b, seed=3, step=5, spec=spec), devices=devices.local)
  four = alone(devices.shard(batch))
  np.testing.assert_allclose(four['image'].reshape(one['image'].shape), one['image'], atol=1e-3)
  np.testing.assert_array_equal(four['lesions'].reshape(one['lesions'].shape), one['lesions'])


def test_freezing_what_is_not_there_names_what_is(lab):
  with pytest.raises(ValueError, match='head'):
    split_frozen(lab.variables, 'lesion')
