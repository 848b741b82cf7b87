"""Folds of a configuration on a shallow encoder: each photograph tested once, a finished fold not run again, one page."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tiny_config
from tiny import TINY_MODELS

from experiments import folds
from lesion_jax import main, models
from lesion_jax.core import LESION_KEYS
from lesion_jax.report import run as report_run

FOLDS = 2


def configuration(**changes):
  return tiny_config.changed(stages=('segment',), segment__max_steps=1, segment__validate_every=1, segment__milestones=(),
                             segment__model__name='lesion_net_32s', **changes)


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
  """(workdir, data_dir) of a run over all folds; pictures take longer than all else."""
  place = tmp_path_factory.mktemp('folds')
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(models, 'MODELS', TINY_MODELS)
    patch.setattr(main, 'examples', lambda *unused: [])
    patch.setattr(report_run, 'write_pictures', lambda *unused, **options: [])
    patch.setattr(report_run, 'training_curves', lambda *unused: None)
    assert folds.run(configuration(), FOLDS, place / 'runs', str(place / 'data'), lambda: False) == 0
  return place / 'runs', str(place / 'data')


def test_every_photograph_is_tested_in_one_fold(finished):
  workdir, _ = finished
  ids, patients = [], []
  for fold in range(FOLDS):
    with np.load(workdir / f'fold-{fold}' / 'segment' / report_run.TEST_COUNTS) as counts:
      ids.append(counts['id'].tolist())
      patients.append(set(counts['patient'].tolist()))
  assert len(sum(ids, [])) == len(set(sum(ids, []))) == 60
  assert sum(map(len, patients)) == len(set().union(*patients))


def test_the_summary_has_metrics_by_fold_their_mean_and_spread_and_all_photographs_together(finished):
  workdir, _ = finished
  result = json.loads((workdir / folds.JSON).read_text())
  found = result['stages']['segment']
  reports = [json.loads((workdir / f'fold-{fold}' / 'segment' / 'report.json').read_text()) for fold in range(FOLDS)]
  values = [report['image_f1']['mean'] for report in reports]
  assert found['figures']['mean_image_f1'] == {
      'values': values, 'mean': pytest.approx(np.mean(values)), 'sd': pytest.approx(np.std(values, ddof=1))}
  assert sum(found['images']) == 60 and set(found['lesions']['pixel_f1']) == set(LESION_KEYS)
  positive = {key: sum(report['positive_images'][key] for report in reports) for key in LESION_KEYS}
  assert found['together']['positive_images'] == positive
  assert result['config']['segment']['data']['split'] == 'hash' and 'jax' in result['versions']
  page = (workdir / folds.PAGE).read_text()
  assert f'{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}' in page and page.startswith('## 2 folds')
  assert 'no standard error' in page


def test_what_is_finished_is_not_run_again(finished, monkeypatch):
  workdir, data_dir = finished
  monkeypatch.setattr(main, 'run', lambda *unused: pytest.fail('run again'))
  before = (workdir / folds.JSON).read_text()
  assert folds.run(configuration(), FOLDS, workdir, data_dir, lambda: False) == 0
  assert (workdir / folds.JSON).read_text() == before


def test_a_fold_from_before_a_key_was_added_is_finished(finished):
  workdir, _ = finished
  path, chosen = workdir / 'fold-0' / 'config.json', folds.fold_of(configuration(), FOLDS, 0)
  before = path.read_text()
  config = json.loads(before)
  del config['segment']['hard_negatives'], config['grade']['data']['split']
  try:
    path.write_text(json.dumps(config))
    assert folds.is_finished(chosen, path.parent)
    path.write_text(json.dumps(config | {'seed': 7}))
    assert not folds.is_finished(chosen, path.parent)
  finally:
    path.write_text(before)


def test_a_stop_is_passed_on_and_the_first_unfinished_fold_goes_on(finished, monkeypatch):
  workdir, data_dir = finished
  asked = []
  monkeypatch.setattr(main, 'run', lambda config, folder, *unused: asked.append(folder.name) or main.STOPPED)
  (workdir / 'fold-1' / 'metrics.json').rename(workdir / 'fold-1' / 'gone.json')
  try:
    assert folds.run(configuration(), FOLDS, workdir, data_dir, lambda: False) == main.STOPPED
  finally:
    (workdir / 'fold-1' / 'gone.json').rename(workdir / 'fold-1' / 'metrics.json')
  assert asked == ['fold-1']


def test_a_finished_network_has_no_place_in_a_fold(tmp_path, capsys):
  with pytest.raises(SystemExit) as stop:
    folds.run(configuration(grade__bundle='somewhere'), FOLDS, tmp_path, '', lambda: False)
  assert stop.value.code == 2
  assert 'config.grade.bundle=somewhere: a finished network may have learned' in capsys.readouterr().err


def test_a_metric_that_a_fold_has_not_is_left_out_of_mean_and_spread():
  assert folds._spread([0.5, None, 0.7]) == {'values': [0.5, None, 0.7], 'mean': pytest.approx(0.6),
                                             'sd': pytest.approx(np.std([0.5, 0.7], ddof=1))}
  assert folds._spread([None, 0.7])['sd'] is None and folds._spread([None])['mean'] is None
