"""The public interface: what it names, held to a text in which a change shows."""

import ast
import inspect
import pathlib
import subprocess
import sys

import jax
import numpy as np
import oracle
import public_api
import pytest

import lesion_jax
from lesion_jax import core, losses, metrics, models
from lesion_jax.weights.bundle import save_bundle

ROOT = pathlib.Path(lesion_jax.__file__).parents[1]
# Arrays that a metric or a loss takes, which have a default and may be given by place.
DATA = {'mask', 'known', 'thresholds', 'path', 'bundle'}


@pytest.fixture
def bundle(tmp_path, monkeypatch):
  """A bundle of the oracle."""
  monkeypatch.setitem(models.MODELS, 'oracle', oracle.Oracle)
  save_bundle(tmp_path / 'bundle', config=oracle.oracle_config(), card='', variables={'params': {'gain': np.float32(2)}})
  return tmp_path / 'bundle'


def test_names_and_signatures_are_those_that_are_written_down():
  written = (pathlib.Path(__file__).parent / 'public_api.txt').read_text('utf-8').splitlines()
  assert public_api.describe() == written, 'if this is meant: python tests/public_api.py > tests/public_api.txt'


def test_what_a_type_checker_sees_is_what_there_is():
  tree = ast.parse((ROOT / 'lesion_jax' / '__init__.py').read_text('utf-8'))
  block, = (node for node in tree.body if isinstance(node, ast.If))
  seen = {alias.name for node in block.body for alias in node.names}
  assert seen | {'__version__'} == set(lesion_jax.__all__)
  for node in block.body:
    module = __import__(node.module, fromlist=['*'])
    for alias in node.names:
      found, static = getattr(lesion_jax, alias.name), getattr(module, alias.name)
      assert found is static or inspect.signature(found) == inspect.signature(static)
  assert set(lesion_jax.__all__) <= set(dir(lesion_jax))
  assert (ROOT / 'lesion_jax' / 'py.typed').is_file()


def test_help_is_there_without_the_extra_of_training():
  code = ("import sys; sys.modules |= dict.fromkeys(['tensorflow_datasets', 'grain', 'ml_collections', 'orbax', 'clu', 'matplotlib'])\n"
          "import importlib.util as util, pydoc; find = util.find_spec\n"
          "util.find_spec = lambda name, *more: None if name in sys.modules and sys.modules[name] is None else find(name, *more)\n"
          "import lesion_jax; text = pydoc.plain(pydoc.render_doc(lesion_jax)); assert 'load(' in text and 'export' in dir(lesion_jax)")
  done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False)
  assert done.returncode == 0, done.stderr


def test_an_unknown_name_is_an_attribute_error():
  with pytest.raises(AttributeError, match="module 'lesion_jax' has no attribute 'laod'"):
    lesion_jax.laod  # noqa: B018


def test_options_are_given_by_name():
  for room in (lesion_jax, losses, metrics, core):
    for name in room.__all__:
      found = getattr(room, name)
      if inspect.isfunction(found) or hasattr(found, '__signature__'):
        by_place = {one.name for one in inspect.signature(found).parameters.values()
                    if one.kind is one.POSITIONAL_OR_KEYWORD and one.default is not one.empty}
        assert by_place <= DATA, name


@pytest.mark.parametrize(('name', 'inside'), [('evaluate', 'full_report'), ('export', 'FORMATS')])
def test_a_room_of_the_same_name_can_be_called(name, inside):
  """Python puts the room there as soon as anything imports it, so it is the room that is called."""
  found = getattr(lesion_jax, name)
  assert found is sys.modules[f'lesion_jax.{name}'] and hasattr(found, inside)
  assert callable(found) and not callable(core)
  assert [one.kind for one in inspect.signature(found).parameters.values()][-1] is not inspect.Parameter.VAR_POSITIONAL


def test_a_bundle_becomes_a_module_and_its_variables(bundle):
  module, variables = lesion_jax.load_model(bundle)
  image = oracle.photograph(64, 64, grade=2, center=(32, 32), radius=30)[None]
  outputs = module.apply(variables, image, train=False)
  assert outputs.grades.argmax() == 2
  predictor = lesion_jax.load(bundle)
  np.testing.assert_array_equal(jax.nn.sigmoid(outputs.maps), predictor.predict_fn(predictor.variables, image).maps)
  assert isinstance(module, oracle.Oracle) and type(variables['params']['gain']) is np.ndarray


def test_a_bundle_of_other_weights_is_no_model(bundle):
  save_bundle(bundle, config=oracle.oracle_config(), card='', variables={'params': {'gian': np.float32(2)}})
  with pytest.raises(ValueError, match='do not make a network'):
    lesion_jax.load_model(bundle)
  with pytest.raises(ValueError, match="unknown dtype 'float16'; choose one of float32, bfloat16"):
    lesion_jax.load_model(bundle, dtype='float16')


def test_a_bundle_is_exported_by_its_path(bundle, tmp_path):
  differences = lesion_jax.export(bundle, to='stablehlo', out=tmp_path / 'exported')
  assert set(differences) == {'maps', 'lesions', 'grades'} and max(differences.values()) < 1e-4
  assert (tmp_path / 'exported' / 'README.md').is_file()
  with pytest.raises(ValueError, match="unknown format 'caffe'"):
    lesion_jax.export(bundle, to='caffe', out=tmp_path / 'other')
  with pytest.raises(FileNotFoundError, match='not a bundle'):
    lesion_jax.export(tmp_path / 'none', to='torch', out=tmp_path / 'other')
