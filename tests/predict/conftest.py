"""A bundle of the oracle, and its predictor."""

from __future__ import annotations

import numpy as np
import oracle
import pytest

from lesion_jax import models
from lesion_jax.predict import Predictor
from lesion_jax.weights.bundle import save_bundle


@pytest.fixture
def make_bundle(tmp_path, monkeypatch):
  """`make_bundle(**changes of config.json) -> path`, with the oracle among the models."""
  monkeypatch.setitem(models.MODELS, 'oracle', oracle.Oracle)

  def make(**changes):
    save_bundle(tmp_path / 'bundle', config=oracle.oracle_config(**changes), card='',
                variables={'params': {'gain': np.float32(1)}})
    return tmp_path / 'bundle'

  return make


@pytest.fixture
def predictor(make_bundle):
  return Predictor.load(make_bundle())
