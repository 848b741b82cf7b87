"""What holds for every network of the library, on a shallow encoder."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from every_model import GRADERS, NETWORKS, SEGMENTERS, forward, is_frozen, logits, pictures, variables_of
from flax import traverse_util

from lesion_jax.core import Outputs
from lesion_jax.models import MODELS
from lesion_jax.weights.initialize import initialize

every_network = pytest.mark.parametrize('network', NETWORKS.values(), ids=NETWORKS)


def flat(tree):
  return traverse_util.flatten_dict(tree, sep='/')


def test_every_registered_network_is_tested_here():
  assert {name.partition(',')[0].partition(' ')[0] for name in NETWORKS} == MODELS.keys()


@every_network
@pytest.mark.parametrize('shape', [(2, 64, 64), (1, 45, 61)])
def test_the_outputs_have_the_size_of_the_image(network, shape):
  found = jax.eval_shape(forward(network), variables_of(network), jax.ShapeDtypeStruct((*shape, 3), np.uint8))
  expected = {'maps': (*shape, 8), 'lesions': (shape[0], 8), 'grades': (shape[0], 5)}
  for name, value in found.items():
    assert value.dtype == jnp.float32
    assert value.shape == expected.get(name, value.shape)
  assert found.keys() & expected.keys()


@every_network
def test_odd_sizes_give_numbers(network):
  found = forward(network)(variables_of(network), pictures(1, 45, 61))
  assert all(np.isfinite(value).all() for value in found.values())


@pytest.mark.parametrize('network', [*SEGMENTERS.values(), GRADERS['multitask']], ids=[*SEGMENTERS, 'multitask'])
def test_lesion_presence_is_the_maximum_of_the_map(network):
  """Eq. 1."""
  found = forward(network)(variables_of(network), pictures(2, 64, 64))
  np.testing.assert_array_equal(found['lesions'], np.asarray(found['maps']).max((1, 2)))
  probabilities = Outputs(maps=found['maps'], lesions=found['lesions']).probabilities()
  np.testing.assert_array_equal(probabilities.lesions, np.asarray(probabilities.maps).max((1, 2)))


@every_network
def test_training_reaches_every_parameter_and_statistic_but_the_frozen_ones(network):
  variables, images = variables_of(network), pictures(2, 64, 64)

  def objective(params):
    outputs, updates = network.apply(variables | {'params': params}, images, train=True, mutable=['batch_stats'])
    heads = [outputs] + ([outputs.auxiliary] if outputs.auxiliary else [])
    total = sum(jnp.sum(jnp.sin(value * jnp.arange(1, 1 + value.shape[-1])))
                for head in heads for name, value in logits(head).items() if name != 'attention')
    return total, updates['batch_stats']

  gradient, statistics = jax.jit(jax.grad(objective, has_aux=True))(variables['params'])
  for name, value in flat(gradient).items():
    assert np.isfinite(value).all(), name
    assert np.any(value) != is_frozen(network, name), name
  before = flat(variables['batch_stats'])
  for name, value in flat(statistics).items():
    assert (np.asarray(value) != before[name]).any() != is_frozen(network, name), name


@every_network
def test_bfloat16_computes_with_float32_parameters_and_logits(network):
  half = network.clone(dtype=jnp.bfloat16)
  if hasattr(half, 'lesion'):
    half = half.clone(lesion=half.lesion.clone(dtype=jnp.bfloat16))
  fresh = initialize(half, jax.ShapeDtypeStruct((1, 64, 64, 3), np.uint8), 0)
  assert {leaf.dtype for leaf in jax.tree.leaves(fresh)} == {np.dtype('float32')}
  variables, images = variables_of(network), pictures(2, 64, 64)
  whole, found = (forward(net)(variables, images) for net in (network, half))
  for name, value in found.items():
    assert value.dtype == jnp.float32
    np.testing.assert_allclose(value, whole[name], atol=0.05 * max(1, np.abs(whole[name]).max()), err_msg=name)
  assert any((np.asarray(found[name]) != whole[name]).any() for name in found)


@every_network
def test_a_batch_of_one_says_what_the_same_row_of_a_batch_says(network):
  variables, images = variables_of(network), pictures(2, 64, 64)
  whole, one = forward(network)(variables, images), forward(network)(variables, images[1:2])
  for name, value in one.items():
    np.testing.assert_allclose(value[0], whole[name][1], rtol=1e-3, atol=1e-4, err_msg=name)


@every_network
def test_the_same_input_gives_the_same_bits(network):
  first, second = (forward(network)(variables_of(network), pictures(2, 64, 64)) for _ in range(2))
  jax.tree.map(np.testing.assert_array_equal, first, second)
