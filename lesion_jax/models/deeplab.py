"""DeepLabv3+, a baseline of the paper, on the encoder that all its networks share.

Source: Chen et al., 'Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation', ECCV 2018.
"""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp

from lesion_jax.core import Array, Outputs
from lesion_jax.models.layers import ConvBN, call, resize_bilinear, scaled
from lesion_jax.models.lesion_net import SegmentationHead
from lesion_jax.models.network import Network

OUTPUT_STRIDE = 16
RATES = (6, 12, 18)  # dilations of the pyramid, the published ones for an output stride of 16
CHANNELS = 256  # of the pyramid's branches, its projection and the decoder
LOW_LEVEL_CHANNELS = 48  # to which the tap at stride 4 is reduced
MIN_CHANNELS = 8  # of a layer, at any width


class ASPP(nn.Module):
  """Atrous spatial pyramid pooling: 1x1, three dilated 3x3 and the mean over the image, concatenated and projected.

  Every convolution is a Conv-BN-ReLU of `channels`. The mean is taken in float32.

  Training normalises the image's mean over the batch alone: for a single image on a device (and no `bn_axis`) that
  branch is a constant, ReLU of BatchNorm's bias, and learns nothing from it. It is finite, where torch raises.
  """

  channels: int = CHANNELS
  dtype: jnp.dtype = jnp.float32
  bn_axis: str | None = None

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> Array:
    """[B, h, w, C] -> [B, h, w, channels]."""
    def conv(name: str, x: Array, kernel_size: int = 1, dilation: int = 1) -> Array:
      return ConvBN(self.channels, kernel_size, dilation=dilation, dtype=self.dtype, bn_axis=self.bn_axis,
                    name=name)(x, train=train)

    branches = [conv('conv_1x1', x), *(conv(f'dilated_{rate}', x, 3, rate) for rate in RATES)]
    mean = x.mean(axis=(1, 2), keepdims=True, dtype=jnp.float32).astype(self.dtype)
    branches.append(jnp.broadcast_to(conv('image_mean', mean), branches[0].shape))
    return conv('project', jnp.concatenate(branches, axis=-1))


class DeepLabV3Plus(Network):
  """DeepLabv3+: dilated encoder at output stride 16, ASPP, and a decoder at stride 4.

  Rates, channels and the decoder (low-level features reduced to 48 channels, ASPP enlarged bilinearly to their grid,
  concatenated, two 3x3) are the published ones, times `width`. Our choice: plain convolutions, where the original's
  are separable, since the encoder's are plain as well; no dropout; the low-level features are tap 4 of Inception-v3.
  """

  @nn.compact
  def __call__(self, images: Array, *, train: bool) -> Outputs:
    """Segments lesions.

    Args:
      images: uint8 or float [B, H, W, 3] in 0..255, RGB.
      train: normalise by batch statistics and update the running ones.

    Returns:
      Outputs with `maps` [B, H, W, 8] and `lesions` [B, 8], float32 logits.

    Raises:
      ValueError: the image is too small for the encoder.
    """
    def conv(name: str, x: Array, channels: int, kernel_size: int) -> Array:
      layer = ConvBN(scaled(channels, self.width, minimum=MIN_CHANNELS), kernel_size, dtype=self.dtype,
                     bn_axis=self.bn_axis, name=name)
      return call(layer, x, train=train, remat=self.remat)

    taps = self.make_encoder(output_stride=OUTPUT_STRIDE)(images, train=train)
    aspp = ASPP(scaled(CHANNELS, self.width, minimum=MIN_CHANNELS), self.dtype, self.bn_axis, name='aspp')
    x = call(aspp, taps[32], train=train, remat=self.remat)
    low_level = conv('low_level', taps[4], LOW_LEVEL_CHANNELS, 1)
    x = jnp.concatenate([resize_bilinear(x, low_level.shape[1:3]), low_level], axis=-1)
    x = conv('merge_1', x, CHANNELS, 3)
    x = conv('merge_2', x, CHANNELS, 3)
    return SegmentationHead(self.dtype, name='head')(x, images.shape[1:3])
