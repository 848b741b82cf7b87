"""The path from the real IDRiD subset to figures, with a shallow network. Skipped where the subset is not at hand."""

import pathlib

import jax
import pytest
from tiny import TINY_MODELS

from configs import segment
from lesion_jax import build, models
from lesion_jax.train.parallel import Devices

SUBSET = pathlib.Path(__file__).parents[2] / 'shared' / 'data' / 'idrid'


@pytest.mark.skipif(not SUBSET.is_dir(), reason='the IDRiD subset is not at hand')
def test_the_real_subset_trains_and_the_lesions_it_does_not_annotate_are_said(tmp_path, monkeypatch):
  monkeypatch.setattr(models, 'MODELS', TINY_MODELS)
  config = segment.get_config('idrid')
  config.segment.data.update(source_dir=str(SUBSET), size=64)
  config.segment.update(batch_size=2, eval_batch_size=1, max_steps=2, validate_every=2)
  devices = Devices(jax.devices()[:1])
  bundles = build.check(config, devices)
  dataset = build.open_datasets(config, str(tmp_path / 'data'), devices)['segment']
  stage = build.build_stage(config, 'segment', dataset, workdir=tmp_path, devices=devices, bundles=bundles)

  fitted = stage.train(lambda: False)
  result = stage.evaluate(stage.variables(fitted.state), 'test').report

  assert (fitted.step, dataset.lengths['test']) == (2, 2)
  for name in ('pixel_f1', 'aupr'):
    unannotated = {key for key, reason in result[name]['undefined'].items() if reason == 'not annotated'}
    assert unannotated == {'vHE', 'pHE', 'NV', 'FiP'}
    assert result[name]['lesions']['HaEx'] is not None
  assert stage.annotated == ('MA', 'iHE', 'HaEx', 'CWS')
