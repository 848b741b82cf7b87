"""Attention Branch Network (ABN) on Inception-v3, the paper's state of the art for classification by self-attention.

Source: Fukui et al., 'Attention Branch Network: Learning of Attention Mechanism for Visual Explanation', CVPR 2019.
"""

from __future__ import annotations

import functools

import flax.linen as nn
import jax.numpy as jnp

from lesion_jax.core import NUM_GRADES, NUM_LESIONS, Array, Outputs
from lesion_jax.models.classifier import ClassificationHead
from lesion_jax.models.layers import BN_EPSILON, BN_MOMENTUM, ConvBN
from lesion_jax.models.network import Network

TASKS = {'lesions': NUM_LESIONS, 'grades': NUM_GRADES}


class AttentionBranch(nn.Module):
  """The end of the attention branch: one response map a class, from which come class logits and one attention map.

  BatchNorm and 1x1 Conv-BN-ReLU make the responses; a 1x1 convolution and GAP the logits; a 3x3 convolution to one
  channel, BatchNorm and sigmoid the attention. No convolution has a bias. As in the original for one label an image, but
  for BatchNorm's epsilon, which is this library's. All lesions share the one map (our choice; the paper does not say):
  for several labels the authors of ABN also have a variant with a map and a perception pass for each.

  Attributes:
    classes: number of classes K.
    dtype: type of the computation.
    bn_axis: see ConvBN.
  """

  classes: int
  dtype: jnp.dtype = jnp.float32
  bn_axis: str | None = None

  @nn.compact
  def __call__(self, features: Array, *, train: bool) -> tuple[Array, Array]:
    """[B, h, w, C] -> float32 logits [B, K], attention [B, h, w, 1] in [0, 1] of type `dtype`."""
    conv = functools.partial(nn.Conv, use_bias=False, dtype=self.dtype)
    norm = functools.partial(nn.BatchNorm, use_running_average=not train, momentum=BN_MOMENTUM, epsilon=BN_EPSILON,
                             dtype=self.dtype, axis_name=self.bn_axis)
    responses = ConvBN(self.classes, dtype=self.dtype, bn_axis=self.bn_axis, name='responses')(
        norm(name='bn')(features), train=train)
    attention = nn.sigmoid(norm(name='map_bn')(conv(1, (3, 3), name='map')(responses)))
    scores = conv(self.classes, (1, 1), name='score')(responses)
    return scores.astype(jnp.float32).mean(axis=(1, 2)), attention


class ABN(Network):
  """ABN split after Mixed_6e, as a lesion classifier or a grader.

  The attention branch repeats Mixed_7a-c at stride 1 with weights of its own. The perception branch is the rest of the
  encoder, on features that the attention has raised: x * attention + x. With the stride given up, Mixed_7b and 7c of
  the attention branch are dilated by 2, so that they see as much of the image as their pretrained twins, and are padded
  whatever `padding` is, so that the attention fits the features; both are our choice.

  Attributes:
    task: 'lesions' or 'grades'.
  """

  task: str = 'lesions'

  @nn.compact
  def __call__(self, images: Array, *, train: bool) -> Outputs:
    """Classifies.

    Args:
      images: uint8 or float [B, H, W, 3] in 0..255, RGB.
      train: normalise by batch statistics and update the running ones.

    Returns:
      Outputs with `lesions` [B, 8] or `grades` [B, 5], the logits of the perception branch; the same of the attention
      branch in `auxiliary`; and `attention` [B, h, w, 1] in [0, 1] on the grid of stride 16. All float32.

    Raises:
      ValueError: the task is neither of the two, or the image is too small for the encoder.
    """
    if self.task not in TASKS:
      raise ValueError(f'ABN has no task {self.task!r}; choose one of {", ".join(TASKS)}')
    classes = TASKS[self.task]
    encoder = self.make_encoder()
    attention_encoder = self.encoder(padding='SAME', output_stride=16, width=self.width, dtype=self.dtype,
                                     bn_axis=self.bn_axis, remat=self.remat, norm=self.encoder_norm,
                                     name='attention_encoder')
    features = encoder.lower(images, train=train)[16]
    auxiliary, attention = AttentionBranch(classes, self.dtype, self.bn_axis, name='attention')(
        attention_encoder.upper(features, train=train), train=train)
    deep = encoder.upper(features * attention + features, train=train)
    logits = ClassificationHead(classes, name='head')(deep)
    return Outputs(**{self.task: logits}, attention=attention.astype(jnp.float32),
                   auxiliary=Outputs(**{self.task: auxiliary}))
