"""Puts a scene together in the order in which light meets it: fundus, deep deposits, blood, nerve fibres, vitreous.

Blood absorbs light after Beer and Lambert: a channel is multiplied by exp(-k d), d the optical density and k larger for
green and blue than for red. Pale lesions are opaque and laid over what lies deeper.
"""

from __future__ import annotations

import numpy as np

from lesion_jax.data.synthetic.camera import Camera, defocus, expose, paint_fundus
from lesion_jax.data.synthetic.canvas import Frame, blend, blobs, paint, ribbon, smooth_noise
from lesion_jax.data.synthetic.lesions import Finding
from lesion_jax.data.synthetic.vessels import Landmarks, Vessels

ABSORPTION = (0.42, 1.0, 0.85)
_WAX = (0.98, 0.88, 0.46)
_WOOL = (0.86, 0.80, 0.66)
_POOL = (0.33, 0.055, 0.035)


def _absorb(image: np.ndarray, density: np.ndarray) -> None:
  """Looks at the planar image [3, S, S] through blood of the density [S, S], in place."""
  for plane, k in zip(image, ABSORPTION, strict=True):
    plane *= np.exp(-k * density)


def _layer(frame: Frame, findings: list[Finding], lesion: str, blur: float) -> np.ndarray | None:
  """Coverage times value of all findings of one lesion, or None where there is none."""
  chosen = [finding for finding in findings if finding.lesion == lesion]
  if not chosen:
    return None
  outlines = [outline for finding in chosen for outline in finding.outlines]
  return paint(frame, outlines, [value for finding in chosen for value in finding.values], blur)


def _paint_vessels(image: np.ndarray, frame: Frame, vessels: tuple[Vessels, ...]) -> None:
  """Veins wider and darker than arteries; a pale reflex along the middle of the wide ones."""
  outlines, values = [], []
  for order in vessels:
    # What is narrower than about a pixel would be painted too wide, so it is painted fainter.
    value = np.where(order.artery, 0.36, 0.50) * np.minimum(1, 0.25 + order.width.max(1) / 0.018)
    outlines.extend(ribbon(order.points, order.width))
    values.extend(value)
    wide = order.width.max(1) > 0.011
    outlines.extend(ribbon(order.points, 0.3 * order.width)[wide])
    values.extend((value * np.where(order.artery, 0.72, 0.86))[wide])
  _absorb(image, 1.5 * paint(frame, outlines, values, blur=0.0016))


def _paint_distractors(rng: np.random.Generator, image: np.ndarray, frame: Frame, landmarks: Landmarks) -> None:
  """Findings that are no DR lesion, in some photographs: drusen, a naevus, pigment dots."""
  if rng.random() < 0.22:  # drusen: pale yellow, soft and round, where hard exudates like to be
    count = int(rng.integers(6, 45))
    centres = landmarks.fovea + rng.normal(0, 0.22, (count, 2))
    layer = paint(frame, blobs(rng, centres, rng.uniform(0.004, 0.012, count)), rng.uniform(0.12, 0.4, count), 0.004)
    blend(image, (0.93, 0.75, 0.42), layer)
  if rng.random() < 0.06:
    naevus = blobs(rng, rng.uniform(-0.6, 0.6, (1, 2)), rng.uniform(0.05, 0.13, 1), points=32)
    image *= 1 - 0.35 * paint(frame, naevus, (1.0,), blur=0.018)
  if rng.random() < 0.25:  # pigment: small, but brown-grey rather than red
    count = int(rng.integers(1, 9))
    dots = blobs(rng, rng.uniform(-0.65, 0.65, (count, 2)), rng.uniform(0.004, 0.010, count), points=12)
    image *= 1 - paint(frame, dots, rng.uniform(0.15, 0.4, count), blur=0.002)


def _paint_retina(rng: np.random.Generator, image: np.ndarray, frame: Frame, findings: list[Finding],
                  vessels: tuple[Vessels, ...]) -> None:
  """Hard exudates lie deep, under the vessels; cotton wool lies above them; blood of both kinds in between."""
  wax = _layer(frame, findings, 'HaEx', 0.0010)
  if wax is not None:
    blend(image, np.asarray(_WAX) * rng.uniform(0.88, 1.0), wax)
  _paint_vessels(image, frame, vessels)
  for lesion, blur, depth in (('MA', 0.0012, 1.15), ('iHE', 0.0034, 1.20)):
    blood = _layer(frame, findings, lesion, blur)
    if blood is not None:
      clots = 1 + 0.15 * smooth_noise(rng, 110, frame.size) if lesion == 'iHE' else 1.0
      _absorb(image, depth * blood * clots)
  wool = _layer(frame, findings, 'CWS', 0.009)
  if wool is not None:
    blend(image, _WOOL, np.clip(wool * (1 + 0.15 * smooth_noise(rng, 70, frame.size)), 0, 1))


def _paint_vitreous(rng: np.random.Generator, image: np.ndarray, frame: Frame, findings: list[Finding]) -> np.ndarray:
  """New vessels, membranes, pools and veils in front of the retina; returns the image."""
  size = frame.size
  fronds = _layer(frame, findings, 'NV', 0.0010)
  if fronds is not None:
    _absorb(image, 0.85 * fronds)
    _absorb(image, 0.35 * _layer(frame, findings, 'NV', 0.012))  # the blush of what is too fine to be resolved
  membrane = _layer(frame, findings, 'FiP', 0.0035)
  if membrane is not None:
    grey = np.array([0.80, 0.77, 0.68]) * rng.uniform(0.85, 1.05)
    blend(image, grey, np.clip(membrane * (1 + 0.18 * smooth_noise(rng, 60, size)), 0, 0.95))
  pool = _layer(frame, findings, 'pHE', 0.0022)
  if pool is not None:
    settled = 1 + 0.10 * smooth_noise(rng, 16, size) + 0.25 * smooth_noise(rng, 4, size)
    blend(image, np.multiply.outer(_POOL, np.clip(settled, 0.5, 1.6)), pool)
  veil = _layer(frame, findings, 'vHE', 0.065)
  if veil is not None:
    swirl = 0.5 * smooth_noise(rng, 7, size) + 0.35 * smooth_noise(rng, 18, size) + 0.12 * smooth_noise(rng, 60, size)
    density = veil * np.clip(1 + 0.60 * swirl, 0.2, 2.2)
    blend(image, defocus(image, 0.02 * frame.scale), np.clip(1.3 * density, 0, 0.95))  # scattered light
    _absorb(image, 1.5 * density)
  return image


def render(rng: np.random.Generator, frame: Frame, camera: Camera, landmarks: Landmarks, vessels: tuple[Vessels, ...],
           findings: list[Finding]) -> np.ndarray:
  """Returns the photograph of a scene, uint8 [S, S, 3]. A lesion more or less changes nothing elsewhere in the
  picture."""
  of_fundus, of_distractors, of_retina, of_vitreous, of_camera = rng.spawn(5)
  image = paint_fundus(of_fundus, frame, camera, landmarks)
  _paint_distractors(of_distractors, image, frame, landmarks)
  _paint_retina(of_retina, image, frame, findings, vessels)
  image = _paint_vitreous(of_vitreous, image, frame, findings)
  return expose(of_camera, image, frame, camera)
