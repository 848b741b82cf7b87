"""Annotations: coarser than the lesion, around the lesion, and rarely missing."""

from __future__ import annotations

import numpy as np
import pytest

from lesion_jax.core import LESION_KEYS, lesion_index, unpack_bits
from lesion_jax.data.synthetic import annotator, canvas
from lesion_jax.data.synthetic.lesions import Finding

FRAME = canvas.Frame(256, 0.98)
BLOB = canvas.blobs(np.random.default_rng(0), np.array([[0.1, 0.2]]), np.array([0.05]), points=32)[0]


def masks(samples, key: str, name: str) -> np.ndarray:
  return np.stack([unpack_bits(getattr(sample, name))[..., lesion_index(key)] for sample in samples])


@pytest.mark.parametrize('key', LESION_KEYS)
def test_truth_lies_in_the_annotation_and_the_annotation_is_larger(samples, key):
  truth, marked = masks(samples, key, 'truth'), masks(samples, key, 'lesions') | masks(samples, key, 'ignore')
  assert (truth & marked).sum() / truth.sum() > (0.75 if key == 'FiP' else 0.9)  # a membrane's strands stick out
  assert marked.sum() > truth.sum()


@pytest.mark.parametrize('key', LESION_KEYS)
def test_an_image_shows_what_is_annotated(samples, key):
  truth = masks(samples, key, 'truth').any((1, 2))
  marked = (masks(samples, key, 'lesions') | masks(samples, key, 'ignore')).any((1, 2))
  np.testing.assert_array_equal(marked, truth)


@pytest.mark.parametrize('key', LESION_KEYS)
@pytest.mark.parametrize('seed', range(4))
def test_a_marked_shape_covers_its_lesion(key, seed):
  shape = annotator.mark(np.random.default_rng(seed), FRAME, Finding(key, (BLOB,), (1.0,)))
  lesion = annotator.rasterise_findings(FRAME, [Finding(key, (BLOB,), (1.0,))]) > 0
  marked = annotator.rasterise(FRAME, (shape,))
  assert set(np.unique(marked)) == {0, 1 << lesion_index(key)}
  assert (lesion & (marked > 0)).sum() > 0.85 * lesion.sum()
  assert (marked > 0).sum() > lesion.sum()


@pytest.mark.parametrize('size', [256, 896])
def test_a_microaneurysm_is_marked_by_an_ellipse_of_several_pixels(scenes, size):
  frame = canvas.Frame(size, 0.98)
  dots = [finding for scene in scenes for finding in scene.findings if finding.lesion == 'MA'][:100]
  rng = np.random.default_rng(0)
  shapes = [annotator.mark(rng, frame, dot) for dot in dots]
  assert all(isinstance(shape, annotator.Ellipse) for shape in shapes)
  across = 2 * np.mean([shape.axes for shape in shapes])
  lesion = np.mean([np.ptp(dot.outlines[0], axis=0).mean() for dot in dots]) * frame.scale
  assert 1.4 * lesion < across < 3.5 * lesion
  assert across > 3.5 * size / 256
  assert 5 < lesion * 896 / size < 10  # as large as they are in photographs of 896 pixels


def test_an_elongated_lesion_gets_an_ellipse_along_it():
  points = canvas.rotate(canvas.circle(64) * (0.2, 0.05), 0.6)
  shape = annotator.mark(np.random.default_rng(2), FRAME, Finding('MA', (points,), (1.0,)))
  assert shape.angle == pytest.approx(0.6, abs=0.02)
  assert shape.axes[0] > 2.5 * shape.axes[1]


def test_a_few_tiny_lesions_are_overlooked_but_never_the_only_one():
  rng = np.random.default_rng(0)
  tiny = Finding('MA', (0.01 * canvas.circle(12),), (1.0,))
  large = Finding('vHE', (0.5 * canvas.circle(12),), (1.0,))
  assert len(annotator.annotate(rng, FRAME, [large] * 400)) == 400
  assert 0.9 < len(annotator.annotate(rng, FRAME, [tiny] * 1000)) / 1000 < 0.99
  assert all(len(annotator.annotate(rng, FRAME, [tiny])) == 1 for _ in range(100))


def test_shapes_rebuild_the_annotation(samples):
  for sample in samples[:20]:
    inside = sample.image.max(-1) > 60
    rebuilt = annotator.rasterise(canvas.Frame(len(sample.image)), sample.shapes)
    np.testing.assert_array_equal(rebuilt[inside], (sample.lesions | sample.ignore)[inside])
