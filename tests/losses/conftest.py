"""Random lesion logits and ground truth with every kind of gap."""

import jax.numpy as jnp
import numpy as np
import pytest

from lesion_jax.core import UNKNOWN_GRADE, Outputs, Targets


@pytest.fixture
def rng():
  return np.random.default_rng(0)


@pytest.fixture
def targets(rng):
  """8 images of 12 x 12: ignored pixels, lesions that are not annotated, ungraded images, a padding row."""
  lesions = rng.random((8, 12, 12, 8)) < 0.1
  scored = rng.random((8, 12, 12, 8)) < 0.8
  scored[:4, ..., 4:] = False  # annotated for four lesions alone
  scored[-1] = False  # padding
  grade = rng.integers(0, 5, 8).astype(np.int32)
  grade[[2, -1]] = UNKNOWN_GRADE
  return Targets(lesions=jnp.asarray(lesions), scored=jnp.asarray(scored), grade=jnp.asarray(grade))


@pytest.fixture
def outputs(rng):
  return Outputs(
      maps=jnp.asarray(rng.normal(size=(8, 12, 12, 8)), jnp.float32),
      lesions=jnp.asarray(rng.normal(size=(8, 8)), jnp.float32),
      grades=jnp.asarray(rng.normal(size=(8, 5)), jnp.float32),
  )
