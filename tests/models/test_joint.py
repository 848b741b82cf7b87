"""What training changes in a grader with a lesion branch: nothing of that branch unless it is `joint`."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from every_model import variables_of
from flax import traverse_util
from tiny import TinyEncoder

from lesion_jax.models.abn import ABN
from lesion_jax.models.lesion_concat import LesionConcat
from lesion_jax.models.lesion_net import LesionNet
from lesion_jax.models.multitask import MultiTask
from lesion_jax.models.patches import PatchFCN

SEGMENTATION = LesionNet(encoder=TinyEncoder, stride=16, width=1 / 16)
NETWORKS = {
    'multitask': MultiTask(encoder=TinyEncoder, lesion=SEGMENTATION),
    'multitask, CW-MaxPool': MultiTask(
        encoder=TinyEncoder, lesion=SEGMENTATION.clone(stride=32), attention='cw_maxpool'),
    'concat, patches': LesionConcat(encoder=TinyEncoder, lesion=PatchFCN(encoder=TinyEncoder, grid=2)),
    'concat, ABN': LesionConcat(encoder=TinyEncoder, lesion=ABN(encoder=TinyEncoder)),
}
every_network = pytest.mark.parametrize('network', NETWORKS.values(), ids=NETWORKS)
IMAGES = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
# Of an ABN's two heads only one is looked at, so no gradient can come from the other.
UNUSED = {'lesion/attention/score/kernel'}


def flat(tree):
  return traverse_util.flatten_dict(tree, sep='/')


@functools.cache
def compiled(network):
  """`weights -> (gradient, statistics)` of one training pass; `weights` are those of lesions and grades in the loss."""
  variables = variables_of(network)

  def objective(params, weights):
    found, updates = network.apply(variables | {'params': params}, IMAGES, train=True, mutable=['batch_stats'])
    curved = [jnp.sum(jnp.sin(x * jnp.arange(1, 1 + x.shape[-1]))) for x in (found.lesions, found.grades)]
    return jnp.stack(curved) @ weights, updates['batch_stats']

  gradient = jax.jit(jax.grad(objective, has_aux=True))
  return lambda weights: gradient(variables['params'], np.float32(weights))


def after_training(network, *, lesions=1, grades=1):
  """Names of the parameters whose gradient is not zero, and of the statistics that move."""
  before = flat(variables_of(network)['batch_stats'])
  gradient, statistics = (flat(tree) for tree in compiled(network)((lesions, grades)))
  assert all(np.isfinite(value).all() for value in gradient.values())
  return ({name for name, value in gradient.items() if np.abs(value).max() > 0},
          {name for name, value in statistics.items() if (value != before[name]).any()})


def of_grading(names):
  return {name for name in names if name.startswith('grading/')}


@every_network
def test_by_default_training_reaches_the_grading_branch_alone(network):
  reached, moved = after_training(network)
  variables = variables_of(network)
  assert reached == of_grading(flat(variables['params']))
  assert moved == of_grading(flat(variables['batch_stats']))


@every_network
def test_joint_training_reaches_every_parameter_and_statistic_of_both_branches(network):
  reached, moved = after_training(network.clone(joint=True))
  variables = variables_of(network)
  assert reached == set(flat(variables['params'])) - UNUSED
  assert moved == set(flat(variables['batch_stats']))


@every_network
def test_in_joint_training_the_grade_alone_teaches_the_lesion_branch(network):
  reached, _ = after_training(network.clone(joint=True), lesions=0)
  assert reached == set(flat(variables_of(network)['params'])) - UNUSED


@every_network
def test_a_joint_network_is_the_same_function(network):
  """The same variables, and at rest the same outputs."""
  variables, joint = variables_of(network), network.clone(joint=True)
  assert jax.tree.map(np.shape, variables_of(joint)) == jax.tree.map(np.shape, variables)
  plain, found = (jax.jit(functools.partial(each.apply, train=False))(variables, IMAGES) for each in (network, joint))
  jax.tree.map(np.testing.assert_array_equal, plain, found)


def test_in_joint_training_the_lesion_branch_normalises_by_the_batch():
  network = NETWORKS['multitask']
  variables = variables_of(network)
  lesion = {collection: tree['lesion'] for collection, tree in variables.items()}
  run = functools.partial(jax.jit, static_argnames='train')
  alone = run(lambda train: SEGMENTATION.apply(lesion, IMAGES, train=train, mutable=['batch_stats'])[0].maps)
  maps = {joint: run(lambda train, network=network.clone(joint=joint): network.apply(
      variables, IMAGES, train=train, mutable=['batch_stats'])[0].maps)(train=True) for joint in (False, True)}
  np.testing.assert_allclose(maps[False], alone(train=False), rtol=1e-3, atol=1e-4)
  np.testing.assert_allclose(maps[True], alone(train=True), rtol=1e-3, atol=1e-4)
  assert np.abs(maps[True] - maps[False]).max() > 0.1
