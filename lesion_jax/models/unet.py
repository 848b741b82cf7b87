"""U-Net, a baseline of the paper, on the encoder that all its networks share.

Source: Ronneberger et al., 'U-Net: Convolutional Networks for Biomedical Image Segmentation', MICCAI 2015.
"""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp

from lesion_jax.core import Array, Outputs
from lesion_jax.models.layers import ConvBN, call, resize_bilinear, scaled
from lesion_jax.models.lesion_net import SegmentationHead
from lesion_jax.models.network import Network

# Channels of the decoder's stages by stride: those of the encoder's taps, and 32 at full resolution. Our choice.
DECODER_CHANNELS = {16: 768, 8: 288, 4: 192, 2: 64, 1: 32}
MIN_CHANNELS = 8  # of a stage, at any width


def fit(x: Array, size: tuple[int, int]) -> Array:
  """Crops [B, h, w, C] -> [B, *size, C]: cut at the bottom and the right, where doubling an odd grid has gone too far.

  A map that falls short is resized bilinearly instead: an encoder with padding 'VALID' loses its borders, so its taps
  are larger than twice the next. Our choice.
  """
  if x.shape[1] < size[0] or x.shape[2] < size[1]:
    return resize_bilinear(x, size)
  return x[:, :size[0], :size[1]]


class UpStage(nn.Module):
  """One decoder stage: 2x2 transposed convolution at stride 2, concatenation of the tap, two 3x3 Conv-BN-ReLU.

  The transposed convolution is torch's ConvTranspose2d(in, channels, 2, stride=2). Its kernel is laid out
  [rows, columns, channels out, channels in], so `weights.names` moves it to torch's [in, out, rows, columns] by the
  same transposition as every other convolution.

  Attributes:
    channels: of the result.
    size: (rows, columns) of the result.
    dtype, bn_axis: see `Network`.
  """

  channels: int
  size: tuple[int, int]
  dtype: jnp.dtype = jnp.float32
  bn_axis: str | None = None

  @nn.compact
  def __call__(self, inputs: tuple[Array, Array | None], *, train: bool) -> Array:
    """(deep [B, h, w, D], tap [B, *size, T] or None) -> [B, *size, channels]."""
    deep, tap = inputs
    x = nn.ConvTranspose(self.channels, (2, 2), strides=(2, 2), padding='VALID', transpose_kernel=True,
                         dtype=self.dtype, name='up')(deep)
    x = fit(x, self.size)
    if tap is not None:
      x = jnp.concatenate([x, tap], axis=-1)
    for name in ('merge_1', 'merge_2'):
      x = ConvBN(self.channels, 3, dtype=self.dtype, bn_axis=self.bn_axis, name=name)(x, train=train)
    return x


class UNet(Network):
  """U-Net: a decoder that mirrors the encoder and goes back to full resolution.

  As in the original, transposed convolutions enlarge and every resolution's features are copied over and merged. Our
  choice, where the paper is silent: the stages' channels (DECODER_CHANNELS, times `width`); padded convolutions with
  batch normalisation, of which the original has neither, and no dropout, which it has; and a last stage at full resolution without a tap, since the
  encoder has no features there.
  """

  @nn.compact
  def __call__(self, images: Array, *, train: bool) -> Outputs:
    """Segments lesions.

    Args:
      images: uint8 or float [B, H, W, 3] in 0..255, RGB; any size that the encoder takes.
      train: normalise by batch statistics and update the running ones.

    Returns:
      Outputs with `maps` [B, H, W, 8] and `lesions` [B, 8], float32 logits.

    Raises:
      ValueError: the image is too small for the encoder.
    """
    taps = self.make_encoder()(images, train=train)
    x = taps[32]
    for stride, channels in DECODER_CHANNELS.items():
      tap = taps.get(stride)
      size = images.shape[1:3] if tap is None else tap.shape[1:3]
      stage = UpStage(scaled(channels, self.width, minimum=MIN_CHANNELS), size, self.dtype, self.bn_axis,
                      name=f'decoder_{stride}s')
      x = call(stage, (x, tap), train=train, remat=self.remat)
    return SegmentationHead(self.dtype, name='head')(x, images.shape[1:3])
