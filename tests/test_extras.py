"""What is said where an extra is missing, and what works without the extra of training."""

from __future__ import annotations

import configparser
import pathlib
import subprocess
import sys

import pytest

from lesion_jax import cli
from lesion_jax.extras import MissingExtra, needs, require

ROOT = pathlib.Path(__file__).parents[1]
TRAINING = ('array_record', 'clu', 'grain', 'matplotlib', 'ml_collections', 'tensorboardX', 'tensorflow_datasets')


def test_a_missing_package_names_the_extra():
  with pytest.raises(MissingExtra, match=r"nowhere_at_all is not installed: pip install 'lesion_jax\[train\]'") as error:
    require('train', 'json', 'nowhere_at_all')
  assert error.value.name == 'nowhere_at_all'


def test_a_mistake_of_the_library_stays_what_it_is():
  with pytest.raises(ModuleNotFoundError) as error, needs('train'):
    import lesion_jax.nowhere  # noqa: F401
  assert type(error.value) is ModuleNotFoundError
  with pytest.raises(MissingExtra, match=r'lesion_jax\[inner\]'), needs('outer'), needs('inner'):
    import nowhere_at_all  # noqa: F401


def test_a_command_that_lacks_it_says_so_in_a_line(monkeypatch, capsys):

  def lacking(arguments, parser):
    raise MissingExtra("grain is not installed: pip install 'lesion_jax[train]'")

  monkeypatch.setattr('lesion_jax.cli.info._info', lacking)
  assert cli.main(['info']) == 2
  assert capsys.readouterr().err == (
      "error: grain is not installed: pip install 'lesion_jax[train]'; this command needs more than prediction does\n")


def test_training_that_lacks_it_says_so_in_a_line():
  program = (f'import runpy, sys\nfor name in {TRAINING}: sys.modules[name] = None\n'
             "runpy.run_module('lesion_jax.main', run_name='__main__')")
  done = subprocess.run([sys.executable, '-c', program], cwd=ROOT, capture_output=True, text=True, timeout=300)
  assert done.returncode == 2 and 'Traceback' not in done.stderr
  assert done.stderr.endswith("is not installed: pip install 'lesion_jax[train]'; training needs more than prediction does\n")


def test_prediction_needs_nothing_of_the_extra():
  """In a process in which none of it can be imported, what loads and predicts is imported all the same."""
  program = (f'import sys\nfor name in {TRAINING}: sys.modules[name] = None\n'
             'import lesion_jax, lesion_jax.bulk.run, lesion_jax.data.synthetic, lesion_jax.export\n'
             'lesion_jax.load, lesion_jax.load_model, lesion_jax.Predictor, lesion_jax.prepare, lesion_jax.losses\n'
             'try:\n  lesion_jax.register_dataset\nexcept ImportError as error:\n  print(error)')
  done = subprocess.run([sys.executable, '-c', program], cwd=ROOT, capture_output=True, text=True, timeout=300)
  assert done.returncode == 0, done.stderr
  assert done.stdout.endswith("is not installed: pip install 'lesion_jax[train]'\n")


def test_the_extras_are_those_of_the_installation():
  setup = configparser.ConfigParser()
  setup.read(ROOT / 'setup.cfg', 'utf-8')
  extras = setup['options.extras_require']
  assert 'lesion_jax[train]' in extras['test']
  train = {line.split()[0].replace('-', '_') for line in extras['train'].split('\n') if line}
  assert {name.lower() for name in TRAINING} <= {name.lower() for name in train}
  assert not train & {line.split()[0].replace('-', '_') for line in setup['options']['install_requires'].split('\n') if line}
