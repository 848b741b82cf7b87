"""Pictures of a run: what is in them is decided by what was logged."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from PIL import Image

from lesion_jax.evaluate import Evaluation, bootstrap
from lesion_jax.report.curves import confusion_figure, training_curves
from lesion_jax.report.run import write_run


def write_log(path, rows):
  with path.open('w', newline='') as file:
    csv.writer(file).writerows([('step', 'split', 'name', 'value'), *rows])


def run_rows():
  rows = [(step, 'train', name, value) for step in range(10, 101, 10)
          for name, value in (('loss', 1 / step), ('segmentation', 2 / step), ('gradient_norm', 9.0), ('rate', 1e-3))]
  return rows + [(step, 'validation', 'kappa', value) for step, value in ((50, 0.6), (75, 0.8), (100, 0.7))]


def test_losses_validation_and_rate_have_a_panel_each(tmp_path, drawn):
  write_log(tmp_path / 'metrics.csv', run_rows())
  training_curves(tmp_path / 'metrics.csv', tmp_path / 'curves.png')
  loss, validation, rate = drawn[0].axes
  assert [text.get_text() for text in loss.get_legend().get_texts()] == ['loss', 'segmentation part']
  assert validation.get_legend().get_texts()[0].get_text() == 'quadratic weighted kappa: best 0.800 at step 75'
  assert rate.get_yscale() == 'log'
  with Image.open(tmp_path / 'curves.png') as image:
    assert min(image.size) > 400


def test_a_run_without_validation_has_two_panels(tmp_path, drawn):
  write_log(tmp_path / 'metrics.csv', [(10, 'train', 'loss', 0.5), (10, 'train', 'rate', 0.001)])
  training_curves(tmp_path / 'metrics.csv', tmp_path / 'curves.png')
  assert len(drawn[0].axes) == 2


def test_a_log_without_material_is_said(tmp_path):
  write_log(tmp_path / 'metrics.csv', [(10, 'train', 'gradient_norm', 0.5)])
  with pytest.raises(ValueError, match='neither a loss nor a validation yet'):
    training_curves(tmp_path / 'metrics.csv', tmp_path / 'curves.png')


def test_the_confusion_matrix_shows_its_counts(tmp_path, drawn, result):
  confusion_figure(result['confusion'], tmp_path / 'confusion.png')
  axes, = drawn[0].axes
  assert [text.get_text() for text in axes.texts] == [f'{count:,}' for count in np.ravel(result['confusion'])]
  assert axes.get_yticklabels()[2].get_text() == 'DR2  (1,134)'
  with pytest.raises(ValueError, match=r'expected counts \[5, 5\]'):
    confusion_figure([[1, 2], [3, 4]], tmp_path / 'confusion.png')


def test_a_run_leaves_what_there_is_material_for(tmp_path, result, example):
  always = ['report.json', 'test_counts.npz']
  few = Evaluation({'pixel_f1': result['pixel_f1']}, {})
  assert [path.name for path in write_run(tmp_path / 'new', few, (), [])] == always
  write_log(tmp_path / 'metrics.csv', run_rows())
  written = write_run(tmp_path, Evaluation(result, {}), (), [example])
  assert [path.name for path in written] == [*always, 'curves.png', 'confusion.png', 'examples.png']
  assert all(path.stat().st_size for path in written)


def test_the_counts_of_each_image_are_kept_and_can_be_resampled(tmp_path):
  confusion = np.eye(25, dtype=np.int64)[[0, 6, 7, 12]].reshape(4, 5, 5)
  counts = {'image_tp': np.arange(32).reshape(4, 8), 'confusion': confusion, 'histogram': np.ones((2, 8, 9), np.int64)}
  _, path = write_run(tmp_path, Evaluation({}, counts), ('MA', 'HaEx'), [])
  with np.load(path, allow_pickle=False) as kept:
    assert set(kept) == {'image_tp', 'confusion', 'annotated'}
    assert kept['annotated'].tolist() == ['MA', 'HaEx']
    for name in ('image_tp', 'confusion'):
      np.testing.assert_array_equal(kept[name], counts[name])
    grading = bootstrap({'confusion': kept['confusion']}, kept['annotated'])
  np.testing.assert_array_equal(grading['kappa'], bootstrap({'confusion': confusion}, ())['kappa'])
