"""Patients, grades by Table I, the annotators' consensus."""

from __future__ import annotations

import collections

import numpy as np
import pytest

from lesion_jax.core import SEVERE_HEMORRHAGES
from lesion_jax.data.synthetic import grading

PROLIFERATIVE = {'NV', 'vHE', 'pHE'}


def quadrant_counts(scene) -> list[int]:
  """How many hemorrhages are centred in each quadrant of the field."""
  centres = [np.concatenate(f.outlines).mean(0) for f in scene.findings if f.lesion == 'iHE']
  return [sum(bool(np.all(c * sign > 0)) for c in centres) for sign in grading.QUADRANTS]


def graded(scenes, grade):
  chosen = [scene for scene in scenes if scene.true_grade == grade]
  assert len(chosen) >= 10
  return [({finding.lesion for finding in scene.findings}, scene) for scene in chosen]


def test_dr0_has_no_lesion(scenes):
  assert all(not kinds for kinds, _ in graded(scenes, 0))


def test_dr1_has_microaneurysms_exclusively(scenes):
  assert all(kinds == {'MA'} for kinds, _ in graded(scenes, 1))


def test_dr2_has_hemorrhages_but_nothing_sufficient_for_more(scenes):
  for kinds, scene in graded(scenes, 2):
    assert 'iHE' in kinds and not kinds & (PROLIFERATIVE | {'FiP'})
    assert min(quadrant_counts(scene)) <= SEVERE_HEMORRHAGES


def test_dr3_has_over_20_hemorrhages_in_each_quadrant(scenes):
  for kinds, scene in graded(scenes, 3):
    assert min(quadrant_counts(scene)) > SEVERE_HEMORRHAGES
    assert not kinds & (PROLIFERATIVE | {'FiP'})


def test_dr4_has_sufficient_evidence(scenes):
  assert all(kinds & PROLIFERATIVE for kinds, _ in graded(scenes, 4))


def test_most_dr4_show_two_or_more_proliferative_lesions(scenes):
  assert np.mean([len(kinds & (PROLIFERATIVE | {'FiP'})) >= 2 for kinds, _ in graded(scenes, 4)]) > 0.5


def test_grades_have_the_documented_shares():
  drawn = np.bincount([grading.draw_grade(0, index) for index in range(3000)], minlength=5) / 3000
  np.testing.assert_allclose(drawn, grading.GRADE_SHARES, atol=0.03)


def test_half_of_the_patients_show_both_eyes():
  eyes = collections.defaultdict(set)
  for index in range(600):
    patient, side = grading.eye_of(index)
    eyes[patient].add(side)
  sizes = collections.Counter(len(sides) for sides in eyes.values())
  assert sizes == {1: 200, 2: 200}
  assert sum(size * n for size, n in sizes.items()) == 600  # no photograph shares patient and side with another


def test_the_eyes_of_a_patient_agree_more_often_than_strangers():
  pairs = [(grading.draw_grade(0, 2 * k), grading.draw_grade(0, 2 * k + 1), k % 3 != 2) for k in range(900)]
  same, strangers = (np.mean([a == b for a, b, both in pairs if both == wanted]) for wanted in (True, False))
  assert same > strangers + 0.2


@pytest.mark.parametrize('true_grade', range(5))
def test_the_consensus_is_rarely_wrong_and_then_by_one(true_grade):
  rng = np.random.default_rng(0)
  error = np.array([grading.consensus(rng, true_grade) for _ in range(4000)]) - true_grade
  assert 0 < np.mean(error != 0) < 0.03
  assert np.abs(error).max() == 1
