"""`lesion-jax export`: the figure is printed, and what cannot be is said in a sentence."""

from __future__ import annotations

import json

import numpy as np
import oracle
import pytest

import lesion_jax
from lesion_jax import cli, export, models
from lesion_jax.cli.export import FORMATS
from lesion_jax.export import folder, to_stablehlo
from lesion_jax.weights.bundle import save_bundle


@pytest.fixture
def bundle(tmp_path, monkeypatch):
  monkeypatch.setattr(models, 'MODELS', models.MODELS | {'oracle': oracle.Oracle})
  save_bundle(tmp_path / 'bundle', config=oracle.oracle_config(), card='',
              variables={'params': {'gain': np.float32(1)}})
  return tmp_path / 'bundle'


@pytest.fixture
def run(bundle, tmp_path):
  """`run(**options) -> exit status`."""

  def call(**options):
    options = {'model': bundle, 'to': 'stablehlo', 'out': tmp_path / 'out'} | options
    return cli.main(['export', *(text for key, value in options.items() for text in (f'--{key}', str(value)))])

  return call


def test_the_formats_are_those_of_the_library():
  assert FORMATS == tuple(export.FORMATS)


def test_the_difference_from_flax_and_the_files_are_printed(run, bundle, tmp_path, capsys):
  assert run() == 0
  said = capsys.readouterr().out
  assert 'largest difference in probability from Flax, random synthetic images of 64x64: maps 0.0e+00' in said
  assert f'{tmp_path / "out"} has README.md, bundle.json, config.json, model.safetensors, model.stablehlo, preprocessing' in said
  assert (tmp_path / 'out' / 'model.safetensors').read_bytes() == (bundle / 'model.safetensors').read_bytes()
  assert json.loads((bundle / 'config.json').read_text())['weights_sha256'] in (tmp_path / 'out' / 'README.md').read_text()


def test_a_home_that_the_shell_left_is_followed(run, tmp_path, monkeypatch, capsys):
  monkeypatch.setenv('HOME', str(tmp_path))
  assert run(out='~/out') == 0 and (tmp_path / 'out' / 'model.stablehlo').exists()
  assert f'{tmp_path / "out"} has README.md' in capsys.readouterr().out


def test_an_export_that_computes_something_else_fails(run, monkeypatch, capsys, tmp_path):
  write = to_stablehlo.write
  wrong = lambda found: found | {'maps': found['maps'] + 0.1}
  monkeypatch.setattr(to_stablehlo, 'write', lambda *args: lambda images, run=write(*args): wrong(run(images)))
  assert run() == 1
  assert 'stablehlo failed: its maps differ from those of Flax by 1.0e-01' in capsys.readouterr().err
  assert not (tmp_path / 'out').exists()
  assert run(tolerance='0.11') == 0


@pytest.mark.parametrize(('options', 'message'), [
    ({'model': 'absent'}, '--model absent: absent is not a bundle'),
    ({'to': 'caffe'}, "invalid choice: 'caffe'"),
    ({'out': __file__}, 'is there already'),
])
def test_usage_errors_end_with_2(run, capsys, options, message):
  with pytest.raises(SystemExit) as stop:
    run(**options)
  assert stop.value.code == 2
  assert message in capsys.readouterr().err


@pytest.mark.parametrize('weights, message', [
    ({'params': {'other': np.float32(1)}}, 'Could not find parameter named "gain"'),
    ({'params': {'gain': np.ones(3, np.float32)}}, 'For parameter "gain"'),
    ({'params': {'gain': np.float32(1), 'more': {'kernel': np.ones(3, np.float32)}}}, 'arrays that the network oracle has not, params/more/kernel'),
])
def test_weights_of_another_network_are_refused_as_load_refuses_them(run, bundle, tmp_path, capsys, weights, message):
  save_bundle(bundle, config=oracle.oracle_config(), card='', variables=weights)
  with pytest.raises(SystemExit) as stop:
    run()
  assert stop.value.code == 2
  said = capsys.readouterr().err
  assert 'config.json and the weights do not make a network' in said and message in said
  with pytest.raises(ValueError, match='do not make a network'):
    lesion_jax.export(bundle, to='stablehlo', out=tmp_path / 'out')
  assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('error', [ImportError('tensorflow is not installed'), export.Refused("no 'oracle' there")])
def test_a_missing_package_and_a_refused_network_end_with_2(run, monkeypatch, capsys, error):
  def refuse(*args):
    raise error

  monkeypatch.setattr(folder.FORMATS['stablehlo'], 'write', refuse)
  with pytest.raises(SystemExit) as stop:
    run()
  assert stop.value.code == 2
  assert f'--to stablehlo: {error}' in capsys.readouterr().err


def test_a_bundle_of_an_unknown_network_is_a_usage_error(run, monkeypatch, capsys):
  monkeypatch.setattr(models, 'MODELS', {})
  with pytest.raises(SystemExit) as stop:
    run()
  assert stop.value.code == 2
  assert "unknown model 'oracle'" in capsys.readouterr().err
