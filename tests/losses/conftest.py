"""Random lesion logits and ground truth with every kind of gap."""

import jax.numpy as jnp
import pytest
from tiny import random_targets

from lesion_jax.core import Outputs


@pytest.fixture
def targets(rng):
  """8 images of 12 x 12: ignored pixels, lesions that are not annotated, ungraded images, a padding row."""
  return random_targets(rng, side=12, share=0.1)


@pytest.fixture
def outputs(rng):
  return Outputs(
      maps=jnp.asarray(rng.normal(size=(8, 12, 12, 8)), jnp.float32),
      lesions=jnp.asarray(rng.normal(size=(8, 8)), jnp.float32),
      grades=jnp.asarray(rng.normal(size=(8, 5)), jnp.float32),
  )
