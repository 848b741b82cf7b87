"""Building blocks that every network shares: normalised input, Conv-BN-ReLU, pooling, resizing.

Padding is torch's throughout: 'SAME' puts dilation * (k - 1) / 2 zeros on *each* side of an odd kernel. XLA's own
'SAME' pads the far side more at stride 2 and shifts the features by a pixel against weights trained elsewhere.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from lesion_jax.core import Array

BN_EPSILON = 1e-3
BN_MOMENTUM = 0.9  # of the old value, as flax counts; torch calls the same 0.1

PADDINGS = ('SAME', 'VALID')


def scaled(channels: int, width: float, *, minimum: int) -> int:
  """Returns `channels * width`, rounded, and never under `minimum`: the only place where the width multiplier acts."""
  return max(minimum, round(channels * width))


def torch_padding(kernel_size: tuple[int, int], *, padding: str, dilation: int = 1) -> tuple[tuple[int, int], ...]:
  """Returns explicit padding ((top, bottom), (left, right)) for an odd kernel; see the module's docstring.

  Raises:
    ValueError: `padding` is neither 'SAME' nor 'VALID', or 'SAME' is asked of an even kernel.
  """
  if padding not in PADDINGS:
    raise ValueError(f'unknown padding {padding!r}; allowed: {", ".join(PADDINGS)}')
  if padding == 'VALID':
    return ((0, 0), (0, 0))
  if not all(k % 2 for k in kernel_size):
    raise ValueError(f"padding 'SAME' needs an odd kernel, got {kernel_size}; use 'VALID' or an odd size")
  return tuple((dilation * (k // 2),) * 2 for k in kernel_size)


def normalize(images: Array, dtype: Any = jnp.float32) -> jax.Array:
  """Computes (x / 255 - 0.5) / 0.5, the input of Inception-v3: [B, H, W, 3] uint8, or float in 0..255 -> `dtype` in
  -1..1.

  Raises:
    ValueError: the shape is not [B, H, W, 3].
    TypeError: an integer type other than uint8.
  """
  if images.ndim != 4 or images.shape[-1] != 3:
    raise ValueError(f'images must have the shape [B, H, W, 3], got {list(images.shape)}; add the batch axis, use RGB')
  if images.dtype != jnp.uint8 and not jnp.issubdtype(images.dtype, jnp.floating):
    raise TypeError(f'images must be uint8, or float in 0..255, got {images.dtype}; convert them first')
  return ((jnp.asarray(images, jnp.float32) / 255 - 0.5) / 0.5).astype(dtype)


def resize_bilinear(x: Array, size: tuple[int, int]) -> jax.Array:
  """Computes the bilinear resize of [B, h, w, C] to [B, *size, C] with half-pixel centres and no antialiasing.

  Equal to torch's `interpolate(mode='bilinear', align_corners=False)`, up and down. The type is kept.
  """
  return jax.image.resize(x, (x.shape[0], *size, x.shape[3]), 'bilinear', antialias=False)


def max_pool(x: Array, *, stride: int = 2, padding: str = 'SAME', dilation: int = 1) -> jax.Array:
  """Computes the 3x3 max pooling of [B, H, W, C]. A dilated one must have stride 1."""
  pads = torch_padding((3, 3), padding=padding, dilation=dilation)
  if dilation == 1:
    return nn.max_pool(x, window_shape=(3, 3), strides=(stride, stride), padding=pads)
  if stride != 1:
    raise ValueError(f'a dilated pool must have stride 1, got stride {stride}, dilation {dilation}')
  # XLA's dilated max window has no gradient, so it is taken as maxima of shifted slices, rows first.
  x = jnp.pad(x, ((0, 0), *pads, (0, 0)), constant_values=-jnp.inf)
  for axis in (1, 2):
    x = reduce(jnp.maximum, _shifts(x, axis, dilation))
  return x


def avg_pool(x: Array, *, dilation: int = 1) -> jax.Array:
  """Computes the 3x3 mean of [B, H, W, C] at stride 1, padded by zeros that count (torch's
  `count_include_pad=True`)."""
  if dilation == 1:
    # At stride 1 XLA's 'SAME' is symmetric; by name, not in numbers, because ONNX converters understand the name.
    return nn.avg_pool(x, window_shape=(3, 3), strides=(1, 1), padding='SAME', count_include_pad=True)
  x = jnp.pad(x, ((0, 0), *torch_padding((3, 3), padding='SAME', dilation=dilation), (0, 0)))
  for axis in (1, 2):
    x = sum(_shifts(x, axis, dilation)) / 3
  return x


def _shifts(x: jax.Array, axis: int, dilation: int) -> list[jax.Array]:
  """The three slices of `x` along `axis` that a window of three with this dilation sees."""
  length = x.shape[axis] - 2 * dilation
  return [jax.lax.slice_in_dim(x, k * dilation, k * dilation + length, axis=axis) for k in range(3)]


def call(module: nn.Module, x: Any, *, train: bool, remat: bool = False) -> Any:
  """Applies `module(x, train=train)`; with `remat` recomputed in the backward pass, not stored. The variables are the
  same."""
  if not remat:
    return module(x, train=train)
  return nn.remat(lambda module, x: module(x, train=train))(module, x)


class ConvBN(nn.Module):
  """Convolution without bias, batch normalisation, ReLU: [B, H, W, C] -> [B, H', W', features] of type `dtype`.

  The statistics and the parameters stay float32 whatever `dtype` is. The running variance is the biased estimate, as in
  flax; torch's is larger by n / (n - 1), n being the pixels of the batch.

  Attributes:
    features: output channels.
    kernel_size: one odd number, or (rows, columns).
    strides: of the convolution, the same along both axes.
    padding: 'SAME' (torch's, see `torch_padding`) or 'VALID'.
    dilation: of the kernel.
    dtype: type of the computation and of the result.
    bn_axis: name of the mapped axis over whose devices the training statistics are averaged; None: per device.
  """

  features: int
  kernel_size: int | tuple[int, int] = 1
  strides: int = 1
  padding: str = 'SAME'
  dilation: int = 1
  dtype: Any = jnp.float32
  bn_axis: str | None = None

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> jax.Array:
    """`train`: normalise by the batch and update the running statistics; otherwise normalise by those."""
    kernel = (self.kernel_size,) * 2 if isinstance(self.kernel_size, int) else tuple(self.kernel_size)
    x = nn.Conv(
        self.features, kernel, strides=(self.strides,) * 2, kernel_dilation=(self.dilation,) * 2, use_bias=False,
        padding=torch_padding(kernel, padding=self.padding, dilation=self.dilation), dtype=self.dtype,
        kernel_init=nn.initializers.he_normal(), name='conv',
    )(x)
    x = nn.BatchNorm(
        use_running_average=not train, momentum=BN_MOMENTUM, epsilon=BN_EPSILON, dtype=self.dtype,
        axis_name=self.bn_axis, name='bn',
    )(x)
    return nn.relu(x)
