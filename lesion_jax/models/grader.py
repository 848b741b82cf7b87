"""The Inception-v3 grader: the paper's baseline (section III-B)."""

from __future__ import annotations

import flax.linen as nn

from lesion_jax.core import NUM_GRADES, Array, Outputs
from lesion_jax.models.classifier import ClassificationHead
from lesion_jax.models.network import Network


class InceptionGrader(Network):
  """Inception-v3 with a five-way classifier after GAP."""

  @nn.compact
  def __call__(self, images: Array, *, train: bool) -> Outputs:
    """uint8 or float images [B, H, W, 3] in 0..255 -> Outputs with `grades` [B, 5], float32 logits."""
    taps = self.make_encoder()(images, train=train)
    return Outputs(grades=ClassificationHead(NUM_GRADES, name='head')(taps[32]))
