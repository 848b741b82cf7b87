"""The looks that make each lesion what it is."""

from __future__ import annotations

import numpy as np
import pytest

from lesion_jax.data.synthetic.canvas import DISC_DIAMETER, Frame, stencil


def findings(scenes, lesion: str) -> list:
  found = [finding for scene in scenes for finding in scene.findings if finding.lesion == lesion]
  assert len(found) >= 10
  return found


def extent(finding) -> float:
  """Largest extent in disc diameters."""
  return float(np.ptp(np.concatenate(finding.outlines), axis=0).max()) / DISC_DIAMETER


@pytest.mark.parametrize('lesion, low, high', [
    ('MA', 0.04, 0.12), ('iHE', 0.05, 0.9), ('HaEx', 0.02, 2.0), ('CWS', 0.12, 0.7),
    ('vHE', 2.0, 7.0), ('pHE', 0.6, 2.2), ('NV', 0.4, 2.5), ('FiP', 0.2, 2.8),
])
def test_sizes_in_disc_diameters(scenes, lesion, low, high):
  sizes = [extent(finding) for finding in findings(scenes, lesion)]
  assert low < min(sizes) and max(sizes) < high


def test_values_are_opacities(scenes):
  for scene in scenes:
    for finding in scene.findings:
      assert len(finding.values) == len(finding.outlines) > 0
      assert 0 < min(finding.values) and max(finding.values) <= 1


def test_a_preretinal_hemorrhage_is_level_above_and_round_below(scenes):
  frame = Frame(256)
  for finding in findings(scenes, 'pHE'):
    mask = stencil(frame, finding.outlines)
    if not mask[[0, -1]].any() and not mask[:, [0, -1]].any():
      widths = mask.sum(1)[mask.any(1)]
      assert widths[:len(widths) // 3].max() > widths[-len(widths) // 5:].max()


def test_a_vitreous_hemorrhage_covers_much_of_the_field(scenes):
  frame = Frame(128)
  share = [stencil(frame, finding.outlines)[frame.inside()].mean() for finding in findings(scenes, 'vHE')]
  assert min(share) > 0.06 and 0.15 < np.mean(share) < 0.6


def test_new_vessels_are_many_and_thin(scenes):
  frame = Frame(448)
  for finding in findings(scenes, 'NV'):
    assert len(finding.outlines) >= 18
    strokes = stencil(frame, finding.outlines)
    rows, columns = np.nonzero(strokes)
    assert strokes.sum() < 0.7 * np.ptp(rows) * np.ptp(columns)  # fronds leave gaps


def test_exudates_come_in_clusters_of_small_specks(scenes):
  found = findings(scenes, 'HaEx')
  assert np.median([len(finding.outlines) for finding in found]) > 6
  specks = [np.ptp(outline, axis=0).max() / DISC_DIAMETER for finding in found for outline in finding.outlines]
  assert np.median(specks) < 0.12


def test_hemorrhages_are_dots_blots_and_flames(scenes):
  found = findings(scenes, 'iHE')
  flames = np.mean([len(finding.outlines) == 6 for finding in found])
  assert 0.05 < flames < 0.6
