"""A network whose answer is known: it finds lesions by colour and reads the grade from the brightness of the retina."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageDraw

from lesion_jax.core import GRADE_KEYS, LESION_KEYS, NUM_GRADES, NUM_LESIONS, Outputs, lesion_index

SIZE = 64
GREEN, BLUE = (0, 220, 0), (0, 0, 220)  # a microaneurysm and a hard exudate, to the oracle
RETINA = 50  # red level of a retina of grade 0; each grade adds GRADE_STEP
GRADE_STEP = 40


class Oracle(nn.Module):
  """`heads` leaves out 'maps' or 'grades'. The parameter `gain` makes it a network with variables."""

  heads: tuple[str, ...] = ('maps', 'grades')

  @nn.compact
  def __call__(self, images, *, train):
    gain = self.param('gain', nn.initializers.ones, ())
    red, green, blue = jnp.moveaxis(images.astype(jnp.float32), -1, 0)
    maps = jnp.full((*red.shape, NUM_LESIONS), -10.0)
    maps = maps.at[..., lesion_index('MA')].set((green - 110 - red - blue) * gain)
    maps = maps.at[..., lesion_index('HaEx')].set((blue - 110 - red - green) * gain)
    grade = jnp.round((jnp.max(red, axis=(1, 2)) - RETINA) / GRADE_STEP).astype(int)
    grades = 10 * jax.nn.one_hot(grade, NUM_GRADES)
    outputs = Outputs(grades=grades if 'grades' in self.heads else None)
    return outputs.replace(maps=maps, lesions=maps.max((1, 2))) if 'maps' in self.heads else outputs


class Overflowing(Oracle):
  """Its weights are finite, and what it computes with them is not."""

  def __call__(self, images, *, train):
    outputs = super().__call__(images, train=train)
    maps = outputs.maps + (outputs.maps * 1e38 * 10 - outputs.maps * 1e38 * 10)
    return outputs.replace(maps=maps, lesions=maps.max((1, 2)))


def oracle_config(**changes):
  """A bundle's config.json for the oracle."""
  return {
      'model': {'name': 'oracle'}, 'lesions': list(LESION_KEYS), 'grades': list(GRADE_KEYS),
      'preprocessing': {'size': SIZE, 'crop': 'field of view'}, 'thresholds': dict.fromkeys(LESION_KEYS, 0.5),
      'annotated': ['MA', 'HaEx', 'CWS'], 'provenance': {'seed': 7}, 'data': {'name': 'drawn'}, 'metrics': {},
  } | changes


def photograph(height=200, width=300, grade=0, center=(110, 160), radius=80, lesions=()):
  """A retina on black: uint8 [H, W, 3]. `lesions` are (colour, (x0, y0, x1, y1)), both ends included."""
  image = Image.new('RGB', (width, height))
  draw = ImageDraw.Draw(image)
  (y, x), level = center, RETINA + GRADE_STEP * grade
  draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(level, level // 3, level // 4))
  for color, box in lesions:
    draw.rectangle(box, fill=color)
  return np.array(image)


def iou(a, b):
  """Intersection over union of two bool arrays."""
  return np.logical_and(a, b).sum() / np.logical_or(a, b).sum()
