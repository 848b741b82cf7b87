"""Networks, losses and data sets of other packages: registered by a module, which is imported by name or as an entry point."""

from __future__ import annotations

import functools
import importlib
import json
import sys
import textwrap

import numpy as np
import oracle
import pytest
from tiny import TinyEncoder

import lesion_jax
from lesion_jax import cli, losses, models, plugins
from lesion_jax.data import registry
from lesion_jax.models import LesionNet
from lesion_jax.weights.bundle import save_bundle

MODULE = '''
    import sys
    sys.path.insert(0, {tests!r})
    import oracle
    import lesion_jax

    class Theirs(oracle.Oracle):
      """The oracle with a field of its own."""

      depth: int = 2

    lesion_jax.register_model('theirs', Theirs)
'''


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
  """What is registered is taken back, and modules are forgotten."""
  for room, name in ((models, 'MODELS'), (losses, 'LOSSES'), (losses, 'CRITERIA'), (registry, 'DATASETS')):
    for key, value in getattr(room, name).items():
      monkeypatch.setitem(getattr(room, name), key, value)
    monkeypatch.setattr(room, name, dict(getattr(room, name)))
  monkeypatch.setattr(sys, 'path', list(sys.path))
  before = set(sys.modules)
  yield
  for name in {name for name in set(sys.modules) - before if name.startswith(('theirs', 'clinic_networks'))}:
    del sys.modules[name]


@pytest.fixture
def package(tmp_path, monkeypatch):
  """An installed package whose entry point 'theirs' names the module `clinic_networks`; returns its folder."""
  site = tmp_path / 'site'
  (site / 'clinic-1.0.dist-info').mkdir(parents=True)
  (site / 'clinic-1.0.dist-info' / 'METADATA').write_text('Metadata-Version: 2.1\nName: clinic\nVersion: 1.0\n')
  (site / 'clinic-1.0.dist-info' / 'entry_points.txt').write_text('[lesion_jax.models]\ntheirs = clinic_networks\n')
  write_module(site / 'clinic_networks.py')
  monkeypatch.syspath_prepend(str(site))
  importlib.invalidate_caches()
  return site


def write_module(path):
  path.write_text(textwrap.dedent(MODULE.format(tests=str(importlib.import_module('oracle').__file__.rpartition('/')[0]))))


def save_theirs(path, **changes):
  config = oracle.oracle_config(model={'name': 'theirs', 'depth': 3}, **changes)
  save_bundle(path, config=config, card='', variables={'params': {'gain': np.float32(1)}})
  return path


class TestRegistering:

  def test_a_network_is_known_by_its_name_with_its_fields(self):
    lesion_jax.register_model('slim', functools.partial(LesionNet, stride=8, width=0.5, encoder=TinyEncoder))
    assert models.get_model('slim', remat=True).remat and models.get_model('slim').stride == 8
    assert models.get_settings('slim') == models.get_settings('lesion_net_8s') | {'width': 0.5}
    assert 'encoder' not in models.get_settings('slim')
    assert models.get_imports({'name': 'multitask', 'lesion': {'name': 'slim'}}) == ['lesion_jax.models.lesion_net']
    assert models.get_imports({'name': 'multitask', 'lesion': {'name': 'unet'}}) == []

  def test_another_thing_of_the_same_name_is_refused_and_the_same_is_not(self):
    with pytest.raises(ValueError, match="there is a model 'unet' already"):
      lesion_jax.register_model('unet', LesionNet)
    lesion_jax.register_model('slim', LesionNet)
    lesion_jax.register_model('slim', LesionNet)
    with pytest.raises(ValueError, match="there is a data set 'idrid' already"):
      lesion_jax.register_dataset('idrid', registry.DATASETS['ddr'])
    with pytest.raises(ValueError, match="there is a loss 'dice' already"):
      lesion_jax.register_loss('dice', losses.LOSSES['focal'], criterion='aupr')

  @pytest.mark.parametrize(('register', 'error', 'message'), [
      (lambda: lesion_jax.register_model('a-b', LesionNet), ValueError, "'a-b' cannot name a model"),
      (lambda: lesion_jax.register_model('slim', LesionNet()), TypeError, 'is no class of Flax modules'),
      (lambda: lesion_jax.register_loss('brier', max, criterion='aupr'), TypeError, 'is no loss; make one of two functions'),
      (lambda: lesion_jax.register_loss('brier', losses.LOSSES['dice'], criterion='loss'), ValueError,
       "unknown criterion 'loss'; the best network can be chosen by pixel_f1"),
      (lambda: lesion_jax.register_dataset('mine', dict), TypeError, 'is no builder'),
      (lambda: lesion_jax.register_dataset('mine', registry.DATASETS['ddr']), ValueError,
       "'mine' is not the name of the builder Ddr, under which its data are prepared; that is 'ddr'"),
  ])
  def test_what_cannot_be_is_told(self, register, error, message):
    with pytest.raises(error, match=message):
      register()


class TestImporting:

  def test_the_option_imports_a_module_of_the_current_folder(self, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_module(tmp_path / 'theirs_alone.py')
    bundle = save_theirs(tmp_path / 'bundle', imports=['theirs_alone'])
    with pytest.raises(ValueError, match="the network 'theirs' is not part of lesion_jax but of theirs_alone, which was not"):
      lesion_jax.load(bundle)
    assert 'theirs_alone' not in sys.modules
    assert cli.main(['info', str(bundle), '--import', 'theirs_alone', '--json']) == 0
    assert json.loads(capsys.readouterr().out)['model'] == {'name': 'theirs', 'depth': 3}
    assert lesion_jax.load(bundle)(oracle.photograph(grade=2)).grades.argmax() == 2

  @pytest.mark.parametrize(('name', 'message'), [
      ('theirs_nowhere', "--import: the module theirs_nowhere cannot be imported: ModuleNotFoundError: No module named 'theirs_no"),
      ('theirs.py:x', "--import: 'theirs.py:x' is not the name of a module"),
  ])
  def test_a_module_that_there_is_not_is_an_error_of_one_line(self, name, message, capsys):
    with pytest.raises(SystemExit) as stop:
      cli.main(['info', '--import', name])
    assert stop.value.code == 2 and message in capsys.readouterr().err

  @pytest.mark.parametrize('imports', ['os', ['os; rm'], [1]])
  def test_a_bundle_that_names_no_modules_is_refused(self, tmp_path, imports):
    with pytest.raises(ValueError, match='imports is .* it must be a list of names of modules'):
      lesion_jax.load(save_theirs(tmp_path / 'bundle', imports=imports))


class TestEntryPoints:

  def test_a_network_of_an_installed_package_is_known(self, package, tmp_path):
    assert 'clinic_networks' not in sys.modules
    bundle = save_theirs(tmp_path / 'bundle', imports=['clinic_networks'])
    assert lesion_jax.load(bundle)(oracle.photograph(grade=3)).grades.argmax() == 3
    assert models.get_settings('theirs') == {'depth': 2} | {'heads': ('maps', 'grades')}

  def test_an_unknown_name_lists_it_and_imports_nothing(self, package):
    with pytest.raises(ValueError, match="unknown model 'thiers'; the models are .*, theirs$"):
      models.get_model('thiers')
    assert 'clinic_networks' not in sys.modules

  def test_a_module_that_does_not_register_the_name_is_told(self, package):
    (package / 'clinic_networks.py').write_text('')
    with pytest.raises(ValueError, match="imports clinic_networks, which does not register a model 'theirs'"):
      models.get_model('theirs')

  def test_none_is_looked_for_where_the_name_is_known(self, monkeypatch):
    monkeypatch.setattr(plugins.importlib.metadata, 'entry_points', lambda **unused: pytest.fail('it was looked for'))
    assert models.get_model('unet')
