"""Precision against recall, and reliability, as pictures: which curves there are, and what they are called."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from scipy.stats import binomtest

from lesion_jax.evaluate import calibration, report, totals
from lesion_jax.report.run import write_report, write_pictures
from lesion_jax.report.scores import precision_recall_figure, reliability_figure


def legend(axes):
  return [text.get_text() for text in axes.get_legend().get_texts()]


def test_each_lesion_with_an_aupr_has_a_curve_with_the_figure_beside_it(evaluation, tmp_path, drawn):
  result, counts = evaluation
  precision_recall_figure(counts['histogram'], result, tmp_path / 'curve.png', counts=totals(counts))
  axes, = drawn[0].axes
  assert legend(axes) == [f'{key}  {result["aupr"]["lesions"][key]:.3f}' for key in ('iHE', 'HaEx', 'CWS')]
  dots = [line for line in axes.lines if line.get_marker() == 'o']
  tp, fp, fn = (counts[f'pixel_{kind}'].sum(0)[1] for kind in ('tp', 'fp', 'fn'))
  assert (dots[0].get_xdata(), dots[0].get_ydata()) == (tp / (tp + fn), tp / (tp + fp))
  with Image.open(tmp_path / 'curve.png') as image:
    assert min(image.size) > 400


def test_the_area_under_the_curve_as_it_is_drawn_is_the_aupr(evaluation, tmp_path, drawn):
  result, counts = evaluation
  precision_recall_figure(counts['histogram'], result, tmp_path / 'curve.png')
  line = drawn[0].axes[0].lines[0]
  assert line.get_drawstyle() == 'steps-pre'  # each point's precision holds to its left
  area = np.sum(np.diff(line.get_xdata()) * line.get_ydata()[1:])
  assert area == pytest.approx(result['aupr']['lesions']['iHE'])


def test_pixels_images_and_grades_have_a_panel_each(evaluation, tmp_path, drawn):
  found = evaluation.report['calibration']
  reliability_figure(found, tmp_path / 'calibration.png')
  pixels, _, images, _, grades, _ = drawn[0].axes
  assert [axes.get_title(loc='left') for axes in (pixels, images, grades)] == [
      'Pixels', 'Lesions of images', 'Likeliest grade']
  assert legend(pixels) == [f'{key}  {found["pixel"]["lesions"][key]["ece"]:.4f}' for key in ('iHE', 'HaEx', 'CWS')]
  for axes, part in ((images, found['image']['pooled']), (grades, found['grade'])):
    assert axes.get_title(loc='right') == f'ECE {part["ece"]:.3f}   Brier {part["brier"]:.3f}'


def test_bars_are_the_counts_and_points_have_wilsons_intervals(evaluation, tmp_path, drawn):
  found = evaluation.report['calibration']['grade']
  reliability_figure({'grade': found}, tmp_path / 'calibration.png')
  above, below = drawn[0].axes
  assert [bar.get_height() for bar in below.patches] == found['reliability']['count']
  segments = above.collections[0].get_segments()
  filled = [(count, frequency) for count, frequency in zip(
      found['reliability']['count'], found['reliability']['frequency'], strict=True) if count]
  assert len(segments) == len(filled)
  for segment, (count, frequency) in zip(segments, filled, strict=True):
    expected = binomtest(round(frequency * count), count).proportion_ci(method='wilson')
    np.testing.assert_allclose(segment[:, 1], [expected.low, expected.high], atol=1e-4)


def test_what_has_nothing_to_draw_is_refused(evaluation, tmp_path):
  counts = evaluation.counts
  with pytest.raises(ValueError, match='no lesion has an AUPR'):
    precision_recall_figure(counts['histogram'], report(totals(counts), ()), tmp_path / 'curve.png')
  with pytest.raises(ValueError, match='no lesion and no grade could be evaluated'):
    reliability_figure(calibration({'histogram': counts['histogram']}, ()), tmp_path / 'calibration.png')


def test_an_evaluation_leaves_the_pictures_for_which_there_is_material(evaluation, example, tmp_path):
  assert [path.name for path in write_report(tmp_path / 'new', evaluation, ['iHE'])] == ['report.json', 'counts.npz']
  written = write_pictures(tmp_path, evaluation, [example], title='x')
  assert [path.name for path in written] == ['precision_recall.png', 'calibration.png', 'confusion.png', 'examples.png']
  assert all(path.stat().st_size for path in written)
  counts = evaluation.counts | {'confusion': np.zeros((60, 5, 5), int)}
  nothing = report(totals(counts), ()) | {'calibration': calibration(counts, ())}
  assert write_pictures(tmp_path, evaluation._replace(report=nothing, counts=counts), [], title='x') == []
