"""What holds for every network of the library, on a shallow encoder."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from every_model import (
    CLASSIFIERS, GRADERS, NETWORKS, REPRESENTATIVES, SEGMENTERS, WIDTH, each, forward, is_frozen, logits, pictures,
    variables_of)
from flax import traverse_util

from lesion_jax.core import Outputs
from lesion_jax.models import MODELS
from lesion_jax.models.lesion_enhanced import LesionEnhanced
from lesion_jax.weights.initialize import initialize

# What has no effect, so that its gradient is 0: it adds the same to all energies of a query (DANet), or to all that the
# next batch normalisation centres (ABN).
SILENT = ('position/attention/key/bias', 'attention/bn/bias')
every_network = each(NETWORKS)


def flat(tree):
  return traverse_util.flatten_dict(tree, sep='/')


def heads(network):
  """What a network is for."""
  if network in SEGMENTERS.values():
    return {'maps', 'lesions'}
  if network in CLASSIFIERS.values():
    return {'lesions'}
  if not isinstance(network, LesionEnhanced):
    return {'grades'}
  return {'grades'} | heads(network.lesion)


def test_every_registered_network_is_tested_here():
  assert {name.partition(',')[0].partition(' ')[0] for name in NETWORKS} == MODELS.keys()


def test_every_kind_of_network_has_a_representative():
  assert {type(NETWORKS[name]) for name in REPRESENTATIVES} == {type(network) for network in NETWORKS.values()}


@every_network
@pytest.mark.parametrize('shape', [(2, 64, 64), (1, 45, 61)])
def test_the_outputs_have_the_size_of_the_image(network, shape):
  found = jax.eval_shape(forward(network), variables_of(network), jax.ShapeDtypeStruct((*shape, 3), np.uint8))
  sizes = {'maps': (*shape, 8), 'lesions': (shape[0], 8), 'grades': (shape[0], 5)}
  assert {name: value.shape for name, value in found.items() if name in sizes} == {name: sizes[name] for name in heads(network)}
  assert {value.dtype for value in found.values()} == {jnp.dtype('float32')}


@every_network
def test_odd_sizes_give_numbers(network):
  found = forward(network)(variables_of(network), pictures(1, 45, 61))
  assert all(np.isfinite(value).all() for value in found.values())


@each(SEGMENTERS | {'multitask': GRADERS['multitask']})
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

  learn = jax.jit(jax.grad(objective, has_aux=True))
  gradient, statistics = learn(variables['params'])
  jax.tree.map(np.testing.assert_array_equal, learn(variables['params']), (gradient, statistics))
  sizes = {name: float(np.abs(value).max()) for name, value in flat(gradient).items()}
  assert np.isfinite(list(sizes.values())).all()
  for name, size in sizes.items():
    if not name.endswith(SILENT):  # what is above is no rounding error of what is 0
      assert (size > 1e-6 * max(sizes.values())) != is_frozen(network, name), name
  before = flat(variables['batch_stats'])
  for name, value in flat(statistics).items():
    assert (np.asarray(value) != before[name]).any() != is_frozen(network, name), name


@each(NETWORKS, ('lesion_net_2s', 'unet', 'inception_v3_classifier', 'multitask'))
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
def test_the_same_seed_and_input_give_the_same_bits(network):
  fresh = [initialize(network, jax.ShapeDtypeStruct((1, 64, 64, 3), np.uint8), 3) for _ in range(2)]
  jax.tree.map(np.testing.assert_array_equal, *fresh)
  first, second = (forward(network)(variables, pictures(2, 64, 64)) for variables in fresh)
  jax.tree.map(np.testing.assert_array_equal, first, second)


@pytest.mark.parametrize('name', ['fcn_8s', 'multitask', *(pytest.param(name, marks=pytest.mark.slow) for name in (
    'patch_fcn_32s', 'deeplab_v3_plus', 'danet', 'lesion_net_2s'))])
def test_stock_padding_goes_with_every_decoder(name):
  """Taps of the real encoder without padding are of other sizes than halves of one another."""
  network = MODELS[name](width=WIDTH, padding='VALID')
  images = jax.ShapeDtypeStruct((1, 320, 320, 3), np.uint8)
  found, _ = jax.eval_shape(lambda x: network.init_with_output(jax.random.key(0), x, train=False), images)
  assert found.maps.shape == (1, 320, 320, 8)
