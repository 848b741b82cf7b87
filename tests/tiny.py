"""A shallow encoder with the interface of InceptionV3, for tests that are not about the encoder: compiles in a second."""

import functools
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from lesion_jax.core import UNKNOWN_GRADE, Targets
from lesion_jax.models import MODELS
from lesion_jax.models.layers import ConvBN, call, normalize

SIZE = 32
CHANNELS = {2: 8, 4: 8, 8: 12, 16: 16, 32: 16}


class TinyEncoder(nn.Module):
  padding: str = 'SAME'
  output_stride: int = 32
  width: float = 1.0
  dtype: Any = jnp.float32
  bn_axis: str | None = None
  remat: bool = False
  norm: str = 'batch'

  def setup(self):
    # What InceptionV3 does at a smaller output stride: the last blocks keep the resolution.
    self.blocks = [ConvBN(channels, 3, strides=2 if stride <= self.output_stride else 1, dtype=self.dtype,
                          bn_axis=self.bn_axis, name=f'block_{stride}') for stride, channels in CHANNELS.items()]

  def __call__(self, images, *, train):
    taps = self.lower(images, train=train)
    return taps | {32: self.upper(taps[16], train=train)}

  def lower(self, images, *, train):
    x, taps = normalize(images, self.dtype), {}
    for stride, block in zip(CHANNELS, self.blocks[:-1], strict=False):
      x = taps[stride] = self._call(block, x, train)
    return taps

  def upper(self, x, *, train):
    return self._call(self.blocks[-1], x, train)

  def _call(self, block, x, train):
    return call(block, x, train=train and self.norm == 'batch', remat=self.remat)


# Every network under its own name, to put in the place of MODELS: a configuration then needs no other names.
TINY_MODELS = {name: functools.partial(make, encoder=TinyEncoder) for name, make in MODELS.items()}


def random_batch(seed: int, rows: int, size: int = SIZE) -> dict[str, np.ndarray]:
  """A batch with every kind of trouble: ignored pixels, lesions that are not annotated, unknown grades, a padding row."""
  rng = np.random.default_rng(seed)
  weight = np.ones(rows, np.float32)
  weight[-1] = 0
  return {
      'image': rng.integers(0, 256, (rows, size, size, 3), np.uint8),
      'lesions': rng.integers(0, 256, (rows, size, size)).astype(np.uint8),
      'ignore': (rng.integers(0, 256, (rows, size, size)) * (rng.random((rows, size, size)) < 0.2)).astype(np.uint8),
      'annotated': rng.integers(1, 256, rows).astype(np.uint8),
      'grade': rng.integers(-1, 5, rows).astype(np.int32),
      'weight': weight,
      'row': np.arange(rows, dtype=np.int32),
  }


def random_targets(rng: np.random.Generator, *, side: int, share: float, never: int | None = None) -> Targets:
  """Eight images with every kind of gap: ignored pixels, lesions that are not annotated, ungraded images, a padding row.

  Args:
    rng: draws them.
    side: of the images.
    share: of the pixels with each lesion.
    never: index of a lesion that nobody has.
  """
  lesions = rng.random((8, side, side, 8)) < share
  if never is not None:
    lesions[..., never] = False
  scored = rng.random((8, side, side, 8)) < 0.8
  scored[:4, ..., 4:] = False  # annotated for four lesions alone
  scored[-1] = False  # padding
  grade = rng.integers(0, 5, 8).astype(np.int32)
  grade[[2, -1]] = UNKNOWN_GRADE
  return Targets(lesions=jnp.asarray(lesions), scored=jnp.asarray(scored), grade=jnp.asarray(grade))


def pack_bits(masks: np.ndarray) -> np.ndarray:
  """bool [..., 8] -> uint8 [...], the inverse of `core.unpack_bits`."""
  return np.packbits(np.asarray(masks, bool), axis=-1, bitorder='little')[..., 0]
