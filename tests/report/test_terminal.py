"""A report as text: every figure, aligned, and no silent gap."""

from __future__ import annotations

import numpy as np

from lesion_jax.core import LESION_KEYS
from lesion_jax.evaluate import report
from lesion_jax.report.terminal import format_report


def test_every_figure_is_there(result):
  text = format_report(result, 'grade: synthetic')
  assert text.startswith('grade: synthetic\n================\n')
  line = next(line for line in text.splitlines() if line.startswith('iHE'))
  assert line.split()[-3:] == [f'{result[key]["lesions"]["iHE"]:.3f}' for key in ('pixel_f1', 'image_f1', 'aupr')]
  mean = next(line for line in text.splitlines() if line.startswith('mean'))
  assert mean.split()[-3:] == [f'{result[key]["mean"]:.3f}' for key in ('pixel_f1', 'image_f1', 'aupr')]
  assert f'quadratic weighted kappa   {result["kappa"]["value"]:.3f}' in text
  assert f'sensitivity, referable DR  {result["referable"]["sensitivity"]["value"]:.3f}' in text
  assert [line.split()[2:] for line in text.splitlines() if line.startswith('annotated DR2')] == [
      [str(count) for count in result['confusion'][2]]]


def test_missing_values_are_said(result):
  text = format_report(result, 'x')
  assert next(line for line in text.splitlines() if line.startswith('NV')).count('not annotated') == 3
  assert next(line for line in text.splitlines() if line.startswith('pHE')).split()[-3:] == ['undefined'] * 3
  assert 'undefined: pixel F1 of pHE, image F1 of pHE (no positive in the truth and none predicted)' in text
  assert 'undefined: AUPR of pHE (no positive in the truth)' in text


def test_tables_are_aligned(result):
  lines = format_report(result, 'x').splitlines()
  table = lines[lines.index(next(line for line in lines if line.startswith('lesion'))):][:2 + 8 + 2]
  assert len({len(line) for line in table}) == 1


def test_a_grader_has_no_lesions_and_undefined_figures_have_a_reason():
  text = format_report(report({'confusion': np.zeros((5, 5), int)}, ()), 'grader')
  assert 'lesion' not in text
  assert 'quadratic weighted kappa   undefined: no image has a known grade' in text


def test_a_network_without_grades_has_no_confusion_matrix():
  counts = {f'image_{kind}': np.arange(1, 9) for kind in ('tp', 'fp', 'fn')}
  text = format_report(report(counts, LESION_KEYS), 'classifier')
  assert 'image F1' in text and 'pixel F1' not in text and 'kappa' not in text
