"""Random probabilities and ground truth with every kind of gap."""

import jax.numpy as jnp
import numpy as np
import pytest

from lesion_jax.core import UNKNOWN_GRADE, Prediction, Targets


@pytest.fixture
def rng():
  return np.random.default_rng(0)


@pytest.fixture
def targets(rng):
  """8 images of 10 x 10: rare lesions, ignored pixels, lesions that are not annotated, a padding row."""
  lesions = rng.random((8, 10, 10, 8)) < 0.01
  lesions[..., 3] = False  # a lesion that nobody has
  scored = rng.random((8, 10, 10, 8)) < 0.8
  scored[:4, ..., 4:] = False  # annotated for four lesions alone
  scored[-1] = False  # padding
  grade = rng.integers(0, 5, 8).astype(np.int32)
  grade[[2, -1]] = UNKNOWN_GRADE
  return Targets(lesions=jnp.asarray(lesions), scored=jnp.asarray(scored), grade=jnp.asarray(grade))


@pytest.fixture
def prediction(rng):
  maps = 1 / (1 + np.exp(-rng.normal(-7, 3, size=(8, 10, 10, 8))))
  return Prediction(
      maps=jnp.asarray(maps, jnp.float32),
      lesions=jnp.asarray(rng.random((8, 8)), jnp.float32),
      grades=jnp.asarray(rng.dirichlet(np.ones(5), 8), jnp.float32),
  )
