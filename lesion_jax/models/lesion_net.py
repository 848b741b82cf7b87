"""Lesion-Net (section III-A of the paper): an Inception-v3 encoder and a decoder of adjustable length."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp

from lesion_jax.core import NUM_LESIONS, Array, Outputs
from lesion_jax.models.layers import ConvBN, call, resize_bilinear, scaled
from lesion_jax.models.network import Network

STRIDES = (2, 4, 8, 16, 32)
# Channels of the decoder's stages by stride. Our choice; the paper does not give them.
DECODER_CHANNELS = {16: 512, 8: 256, 4: 128, 2: 64}
MIN_CHANNELS = 8  # of a stage, at any width


class CopyAndMerge(nn.Module):
  """One decoder stage: 1x1 conv, bilinear upsampling to the tap's grid, concatenation, two 3x3 Conv-BN-ReLU.

  The order (1x1 conv, then parameter-free interpolation, then U-Net's copy-and-merge) is the paper's; the number of
  channels and the two 3x3 convolutions are our choice.
  """

  channels: int
  dtype: jnp.dtype = jnp.float32
  bn_axis: str | None = None

  @nn.compact
  def __call__(self, inputs: tuple[Array, Array], *, train: bool) -> Array:
    """(deep [B, h, w, D], tap [B, 2h, 2w, T]) -> [B, 2h, 2w, channels]."""
    deep, tap = inputs
    x = nn.Conv(self.channels, (1, 1), dtype=self.dtype, name='reduce')(deep)
    x = resize_bilinear(x, tap.shape[1:3])
    x = jnp.concatenate([x, tap], axis=-1)
    for name in ('merge_1', 'merge_2'):
      x = ConvBN(self.channels, 3, dtype=self.dtype, bn_axis=self.bn_axis, name=name)(x, train=train)
    return x


class SegmentationHead(nn.Module):
  """1x1 conv to one logit a lesion, bilinear to the image's size (half-pixel centres); Eq. 1 as a global maximum.

  The sigmoid is applied by `Outputs.probabilities`: it is monotone, so the maximum may be taken on logits.
  """

  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, features: Array, size: tuple[int, int]) -> Outputs:
    """[B, h, w, C] -> maps float32 [B, *size, 8], lesions float32 [B, 8]."""
    logits = nn.Conv(NUM_LESIONS, (1, 1), dtype=self.dtype, name='score')(features)
    maps = resize_bilinear(logits.astype(jnp.float32), size)
    return Outputs(maps=maps, lesions=maps.max(axis=(1, 2)))


class LesionNet(Network):
  """Lesion-Net-{32,16,8,4,2}s.

  Attributes:
    stride: where the decoder ends; the logits are upsampled by this factor. 16 is the paper's choice for grading.
    decoder_channels: of the decoder's stages, from the deepest: at strides 16, 8, 4 and 2, as many as there are; `width`
      does not change them. (): DECODER_CHANNELS times `width`.
  """

  stride: int = 16
  decoder_channels: tuple[int, ...] = ()

  @nn.compact
  def __call__(self, images: Array, *, train: bool) -> Outputs:
    """Segments lesions.

    Args:
      images: uint8 or float [B, H, W, 3] in 0..255, RGB.
      train: normalise by batch statistics and update the running ones.

    Returns:
      Outputs with `maps` [B, H, W, 8] and `lesions` [B, 8], float32 logits.

    Raises:
      ValueError: the stride is not one of 2, 4, 8, 16, 32, `decoder_channels` has not one positive number for each
        stage, or the image is too small for the encoder.
    """
    if self.stride not in STRIDES:
      raise ValueError(f'Lesion-Net has no stride {self.stride}; choose one of {", ".join(map(str, STRIDES))}')
    taps = self.make_encoder()(images, train=train)
    x = taps[32]
    for stride, channels in self._stages().items():
      stage = CopyAndMerge(channels, self.dtype, self.bn_axis, name=f'decoder_{stride}s')
      x = call(stage, (x, taps[stride]), train=train, remat=self.remat)
    return SegmentationHead(self.dtype, name='head')(x, images.shape[1:3])

  def _stages(self) -> dict[int, int]:
    """Stride -> channels of the decoder's stages, from the deepest."""
    strides = [stride for stride in DECODER_CHANNELS if stride >= self.stride]
    if not self.decoder_channels:
      return {stride: scaled(DECODER_CHANNELS[stride], self.width, minimum=MIN_CHANNELS) for stride in strides}
    if len(self.decoder_channels) != len(strides) or min(self.decoder_channels) < 1:
      raise ValueError(f'decoder_channels={tuple(self.decoder_channels)}: Lesion-Net-{self.stride}s has {len(strides)} '
                       f'decoder stages, at the strides {", ".join(map(str, strides)) or "(none)"}; give one number of '
                       'channels, 1 or more, for each, or ()')
    return dict(zip(strides, self.decoder_channels, strict=True))
