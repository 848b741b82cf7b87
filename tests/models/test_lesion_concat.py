"""Lesion-Concat, and the classification head that all classifiers and graders share."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from every_model import pictures, variables_of
from scipy.special import expit
from tiny import CHANNELS, TinyEncoder

from lesion_jax.models.abn import ABN
from lesion_jax.models.classifier import ClassificationHead, InceptionClassifier, InceptionGrader
from lesion_jax.models.lesion_concat import LesionConcat
from lesion_jax.models.lesion_net import LesionNet
from lesion_jax.models.multitask import MultiTask
from lesion_jax.weights.initialize import initialize

LESION_NETWORKS = {
    'segmentation': LesionNet(encoder=TinyEncoder, stride=16, width=1 / 16),
    'classifier': InceptionClassifier(encoder=TinyEncoder),
    'abn': ABN(encoder=TinyEncoder),
}
every_lesion_network = pytest.mark.parametrize('lesion', LESION_NETWORKS.values(), ids=LESION_NETWORKS)


def concat(lesion, **fields):
  return LesionConcat(encoder=TinyEncoder, lesion=lesion, **fields)


def forward(network, variables, images):
  return jax.jit(functools.partial(network.apply, train=False))(variables, images)


def within(variables, *path):
  """The variables of a submodule."""
  return {collection: functools.reduce(lambda tree, name: tree[name], path, tree)
          for collection, tree in variables.items()}


@pytest.mark.parametrize('extra', [None, np.random.default_rng(1).random((2, 8)).astype(np.float32)])
@pytest.mark.parametrize('dtype', [np.float32, jnp.bfloat16])
def test_the_head_averages_concatenates_and_classifies_in_float32(extra, dtype):
  features = np.random.default_rng(0).random((2, 3, 5, 6)).astype(dtype)
  head = ClassificationHead(classes=4)
  variables = head.init(jax.random.key(0), features, extra)
  fc = variables['params']['fc']
  pooled = np.asarray(features, np.float64).mean((1, 2))
  vector = pooled if extra is None else np.concatenate([pooled, extra], axis=1)
  assert fc['kernel'].shape == (vector.shape[1], 4)
  found = head.apply(variables, features, extra)
  assert found.dtype == np.float32
  np.testing.assert_allclose(found, vector @ fc['kernel'] + fc['bias'], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(('make', 'field', 'classes'), [
    (InceptionClassifier, 'lesions', 8), (InceptionGrader, 'grades', 5)])
@pytest.mark.parametrize('shape', [(2, 32, 32), (1, 45, 61)])
def test_classifier_and_grader_are_an_encoder_and_the_head(make, field, classes, shape):
  network, images = make(encoder=TinyEncoder), pictures(*shape)
  variables = variables_of(network)
  found = forward(network, variables, images)
  features = forward(TinyEncoder(), within(variables, 'encoder'), images)[32]
  head = variables['params']['head']['fc']
  assert getattr(found, field).shape == (shape[0], classes)
  np.testing.assert_allclose(getattr(found, field), np.asarray(features).mean((1, 2)) @ head['kernel'] + head['bias'],
                             rtol=1e-4, atol=1e-5)
  assert [name for name, value in found.__dict__.items() if value is not None] == [field]


def test_the_fully_connected_layer_is_2056_by_5():
  images = jax.ShapeDtypeStruct((1, 64, 64, 3), np.uint8)
  shapes = jax.eval_shape(functools.partial(LesionConcat().init, train=False), jax.random.key(0), images)['params']
  assert shapes['grading']['head']['fc']['kernel'].shape == (2048 + 8, 5)
  assert set(shapes) == {'lesion', 'grading'}
  assert set(shapes['grading']) == {'encoder', 'head'}


@every_lesion_network
@pytest.mark.parametrize('shape', [(2, 32, 32), (1, 45, 61)])
def test_the_grade_is_made_of_the_pooled_features_and_the_lesion_vector(lesion, shape):
  network, images = concat(lesion), pictures(*shape)
  variables = variables_of(network)
  found = forward(network, variables, images)
  alone = forward(lesion, within(variables, 'lesion'), images)
  features = forward(TinyEncoder(), within(variables, 'grading', 'encoder'), images)[32]
  vector = np.concatenate([np.asarray(features).mean((1, 2)), expit(alone.lesions)], axis=1)
  fc = variables['params']['grading']['head']['fc']
  assert vector.shape[1] == CHANNELS[32] + 8
  np.testing.assert_allclose(found.grades, vector @ fc['kernel'] + fc['bias'], rtol=1e-4, atol=1e-5)


@every_lesion_network
def test_maps_and_lesions_are_handed_on_and_nothing_else_of_the_lesion_network(lesion):
  network, images = concat(lesion), pictures(2, 32, 32)
  variables = variables_of(network)
  found, alone = (forward(*each, images) for each in (
      (network, variables), (lesion, within(variables, 'lesion'))))
  np.testing.assert_allclose(found.lesions, alone.lesions, rtol=1e-4, atol=1e-5)
  if alone.maps is not None:
    np.testing.assert_allclose(found.maps, alone.maps, rtol=1e-4, atol=1e-5)
  made = {name for name, value in found.__dict__.items() if value is not None}
  assert made == {'lesions', 'grades'} | ({'maps'} if alone.maps is not None else set())


@pytest.mark.parametrize(('network', 'message'), [
    (concat(InceptionGrader(encoder=TinyEncoder)),
     "LesionConcat needs 'lesions' of its lesion network, and InceptionGrader makes only grades"),
    (MultiTask(encoder=TinyEncoder, lesion=InceptionClassifier(encoder=TinyEncoder)),
     "MultiTask needs 'maps' of its lesion network, and InceptionClassifier makes only lesions"),
])
def test_a_lesion_network_that_lacks_what_is_needed_is_an_error(network, message):
  with pytest.raises(ValueError, match=message):
    initialize(network, jax.ShapeDtypeStruct((1, 32, 32, 3), np.uint8), seed=0)


def test_bfloat16_of_the_branches_leaves_the_outputs_float32():
  half = concat(LESION_NETWORKS['classifier'].clone(dtype=jnp.bfloat16), dtype=jnp.bfloat16)
  variables, images = variables_of(half), pictures(2, 32, 32)
  found = forward(half, variables, images)
  whole = forward(concat(LESION_NETWORKS['classifier']), variables, images)
  for name in ('lesions', 'grades'):
    value, expected = getattr(found, name), getattr(whole, name)
    assert value.dtype == jnp.float32
    np.testing.assert_allclose(value, expected, atol=0.05 * max(1, np.abs(expected).max()))
    assert (np.asarray(value) != expected).any()
