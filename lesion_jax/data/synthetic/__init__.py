"""A procedural generator of fundus photographs with all eight lesions: data to learn from where there is none.

Same seed and index give the same bytes; another size shows the same scene. Nothing is read from disk.

  sample = synthetic.generate(seed=0, index=7, size=896)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lesion_jax.annotation.cleaning import contradicted
from lesion_jax.annotation.shapes import Ellipse, Polygon, Shape
from lesion_jax.data.synthetic.annotator import annotate, rasterise, rasterise_findings
from lesion_jax.data.synthetic.canvas import Frame, stream
from lesion_jax.data.synthetic.grading import eye_of
from lesion_jax.data.synthetic.renderer import render
from lesion_jax.data.synthetic.scene import Scene, draw_scene

__all__ = ['Ellipse', 'Polygon', 'Sample', 'Scene', 'Shape', 'draw_scene', 'generate']

MIN_SIZE = 32


class Sample(NamedTuple):
  """One photograph with what is known about it. S is its side; packed bytes have bit j set for LESIONS[j].

  Attributes:
    image: uint8 [S, S, 3], RGB.
    truth: uint8 [S, S] packed, the lesions' own pixels (of NV the vessels themselves, not what lies between them).
    lesions: uint8 [S, S] packed, the annotation: ellipses and polygons with imprecise boundaries. Train on this.
    ignore: uint8 [S, S] packed, annotation that contradicts the consensus grade by Table I (grey 127 in the
      Retinal-Lesions release); zero wherever `lesions` has that bit.
    grade: 0..4, the majority of three simulated annotators.
    true_grade: 0..4, the grade by Table I.
    shapes: all annotated shapes, in pixels of this size, those in `ignore` included.
    id: for instance 'synthetic_000123_left'.
    patient: for instance 'synthetic_000123'; two photographs may share it.
  """

  image: np.ndarray
  truth: np.ndarray
  lesions: np.ndarray
  ignore: np.ndarray
  grade: int
  true_grade: int
  shapes: tuple[Shape, ...]
  id: str
  patient: str


def generate(seed: int, index: int, size: int = 896) -> Sample:
  """Makes photograph number `index` of the endless data set `seed`.

  Args:
    seed: not negative; another seed is another data set.
    index: not negative.
    size: side of the square in pixels, at least MIN_SIZE.

  Raises:
    ValueError: for a negative seed or index, or a size that is too small.
  """
  if seed < 0 or index < 0:
    raise ValueError(f'seed and index must not be negative; got seed={seed}, index={index}')
  if size < MIN_SIZE:
    raise ValueError(f'size={size} is too small to show a retina; ask for at least {MIN_SIZE} pixels')
  scene = draw_scene(seed, index)
  frame = Frame(size, scene.camera.radius, scene.camera.cut)
  shapes = annotate(stream(seed, index, 'annotation'), frame, scene.findings)
  marked = rasterise(frame, shapes)
  unscored = np.uint8(contradicted(scene.grade))
  eye = eye_of(index)
  patient = f'synthetic_{eye.patient:06d}'
  return Sample(
      image=render(stream(seed, index, 'render'), frame, scene.camera, scene.landmarks, scene.vessels, scene.findings),
      truth=rasterise_findings(frame, scene.findings), lesions=marked & ~unscored, ignore=marked & unscored,
      grade=scene.grade, true_grade=scene.true_grade, shapes=shapes, id=f'{patient}_{eye.side}', patient=patient)
