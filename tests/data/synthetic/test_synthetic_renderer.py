"""Light: what absorbs, what covers, what the camera adds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from lesion_jax.data.synthetic import camera, renderer
from lesion_jax.data.synthetic.canvas import Frame, circle, stencil, stream
from lesion_jax.data.synthetic.lesions import Finding

FRAME = Frame(192, 0.98)


def photograph(scene, findings, seed: int = 0) -> np.ndarray:
  image = renderer.render(stream(seed, 0, 'test'), FRAME, scene.camera, scene.landmarks, scene.vessels, findings)
  assert image.shape == (192, 192, 3) and image.dtype == np.uint8
  return image.astype(int)


@pytest.mark.parametrize('lesion, green', [('iHE', -1), ('MA', -1), ('pHE', -1), ('vHE', -1), ('NV', -1),
                                           ('HaEx', 1), ('CWS', 1), ('FiP', 1)])
def test_a_lesion_changes_the_picture_where_it_is_and_towards_its_colour(scenes, lesion, green):
  scene, spot = scenes[0], np.array((-0.1, 0.2)) + 0.2 * circle(32)
  plain, ill = photograph(scene, []), photograph(scene, [Finding(lesion, (spot,), (0.8,))])
  inside = stencil(FRAME, [spot])
  far = FRAME.inside() & ~ndimage.binary_dilation(inside, iterations=26)
  change = (ill - plain)[..., 1]
  assert green * change[inside].mean() > 15
  np.testing.assert_array_equal(change[far], 0)


def test_blood_takes_away_more_green_than_red(scenes):
  spot = np.array((-0.1, 0.2)) + 0.2 * circle(32)
  plain, ill = (photograph(scenes[0], found) for found in ([], [Finding('iHE', (spot,), (0.7,))]))
  inside = ndimage.binary_erosion(stencil(FRAME, [spot]), iterations=3)
  red, green, _ = ill[inside].mean(0) / plain[inside].mean(0)
  assert green < red < 1


def test_defocus_is_a_gaussian_blur():
  image = np.random.default_rng(0).random((3, 96, 96), np.float32)
  expected = ndimage.gaussian_filter(image, (0, 3, 3))
  got = camera.defocus(image, 3.0)
  np.testing.assert_allclose(got[:, 12:-12, 12:-12], expected[:, 12:-12, 12:-12], atol=0.03)


def test_the_disc_is_the_brightest_and_the_fovea_darker_than_around_it(scenes):
  for scene in scenes[:12]:
    image = camera.paint_fundus(stream(0, 0, 'fundus'), FRAME, scene.camera, scene.landmarks)
    green, (column, row) = image[1], np.rint(FRAME.to_pixels(scene.landmarks.disc)).astype(int)
    assert green[row, column] > np.percentile(green[FRAME.inside()], 95)
    column, row = np.rint(FRAME.to_pixels(scene.landmarks.fovea)).astype(int)
    around = green[max(row - 5, 0):row + 6, max(column - 5, 0):column + 6]
    assert np.median(around) < np.median(green[FRAME.inside()])
