"""The paper's patch FCN-32s (Experiment 1): a segmentation network that sees an image only through small windows."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from lesion_jax.core import NUM_LESIONS, Array, Outputs
from lesion_jax.models.fcn import FCN
from lesion_jax.models.network import Network

# What a sum of probabilities is never under, so that its logarithm is a number: float32's smallest normal one.
FLOOR = float(jnp.finfo(jnp.float32).tiny)


def split(images: Array, grid: int) -> jax.Array:
  """Cuts images [B, H, W, C] into grid x grid patches, row by row: [B * grid^2, ceil(H / grid), ceil(W / grid), C].

  Zeros, black in an image, fill up the patches at the bottom and at the right where the grid does not divide the side.
  """
  rows, height, width, channels = images.shape
  high, wide = -(-height // grid), -(-width // grid)
  x = jnp.pad(images, ((0, 0), (0, high * grid - height), (0, wide * grid - width), (0, 0)))
  x = x.reshape(rows, grid, high, grid, wide, channels).swapaxes(2, 3)
  return x.reshape(rows * grid**2, high, wide, channels)


def join(patches: Array, grid: int, size: tuple[int, int]) -> jax.Array:
  """Returns the inverse of `split`: [B * grid^2, h, w, C] -> [B, *size, C], what filled up the patches cut off."""
  count, high, wide, channels = patches.shape
  x = patches.reshape(count // grid**2, grid, grid, high, wide, channels).swapaxes(2, 3)
  return x.reshape(-1, grid * high, grid * wide, channels)[:, :size[0], :size[1]]


def window_starts(side: int, window: int, stride: int) -> list[int]:
  """Returns where the windows begin: every `stride` pixels, the last one moved back so that it ends at the side's
  end."""
  return [*range(0, side - window, stride), side - window]


class PatchFCN(Network):
  """FCN-32s on the patches of a uniform grid, 224 x 224 at the paper's 896 and its grid of 4 x 4.

  `train` splits the images and treats all patches as one batch: what the network says of a patch depends on that patch
  alone (but for the batch statistics), and Eq. 3 of the assembled maps is Eq. 3 of the patches. Otherwise windows of
  the patch's size slide over the image at half that size, and the probabilities of windows that overlap are averaged.

  The windows go through the network one row at a time, so the memory is that of 2 * grid - 1 windows beside two arrays
  of the maps' size, and not that of all of them. The FCN's variables sit under 'fcn', its encoder under 'fcn/encoder'.

  Attributes:
    grid: patches along each side.
  """

  grid: int = 4

  @nn.compact
  def __call__(self, images: Array, *, train: bool) -> Outputs:
    """Segments lesions.

    Args:
      images: uint8 or float [B, H, W, 3] in 0..255, RGB.
      train: see the class; also normalise by batch statistics and update the running ones.

    Returns:
      Outputs with `maps` [B, H, W, 8] and `lesions` [B, 8], their maxima; float32 logits. Those of averaged
      probabilities stay within +-(88 + the logarithm of the number of overlaps), where float32 ends.

    Raises:
      ValueError: the grid is not positive, or its patches are too small for the encoder.
    """
    if self.grid < 1:
      raise ValueError(f'PatchFCN cannot cut an image into {self.grid} x {self.grid} patches; grid must be 1 or more')
    fields = {name: getattr(self, name) for name in Network.__dataclass_fields__ if name not in ('parent', 'name')}
    fcn = FCN(**fields, stride=32, name='fcn')
    size = images.shape[1:3]
    try:
      if train:
        maps = join(fcn(split(images, self.grid), train=True).maps, self.grid, size)
      else:
        maps = self._slide(fcn, images)
    except ValueError as error:  # the encoder knows its smallest size, but not where the small image comes from
      raise ValueError(f'PatchFCN cuts an image of {size[0]}x{size[1]} into {self.grid} x {self.grid} patches: '
                       f'{error}') from error
    return Outputs(maps=maps, lesions=maps.max(axis=(1, 2)))

  def _slide(self, fcn: nn.Module, images: Array) -> jax.Array:
    """Logits [B, H, W, 8] of the mean probability over all windows."""
    rows, height, width, channels = images.shape
    high, wide = -(-height // self.grid), -(-width // self.grid)
    tops = window_starts(height, high, max(1, high // 2))
    lefts = window_starts(width, wide, max(1, wide // 2))

    def add_row(fcn: nn.Module, sums: tuple[Array, Array], top: Array) -> tuple[tuple[Array, Array], None]:
      """Adds the probabilities of one row of windows, and one minus those, to their sums."""
      strip = jax.lax.dynamic_slice_in_dim(images, top, high, axis=1)
      windows = jnp.stack([strip[:, :, left:left + wide] for left in lefts], axis=1)
      logits = fcn(windows.reshape(-1, high, wide, channels), train=False).maps
      logits = logits.reshape(rows, len(lefts), high, wide, -1)
      return tuple(_add(total, sign * logits, top, lefts) for total, sign in zip(sums, (1, -1), strict=True)), None

    zeros = jnp.zeros((rows, height, width, NUM_LESIONS))
    scan = nn.scan(add_row, variable_broadcast=('params', 'batch_stats'), split_rngs={'params': False})
    (present, absent), _ = scan(fcn, (zeros, zeros), jnp.asarray(tops))
    # The number of overlaps cancels. A probability near 1 is not subtracted from 1, where float32 would lose it.
    return jnp.log(jnp.maximum(present, FLOOR)) - jnp.log(jnp.maximum(absent, FLOOR))


def _add(total: Array, logits: Array, top: Array, lefts: list[int]) -> jax.Array:
  """`total` [B, H, W, 8] with the probabilities of windows [B, n, h, w, 8] added at rows `top` and columns `lefts`."""
  high, wide = logits.shape[2:4]
  strip = jax.lax.dynamic_slice_in_dim(total, top, high, axis=1)
  for index, left in enumerate(lefts):
    strip = strip.at[:, :, left:left + wide].add(jax.nn.sigmoid(logits[:, index]))
  return jax.lax.dynamic_update_slice_in_dim(total, strip, top, axis=1)
