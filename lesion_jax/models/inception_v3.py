"""Inception-v3 as an encoder with five taps, the backbone of every network of the paper."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from lesion_jax.core import Array
from lesion_jax.models.inception_blocks import MIN_CHANNELS, MixedA, MixedB, MixedC, MixedD, MixedE
from lesion_jax.models.layers import PADDINGS, ConvBN, call, max_pool, normalize, scaled

OUTPUT_STRIDES = (32, 16, 8)
NORMS = ('batch', 'running')

# The smallest side for which every tap exists ('VALID') or sees one whole cell of its stride ('SAME').
MIN_SIZE = {'SAME': 32, 'VALID': 75}


class InceptionV3(nn.Module):
  """Inception-v3 without its classifiers: 21,785,568 parameters at width 1, named as torchvision names them.

  Source: Szegedy et al., CVPR 2016. Stock Inception leaves seven 3x3 layers and four max pools unpadded ('VALID'); that
  makes 26x26 features of an 896x896 image. The paper has 28x28, so 'SAME' is the default (our choice).

  `__call__` runs all of it. `lower` and `upper` are its halves, split after Mixed_6e, for networks that put something
  in between. Each makes only the variables that it uses.

  Attributes:
    padding: 'SAME': those layers are padded by 1 on each side; 'VALID': they are not (stock).
    output_stride: 32; 16: Mixed_7a keeps the resolution and what follows is dilated by 2; 8: Mixed_6a does so as well.
      Kernels and pools both are dilated, so every (32 / output_stride)-th pixel equals that of the net at stride 32.
    width: multiplier of every channel count, with a floor of 4 channels a layer (for tests and small machines).
    dtype: type of the computation and of the taps. Parameters and statistics are float32.
    bn_axis: name of the mapped axis over which training statistics are averaged; None: per device.
    remat: recompute the activations of each layer and block in the backward pass instead of storing them.
    norm: 'batch': training normalises by each batch and moves the running statistics; 'running': training too
      normalises by the running statistics, which stay as they are (for small batches on a pretrained encoder).
  """

  padding: str = 'SAME'
  output_stride: int = 32
  width: float = 1.0
  dtype: Any = jnp.float32
  bn_axis: str | None = None
  remat: bool = False
  norm: str = 'batch'

  def setup(self) -> None:
    if self.norm not in NORMS:
      raise ValueError(f'unknown norm {self.norm!r}; allowed: {", ".join(NORMS)}')
    if self.padding not in PADDINGS:
      raise ValueError(f'unknown padding {self.padding!r}; allowed: {", ".join(PADDINGS)}')
    if self.output_stride not in OUTPUT_STRIDES:
      raise ValueError(f'unknown output_stride {self.output_stride!r}; allowed: {", ".join(map(str, OUTPUT_STRIDES))}')
    if not self.width > 0:
      raise ValueError(f'width must be above 0, got {self.width}; 1 is the published network')

    common = {'dtype': self.dtype, 'bn_axis': self.bn_axis}
    conv = lambda channels, kernel, **kwargs: ConvBN(
        scaled(channels, self.width, minimum=MIN_CHANNELS), kernel, **common, **kwargs)
    self.Conv2d_1a_3x3 = conv(32, 3, strides=2, padding=self.padding)
    self.Conv2d_2a_3x3 = conv(32, 3, padding=self.padding)
    self.Conv2d_2b_3x3 = conv(64, 3)
    self.Conv2d_3b_1x1 = conv(80, 1)
    self.Conv2d_4a_3x3 = conv(192, 3, padding=self.padding)

    common |= {'width': self.width, 'padding': self.padding}
    self.Mixed_5b = MixedA(pool_features=32, **common)
    self.Mixed_5c = MixedA(pool_features=64, **common)
    self.Mixed_5d = MixedA(pool_features=64, **common)

    # A block that keeps its stride of 2 leaves the dilation as it is; one that gives it up doubles what comes after.
    dilation_6 = 2 if self.output_stride == 8 else 1
    dilation_7 = 32 // self.output_stride
    self.Mixed_6a = MixedB(stride=2 // dilation_6, **common)
    self.Mixed_6b = MixedC(inner=128, dilation=dilation_6, **common)
    self.Mixed_6c = MixedC(inner=160, dilation=dilation_6, **common)
    self.Mixed_6d = MixedC(inner=160, dilation=dilation_6, **common)
    self.Mixed_6e = MixedC(inner=192, dilation=dilation_6, **common)
    self.Mixed_7a = MixedD(stride=2 * dilation_6 // dilation_7, dilation=dilation_6, **common)
    self.Mixed_7b = MixedE(dilation=dilation_7, **common)
    self.Mixed_7c = MixedE(dilation=dilation_7, **common)

  def __call__(self, images: Array, *, train: bool) -> dict[int, jax.Array]:
    """Features at five depths.

    Args:
      images: [B, H, W, 3], uint8 or float in 0..255; normalised inside.
      train: use and update batch statistics, unless `norm` is 'running'.

    Returns:
      `dtype` arrays [B, ceil(H / s), ceil(W / s), C] (padding 'SAME', output_stride 32, width 1) by the stride s that
      Inception has there: 2: Conv2d_2b_3x3 (64 channels), 4: Conv2d_4a_3x3 (192), 8: Mixed_5d (288), 16: Mixed_6e
      (768), 32: Mixed_7c (2048). A smaller output_stride enlarges the deep taps and leaves the keys.

    Raises:
      ValueError: the image is too small, or a field is not among the values allowed.
    """
    taps = self.lower(images, train=train)
    return taps | {32: self.upper(taps[16], train=train)}

  def lower(self, images: Array, *, train: bool) -> dict[int, jax.Array]:
    """Returns the taps 2, 4, 8 and 16, up to and including Mixed_6e. Arguments and errors as for `__call__`."""
    minimum = MIN_SIZE[self.padding]
    x = normalize(images, self.dtype)
    if min(x.shape[1:3]) < minimum:
      raise ValueError(f'an image of {x.shape[1]}x{x.shape[2]} is too small for Inception-v3 with padding '
                       f'{self.padding!r}: both sides must be at least {minimum}')
    taps = {}
    x = taps[2] = self._run(x, train, self.Conv2d_1a_3x3, self.Conv2d_2a_3x3, self.Conv2d_2b_3x3)
    x = max_pool(x, padding=self.padding)
    x = taps[4] = self._run(x, train, self.Conv2d_3b_1x1, self.Conv2d_4a_3x3)
    x = max_pool(x, padding=self.padding)
    x = taps[8] = self._run(x, train, self.Mixed_5b, self.Mixed_5c, self.Mixed_5d)
    taps[16] = self._run(x, train, self.Mixed_6a, self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e)
    return taps

  def upper(self, x: Array, *, train: bool) -> jax.Array:
    """Applies Mixed_7a to Mixed_7c: [B, h, w, C] as tap 16 has it -> tap 32."""
    return self._run(x, train, self.Mixed_7a, self.Mixed_7b, self.Mixed_7c)

  def _run(self, x: jax.Array, train: bool, *modules: nn.Module) -> jax.Array:
    train = train and self.norm == 'batch'
    for module in modules:
      x = call(module, x, train=train, remat=self.remat)
    return x
