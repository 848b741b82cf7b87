"""Services: with a stand-in for the worker, and with the oracle as a network."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pathlib
import sys
import time
import warnings

import numpy as np
import oracle
import pytest
from PIL import Image

pytest.importorskip('starlette')
pytest.importorskip('uvicorn')
with warnings.catch_warnings():
  warnings.simplefilter('ignore')  # Starlette would rather have another client
  from starlette.testclient import TestClient

from lesion_jax import models
from lesion_jax.serve import worker
from lesion_jax.serve.app import make_app
from lesion_jax.serve.settings import Settings, Work
from lesion_jax.serve.supervisor import Supervisor
from lesion_jax.serve.telemetry import Log, Metrics
from lesion_jax.weights.bundle import save_bundle

HERE = pathlib.Path(__file__).parent


class Service:
  """A service inside of this process but for its worker: `client`, `log()`, `metrics`, `supervisor`, `folder`."""

  def __init__(self, settings, folder):
    self._text = io.StringIO()
    self.settings, self.folder, self.metrics = settings, folder, Metrics()
    self.supervisor = Supervisor(settings, folder, Log(self._text), self.metrics)
    self.app = make_app(settings, self.supervisor, Log(self._text), self.metrics)
    self.client = TestClient(self.app, base_url='http://127.0.0.1:8000')

  def log(self):
    """The lines so far."""
    return [json.loads(line) for line in self._text.getvalue().splitlines()]

  def wait(self, seconds=60):
    """Until photographs are taken."""
    end = time.monotonic() + seconds
    while self.client.get('/readyz').status_code != 200:
      assert time.monotonic() < end and not self.supervisor.failure, self.log()
      time.sleep(0.02)
    return self

  def count(self, name, **labels):
    """A number among the metrics."""
    return self.metrics.registry.get_sample_value(f'lesion_jax_{name}', labels) or 0


@contextlib.contextmanager
def running(settings, folder):
  """The service, started."""
  service = Service(settings, folder)
  with service.client:
    yield service


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
  """`stand_in(behaviour='', **settings) -> Service` with the stand-in, not waited for."""
  with contextlib.ExitStack() as stack:

    def start(behaviour='', **settings):
      command = [sys.executable, str(HERE / 'serving_standin.py'), behaviour]
      monkeypatch.setenv('PYTHONPATH', str(HERE.parents[1]))
      monkeypatch.setattr(worker, 'command', lambda: command)
      (tmp_path / 'private').mkdir()
      return stack.enter_context(running(Settings(**settings), tmp_path / 'private'))

    yield start


@pytest.fixture(scope='module', autouse=True)
def _oracle_among_the_networks():
  """For what is loaded in this process; the workers import `serving_oracle`."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setitem(models.MODELS, 'oracle', oracle.Oracle)
    yield


@pytest.fixture(scope='session')
def oracle_bundle(tmp_path_factory):
  """The folder of a bundle of the oracle."""
  path = tmp_path_factory.mktemp('oracle') / 'bundle'
  save_bundle(path, config=oracle.oracle_config(), card='', variables={'params': {'gain': np.float32(1)}})
  return path


@pytest.fixture(scope='session')
def oracle_work(oracle_bundle):
  """What a worker is told to serve the oracle."""
  return Work(options={'models': [str(oracle_bundle)]}, imports=('serving_oracle',), devices=('cpu',), threads=2)


@pytest.fixture(scope='session')
def encode():
  """`encode(format='PNG', **of oracle.photograph) -> bytes` of a file."""

  def make(form='PNG', **kwargs):
    file = io.BytesIO()
    Image.fromarray(oracle.photograph(**kwargs)).save(file, form)
    return file.getvalue()

  return make


@pytest.fixture
def environment():
  """Of a process that runs the command with the oracle among the networks."""
  return os.environ | {'PYTHONPATH': os.pathsep.join(map(str, (HERE.parents[1], HERE.parent, HERE)))}
