"""The network of the landmarks: where the centres of optic disc and fovea are, or that they are not in the picture.

A landmark is one place, so its heat map is a distribution: a softmax over the cells of a coarse grid and over one more
answer, 'not in the picture'. Its probabilities say where to look and how sure that is at once. (Our choice: most heat maps of
the field are regressed pixel by pixel, and say nothing where there is nothing.) It does not judge lesions or grades, so it
is none of `models.MODELS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from lesion_jax.core import LANDMARKS, Array, Outputs, largest
from lesion_jax.models.layers import ConvBN, normalize
from lesion_jax.models.lesion_net import CopyAndMerge

NAME = 'landmark_net'
STRIDE = 8  # pixels of a cell
MULTIPLE = 32  # of which the side of the picture is one
WINDOW = 2  # cells about the most probable one, of which the place is the mean: at 256 pixels half a disc diameter
CHANNELS = (16, 32, 64, 96, 128)  # of the encoder, at strides 2, 4, 8, 16 and 32
MAX_CHANNELS = 512


class Located(NamedTuple):
  """Where the landmarks of B pictures are.

  Attributes:
    places: float32 [B, 2, 2], row and column of each of LANDMARKS in pixels of the picture from its upper left corner.
    confidence: float32 [B, 2], the probability that the landmark is in the picture and in WINDOW cells of that place.
  """

  places: Array
  confidence: Array


class LandmarkNet(nn.Module):
  """A narrow encoder of 3x3 convolutions, one at stride 2 and two at each further level, Lesion-Net's copy-and-merge back to
  stride 8, and a 1x1 convolution; whether a landmark is in the picture at all is asked of the means and maxima of the deepest features.

  Attributes:
    channels: of the encoder's five levels; what is merged has half as many as the level it ends on.
    dtype: of the computation; parameters and logits are float32 always.
    bn_axis: name of the mapped axis over which BatchNorm averages its training statistics; None: per device.
  """

  channels: tuple[int, ...] = CHANNELS
  dtype: Any = jnp.float32
  bn_axis: str | None = None

  @nn.compact
  def __call__(self, images: Array, *, train: bool) -> Outputs:
    """uint8 or float images [B, S, S, 3] in 0..255 -> Outputs with `landmarks` [B, 2, (S / 8)^2 + 1], float32 logits.

    Raises:
      ValueError: the images are not square, or their side is no multiple of 32; `channels` has not five numbers from 1 to
        512.
    """
    if len(self.channels) != 5 or not all(1 <= each <= MAX_CHANNELS for each in self.channels):
      raise ValueError(f'channels={tuple(self.channels)}: give five numbers from 1 to {MAX_CHANNELS}, for strides 2, 4, 8, 16 and 32')
    x = normalize(images, self.dtype)
    if x.shape[1] != x.shape[2] or x.shape[1] % MULTIPLE:
      raise ValueError(f'the network of landmarks takes square images whose side is a multiple of {MULTIPLE}, got '
                       f'{list(images.shape)}')
    taps = {}
    for level, channels in enumerate(self.channels, 1):
      for number, strides in enumerate((2, 1)[:1 if level == 1 else 2], 1):
        x = ConvBN(channels, 3, strides=strides, dtype=self.dtype, bn_axis=self.bn_axis, name=f'level_{level}_{number}')(x, train=train)
      taps[2 ** level] = x
    deepest = x.astype(jnp.float32)
    deepest = deepest.reshape(deepest.shape[0], -1, deepest.shape[-1])
    pooled = jnp.concatenate([deepest.mean(axis=1), largest(deepest, 1)], axis=-1)
    outside = nn.Dense(len(LANDMARKS), name='outside')(pooled)
    for stride in (16, STRIDE):
      channels = max(1, taps[stride].shape[-1] // 2)
      x = CopyAndMerge(channels, self.dtype, self.bn_axis, name=f'merge_{stride}s')((x, taps[stride]), train=train)
    cells = nn.Conv(len(LANDMARKS), (1, 1), dtype=self.dtype, name='cells')(x).astype(jnp.float32)
    cells = cells.reshape(cells.shape[0], -1, len(LANDMARKS)).transpose(0, 2, 1)
    return Outputs(landmarks=jnp.concatenate([cells, outside[..., None]], axis=-1))


def get_landmark_net(fields: Mapping[str, Any]) -> LandmarkNet:
  """The network of a bundle's 'model', {'name': NAME, 'channels': [...]}.

  Raises:
    ValueError: it is another network, or has other fields.
  """
  known = {'name', 'channels'}
  if fields.get('name') != NAME or set(fields) - known:
    raise ValueError(f'a network of landmarks is described by the name {NAME!r} and its channels; got {dict(fields)}')
  channels = fields.get('channels', CHANNELS)
  if not isinstance(channels, list | tuple) or not all(isinstance(each, int) and not isinstance(each, bool) for each in channels):
    raise ValueError(f'channels={channels!r}: give five whole numbers')
  return LandmarkNet(channels=tuple(channels))


def locate(logits: Array, size: int) -> Located:
  """Places and confidence from the logits of `LandmarkNet`: the mean of the cells in WINDOW of the most probable one, weighed
  by their probabilities, and the sum of these. Whether a landmark is said to be found is for a threshold on the confidence.

  Args:
    logits: [B, 2, g * g + 1].
    size: side of the picture, in pixels.
  """
  grid = round((logits.shape[-1] - 1) ** 0.5)
  probabilities = jax.nn.softmax(logits.astype(jnp.float32), axis=-1)[..., :-1].reshape(*logits.shape[:-1], grid, grid)
  peak = jnp.argmax(probabilities.reshape(*logits.shape[:-1], -1), axis=-1)[..., None, None]
  rows, columns = jnp.arange(grid)[:, None], jnp.arange(grid)[None, :]
  near = (jnp.abs(rows - peak // grid) <= WINDOW) & (jnp.abs(columns - peak % grid) <= WINDOW)
  mass = jnp.where(near, probabilities, 0)
  confidence = mass.sum(axis=(-2, -1))
  cell = size / grid
  mean = lambda at: (mass * (at + 0.5)).sum(axis=(-2, -1)) / jnp.maximum(confidence, jnp.finfo(jnp.float32).tiny) * cell
  return Located(jnp.stack([mean(rows), mean(columns)], axis=-1), confidence)
