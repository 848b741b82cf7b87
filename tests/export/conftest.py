"""Bundles of the networks on the shallow encoder."""

import jax
import numpy as np
import oracle
import pytest
from tiny import TINY_MODELS

from lesion_jax import models
from lesion_jax.weights.bundle import Bundle
from lesion_jax.weights.initialize import initialize

SIZE = 48


@pytest.fixture
def make_bundle(monkeypatch):
  """`make_bundle(**model, as in a config.json) -> Bundle`. Gates are open, statistics and biases as after training."""
  monkeypatch.setattr(models, 'MODELS', TINY_MODELS)

  def make(**model):
    fresh = initialize(models.get_model(**model), jax.ShapeDtypeStruct((1, SIZE, SIZE, 3), np.uint8), seed=0)
    rng = np.random.default_rng(0)
    variables = jax.tree.map(lambda x: (x + rng.normal(0, 0.05, x.shape)).astype(np.float32), fresh)
    config = oracle.oracle_config(model=model, preprocessing={'size': SIZE, 'crop': 'field of view'})
    return Bundle(config, variables)

  return make
