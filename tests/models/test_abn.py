"""The Attention Branch Network's parts; that it computes what torch does is in tests/golden/test_abn_golden.py."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from every_model import pictures, variables_of
from flax import traverse_util
from scipy.special import expit
from tiny import TinyEncoder

from lesion_jax.models.abn import ABN, TASKS
from lesion_jax.models.inception_v3 import InceptionV3
from lesion_jax.weights.initialize import initialize

every_task = pytest.mark.parametrize('task', TASKS)


def tiny(task='lesions', **fields):
  return ABN(encoder=TinyEncoder, task=task, **fields)


def forward(network, images):
  return jax.jit(functools.partial(network.apply, train=False))(variables_of(network), images)


@every_task
@pytest.mark.parametrize('shape', [(2, 64, 64), (1, 45, 61)])
@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
def test_both_branches_classify_and_the_attention_lies_on_the_grid_of_stride_16(task, shape, dtype):
  found = forward(tiny(task, dtype=dtype), pictures(*shape))
  logits, auxiliary = found.__dict__, found.auxiliary.__dict__
  assert {name for name in logits if logits[name] is not None} == {task, 'attention', 'auxiliary'}
  assert {name for name in auxiliary if auxiliary[name] is not None} == {task}
  assert logits[task].shape == auxiliary[task].shape == (shape[0], TASKS[task])
  assert found.attention.shape == (shape[0], -(-shape[1] // 16), -(-shape[2] // 16), 1)
  for value in (logits[task], auxiliary[task], found.attention):
    assert value.dtype == jnp.float32
    assert np.isfinite(value).all()
  assert 0 < found.attention.min() < found.attention.max() < 1


def test_predictions_are_those_of_the_perception_branch():
  found = forward(tiny(), pictures(2, 64, 64))
  np.testing.assert_allclose(found.probabilities().lesions, expit(found.lesions), rtol=1e-6)
  assert np.abs(found.lesions - found.auxiliary.lesions).max() > 0.1


def test_pretrained_weights_fit_the_encoder_and_the_attention_branch_repeats_its_last_blocks():
  trace = functools.partial(jax.eval_shape, functools.partial(ABN().init, train=False), jax.random.key(0))
  images = jax.ShapeDtypeStruct((1, 64, 64, 3), np.uint8)
  plain = jax.eval_shape(functools.partial(InceptionV3().init, train=False), jax.random.key(0), images)
  shapes = trace(images)
  for collection, tree in shapes.items():
    assert tree['encoder'] == plain[collection]
    assert tree['attention_encoder'] == {name: plain[collection][name] for name in ('Mixed_7a', 'Mixed_7b', 'Mixed_7c')}
  assert set(shapes['params']) == {'encoder', 'attention_encoder', 'attention', 'head'}
  assert shapes['params']['attention']['responses']['conv']['kernel'].shape == (1, 1, 2048, 8)
  assert shapes['params']['head']['fc']['kernel'].shape == (2048, 8)


def test_the_attention_fits_the_features_of_an_unpadded_encoder():
  """224 / 16 = 14 with padding and 12 without; the attention branch itself must not lose pixels."""
  network = ABN(padding='VALID', width=1 / 16)
  images = jax.ShapeDtypeStruct((1, 224, 224, 3), np.uint8)
  found, _ = jax.eval_shape(functools.partial(network.init_with_output, train=False), jax.random.key(0), images)
  assert found.attention.shape == (1, 12, 12, 1)


@every_task
def test_the_two_losses_reach_every_parameter_and_training_moves_every_statistic(task):
  network, images = tiny(task), pictures(2, 64, 64)
  variables = variables_of(network)

  def objective(params):
    found, updates = network.apply(variables | {'params': params}, images, train=True, mutable=['batch_stats'])
    curved = jnp.sin(jnp.stack([getattr(found, task), getattr(found.auxiliary, task)]) * jnp.arange(1, 1 + TASKS[task]))
    return curved.sum(), updates['batch_stats']

  gradient, statistics = jax.jit(jax.grad(objective, has_aux=True))(variables['params'])
  still = {name for name, value in traverse_util.flatten_dict(gradient, sep='/').items() if not np.abs(value).max() > 0}
  assert not still
  jax.tree.map(lambda old, new: np.testing.assert_(np.abs(old - new).max() > 0), variables['batch_stats'], statistics)


def test_an_unknown_task_is_an_error():
  with pytest.raises(ValueError, match="ABN has no task 'maps'; choose one of lesions, grades"):
    initialize(tiny('maps'), jax.ShapeDtypeStruct((1, 32, 32, 3), np.uint8), seed=0)
