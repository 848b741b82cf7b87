"""`lesion-jax info`: a bundle, and the installation."""

from __future__ import annotations

import hashlib
import json
import zipfile

import jax
import numpy as np
import oracle
import pytest

import lesion_jax
from lesion_jax import cli, models
from lesion_jax.cli import info
from lesion_jax.predict.loading import find_device
from lesion_jax.weights.bundle import save_bundle

MODEL = {'name': 'multitask', 'attention': 'conv', 'lesion': {'name': 'lesion_net_16s', 'width': 0.5}}
METRICS = {
    'kappa': {'value': 0.719, 'reason': ''}, 'accuracy': {'value': 0.5, 'reason': ''},
    'referable': {key: {'value': 0.9, 'reason': ''} for key in ('sensitivity', 'specificity')},
    'confusion': np.eye(5, dtype=int).tolist(), 'intervals': {'level': 0.95, 'resamples': 1000, 'kappa': [0.65, 0.78]},
}


@pytest.fixture
def bundle(tmp_path):
  config = oracle.oracle_config(
      model=MODEL, metrics=METRICS, thresholds={**oracle.oracle_config()['thresholds'], 'CWS': 0.25},
      data={'name': 'drawn', 'licence': 'none', 'citation': 'long', 'lengths': {'train': 7}},
      provenance={'seed': 7, 'pretrained': '', 'stage': 'grade'})
  part = lambda size: {'kernel': np.zeros(size, np.float32)}
  variables = {
      'params': {'lesion': {'encoder': {'a': part(100), 'b': part(20)}, 'head': part(3)},
                 'grading': {'encoder': part(1000)}, 'attention': part(5)},
      'batch_stats': {'lesion': {'encoder': {'mean': np.zeros(4, np.float16)}}},
  }
  save_bundle(tmp_path / 'bundle', config=config, variables=variables, card='card')
  return tmp_path / 'bundle'


def run(capsys, *arguments):
  assert cli.main(['info', *map(str, arguments)]) == 0
  return capsys.readouterr().out


def test_a_bundle_as_json(bundle, capsys):
  found = json.loads(run(capsys, bundle, '--json'))
  assert (found['schema_version'], found['model'], found['metrics']) == (1, MODEL, METRICS)
  assert found['parameters'] == {
      'parts': {'attention': 5, 'grading/encoder': 1000, 'lesion/encoder': 120, 'lesion/head': 3}, 'total': 1128,
      'running_statistics': 4, 'types': ['float16', 'float32']}
  assert found['lesions']['CWS'] == {'name': 'cotton-wool spot', 'learned': True, 'threshold': 0.25}
  assert not found['lesions']['NV']['learned']
  assert found['provenance']['seed'] == 7 and found['preprocessing']['size'] == oracle.SIZE
  assert found['digest'] == hashlib.sha256((bundle / 'model.safetensors').read_bytes()).hexdigest()
  assert found['photographs'] is None  # a bundle of before
  assert found['files'] == {file.name: file.stat().st_size for file in bundle.iterdir()}


def test_a_bundle_as_text(bundle, capsys):
  said = ' '.join(run(capsys, bundle).split())
  assert 'learned from, at all stages photographs not known' in said
  for text in ('name multitask attention conv lesion.name lesion_net_16s lesion.width 0.5', 'lesion/encoder 120',
               'in all 1,128', 'CWS cotton-wool spot present from 0.25', 'never learned iHE, vHE, pHE, NV, FiP',
               'size 64', 'name drawn', 'lengths.train 7', 'seed 7 stage grade',
               'quadratic weighted kappa 0.719 [0.650, 0.780]', 'model.safetensors', 'SHA-256 of the weights'):
    assert text in said, text
  assert 'long' not in said and 'pretrained' not in said  # the citation, and what is empty


def test_how_many_photographs_it_learned_from_is_said(tmp_path, capsys):
  prints = {split: np.zeros((count, 16, 16, 3), np.uint8) for split, count in (('train', 1200), ('validation', 0))}
  save_bundle(tmp_path / 'bundle', config=oracle.oracle_config(model=MODEL), variables={'params': {}}, card='',
              photographs=prints)
  assert json.loads(run(capsys, tmp_path / 'bundle', '--json'))['photographs'] == {'train': 1200, 'validation': 0}
  assert 'train photographs 1,200 validation photographs 0' in ' '.join(run(capsys, tmp_path / 'bundle').split())


def test_a_zipped_bundle_has_the_same_files_and_digest(bundle, tmp_path):
  with zipfile.ZipFile(tmp_path / 'bundle.zip', 'w') as archive:
    for file in sorted(bundle.iterdir()):
      archive.write(file, file.name)
  a, b = info.describe_bundle(tmp_path / 'bundle.zip'), info.describe_bundle(bundle)
  assert (a['files'], a['digest']) == (b['files'], b['digest'])


def test_a_bundle_cannot_steer_the_terminal(bundle, capsys):
  config = json.loads((bundle / 'config.json').read_text())
  (bundle / 'config.json').write_text(json.dumps(config | {'data': {'name': 'a\x1b[2J\rb'}}))
  assert 'a?[2J?b' in run(capsys, bundle)


def test_figures_of_another_kind_do_not_hide_the_rest(bundle, capsys):
  config = json.loads((bundle / 'config.json').read_text())
  (bundle / 'config.json').write_text(json.dumps(config | {'metrics': {'calibration': 3, 'pixel_f1': 'good'}}))
  text = run(capsys, bundle)
  assert 'its metrics are not those of a report' in text and 'SHA-256 of the weights' in text


def test_what_is_no_sound_bundle_ends_with_2(bundle, tmp_path, capsys):
  with pytest.raises(SystemExit) as stop:
    cli.main(['info', str(tmp_path / 'absent')])
  said = capsys.readouterr().err
  assert stop.value.code == 2 and f'error: {tmp_path / "absent"} is not a bundle: it does not exist; ' in said
  assert said.endswith('name a directory that save_bundle wrote, or a zip archive of one\n')
  with (bundle / 'model.safetensors').open('ab') as file:
    file.write(b'x')
  with pytest.raises(SystemExit) as stop:
    cli.main(['info', str(bundle)])
  assert stop.value.code == 2 and 'is damaged' in capsys.readouterr().err


def test_the_installation(monkeypatch, tmp_path, capsys):
  monkeypatch.setenv('JAX_COMPILATION_CACHE_DIR', str(tmp_path))
  (tmp_path / 'program').write_bytes(bytes(10))
  found = json.loads(run(capsys, '--json'))
  assert found['versions']['lesion_jax'] == lesion_jax.__version__
  assert found['versions']['numpy'] == np.__version__ and 'h5py' in found['versions']
  assert found['cache'] == {'folder': str(tmp_path), 'bytes': 10}
  assert {device['platform'] for device in found['devices']} == {'cpu'}
  assert found['models'] == dict.fromkeys(models.MODELS)
  said = run(capsys)
  assert str(tmp_path) in said and 'multitask' in said and 'parameters' not in said


def test_parameters_are_counted_on_demand(monkeypatch, capsys):
  monkeypatch.setattr(models, 'MODELS', {'oracle': oracle.Oracle})
  assert 'oracle             1 parameters' in run(capsys, '--models')
  assert json.loads(run(capsys, '--models', '--json'))['models'] == {'oracle': 1}


def test_a_bundle_and_the_networks_are_two_questions(bundle, capsys):
  with pytest.raises(SystemExit) as stop:
    cli.main(['info', str(bundle), '--models'])
  assert stop.value.code == 2 and 'leave it or the bundle out' in capsys.readouterr().err


@pytest.mark.parametrize('error', [RuntimeError("Unable to initialize backend 'cuda'"), AssertionError()])
def test_without_a_device_the_installation_is_described_and_says_why(monkeypatch, capsys, error):
  def none(platform=None):
    raise error

  monkeypatch.setenv('JAX_PLATFORMS', 'cuda')
  monkeypatch.setattr(jax, 'devices', none)
  assert "JAX finds no device: JAX_PLATFORMS is 'cuda'" in run(capsys)
  found = json.loads(run(capsys, '--json'))
  assert not found['devices'] and 'unset it' in found['device_problem']
  with pytest.raises(ValueError, match='JAX finds no device'):
    find_device(None)
