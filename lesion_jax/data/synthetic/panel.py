"""A panel of simulated ophthalmologists: each draws, overlooks, mistakes and grades in a way of their own.

Where `annotator.py` makes the one careful annotation that a sample comes with, this makes several of the same scene, of
which the ground truth is known. Every number is our choice: the paper does not say how far its annotators disagreed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lesion_jax.annotation.shapes import Ellipse, Polygon, Shape
from lesion_jax.core import NUM_GRADES
from lesion_jax.data.synthetic.annotator import mark
from lesion_jax.data.synthetic.canvas import Frame, stream
from lesion_jax.data.synthetic.lesions import Finding

SMALL = 0.05  # largest extent, in field units, of a lesion that is easily overlooked
LARGE_OVERLOOKED = 0.4  # how likely a larger one is overlooked, of what a small one is
MISTAKEN = {'MA': 'iHE', 'iHE': 'MA'}  # small red lesions that are taken for one another


class Style(NamedTuple):
  """How one annotator works.

  Attributes:
    size: of what they draw, as a share of what `annotator.mark` draws.
    wobble: standard deviation of the logarithm of that, from shape to shape.
    drift: standard deviation of where they put it, in field units.
    overlooked: share of the small lesions that they overlook.
    mistaken: share of the small red lesions that they give the other name.
    invented: marks in healthy places, the mean number a photograph.
    misgraded: how often their grade is one off.
  """

  size: float
  wobble: float
  drift: float
  overlooked: float
  mistaken: float
  invented: float
  misgraded: float


def draw_style(seed: int, annotator: int) -> Style:
  """Returns the style of annotator number `annotator` of the panel `seed`."""
  rng = stream(seed, annotator, 'style')
  return Style(size=float(np.exp(rng.normal(-0.03, 0.10))), wobble=rng.uniform(0.05, 0.15),
               drift=rng.uniform(0.002, 0.006), overlooked=rng.uniform(0.05, 0.30), mistaken=rng.uniform(0.02, 0.12),
               invented=rng.uniform(0.2, 1.5), misgraded=rng.uniform(0.05, 0.20))


def annotate_as(rng: np.random.Generator, style: Style, frame: Frame, findings: list[Finding]) -> tuple[Shape, ...]:
  """Returns what an annotator of that style marks in a scene.

  Args:
    rng: of this annotator and this photograph.
    style: of `draw_style`.
    frame: the raster; shapes are in its pixels.
    findings: the lesions that are there.
  """
  shapes = []
  for finding in findings:
    small = np.ptp(np.concatenate(finding.outlines), axis=0).max() < SMALL
    shape, luck = mark(rng, frame, finding), rng.random(2)
    shape = _move(shape, style.size * np.exp(rng.normal(0, style.wobble)), rng.normal(0, style.drift, 2) * frame.scale)
    if luck[0] < style.overlooked * (1 if small else LARGE_OVERLOOKED):
      continue
    if small and finding.lesion in MISTAKEN and luck[1] < style.mistaken:
      shape = shape._replace(lesion=MISTAKEN[finding.lesion])
    shapes.append(shape)
  for _ in range(rng.poisson(style.invented)):
    shapes.append(_invent(rng, frame))
  return tuple(shapes)


def grade_as(rng: np.random.Generator, style: Style, true_grade: int) -> int:
  """Returns the grade 0..4 that an annotator of that style gives: the true one, or at times the next above or below."""
  wrong, step = rng.random() < style.misgraded, rng.choice((-1, 1))
  return int(np.clip(true_grade + wrong * step, 0, NUM_GRADES - 1))


def _move(shape: Shape, factor: float, shift: np.ndarray) -> Shape:
  """Scales a shape about its middle, and shifts it."""
  if isinstance(shape, Ellipse):
    x, y = np.add(shape.centre, shift)
    return shape._replace(centre=(float(x), float(y)), axes=(shape.axes[0] * factor, shape.axes[1] * factor))
  points = shape.outline()
  middle = (points.min(axis=0) + points.max(axis=0)) / 2
  moved = middle + (points - middle) * factor + shift
  return Polygon(shape.lesion, tuple((float(x), float(y)) for x, y in moved))


def _invent(rng: np.random.Generator, frame: Frame) -> Ellipse:
  """A small red or bright lesion where there is none."""
  angle, distance = rng.uniform(0, 2 * np.pi), 0.9 * np.sqrt(rng.random())
  x, y = frame.to_pixels(distance * np.array([np.cos(angle), np.sin(angle)]))
  axes = rng.uniform(0.012, 0.03, 2) * frame.scale
  return Ellipse(str(rng.choice(('MA', 'iHE', 'HaEx', 'CWS'))), (float(x), float(y)),
                 (float(axes[0]), float(axes[1])), float(rng.uniform(0, np.pi)))
