"""From the real IDRiD to figures, with a shallow network and a few photographs. Skipped where IDRiD is not at hand."""

import jax
import numpy as np
import pytest
from real import IDRID, link_idrid
from tiny import TINY_MODELS

from configs import segment
from lesion_jax import models, stages
from lesion_jax.train.parallel import Devices

pytestmark = pytest.mark.skipif(not IDRID.is_dir(), reason='IDRiD is not at hand')


def _grades(table):
  folder = IDRID / 'B. Disease Grading' / '2. Groundtruths'
  rows = (folder / table).read_text('utf-8').splitlines()[1:]
  return {int(row[6:9]): int(row.split(',')[1]) for row in rows if row.startswith('IDRiD')}


@pytest.fixture
def run(tmp_path, monkeypatch):
  """`run(config, source) -> (stage, trained, report of the test split)`."""
  monkeypatch.setattr(models, 'MODELS', TINY_MODELS)

  def train(config):
    devices = Devices(jax.devices()[:1])
    networks = stages.check(config, devices)
    dataset = stages.open_datasets(config, str(tmp_path / 'data'), devices)['segment']
    stage = stages.build_stage(config, 'segment', dataset, networks['segment'], workdir=tmp_path, devices=devices,
                               bundles={})
    trained = stage.train(lambda: False)
    return stage, trained, stage.evaluate(stage.variables(trained.state), 'test').report

  return train


def _config(source):
  config = segment.get_config('idrid')
  config.segment.data.update(source_dir=source, size=64)
  config.segment.update(batch_size=2, eval_batch_size=1, max_steps=2, validate_every=2)
  return config


@pytest.mark.slow  # the mixture below has both parts of it
def test_real_photographs_train_and_the_lesions_they_do_not_annotate_are_said(run, tmp_path):
  source = link_idrid(tmp_path / 'release', segmentation=(1, 2, 3, 4, 5, 6, 7, 11, 55, 56))
  stage, trained, result = run(_config(str(source)))

  assert (trained.step, stage.dataset.lengths['test']) == (2, 2)
  for name in ('pixel_f1', 'aupr'):
    unannotated = {key for key, reason in result[name]['undefined'].items() if reason == 'not annotated'}
    assert unannotated == {'vHE', 'pHE', 'NV', 'FiP'}
    assert result[name]['lesions']['HaEx'] is not None
  assert stage.annotated == ('MA', 'iHE', 'HaEx', 'CWS')


def test_healthy_eyes_are_negatives_through_a_mixture_of_crops(run, tmp_path):
  training, test = (_grades(f'{part}. IDRiD_Disease Grading_{kind} Labels.csv')
                    for part, kind in (('a', 'Training'), ('b', 'Testing')))
  chosen = [number for number, grade in training.items() if grade == 0][:12] + [
      number for number, grade in training.items() if grade == 3][:4]
  source = link_idrid(tmp_path / 'release', segmentation=(1, 2, 3, 4, 5, 6, 7, 11, 55), training=chosen,
                      test=[number for number, grade in test.items() if grade == 0][:2] + [
                          number for number, grade in test.items() if grade == 2][:2])
  config = _config(f'{source}:{source}')
  config.segment.data.update(name='idrid+idrid_grading', weights=(1.0, 1.0), crop=48, centred=0.7, crop_scale=(0.6, 1.2))
  stage, _, result = run(config)

  healthy = stage.dataset.parts[1]
  assert healthy.annotated == ('MA', 'iHE', 'HaEx', 'CWS') and healthy.lengths['test'] == 4
  batch = next(iter(healthy.source('train')))
  assert batch['grade'] in (0, 1) and batch['annotated'] and not batch['lesions'].any()
  assert np.isin(healthy.source('train').index.grade, (0, 1)).all()
  assert sorted(healthy.source('test').index.grade) == [0, 0, 2, 2]  # the sick say nothing of lesions, and are asked about
  assert [example['annotated'] > 0 for example in healthy.source('test')] == [
      example['grade'] == 0 for example in healthy.source('test')]
  assert stage.annotated == ('MA', 'iHE', 'HaEx', 'CWS')
  assert result['positive_images']['HaEx'] == 1  # IDRiD_55; a healthy eye has none
