"""Random probabilities and ground truth with every kind of gap."""

import jax.numpy as jnp
import numpy as np
import pytest
from tiny import random_targets

from lesion_jax.core import Prediction


@pytest.fixture
def targets(rng):
  """8 images of 10 x 10: rare lesions, ignored pixels, lesions that are not annotated, a padding row."""
  return random_targets(rng, side=10, share=0.01, never=3)


@pytest.fixture
def prediction(rng):
  maps = 1 / (1 + np.exp(-rng.normal(-7, 3, size=(8, 10, 10, 8))))
  return Prediction(
      maps=jnp.asarray(maps, jnp.float32),
      lesions=jnp.asarray(rng.random((8, 8)), jnp.float32),
      grades=jnp.asarray(rng.dirichlet(np.ones(5), 8), jnp.float32),
  )
