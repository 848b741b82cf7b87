"""Lesion-Concat (Experiment 3 of the paper): the grader also sees how likely each lesion is, but not where."""

from __future__ import annotations

import flax.linen as nn
import jax

from lesion_jax.core import NUM_GRADES, Array, Outputs
from lesion_jax.models.classifier import ClassificationHead
from lesion_jax.models.lesion_enhanced import LesionEnhanced
from lesion_jax.models.network import Network


class ConcatBranch(Network):
  """Inception-v3 whose pooled features are followed by the lesion vector."""

  @nn.compact
  def __call__(self, images: Array, lesions: Array, *, train: bool) -> Array:
    """images [B, H, W, 3], lesion probabilities [B, 8] -> grade logits [B, 5]."""
    features = self.make_encoder()(images, train=train)[32]
    return ClassificationHead(NUM_GRADES, name='head')(features, lesions)


class LesionConcat(LesionEnhanced):
  """(P_1, ..., P_8) of a lesion network is concatenated to the GAP output: the fully connected layer is (2048 + 8) x 5.

  `lesion`, a segmentation network or a lesion classifier, and `joint` are those of `LesionEnhanced`.
  """

  def setup(self) -> None:
    self.grading = ConcatBranch(**self.network_fields())

  def __call__(self, images: Array, *, train: bool) -> Outputs:
    """Grades.

    Args:
      images: uint8 or float [B, H, W, 3] in 0..255, RGB.
      train: of the grading branch, and of the lesion branch if `joint`.

    Returns:
      Outputs with `grades` [B, 5], `lesions` [B, 8] and, if the lesion network makes them, `maps` [B, H, W, 8]; float32
      logits.

    Raises:
      ValueError: the lesion network finds no lesions.
    """
    found = self.find(images, 'lesions', train=train)
    return found.replace(grades=self.grade(images, jax.nn.sigmoid(found.lesions), train=train).grades)

  def look(self, images: Array) -> Array:
    """Returns the lesion probabilities of images [B, S, S, 3], float32 [B, 8], as `grade` takes them."""
    return jax.nn.sigmoid(self.find(images, 'lesions', train=False).lesions)

  def grade(self, images: Array, lesions: Array, *, train: bool) -> Outputs:
    """Returns the grading branch alone: images as of `__call__` or already of `grading_size`, lesion probabilities [B,
    8]."""
    return Outputs(grades=self.grading(self.reduce(images), lesions, train=train))
