"""The oracle as a bundle, photographs that it understands, and the command `predict` on them."""

from __future__ import annotations

import csv

import numpy as np
import oracle
import pytest
from PIL import Image

from lesion_jax import cli, models
from lesion_jax.core import LESION_KEYS
from lesion_jax.weights.bundle import save_bundle


@pytest.fixture
def bundle(tmp_path, monkeypatch):
  """The folder of a bundle that judges MA and CWS."""
  monkeypatch.setitem(models.MODELS, 'oracle', oracle.Oracle)
  config = oracle.oracle_config(annotated=['MA', 'CWS'])
  save_bundle(tmp_path / 'bundle', config=config, card='', variables={'params': {'gain': np.float32(1)}})
  return tmp_path / 'bundle'


@pytest.fixture
def give_rule(bundle):
  """`give_rule(**changes of config.json)`: the bundle again, with a rule for presence of its own."""

  def give(**changes):
    thresholds = dict.fromkeys(LESION_KEYS, 0.5)
    config = oracle.oracle_config(annotated=['MA', 'CWS'], presence={'rule': 'top500', 'thresholds': thresholds}, **changes)
    save_bundle(bundle, config=config, card='', variables={'params': {'gain': np.float32(1)}})

  return give


@pytest.fixture
def save(tmp_path):
  """`save(name, **of oracle.photograph) -> path` below tmp_path/photographs."""

  def write(name, **kwargs):
    path = tmp_path / 'photographs' / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(oracle.photograph(**kwargs)).save(path)
    return path

  return write


@pytest.fixture
def predict(bundle, tmp_path):
  """`predict(*paths and options) -> (exit status, output folder)`."""

  def run(*arguments):
    out = tmp_path / 'out'
    return cli.main(['predict', *map(str, arguments), '--model', str(bundle), '--out', str(out)]), out

  return run


@pytest.fixture
def read_table():
  """`read_table(out) -> rows of results.csv`."""

  def read(out):
    with (out / 'results.csv').open(newline='') as file:
      return list(csv.DictReader(file))

  return read
