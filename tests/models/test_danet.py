"""DANet: gates, chunks and memory of its attention. That it equals torch is in tests/golden."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from every_model import WIDTH
from flax import traverse_util
from tiny import CHANNELS, TinyEncoder

from lesion_jax.models.danet import DANet
from lesion_jax.models.dual_attention import ChannelAttention, PositionAttention, attend
from lesion_jax.models.inception_v3 import InceptionV3
from lesion_jax.weights.initialize import initialize

POSITIONS = 112 * 112  # at 896x896 and an output stride of 8
MATRIX = 4 * POSITIONS ** 2  # bytes of all positions against all, in float32

every_block = pytest.mark.parametrize('block', [PositionAttention, ChannelAttention])


def features(*shape, scale=0.3):
  return (scale * np.random.default_rng(0).normal(size=shape)).astype(np.float32)


@functools.cache
def opened(block, channels):
  """Variables of a block with a gate that is open."""
  variables = jax.eval_shape(block().init, jax.random.key(0), jax.ShapeDtypeStruct((1, 2, 2, channels), np.float32))
  rng = np.random.default_rng(1)
  return jax.tree.map(lambda leaf: rng.normal(0.5, 0.3, leaf.shape).astype(np.float32), variables)


def gradients(block, variables, x):
  """Of a sum that weighs every output differently, by the variables and by the input."""
  objective = lambda variables, x: jnp.sum(jnp.sin(jnp.arange(x.size)).reshape(x.shape) * block.apply(variables, x))
  return jax.jit(jax.grad(objective, argnums=(0, 1)))(variables, x)


@every_block
@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
def test_a_shut_gate_makes_the_block_the_identity(block, dtype):
  x = jnp.asarray(features(2, 5, 6, 16), dtype)
  variables = jax.tree.map(np.copy, opened(block, 16))
  assert np.any(np.asarray(block(dtype=dtype).apply(variables, x) != x))
  variables['params']['gamma'][:] = 0
  found = block(dtype=dtype).apply(variables, x)
  assert found.dtype == dtype
  np.testing.assert_array_equal(found, x)


def test_gates_are_shut_at_first_and_learn_at_once():
  network, images = DANet(encoder=TinyEncoder, width=WIDTH), np.random.default_rng(0).integers(
      0, 256, (2, 64, 64, 3), np.uint8)
  variables = initialize(network, images, 0)
  objective = lambda params: jnp.sum(jnp.sin(network.apply(variables | {'params': params}, images, train=False).maps))
  flat = traverse_util.flatten_dict(jax.jit(jax.grad(objective))(variables['params']), sep='/')
  for branch in ('position', 'channel'):
    assert variables['params'][branch]['attention']['gamma'] == [0]
    assert np.any(flat[f'{branch}/attention/gamma'])
  for name in ('query', 'key', 'value'):
    assert not np.any(flat[f'position/attention/{name}/kernel'])


@pytest.mark.parametrize('chunk, dtype, tolerance', [
    (1, jnp.float32, 1e-5), (20, jnp.float32, 1e-5), (24, jnp.float32, 1e-5), (20, jnp.bfloat16, 2e-2)])
def test_chunks_change_neither_outputs_nor_gradients(chunk, dtype, tolerance):
  """48 positions: chunks of a single one, that are padded, and that fit."""
  rng = np.random.default_rng(0)
  operands = [jnp.asarray(rng.normal(size=(2, 48, size)), dtype) for size in (4, 4, 8)]
  cotangent = jnp.asarray(rng.normal(size=(2, 48, 8)), dtype)

  @functools.partial(jax.jit, static_argnums=0)
  def both(chunk, operands):
    output, pull = jax.vjp(functools.partial(attend, chunk=chunk), *operands)
    return output, *pull(cotangent)

  for found, expected in zip(both(chunk, operands), both(48, operands), strict=True):
    assert found.dtype == dtype
    found, expected = np.float64(found), np.float64(expected)
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize('chunk, loops', [(12, 1), (47, 1), (48, 0), (1024, 0)])
def test_there_is_no_loop_where_one_chunk_holds_all_positions(chunk, loops):
  x = jax.ShapeDtypeStruct((2, 48, 4), np.float32)
  jaxpr = jax.make_jaxpr(functools.partial(attend, chunk=chunk))(x, x, x)
  assert sum(equation.primitive.name == 'scan' for equation in jaxpr.eqns) == loops


def test_sums_over_chunks_are_float32_in_bfloat16():
  """Each of 512 chunks of one query adds the same to the gradient of the values: bfloat16 would stop at 256 / 512."""
  key = value = jnp.zeros((1, 1, 4), jnp.bfloat16)
  query = jnp.zeros((1, 512, 4), jnp.bfloat16)
  gradient = jax.grad(lambda value: attend(query, key, value, chunk=1).astype(jnp.float32).sum())(value)
  np.testing.assert_array_equal(np.float32(gradient), 512)


def test_a_chunk_below_one_is_an_error():
  with pytest.raises(ValueError, match='a chunk of 0 positions; it must be at least 1'):
    initialize(DANet(encoder=TinyEncoder, chunk=0), jax.ShapeDtypeStruct((1, 32, 32, 3), np.uint8), 0)


@every_block
def test_gradients_pass_an_open_gate_to_every_parameter(block):
  """Except the bias of the keys: it adds the same to all energies of a query, which the softmax does not see."""
  found, _ = gradients(block(), opened(block, 16), features(2, 5, 6, 16))
  for name, value in traverse_util.flatten_dict(found['params'], sep='/').items():
    size = np.abs(value).max()
    assert (size < 1e-4) if name == 'key/bias' else (size > 1e-4), (name, size)


def test_permuted_positions_are_attended_alike():
  x, variables = features(2, 5, 6, 16), opened(PositionAttention, 16)
  order = np.random.default_rng(2).permutation(30)
  permute = lambda x: np.asarray(x).reshape(2, 30, 16)[:, order].reshape(x.shape)
  apply = jax.jit(PositionAttention().apply)
  np.testing.assert_allclose(apply(variables, permute(x)), permute(apply(variables, x)), atol=1e-5)


def test_channels_attend_to_those_unlike_them():
  """Of two equal channels and an opposite one, the first gathers the opposite."""
  x = 10 * features(1, 4, 4, 1) * np.float32([1, 1, -1])
  found = ChannelAttention().apply({'params': {'gamma': np.float32([1])}}, x)
  np.testing.assert_allclose(found, np.zeros_like(x), atol=1e-5)


def test_the_features_have_stride_8_and_a_branch_a_quarter_of_inceptions_channels():
  network = DANet(encoder=TinyEncoder)
  run = lambda x: network.init_with_output(jax.random.key(0), x, train=False, capture_intermediates=True,
                                           mutable=['params', 'batch_stats', 'intermediates'])
  found, variables = jax.eval_shape(run, jax.ShapeDtypeStruct((1, 64, 96, 3), np.uint8))
  assert found.maps.shape == (1, 64, 96, 8)
  for branch in ('position', 'channel'):
    assert variables['params'][branch]['conv_in']['conv']['kernel'].shape == (3, 3, CHANNELS[32], 512)
    assert variables['intermediates'][branch]['__call__'][0].shape == (1, 8, 12, 512)
  attention = variables['params']['position']['attention']
  assert {name: attention[name]['kernel'].shape for name in ('query', 'key', 'value')} == {
      'query': (1, 1, 512, 64), 'key': (1, 1, 512, 64), 'value': (1, 1, 512, 512)}


def test_another_output_stride_is_an_error():
  with pytest.raises(ValueError, match='unknown output_stride 4; allowed: 32, 16, 8'):
    initialize(DANet(encoder=InceptionV3, output_stride=4), jax.ShapeDtypeStruct((1, 32, 32, 3), np.uint8), 0)


def gradient_bytes(chunk, dtype):
  """Temporary memory of one training pass through position attention at 896x896, compiled and not run."""
  block, x = PositionAttention(chunk=chunk, dtype=dtype), jax.ShapeDtypeStruct((1, 112, 112, 512), dtype)
  variables = jax.eval_shape(block.init, jax.random.key(0), x)
  objective = lambda variables, x: jnp.sum(block.apply(variables, x).astype(jnp.float32) ** 2)
  compiled = jax.jit(jax.grad(objective, argnums=(0, 1))).lower(variables, x).compile()
  return compiled.memory_analysis().temp_size_in_bytes


@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
def test_training_at_the_papers_size_does_not_hold_the_matrix_of_all_positions(dtype):
  """302 MB in float32 and 339 MB in bfloat16 when this was written; 2.6 GB without chunks."""
  assert gradient_bytes(1024, dtype) < 0.7 * MATRIX
  assert gradient_bytes(POSITIONS, dtype) > 3 * MATRIX


@pytest.mark.slow
def test_the_whole_network_at_the_papers_size_fits_a_small_card():
  """Compiled, not run. 303 MB of temporaries and 185 MB of arguments when this was written."""
  network = DANet()
  images = jax.ShapeDtypeStruct((1, 896, 896, 3), np.uint8)
  variables = jax.eval_shape(lambda x: network.init(jax.random.key(0), x, train=False), images)
  run = jax.jit(lambda variables, images: network.apply(variables, images, train=False))
  analysis = run.lower(variables, images).compile().memory_analysis()
  assert analysis.temp_size_in_bytes + analysis.argument_size_in_bytes + analysis.output_size_in_bytes < 1e9
