"""Simulated annotators: each has a style, and the style is what they do."""

from __future__ import annotations

import numpy as np
import pytest

from lesion_jax.data.synthetic import annotator, canvas
from lesion_jax.data.synthetic.lesions import Finding
from lesion_jax.data.synthetic.panel import MISTAKEN, Style, annotate_as, draw_style, grade_as

FRAME = canvas.Frame(256, 0.98)
CAREFUL = Style(size=1.0, wobble=0.0, drift=0.0, overlooked=0.0, mistaken=0.0, invented=0.0, misgraded=0.0)
TINY = Finding('MA', (0.01 * canvas.circle(12),), (1.0,))
LARGE = Finding('vHE', (0.5 * canvas.circle(12),), (1.0,))


def shapes(findings, seed=0, **style):
  return annotate_as(np.random.default_rng(seed), CAREFUL._replace(**style), FRAME, findings)


def test_a_style_belongs_to_the_annotator_and_the_panel():
  assert draw_style(0, 1) == draw_style(0, 1)
  assert len({draw_style(seed, number) for seed in (0, 1) for number in range(5)}) == 10


def test_a_faultless_annotator_marks_as_the_careful_one_does():
  one, = shapes([TINY])
  other = annotator.mark(np.random.default_rng(0), FRAME, TINY)
  assert one.centre == pytest.approx(other.centre) and one.axes == pytest.approx(other.axes)


@pytest.mark.parametrize('finding', [TINY, LARGE])
def test_size_scales_about_the_middle(finding):
  (one,), (other,) = shapes([finding]), shapes([finding], size=0.5)
  np.testing.assert_allclose(np.ptp(other.outline(), axis=0), 0.5 * np.ptp(one.outline(), axis=0))
  middle = lambda shape: (shape.outline().min(axis=0) + shape.outline().max(axis=0)) / 2
  np.testing.assert_allclose(middle(other), middle(one), atol=1e-9)


def test_drift_moves_shapes_by_as_much():
  found, faultless = shapes([TINY] * 2000, drift=0.02), shapes([TINY] * 2000)
  moved = np.array([a.centre for a in found]) - np.array([np.array([127.5, 127.5])] * 2000)
  own = np.array([a.centre for a in faultless]) - 127.5
  assert moved.std() == pytest.approx(np.hypot(0.02 * FRAME.scale, own.std()), rel=0.05)


def test_small_lesions_are_overlooked_more_often_than_large_ones():
  assert len(shapes([TINY] * 2000, overlooked=0.3)) / 2000 == pytest.approx(0.7, abs=0.03)
  assert len(shapes([LARGE] * 2000, overlooked=0.3)) / 2000 == pytest.approx(0.88, abs=0.03)


def test_small_red_lesions_are_mistaken_for_one_another():
  names = [shape.lesion for shape in shapes([TINY] * 2000, mistaken=0.1)]
  assert set(names) == {'MA', 'iHE'} and names.count('iHE') / 2000 == pytest.approx(0.1, abs=0.02)
  assert {shape.lesion for shape in shapes([LARGE] * 200, mistaken=1.0)} == {'vHE'}
  assert MISTAKEN['iHE'] == 'MA'


def test_lesions_are_invented_inside_the_field():
  rng, style = np.random.default_rng(0), CAREFUL._replace(invented=1.5)
  found = [annotate_as(rng, style, FRAME, []) for _ in range(2000)]
  assert np.mean([len(part) for part in found]) == pytest.approx(1.5, abs=0.1)
  centres = np.array([shape.centre for part in found for shape in part])
  assert (np.hypot(*(centres - 127.5).T) < 0.91 * FRAME.scale).all()


@pytest.mark.parametrize('true_grade', range(5))
def test_grades_are_one_off_as_often_as_the_style_says(true_grade):
  rng = np.random.default_rng(0)
  given = np.array([grade_as(rng, CAREFUL._replace(misgraded=0.2), true_grade) for _ in range(4000)])
  assert np.abs(given - true_grade).max() == 1 and 0 <= given.min() and given.max() <= 4
  assert np.mean(given != true_grade) == pytest.approx(0.1 if true_grade in (0, 4) else 0.2, abs=0.02)
