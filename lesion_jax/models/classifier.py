"""Inception-v3 as a classifier of lesions and of grades, without maps, and the head that all graders share."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp

from lesion_jax.core import NUM_GRADES, NUM_LESIONS, Array, Outputs
from lesion_jax.models.network import Network


class ClassificationHead(nn.Module):
  """Global average pooling (GAP) in float32, then a fully connected layer.

  Attributes:
    classes: number of logits.
  """

  classes: int

  @nn.compact
  def __call__(self, features: Array, extra: Array | None = None) -> Array:
    """[B, h, w, C], and float [B, m] to concatenate to the C averages, or None -> float32 logits [B, classes].

    Without the dropout and the auxiliary classifier with which stock Inception-v3 is trained: the paper has neither.

    The averages are kept as 'pooled' in the collection 'intermediates', for whoever asks for that.

    The fully connected layer is (C + m) x classes; section III-B for m = 0, Experiment 3 of the paper for m = 8.
    """
    pooled = features.astype(jnp.float32).mean(axis=(1, 2))
    self.sow('intermediates', 'pooled', pooled)
    if extra is not None:
      pooled = jnp.concatenate([pooled, extra.astype(jnp.float32)], axis=-1)
    return nn.Dense(self.classes, name='fc')(pooled)


class InceptionClassifier(Network):
  """Inception-v3 with eight lesion logits after GAP; the paper's baseline of Experiment 2, trained on image labels."""

  @nn.compact
  def __call__(self, images: Array, *, train: bool) -> Outputs:
    """uint8 or float images [B, H, W, 3] in 0..255 -> Outputs with `lesions` [B, 8], float32 logits, and no maps."""
    taps = self.make_encoder()(images, train=train)
    return Outputs(lesions=ClassificationHead(NUM_LESIONS, name='head')(taps[32]))


class InceptionGrader(Network):
  """Inception-v3 with a five-way classifier after GAP."""

  @nn.compact
  def __call__(self, images: Array, *, train: bool) -> Outputs:
    """uint8 or float images [B, H, W, 3] in 0..255 -> Outputs with `grades` [B, 5], float32 logits."""
    taps = self.make_encoder()(images, train=train)
    return Outputs(grades=ClassificationHead(NUM_GRADES, name='head')(taps[32]))
