"""`lesion-jax predict`: which networks answer, and how they compute."""

from __future__ import annotations

import json
import sys

import jax
import numpy as np
import oracle
import pytest
from oracle import photograph
from PIL import Image

from lesion_jax import cli, models
from lesion_jax.weights import bundle as weights_bundle
from lesion_jax.weights.bundle import save_bundle
from lesion_jax.weights.initialize import initialize


@pytest.fixture
def make_bundle(tmp_path, monkeypatch):
  """`make_bundle(name, gain) -> path` of a bundle of the oracle."""
  monkeypatch.setitem(models.MODELS, 'oracle', oracle.Oracle)

  def make(name, gain=1.0):
    save_bundle(tmp_path / name, config=oracle.oracle_config(), card='',
                variables={'params': {'gain': np.float32(gain)}})
    return str(tmp_path / name)

  return make


@pytest.fixture
def predict(tmp_path):
  """`predict(*options) -> the record` of one photograph in which the oracle is undecided about a microaneurysm."""
  path = tmp_path / 'eye.png'
  Image.fromarray(photograph(grade=2, lesions=[((0, 112, 0), (100, 80, 129, 119))])).save(path)

  def run(*options):
    assert cli.main(['predict', str(path), '--out', str(tmp_path / 'out'), *options]) == 0
    return json.loads((tmp_path / 'out' / 'eye' / 'result.json').read_text())

  return run


def test_several_models_are_averaged(make_bundle, predict):
  first, second = make_bundle('a', 1.0), make_bundle('b', 0.0)
  alone = predict('--model', first)['lesions']['MA']['probability']
  both = predict('--model', first, '--model', second)
  assert both['model']['name'] == 'ensemble of oracle, oracle'
  assert both['lesions']['MA']['probability'] == pytest.approx((alone + 0.5) / 2, abs=1e-3)


def test_a_home_that_the_shell_left_is_followed(make_bundle, tmp_path, monkeypatch):
  """As in --out=~/found, where a shell changes nothing."""
  make_bundle('net')
  Image.fromarray(photograph()).save(tmp_path / 'eye.png')
  (tmp_path / 'elsewhere').mkdir()
  monkeypatch.chdir(tmp_path / 'elsewhere')
  monkeypatch.setenv('HOME', str(tmp_path))
  assert cli.main(['predict', '~/eye.png', '--model=~/net', '--out=~/found', '--quiet']) == 0
  assert (tmp_path / 'found' / 'eye' / 'result.json').exists() and not list((tmp_path / 'elsewhere').iterdir())


def test_weights_that_may_not_be_read_are_said_in_a_line(make_bundle, tmp_path, monkeypatch, capsys):
  Image.fromarray(photograph()).save(tmp_path / 'eye.png')

  def refuse(path):
    raise PermissionError(13, 'Permission denied', str(path))

  monkeypatch.setattr(weights_bundle, '_read', refuse)
  with pytest.raises(SystemExit) as stop:
    cli.main(['predict', str(tmp_path / 'eye.png'), '--model', make_bundle('net'), '--out', str(tmp_path / 'out')])
  assert stop.value.code == 2
  assert 'the network cannot be used: [Errno 13] Permission denied' in capsys.readouterr().err


def test_other_options_of_the_network_predict_again(make_bundle, predict):
  model = make_bundle('a')
  plain = predict('--model', model)
  mirrored = predict('--model', model, '--tta', 'flips')
  assert mirrored['run']['options']['tta'] == 'flips' and plain['run']['options']['tta'] is None
  assert mirrored['grade']['value'] == plain['grade']['value'] == 2
  assert predict('--model', model, '--device', 'cpu')['run'] == plain['run']  # where it computes changes nothing


def test_a_device_that_is_not_there_is_a_usage_error(make_bundle, predict, capsys):
  with pytest.raises(SystemExit) as stop:
    predict('--model', make_bundle('a'), '--device', 'cuda:7')
  assert stop.value.code == 2
  assert "there is no device 'cuda:7'; there are cpu:0" in capsys.readouterr().err


def test_a_network_that_cannot_compute_so_is_a_usage_error(make_bundle, predict, capsys):
  with pytest.raises(SystemExit) as stop:
    predict('--model', make_bundle('a'), '--dtype', 'bfloat16')
  assert stop.value.code == 2
  assert 'the network cannot be used' in capsys.readouterr().err  # the oracle has no dtype


@pytest.mark.parametrize('options, reason', [
    (['--tta', 'flips'], 'the onnxruntime backend does not do test-time augmentation'),
    (['--dtype', 'bfloat16'], "the onnxruntime backend does not do dtype 'bfloat16'"),
    ([], r"onnxruntime is not installed: pip install 'lesion_jax[onnxruntime]'")])
def test_a_backend_that_cannot_do_it_is_a_usage_error(make_bundle, predict, capsys, monkeypatch, options, reason):
  monkeypatch.setitem(sys.modules, 'onnxruntime', None)
  with pytest.raises(SystemExit) as stop:
    predict('--model', make_bundle('a'), '--backend', 'onnxruntime', *options)
  assert stop.value.code == 2
  assert reason in capsys.readouterr().err


@pytest.mark.slow
def test_another_backend_finds_the_same_and_is_on_record(predict, tmp_path):
  for package in ('torch', 'onnx', 'onnxscript', 'onnxruntime'):
    pytest.importorskip(package)
  fields = {'name': 'lesion_net_32s', 'width': 1 / 16}
  variables = initialize(models.get_model(**fields), jax.ShapeDtypeStruct((1, 64, 64, 3), np.uint8), 0)
  config = oracle.oracle_config(model=fields, preprocessing={'size': 64, 'crop': 'field of view'})
  save_bundle(tmp_path / 'net', config=config, card='', variables=variables)
  plain = predict('--model', str(tmp_path / 'net'))
  found = predict('--model', str(tmp_path / 'net'), '--backend', 'onnxruntime')
  assert found['run']['options']['backend'] == 'onnxruntime' and 'backend' not in plain['run']['options']
  for key, lesion in plain['lesions'].items():
    assert found['lesions'][key]['probability'] == pytest.approx(lesion['probability'], abs=1e-4)


def test_windows_are_asked_for_and_recorded(tmp_path, monkeypatch, predict):
  monkeypatch.setitem(models.MODELS, 'oracle', oracle.Oracle)
  config = oracle.oracle_config(model={'name': 'oracle', 'heads': ['maps']},
                                preprocessing={'size': 160, 'crop': 'field of view'})
  save_bundle(tmp_path / 'maps', config=config, card='', variables={'params': {'gain': np.float32(1)}})
  model = '--model', str(tmp_path / 'maps')
  whole, windows = predict(*model), predict(*model, '--window', '96')
  assert windows['run']['options'] == whole['run']['options'] | {'window': 96} != whole['run']['options']
  assert windows['lesions']['MA'] == whole['lesions']['MA']  # a network that looks at single pixels
  with pytest.raises(SystemExit) as stop:
    cli.main(['predict', str(tmp_path / 'eye.png'), '--out', str(tmp_path / 'new'), '--model', str(tmp_path / 'maps'),
              '--window', '100'])
  assert stop.value.code == 2
