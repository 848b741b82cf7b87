"""Test set-up: four simulated CPU devices, and one compilation cache for the whole run."""

import gc
import importlib.metadata
import os
import pathlib
import shutil
import signal
import threading

import pytest

# Before jax is imported anywhere.
os.environ['JAX_PLATFORMS'] = 'cpu'
os.environ['XLA_FLAGS'] = os.environ.get('XLA_FLAGS', '') + ' --xla_force_host_platform_device_count=4'
os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', str(pathlib.Path(__file__).parents[1] / '.cache' / 'jax-tests'))
os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0')
os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES', '-1')
# Most programs here run a few times each, on small shapes: to optimize one takes longer than that saves. `make test-all` optimizes all.
os.environ.setdefault('JAX_DISABLE_MOST_OPTIMIZATIONS', '1')
# Nor does it pay to take fused operations through MLIR: XLA's way of before compiles in a quarter of the time. (A flag that it does not
# know ends the process, and this one will go.)
if os.environ['JAX_DISABLE_MOST_OPTIMIZATIONS'] == '1' and importlib.metadata.version('jaxlib').startswith('0.10.'):
  os.environ['XLA_FLAGS'] += ' --xla_cpu_use_fusion_emitters=false'

# What tracing leaves is many small objects that live on: to look through all of them over and over takes a twentieth of the time.
gc.set_threshold(100_000, 50, 1000)

# A shell lets what it starts in the background ignore Ctrl-C, and so would the programs under test.
if threading.current_thread() is threading.main_thread():
  signal.signal(signal.SIGINT, signal.default_int_handler)


# Files that take longest go first, so that no worker is left with one of them at the end.
LONG = ('test_main', 'test_rethreshold', 'test_processes', 'test_idrid_run', 'test_programs', 'test_mixture_run', 'test_learning', 'test_cli_evaluate',
        'test_folds', 'test_notebooks', 'test_docs', 'test_ask_once', 'test_windows', 'test_cli_predict_again', 'test_to_torch',
        'test_inception_v3_golden', 'test_patience', 'test_places')

# Folders whose tests hold programs against other implementations.
OPTIMIZED = {'cpu', 'golden'}


def pytest_collection_modifyitems(items):
  place = {name: number for number, name in enumerate(LONG)}
  items.sort(key=lambda item: place.get(item.path.stem, len(LONG)))


@pytest.fixture(scope='module')
def shallow_networks():
  """Every network under its own name with the shallow encoder, for all tests of a module."""
  # Imported here: the environment is set by now.
  from tiny import TINY_MODELS

  from lesion_jax import models

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(models, 'MODELS', TINY_MODELS)
    yield


@pytest.fixture(scope='module', autouse=True)
def compilation(request):
  """Programs are optimized where tests hold them against other implementations; `make test` runs these as users have them."""
  if request.path.parent.name not in OPTIMIZED:
    yield
    return
  import jax

  before = jax.config.values['jax_disable_most_optimizations']
  jax.config.update('jax_disable_most_optimizations', False)
  yield
  jax.config.update('jax_disable_most_optimizations', before)


@pytest.fixture
def rng():
  """The same numbers for every test."""
  import numpy as np

  return np.random.default_rng(0)


@pytest.fixture(scope='session')
def real_idrid() -> pathlib.Path:
  """Root of the real subset of IDRiD beside the project, where it exists."""
  root = pathlib.Path(__file__).parents[2] / 'shared' / 'data' / 'idrid'
  if not root.is_dir():
    pytest.skip(f'the IDRiD subset is not at {root}')
  return root


@pytest.fixture(scope='module')
def browser():
  """A headless Chromium driven by playwright; skipped, with a reason, where either is missing."""
  playwright = pytest.importorskip('playwright.sync_api', reason='playwright is not installed (extra browser)')
  program = shutil.which('chromium') or shutil.which('google-chrome')
  if program is None:
    pytest.skip('there is neither chromium nor google-chrome')
  with playwright.sync_playwright() as started:
    chromium = started.chromium.launch(executable_path=program, args=['--no-sandbox'])
    yield chromium
    chromium.close()
