"""FCN-32s, FCN-16s and FCN-8s, baselines of the paper, on the encoder that all its networks share.

Source: Long et al., 'Fully Convolutional Networks for Semantic Segmentation', CVPR 2015.
"""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp

from lesion_jax.core import NUM_LESIONS, Array, Outputs
from lesion_jax.models.layers import resize_bilinear
from lesion_jax.models.network import Network

STRIDES = (32, 16, 8)


class FCN(Network):
  """FCN-{32,16,8}s: 1x1 score convolutions on the taps from 32 up to `stride`, enlarged and added from deep to shallow.

  All enlargement is bilinear without parameters (our choice, after the paper's remark that FCN-32s upsamples so). The
  original's factors of two are transposed convolutions that start as bilinear interpolation. Also our choice: the
  scores sit on the encoder's own taps, with no layers in place of VGG's fc6 and fc7; and every score starts at random,
  the whole network being trained at once, where the original starts the finer scores at zero on a trained coarser net.

  Attributes:
    stride: of the finest tap that is scored; the sum is enlarged by this factor.
  """

  stride: int = 8

  @nn.compact
  def __call__(self, images: Array, *, train: bool) -> Outputs:
    """Segments lesions.

    Args:
      images: uint8 or float [B, H, W, 3] in 0..255, RGB.
      train: normalise by batch statistics and update the running ones.

    Returns:
      Outputs with `maps` [B, H, W, 8] and `lesions` [B, 8], the maxima of `maps` (Eq. 1); float32 logits. What comes
      after the score convolutions is computed in float32 whatever `dtype` is.

    Raises:
      ValueError: the stride is not one of 32, 16, 8, or the image is too small for the encoder.
    """
    if self.stride not in STRIDES:
      raise ValueError(f'FCN has no stride {self.stride}; choose one of {", ".join(map(str, STRIDES))}')
    taps = self.make_encoder()(images, train=train)
    total = None
    for stride in STRIDES:
      if stride >= self.stride:
        score = nn.Conv(NUM_LESIONS, (1, 1), dtype=self.dtype, name=f'score_{stride}')(taps[stride])
        score = score.astype(jnp.float32)
        total = score if total is None else resize_bilinear(total, score.shape[1:3]) + score
    maps = resize_bilinear(total, images.shape[1:3])
    return Outputs(maps=maps, lesions=maps.max(axis=(1, 2)))
