"""DANet, a baseline of the paper, on the encoder that all its networks share.

Source: Fu et al., 'Dual Attention Network for Scene Segmentation', CVPR 2019.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp

from lesion_jax.core import Array, Outputs
from lesion_jax.models.dual_attention import CHUNK, ChannelAttention, PositionAttention
from lesion_jax.models.layers import ConvBN, call, scaled
from lesion_jax.models.lesion_net import SegmentationHead
from lesion_jax.models.network import Network

CHANNELS = 512  # of a branch: a quarter of the encoder's last features, as published
MIN_CHANNELS = 8  # of a branch, at any width


class AttentionBranch(nn.Module):
  """3x3 Conv-BN-ReLU to fewer channels, an attention block, one more 3x3 Conv-BN-ReLU.

  Attributes:
    channels: of the branch.
    attention: makes the block from a `dtype` and a `name`.
    dtype, bn_axis: see `Network`.
  """

  channels: int
  attention: Callable[..., nn.Module]
  dtype: jnp.dtype = jnp.float32
  bn_axis: str | None = None

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> Array:
    """[B, h, w, C] -> [B, h, w, channels]."""
    conv = functools.partial(ConvBN, self.channels, 3, dtype=self.dtype, bn_axis=self.bn_axis)
    x = conv(name='conv_in')(x, train=train)
    x = self.attention(dtype=self.dtype, name='attention')(x)
    return conv(name='conv_out')(x, train=train)


class DANet(Network):
  """DANet: dilated encoder, position attention and channel attention side by side, their sum scored.

  Our choice: only the fused output is trained, where the original adds losses on either branch; no dropout before the
  score.

  Attributes:
    output_stride: of the encoder; 8 as published, 112x112 features at 896x896.
    chunk: positions whose attention is held at a time, see `dual_attention.attend`.
  """

  output_stride: int = 8
  chunk: int = CHUNK

  @nn.compact
  def __call__(self, images: Array, *, train: bool) -> Outputs:
    """Segments lesions.

    Args:
      images: uint8 or float [B, H, W, 3] in 0..255, RGB.
      train: normalise by batch statistics and update the running ones.

    Returns:
      Outputs with `maps` [B, H, W, 8] and `lesions` [B, 8], float32 logits.

    Raises:
      ValueError: the output stride is not one of 32, 16, 8, the chunk is below 1, or the image is too small for the
        encoder.
    """
    features = self.make_encoder(output_stride=self.output_stride)(images, train=train)[32]
    attention = {'position': functools.partial(PositionAttention, self.chunk), 'channel': ChannelAttention}
    channels = scaled(CHANNELS, self.width, minimum=MIN_CHANNELS)
    branches = [AttentionBranch(channels, block, self.dtype, self.bn_axis, name=name)
                for name, block in attention.items()]
    position, channel = (call(branch, features, train=train, remat=self.remat) for branch in branches)
    return SegmentationHead(self.dtype, name='head')(position + channel, images.shape[1:3])
