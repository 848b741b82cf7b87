"""A shallow encoder with the interface of InceptionV3, for tests that are not about the encoder: compiles in a second."""

import functools
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

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

  @nn.compact
  def __call__(self, images, *, train):
    x, taps = normalize(images, self.dtype), {}
    for stride, channels in CHANNELS.items():
      block = ConvBN(channels, 3, strides=2, dtype=self.dtype, bn_axis=self.bn_axis, name=f'block_{stride}')
      x = taps[stride] = call(block, x, train=train, remat=self.remat)
    return taps


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
