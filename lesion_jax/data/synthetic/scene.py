"""A scene: everything about one photograph that does not depend on its size."""

from __future__ import annotations

from typing import NamedTuple

from lesion_jax.data.synthetic.camera import Camera, draw_camera
from lesion_jax.data.synthetic.canvas import stream
from lesion_jax.data.synthetic.grading import consensus, draw_grade, eye_of, plan
from lesion_jax.data.synthetic.lesions import Finding, background_lesions
from lesion_jax.data.synthetic.proliferative import proliferative_lesions
from lesion_jax.data.synthetic.sites import Sites
from lesion_jax.data.synthetic.vessels import Landmarks, Vessels, draw_landmarks, grow_vessels


class Scene(NamedTuple):
  """Grades 0..4 and geometry in field units."""

  true_grade: int
  grade: int
  camera: Camera
  landmarks: Landmarks
  vessels: tuple[Vessels, ...]
  findings: list[Finding]


def draw_scene(seed: int, index: int) -> Scene:
  """Draws the scene `index` of the data set `seed`."""
  eye = eye_of(index)
  true_grade = draw_grade(seed, index)
  anatomy = stream(seed, index, 'anatomy')
  landmarks = draw_landmarks(anatomy, eye.side)
  vessels = grow_vessels(anatomy, landmarks)
  lesions = stream(seed, index, 'lesions')
  wanted = plan(lesions, true_grade)
  camera = draw_camera(stream(seed, eye.patient, 'camera'))  # one for both eyes of a patient
  sites = Sites(landmarks, vessels, camera.cut)
  in_front = proliferative_lesions(lesions, sites, wanted)
  findings = [*background_lesions(lesions, sites, wanted), *in_front]
  grade = consensus(stream(seed, index, 'annotators'), true_grade)
  return Scene(true_grade, grade, camera, landmarks, vessels, findings)
