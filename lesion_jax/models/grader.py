"""The Inception-v3 grader: the paper's baseline, and the main branch of the multi-task network (section III-B)."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp

from lesion_jax.core import NUM_GRADES, Array, Outputs
from lesion_jax.models.network import Network


class GradeHead(nn.Module):
  """Global average pooling (GAP) in float32, then a fully connected layer of 2,048 x 5."""

  @nn.compact
  def __call__(self, features: Array) -> Array:
    """[B, h, w, C] -> float32 logits [B, 5]."""
    pooled = features.astype(jnp.float32).mean(axis=(1, 2))
    return nn.Dense(NUM_GRADES, name='fc')(pooled)


class InceptionGrader(Network):
  """Inception-v3 with a five-way classifier after GAP."""

  @nn.compact
  def __call__(self, images: Array, *, train: bool) -> Outputs:
    """uint8 or float images [B, H, W, 3] in 0..255 -> Outputs with `grades` [B, 5], float32 logits."""
    taps = self.make_encoder()(images, train=train)
    return Outputs(grades=GradeHead(name='head')(taps[32]))
