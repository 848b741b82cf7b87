"""A small lesion network with its loss and optimiser."""

import functools
import types

import jax
import numpy as np
import pytest
from tiny import SIZE, TinyEncoder

from lesion_jax.losses import get_loss
from lesion_jax.models import LesionNet
from lesion_jax.train.state import create_state, sgd
from lesion_jax.train.step import StepParams, make_train_step
from lesion_jax.weights.initialize import initialize


@functools.cache
def network(bn_axis=None, remat=False):
  return LesionNet(stride=8, encoder=TinyEncoder, width=1 / 32, bn_axis=bn_axis, remat=remat)


@pytest.fixture(scope='session')
def lab():
  """What the tests of this folder share: `lab.network`, `lab.state()`, `lab.step(**options)`, `lab.step_params`."""
  optimizer = sgd()
  variables = initialize(network(), jax.ShapeDtypeStruct((1, SIZE, SIZE, 3), np.uint8), seed=0)

  def step(*, bn_axis=None, remat=False, loss='dual_dice', **options):
    return make_train_step(network(bn_axis, remat).apply, get_loss(loss), optimizer, **options)

  return types.SimpleNamespace(
      network=network, step=step, optimizer=optimizer, variables=variables,
      state=lambda: create_state(variables, optimizer), step_params=StepParams(np.float32(0.1), np.float32(0.8)))
