"""The forward pass is the network's."""

from __future__ import annotations

import jax
import numpy as np
from tiny import SIZE, TinyEncoder, random_batch

from lesion_jax.models import LesionNet, MultiTask
from lesion_jax.predict import make_predict_fn
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
