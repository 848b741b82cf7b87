"""The forward pass is the network's."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from tiny import SIZE, TinyEncoder, random_batch

from lesion_jax.cpu import arranged, winograd
from lesion_jax.models import LesionNet, MultiTask, get_model
from lesion_jax.predict import make_predict_fn
from lesion_jax.predict.step import forward
from lesion_jax.weights.initialize import initialize


def test_it_gives_the_probabilities_of_the_network_in_inference_mode():
  model = MultiTask(encoder=TinyEncoder, lesion=LesionNet(encoder=TinyEncoder, stride=32))
  images = random_batch(seed=0, rows=2)['image']
  variables = initialize(model, jax.ShapeDtypeStruct((1, SIZE, SIZE, 3), np.uint8), seed=0)
  found = make_predict_fn(model)(variables, images)
  expected = jax.jit(model.apply, static_argnames='train')(variables, images, train=False)
  np.testing.assert_allclose(found.maps, 1 / (1 + np.exp(-np.asarray(expected.maps))), atol=1e-5)
  np.testing.assert_allclose(found.lesions, np.asarray(found.maps).max((1, 2)), atol=1e-6)
  np.testing.assert_allclose(found.grades, jax.nn.softmax(expected.grades), atol=1e-5)


@pytest.mark.parametrize('name, options', [
    pytest.param('abn_grader', {}, marks=pytest.mark.slow), pytest.param('lesion_net_16s', {'remat': True}, marks=pytest.mark.slow),
    pytest.param('unet', {}, marks=pytest.mark.slow), ('lesion_net_32s', {}),
    pytest.param('multitask', {'lesion': {'name': 'lesion_net_16s'}}, marks=pytest.mark.slow)])
def test_as_a_cpu_computes_it_fastest_it_says_the_same(name, options, monkeypatch):
  monkeypatch.setattr(winograd, 'MIN_CHANNELS', 1)
  monkeypatch.setattr(winograd, 'MIN_TILES', 1)
  model = get_model(name, width=0.05, **options)
  images = random_batch(seed=0, rows=1, size=64)['image']
  variables = initialize(model, jax.ShapeDtypeStruct(images.shape, np.uint8), 0)
  plain, faster = forward(model), arranged(forward(model), 'cpu')
  before, after = (str(jax.make_jaxpr(function)(variables, images)) for function in (plain, faster))
  assert 'reduce_window' in before and 'reduce_window' not in after
  assert 0 < after.count('conv_general_dilated[') < before.count('conv_general_dilated[')
  expected, found = jax.jit(plain)(variables, images), jax.jit(faster)(variables, images)
  for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_on_other_platforms_nothing_changes():
  predict_fn = forward(LesionNet(encoder=TinyEncoder, stride=32))
  assert arranged(predict_fn, 'gpu') is predict_fn
