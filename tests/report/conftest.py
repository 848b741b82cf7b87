"""Synthetic examples with predictions, and a test report."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from lesion_jax import metrics
from lesion_jax.core import LESION_KEYS, lesion_bits, unpack_bits
from lesion_jax.data import synthetic
from lesion_jax.evaluate import Evaluation, full_report, report
from lesion_jax.metrics.histogram import score_bin


@pytest.fixture
def drawn(monkeypatch):
  """The figures saved, to look into."""
  figures, save = [], Figure.savefig

  def remember(self, path):
    figures.append(self)
    save(self, path)

  monkeypatch.setattr(Figure, 'savefig', remember)
  return figures


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

  return result | {'intervals': {'level': 0.95, 'resamples': 1000, 'pixel_f1': lesions(), 'pixel_iou': lesions(),
                                 'image_f1': lesions(), 'kappa': [-0.05, 0.25], 'accuracy': [0.5, 0.75]}}


@pytest.fixture
def evaluation():
  """An evaluation of 60 images in which MA, iHE, HaEx and CWS are annotated, and MA was not learned; sure of itself."""
  rng, n, counts = np.random.default_rng(4), 60, {}
  present = (rng.random((n, 8)) < 0.5) & (np.arange(8) < 4)
  p = np.clip(present * 0.6 + rng.random((n, 8)) * 0.5, 0, 1).astype(np.float32)
  for kind, each in (('tp', present & (p >= 0.5)), ('fp', ~present & (p >= 0.5)), ('fn', present & (p < 0.5)),
                     ('tn', ~present & (p < 0.5))):
    counts |= {f'image_{kind}': each.astype(np.int64), f'pixel_{kind}': each * rng.integers(1, 900, (n, 8))}
  scores = 1 / (1 + np.exp(-rng.normal([[-6], [1]], 3, (2, 30_000)))).astype(np.float32)
  one = np.stack([np.bincount(score_bin(each), minlength=metrics.SCORE_BINS) for each in scores])
  grades = rng.dirichlet(np.full(5, 0.4), n).astype(np.float32)
  truth = np.where(rng.random(n) < 0.7, grades.argmax(1), rng.integers(0, 5, n))
  counts |= {'lesion_probabilities': p, 'histogram': np.repeat(one[:, None], 8, axis=1), 'grade_probabilities': grades,
             'confusion': np.eye(25, dtype=int)[truth * 5 + grades.argmax(1)].reshape(n, 5, 5)}
  return Evaluation(full_report(counts, LESION_KEYS[:4], LESION_KEYS[1:], resamples=20), counts)


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
