"""`experiments.package`: a bundle becomes a packaged network by one command, and the registry is written for it."""

import runpy

import numpy as np
import oracle
import packaged
import pytest
from landmark_release import landmark_bundle

import lesion_jax
from experiments import package
from lesion_jax import models, pretrained
from lesion_jax.pretrained import networks
from lesion_jax.weights.bundle import load_bundle, save_bundle


@pytest.fixture
def root(monkeypatch, tmp_path):
  monkeypatch.setitem(models.MODELS, 'oracle', oracle.Oracle)
  return packaged.empty(monkeypatch, tmp_path)


@pytest.fixture
def bundle(tmp_path):
  config = oracle.oracle_config(data={'name': 'drawn', 'licence': 'CC BY 4.0'})
  save_bundle(tmp_path / 'bundle', config=config, card='', variables={'params': {'gain': np.float32(1)}})
  return tmp_path / 'bundle'


def registry(root):
  """What another process would read."""
  found = runpy.run_path(str(root / 'networks.py'))
  return found['DEFAULT'], found['NETWORKS']


def test_one_command_and_it_is_the_network_that_is_loaded(root, bundle, capsys):
  assert package.main([str(bundle), '--name', 'drawn-1', '--storage', 'int8', '--about', "the oracle's"]) == 0
  default, entries = registry(root)
  assert (default, list(entries)) == ('drawn-1', ['drawn-1'])
  assert entries['drawn-1'] | {'weights_sha256': '', 'config_sha256': ''} == {
      'folder': 'drawn-1', 'about': "the oracle's", 'size': oracle.SIZE, 'storage': 'int8', 'licence': 'CC BY 4.0',
      'weights_sha256': '', 'config_sha256': ''}
  assert (networks.DEFAULT, networks.NETWORKS) == (default, entries)
  assert pretrained.check('drawn-1') == root / 'drawn-1'
  assert load_bundle(root / 'drawn-1').storage == 'int8'
  assert lesion_jax.load().config['data']['name'] == 'drawn'
  assert 'packaged as drawn-1' in capsys.readouterr().out
  assert sorted(path.name for path in root.iterdir()) == ['drawn-1', 'networks.py']


def test_the_registry_keeps_its_description_and_is_code_of_the_house(root, bundle):
  package.write({}, None)
  before = (root / 'networks.py').read_text()
  package.add(bundle, 'a', storage='float16', about='one')
  assert before.splitlines()[0].startswith('"""The networks in this package') and before != (root / 'networks.py').read_text()
  package.remove('a')
  assert (root / 'networks.py').read_text() == before


def test_a_second_one_a_new_version_and_one_less(root, bundle):
  package.add(bundle, 'a', storage='float16', about='one')
  package.add(bundle, 'b', storage='int8', about='two', licence='CC0', default=False)
  assert registry(root)[0] == 'a' and registry(root)[1]['b']['licence'] == 'CC0'
  package.add(bundle, 'b', storage='float16', about='three')
  assert registry(root)[0] == 'b' and registry(root)[1]['b']['about'] == 'three'
  package.remove('b')
  assert registry(root)[0] == 'a' and list(registry(root)[1]) == ['a'] and not (root / 'b').exists()
  package.remove('a')
  assert registry(root) == (None, {})


def test_what_is_too_large_changes_nothing(root, bundle, monkeypatch):
  package.add(bundle, 'a', storage='float16', about='one')
  before = (root / 'networks.py').read_text(), load_bundle(root / 'a').digest
  monkeypatch.setattr(package, 'MOST', package.folder_size(root / 'a') + 1)
  for name in ('b', 'c'):
    with pytest.raises(ValueError, match='would have .* bytes, more than .* --remove one of a'):
      package.add(bundle, name, storage='float16', about='two')
  assert ((root / 'networks.py').read_text(), load_bundle(root / 'a').digest) == before
  assert sorted(path.name for path in root.iterdir()) == ['a', 'networks.py']


@pytest.mark.parametrize('arguments, message', [
    (['--name', 'Net/1', '--about', 'x'], 'small letters, digits'),
    (['--name', 'a', '--about', 'x\ny'], 'one line each'),
    (['--name', 'a'], 'give BUNDLE and --about, or --remove'),
    (['--name', 'a', '--remove'], "no network 'a' is packaged; there are none"),
])
def test_mistakes_end_with_2(root, bundle, capsys, arguments, message):
  with pytest.raises(SystemExit) as stop:
    package.main([*([] if '--remove' in arguments else [str(bundle)]), *arguments])
  assert stop.value.code == 2 and message in capsys.readouterr().err
  assert [path.name for path in root.iterdir()] == ['networks.py']


def test_a_licence_is_needed(root, bundle):
  save_bundle(bundle, config=oracle.oracle_config(), card='', variables={'params': {'gain': np.float32(1)}})
  with pytest.raises(ValueError, match='give --licence'):
    package.add(bundle, 'a', storage='float16', about='x')


def test_a_network_of_landmarks_goes_beside_all_others_and_is_never_the_default(root, bundle, tmp_path):
  package.add(bundle, 'a', storage='float16', about='one')
  marks = landmark_bundle(tmp_path / 'marks', at=(1, 1), data={'name': 'drawn', 'licence': 'CC0'})
  package.add(marks, 'marks', storage='float16', about='two places')
  written = runpy.run_path(str(root / 'networks.py'))
  assert written['DEFAULT'] == 'a' and written['NETWORKS']['a']['landmarks'] == 'marks'
  assert written['LANDMARKS']['marks']['size'] == 32 and list(written['LANDMARKS']) == ['marks']
  package.add(bundle, 'b', storage='float16', about='three')  # networks that come later have it too
  assert networks.NETWORKS['b']['landmarks'] == 'marks'
  assert lesion_jax.load().landmarks is not None
  with pytest.raises(ValueError, match="'marks' is that of a packaged network of another kind"):
    package.add(bundle, 'marks', storage='float16', about='four')
  package.remove('marks')
  assert networks.LANDMARKS == {} and 'landmarks' not in networks.NETWORKS['a'] and not (root / 'marks').exists()
  assert lesion_jax.load().landmarks is None
