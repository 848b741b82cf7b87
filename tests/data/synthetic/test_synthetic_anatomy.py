"""Landmarks, vessel trees, and the places that lesions are drawn at."""

from __future__ import annotations

import numpy as np
import pytest

from lesion_jax.data.synthetic import canvas, vessels
from lesion_jax.data.synthetic.sites import MARGIN, Sites


@pytest.fixture(params=range(6))
def eye(request):
  rng = np.random.default_rng(request.param)
  landmarks = vessels.draw_landmarks(rng, ('left', 'right')[request.param % 2])
  trees = vessels.grow_vessels(rng, landmarks)
  return rng, landmarks, trees


@pytest.mark.parametrize('side, sign', [('left', -1), ('right', 1)])
def test_the_disc_lies_nasally_of_the_fovea(side, sign):
  for seed in range(20):
    landmarks = vessels.draw_landmarks(np.random.default_rng(seed), side)
    offset = landmarks.disc - landmarks.fovea
    assert sign * offset[0] > 0
    assert 2.2 < np.hypot(*offset) / canvas.DISC_DIAMETER < 2.8
    assert np.hypot(*landmarks.disc) < 1


def test_the_fovea_is_avascular(eye):
  _, landmarks, trees = eye
  points = np.concatenate([order.points.reshape(-1, 2) for order in trees])
  assert np.hypot(*(points - landmarks.fovea).T).min() > 0.5 * vessels.AVASCULAR_RADIUS


def test_vessels_taper_and_veins_are_wider_than_arteries(eye):
  _, _, trees = eye
  for order in trees:
    assert (np.diff(order.width[:, 4:], axis=1) <= 1e-12).all()  # the first points are inside the disc
    assert order.points.shape[:2] == order.width.shape and len(order.artery) == len(order.width)
  arcades = trees[-1]
  assert arcades.width[~arcades.artery].mean() > 1.2 * arcades.width[arcades.artery].mean()


def test_arcades_start_in_the_disc(eye):
  _, landmarks, trees = eye
  start = trees[-1].points[:, 0]
  assert (np.hypot(*(start - landmarks.disc).T) < landmarks.disc_radius).all()


@pytest.mark.parametrize('wide', [False, True])
def test_positions_are_beside_vessels_in_the_field_and_off_the_disc(eye, wide):
  rng, landmarks, trees = eye
  points = Sites(landmarks, trees, cut=0.85).near_vessels(rng, 60, wide=wide, gap=(0.01, 0.02))
  assert points.shape == (60, 2)
  assert (np.hypot(*points.T) < MARGIN + 0.02).all()
  assert (np.abs(points[:, 1]) < 0.85).all()
  assert (np.hypot(*(points - landmarks.disc).T) > landmarks.disc_radius).all()
  lines = np.concatenate([order.points.reshape(-1, 2) for order in trees])
  nearest = np.hypot(*np.moveaxis(points[:, None] - lines, -1, 0)).min(1)
  assert nearest.max() < 0.02 + 0.015 + 1e-6  # the gap and half a wide vein


def test_what_is_blocked_stays_empty(eye):
  rng, landmarks, trees = eye
  sites = Sites(landmarks, trees, cut=2.0)
  before = sites.free
  sites.block((0.0, 0.3) + 0.4 * canvas.circle(32))
  assert sites.free < before
  points = sites.around(rng, 200, np.array([0.0, 0.3]), 0.4)
  assert (np.hypot(*(points - (0.0, 0.3)).T) > 0.38).all()


@pytest.mark.parametrize('quadrant', [(1, 1), (-1, 1), (1, -1), (-1, -1)])
def test_positions_apart_keep_to_their_quadrant_and_their_distance(eye, quadrant):
  rng, landmarks, trees = eye
  points = Sites(landmarks, trees, cut=0.9).apart(rng, 29, quadrant, 0.05)
  assert (points * quadrant > 0).all()
  distance = np.hypot(*np.moveaxis(points[:, None] - points, -1, 0)) + 9 * np.eye(29)
  assert distance.min() > 0.05 * 0.8**2


def test_where_everything_is_blocked_positions_still_lie_in_the_field(eye):
  rng, landmarks, trees = eye
  sites = Sites(landmarks, trees, cut=0.85)
  sites.block(2 * canvas.circle(32))
  points = sites.near_vessels(rng, 10)
  assert points.shape == (10, 2) and (np.hypot(*points.T) < 0.85).all()
