"""The five kinds of Inception-v3 block, with torchvision's names, plus a stride and a dilation.

Source: Szegedy et al., 'Rethinking the Inception Architecture for Computer Vision', CVPR 2016; channel counts and names
as in torchvision's `inception_v3` (its InceptionA..E are MixedA..E here). All map [B, H, W, C] to [B, H', W', C'].
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from lesion_jax.core import Array
from lesion_jax.models.layers import ConvBN, avg_pool, max_pool, scaled

MIN_CHANNELS = 4  # of a layer, at any width


class Block(nn.Module):
  """What all blocks share.

  Attributes:
    stride: 2, or 1 to keep the resolution. Only MixedB and MixedD look at it: the others never reduce.
    dilation: of every kernel and every pooling window in the block.
    padding: 'SAME' or 'VALID', for the reducing layers of MixedB and MixedD, which stock Inception does not pad.
    width: channel multiplier, see `layers.scaled`.
    dtype: type of the computation.
    bn_axis: see ConvBN.
  """

  stride: int = 2
  dilation: int = 1
  padding: str = 'SAME'
  width: float = 1.0
  dtype: Any = jnp.float32
  bn_axis: str | None = None

  def conv(self, name: str, features: int, kernel: int | tuple[int, int] = 1, **kwargs: Any) -> ConvBN:
    """Returns a layer of the block: padded and at stride 1 unless `kwargs`, fields of ConvBN, say otherwise."""
    return ConvBN(
        scaled(features, self.width, minimum=MIN_CHANNELS), kernel, dilation=self.dilation, dtype=self.dtype,
        bn_axis=self.bn_axis, name=name, **kwargs,
    )

  def reducing(self, name: str, features: int) -> ConvBN:
    """Returns a 3x3 layer at the block's stride and padding."""
    return self.conv(name, features, 3, strides=self.stride, padding=self.padding)

  def pool(self, x: Array) -> jax.Array:
    """Applies max pooling at the block's stride and padding."""
    return max_pool(x, stride=self.stride, padding=self.padding, dilation=self.dilation)


class MixedA(Block):
  """Mixed_5b to Mixed_5d: 1x1, 5x5, double 3x3 and pooled branches; 224 + `pool_features` channels."""

  pool_features: int = 64

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> jax.Array:
    one = self.conv('branch1x1', 64)(x, train=train)
    five = self.conv('branch5x5_1', 48)(x, train=train)
    five = self.conv('branch5x5_2', 64, 5)(five, train=train)
    double = self.conv('branch3x3dbl_1', 64)(x, train=train)
    double = self.conv('branch3x3dbl_2', 96, 3)(double, train=train)
    double = self.conv('branch3x3dbl_3', 96, 3)(double, train=train)
    pooled = self.conv('branch_pool', self.pool_features)(avg_pool(x, dilation=self.dilation), train=train)
    return jnp.concatenate([one, five, double, pooled], axis=-1)


class MixedB(Block):
  """Mixed_6a: halves the resolution; 480 channels more than its input."""

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> jax.Array:
    three = self.reducing('branch3x3', 384)(x, train=train)
    double = self.conv('branch3x3dbl_1', 64)(x, train=train)
    double = self.conv('branch3x3dbl_2', 96, 3)(double, train=train)
    double = self.reducing('branch3x3dbl_3', 96)(double, train=train)
    return jnp.concatenate([three, double, self.pool(x)], axis=-1)


class MixedC(Block):
  """Mixed_6b to Mixed_6e: 7x7 kernels factorised into 1x7 and 7x1, `inner` channels inside; 768 channels out."""

  inner: int = 192

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> jax.Array:
    one = self.conv('branch1x1', 192)(x, train=train)
    seven = self.conv('branch7x7_1', self.inner)(x, train=train)
    seven = self.conv('branch7x7_2', self.inner, (1, 7))(seven, train=train)
    seven = self.conv('branch7x7_3', 192, (7, 1))(seven, train=train)
    double = self.conv('branch7x7dbl_1', self.inner)(x, train=train)
    double = self.conv('branch7x7dbl_2', self.inner, (7, 1))(double, train=train)
    double = self.conv('branch7x7dbl_3', self.inner, (1, 7))(double, train=train)
    double = self.conv('branch7x7dbl_4', self.inner, (7, 1))(double, train=train)
    double = self.conv('branch7x7dbl_5', 192, (1, 7))(double, train=train)
    pooled = self.conv('branch_pool', 192)(avg_pool(x, dilation=self.dilation), train=train)
    return jnp.concatenate([one, seven, double, pooled], axis=-1)


class MixedD(Block):
  """Mixed_7a: halves the resolution; 512 channels more than its input."""

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> jax.Array:
    three = self.conv('branch3x3_1', 192)(x, train=train)
    three = self.reducing('branch3x3_2', 320)(three, train=train)
    seven = self.conv('branch7x7x3_1', 192)(x, train=train)
    seven = self.conv('branch7x7x3_2', 192, (1, 7))(seven, train=train)
    seven = self.conv('branch7x7x3_3', 192, (7, 1))(seven, train=train)
    seven = self.reducing('branch7x7x3_4', 192)(seven, train=train)
    return jnp.concatenate([three, seven, self.pool(x)], axis=-1)


class MixedE(Block):
  """Mixed_7b and Mixed_7c: 3x3 kernels fanned out into 1x3 beside 3x1; 2048 channels out."""

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> jax.Array:
    one = self.conv('branch1x1', 320)(x, train=train)
    three = self.conv('branch3x3_1', 384)(x, train=train)
    three_a = self.conv('branch3x3_2a', 384, (1, 3))(three, train=train)
    three_b = self.conv('branch3x3_2b', 384, (3, 1))(three, train=train)
    double = self.conv('branch3x3dbl_1', 448)(x, train=train)
    double = self.conv('branch3x3dbl_2', 384, 3)(double, train=train)
    double_a = self.conv('branch3x3dbl_3a', 384, (1, 3))(double, train=train)
    double_b = self.conv('branch3x3dbl_3b', 384, (3, 1))(double, train=train)
    pooled = self.conv('branch_pool', 192)(avg_pool(x, dilation=self.dilation), train=train)
    return jnp.concatenate([one, three_a, three_b, double_a, double_b, pooled], axis=-1)
