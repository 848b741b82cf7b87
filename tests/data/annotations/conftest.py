"""Three simulated annotators of synthetic photographs, with known opinions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from lesion_jax.data import synthetic
from lesion_jax.data.synthetic.annotator import annotate
from lesion_jax.data.synthetic.canvas import Frame, stream

SIZE, SEED = 256, 5
ANNOTATORS = ('anna', 'berta', 'carl')


class Round(NamedTuple):
  """What was photographed and what each annotator says: file name -> annotator -> (grade, shapes)."""

  folder: object
  opinions: dict
  size: tuple[int, int]


@pytest.fixture(scope='session')
def annotated(tmp_path_factory) -> Round:
  """Fourteen photographs on a wider black background, so that the crop is none of the whole."""
  folder = tmp_path_factory.mktemp('photographs')
  opinions = {}
  for index in range(14):
    sample, scene = synthetic.generate(SEED, index, SIZE), synthetic.draw_scene(SEED, index)
    frame = Frame(SIZE, scene.camera.radius, scene.camera.cut)
    wide = np.zeros((SIZE, SIZE + 40, 3), np.uint8)
    wide[:, 30:30 + SIZE] = sample.image
    Image.fromarray(wide).save(folder / f'{sample.id}.png')
    grades = np.clip(sample.true_grade + np.array([0, 0, index % 3 == 0]), 0, 4)
    opinions[f'{sample.id}.png'] = {
        name: (int(grades[k]), [_moved(shape, 30) for shape in
                                annotate(stream(SEED, index, f'annotator {k}'), frame, scene.findings)])
        for k, name in enumerate(ANNOTATORS)}
  return Round(folder, opinions, (SIZE, SIZE + 40))


def _moved(shape, right):
  if isinstance(shape, synthetic.Ellipse):
    return shape._replace(centre=(shape.centre[0] + right, shape.centre[1]))
  return shape._replace(points=tuple((x + right, y) for x, y in shape.points))
