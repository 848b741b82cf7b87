"""Synthetic examples with predictions, and a test report."""

from __future__ import annotations

import numpy as np
import pytest

from lesion_jax import metrics
from lesion_jax.core import LESION_KEYS, lesion_bits, unpack_bits
from lesion_jax.data import synthetic
from lesion_jax.evaluate import report


@pytest.fixture
def example():
  """A synthetic example whose prediction is its truth."""
  sample = synthetic.generate(seed=0, index=2, size=64)
  maps = unpack_bits(sample.lesions).astype(np.float32)
  return {
      'image': sample.image, 'lesions': sample.lesions, 'ignore': sample.ignore, 'annotated': np.uint8(255),
      'grade': sample.grade, 'id': sample.id, 'maps': maps, 'lesion_probabilities': maps.max((0, 1)),
      'grade_probabilities': np.eye(5)[sample.grade],
  }


@pytest.fixture
def with_intervals(result):
  """The same report with intervals, which pHE has not."""
  rng = np.random.default_rng(1)

  def lesions():
    return {'mean': sorted(rng.random(2)),
            'lesions': {key: None if value is None else sorted(rng.random(2))
                        for key, value in result['pixel_f1']['lesions'].items()}}

  return result | {'intervals': {'level': 0.95, 'resamples': 1000, 'pixel_f1': lesions(), 'image_f1': lesions(),
                                 'kappa': [-0.05, 0.25], 'accuracy': [0.5, 0.75]}}


@pytest.fixture
def result():
  """A report in which pHE has no positive and IDRiD's four lesions and pHE are annotated."""
  rng = np.random.default_rng(0)
  present = np.array([key != 'pHE' for key in LESION_KEYS])
  counts = {f'{level}_{kind}': rng.integers(1, 100, 8) * present
            for level in ('pixel', 'image') for kind in ('tp', 'fp', 'fn')}
  counts['histogram'] = rng.integers(0, 9, (2, 8, metrics.SCORE_BINS))
  counts['histogram'][1, LESION_KEYS.index('pHE')] = 0
  counts['confusion'] = np.diag([40, 20, 1131, 12, 9]) + np.eye(5, k=1, dtype=int) * 3
  return report(counts, ('MA', 'iHE', 'HaEx', 'CWS', 'pHE'))


@pytest.fixture
def make_truth():
  """`make_truth({key: (top, bottom, left, right)}, size) -> packed masks`."""

  def make(boxes, size=64):
    packed = np.zeros((size, size), np.uint8)
    for key, (top, bottom, left, right) in boxes.items():
      packed[top:bottom, left:right] |= np.uint8(lesion_bits([key]))
    return packed

  return make
