"""Bundles of the oracle and of small networks, and a predictor."""

from __future__ import annotations

import jax
import numpy as np
import oracle
import pytest
import tiny

from lesion_jax import models
from lesion_jax.predict import load
from lesion_jax.weights.bundle import save_bundle
from lesion_jax.weights.initialize import initialize


@pytest.fixture
def make_bundle(tmp_path, monkeypatch):
  """`make_bundle(name, gain=..., **changes of config.json) -> path`, with the oracle among the models."""
  monkeypatch.setitem(models.MODELS, 'oracle', oracle.Oracle)

  def make(name='bundle', *, gain=1, **changes):
    save_bundle(tmp_path / name, config=oracle.oracle_config(**changes), card='',
                variables={'params': {'gain': np.float32(gain)}})
    return tmp_path / name

  return make


@pytest.fixture
def make_tiny_bundle(tmp_path, monkeypatch):
  """`make_tiny_bundle(model) -> path`: random weights; every network has the small encoder."""
  for key, model in tiny.TINY_MODELS.items():
    monkeypatch.setitem(models.MODELS, key, model)

  def make(model):
    example = jax.ShapeDtypeStruct((1, tiny.SIZE, tiny.SIZE, 3), np.uint8)
    config = oracle.oracle_config(model=model, preprocessing={'size': tiny.SIZE, 'crop': 'square'})
    save_bundle(tmp_path / model['name'], config=config, card='',
                variables=initialize(models.get_model(**model), example, seed=0))
    return tmp_path / model['name']

  return make


@pytest.fixture
def predictor(make_bundle):
  return load(make_bundle())
