"""What is not the patient's vessels or lesions: the colour of the fundus, light, optics, sensor, and the field of view.

Pictures in the making are planar, float32 [3, S, S] with values around [0, 1]: three times as fast as interleaved.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from lesion_jax.data.synthetic.canvas import Frame, blend, smooth_noise
from lesion_jax.data.synthetic.vessels import Landmarks

# Fundus colours (RGB in [0, 1]) between which photographs vary: orange, brown, pink, pale, dark red.
PALETTE = np.array([(0.78, 0.42, 0.17), (0.62, 0.31, 0.11), (0.80, 0.47, 0.32), (0.84, 0.56, 0.30), (0.60, 0.25, 0.10)])


class Camera(NamedTuple):
  """How one photograph was taken. Lengths in field units; `colour` is the mean of the fundus."""

  colour: np.ndarray
  radius: float
  cut: float
  exposure: float
  light: tuple[float, float]
  vignette: float
  haze: float
  blur: float
  grain: float
  texture: float


def draw_camera(rng: np.random.Generator) -> Camera:
  """Returns one camera and fundus. A third of the cameras cut the field at its top and bottom."""
  colour = rng.dirichlet(np.full(len(PALETTE), 0.6)) @ PALETTE * rng.normal(1, (0.03, 0.05, 0.08))
  return Camera(
      colour=colour, radius=rng.uniform(0.965, 0.995), cut=rng.uniform(0.82, 0.95) if rng.random() < 0.33 else 2.0,
      exposure=rng.uniform(0.82, 1.12), light=(rng.normal(0, 0.10), rng.normal(0, 0.10)),
      vignette=rng.uniform(0.10, 0.35), haze=max(0.0, rng.normal(0.02, 0.03)), blur=rng.uniform(0.0008, 0.0026),
      grain=rng.uniform(0.006, 0.016), texture=rng.uniform(0.3, 1.0))


def paint_fundus(rng: np.random.Generator, frame: Frame, camera: Camera, landmarks: Landmarks) -> np.ndarray:
  """Returns the retina without vessels: float32 [3, S, S] with choroidal texture, macula and optic disc."""
  size = frame.size
  mottle = 0.5 * smooth_noise(rng, 9, size) + 0.35 * smooth_noise(rng, 26, size) + 0.25 * smooth_noise(rng, 80, size)
  choroid = np.abs(smooth_noise(rng, 34, size)) * np.clip(0.5 + 0.6 * smooth_noise(rng, 5, size), 0, 1.2)
  shade = 0.055 * mottle - camera.texture * 0.05 * (choroid - 0.4)
  strength, breadth = rng.uniform(0.16, 0.36), rng.uniform(0.0, 0.12)
  far = _squared_distance(frame, landmarks.fovea)
  macula = strength * np.exp(-far / 0.028) + breadth * np.exp(-far / 0.2)
  image = np.empty((3, size, size), np.float32)
  for channel, (mottled, pigment) in enumerate(((0.8, 0.75), (1.4, 1.1), (1.2, 1.2))):
    image[channel] = float(camera.colour[channel]) * (1 + mottled * shade) * (1 - pigment * macula)
  if rng.random() < 0.5:  # the reflex of the foveal pit
    blend(image, (1.0, 0.85, 0.6), np.exp(-far / 1.5e-4) * rng.uniform(0.05, 0.25))
  _paint_disc(rng, image, frame, camera, landmarks)
  return image


def _squared_distance(frame: Frame, centre: np.ndarray) -> np.ndarray:
  """float32 [S, S], from a point [2] in field units."""
  x, y = frame.grid()
  return np.square(x - float(centre[0])) + np.square(y - float(centre[1]))


def _paint_disc(rng: np.random.Generator, image: np.ndarray, frame: Frame, camera: Camera, marks: Landmarks) -> None:
  """A bright, slightly upright oval with a brighter cup and, at times, a pale crescent on its temporal side."""
  reach = int(1.7 * marks.disc_radius * frame.scale) + 2
  column, row = (int(v) for v in np.rint(frame.to_pixels(marks.disc)))
  rows, columns = (slice(max(0, at - reach), max(0, at + reach)) for at in (row, column))
  x, y = frame.grid()
  x, y = x[:, columns] - float(marks.disc[0]), (y[rows] - float(marks.disc[1])) / rng.uniform(1.0, 1.12)
  window = image[:, rows, columns]

  def oval(shift: float, radius: float, softness: float) -> np.ndarray:
    distance = np.sqrt(np.square(x - shift * marks.temporal) + np.square(y))
    return 1 / (1 + np.exp(np.clip((distance - radius) / softness, -30, 30)))

  if rng.random() < 0.4:  # peripapillary atrophy
    blend(window, camera.colour * 0.4 + (0.52, 0.42, 0.27), 0.55 * oval(0.03, marks.disc_radius, 0.010))
  rim = camera.colour * 0.42 + (0.60, 0.47, 0.25)
  blend(window, rim, rng.uniform(0.78, 0.95) * oval(0.0, marks.disc_radius, 0.007))
  cup = marks.disc_radius * rng.uniform(0.3, 0.6)
  blend(window, rim * 0.4 + (0.62, 0.57, 0.44), 0.75 * oval(0.012, cup, 0.014))


def defocus(image: np.ndarray, sigma: float) -> np.ndarray:
  """Returns the planar image [3, S, S] blurred by a Gaussian of `sigma` pixels; values are clipped to steps of
  1/255."""
  size = image.shape[-1]
  shrink = min(max(int(sigma / 2), 1), 8)
  blurred = []
  for plane in image:
    coded = Image.fromarray((np.clip(plane, 0, 1) * 255 + 0.5).astype(np.uint8)).reduce(shrink)
    coded = coded.filter(ImageFilter.GaussianBlur(sigma / shrink))
    blurred.append(np.asarray(coded.resize((size, size), Image.Resampling.BILINEAR), np.float32))
  return np.stack(blurred) / 255


def expose(rng: np.random.Generator, image: np.ndarray, frame: Frame, camera: Camera) -> np.ndarray:
  """Adds light, haze, optics, sensor and field stop: the photograph, uint8 [S, S, 3]."""
  size = frame.size
  x, y = frame.grid()
  square = x * x + y * y
  light = camera.exposure * (1 + camera.light[0] * x + camera.light[1] * y - camera.vignette * square)
  image = image * (light * (1 + 0.06 * smooth_noise(rng, 5, size)))
  blend(image, (0.62, 0.55, 0.55), np.clip(camera.haze * (0.6 + 1.2 * square), 0, 0.5))
  if rng.random() < 0.2:  # a crescent of stray light at the edge
    angle, start = rng.uniform(0, 2 * np.pi), rng.uniform(0.75, 0.92)
    crescent = np.clip((x * float(np.cos(angle)) + y * float(np.sin(angle)) - start) / (1 - start), 0, 1)
    blend(image, (0.75, 0.60, 0.72), crescent * rng.uniform(0.3, 0.8))
  image = defocus(image, max(camera.blur * frame.scale, 0.25))
  grain = rng.standard_normal((3, size, size), dtype=np.float32)
  grain *= camera.grain * (size / 896)**0.5
  image += grain
  edge = np.clip((1 - np.sqrt(square)) * (frame.scale / max(1.0, 0.004 * frame.scale)), 0, 1)
  edge *= np.clip((frame.cut - np.abs(y)) * frame.scale, 0, 1)
  return np.moveaxis((np.clip(image, 0, 1) * (255 * edge) + 0.5).astype(np.uint8), 0, -1).copy()
