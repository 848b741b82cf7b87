"""Programs kept between processes: the same answer without tracing, never a stale or a foreign one."""

from __future__ import annotations

import os

import jax
import numpy as np
import oracle
import pytest

from lesion_jax import models
from lesion_jax.models import get_model
from lesion_jax.predict import load, loading, programs
from lesion_jax.weights.bundle import save_bundle
from lesion_jax.weights.initialize import initialize

SIZE = 32
MODEL = {'name': 'lesion_net_32s'}

pytestmark = pytest.mark.usefixtures('shallow_networks', 'shallow_is_ours')


@pytest.fixture
def shallow_is_ours(monkeypatch):
  monkeypatch.setattr(programs, 'OURS', (*programs.OURS, 'tiny'))


@pytest.fixture
def cache(tmp_path):
  """A cache of compiled programs of the test's own."""
  before = jax.config.jax_compilation_cache_dir
  jax.config.update('jax_compilation_cache_dir', str(tmp_path / 'cache'))
  yield tmp_path / 'cache' / programs.FOLDER
  jax.config.update('jax_compilation_cache_dir', before)


@pytest.fixture
def bundle(tmp_path):
  return make_bundle(tmp_path / 'bundle')


def make_bundle(path, seed=0, **changes):
  config = oracle.oracle_config(model=MODEL, preprocessing={'size': SIZE, 'crop': 'square'}) | changes
  example = jax.ShapeDtypeStruct((1, SIZE, SIZE, 3), np.uint8)
  save_bundle(path, config=config, card='', variables=initialize(get_model(**MODEL), example, seed))
  return path


@pytest.fixture
def photograph():
  return np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)


@pytest.fixture
def forbid_tracing(monkeypatch):
  def forbid(model):
    def predict_fn(variables, images):
      raise AssertionError(f'{type(model).__name__} was traced')
    return predict_fn
  return lambda: monkeypatch.setattr(loading, 'forward', forbid)


@pytest.mark.parametrize('tta', [None, 'flips'])
def test_the_second_process_answers_the_same_without_tracing(cache, bundle, photograph, forbid_tracing, tta):
  first = load(bundle, tta=tta)(photograph)
  assert len(list(cache.iterdir())) == 1
  forbid_tracing()
  second = load(bundle, tta=tta)(photograph)
  for head in ('maps', 'lesions'):
    np.testing.assert_array_equal(getattr(first, head), getattr(second, head))
  assert second.grades is None and second.attention is None


def test_the_second_process_finds_it_whatever_the_umask(cache, bundle, forbid_tracing):
  cache.parent.mkdir(exist_ok=True)
  before = os.umask(0o002)
  try:
    load(bundle)
    forbid_tracing()
    assert load(bundle).program is not None
  finally:
    os.umask(before)


def test_an_ensemble_is_kept_as_one(cache, bundle, tmp_path, photograph, forbid_tracing):
  other = make_bundle(tmp_path / 'other', seed=1)
  first = load([bundle, other])(photograph)
  forbid_tracing()
  np.testing.assert_array_equal(load([bundle, other])(photograph).maps, first.maps)


def test_other_weights_take_the_same_program(cache, bundle, tmp_path, photograph):
  other = make_bundle(tmp_path / 'other', seed=1)
  a, b = load(bundle)(photograph), load(other)(photograph)
  assert len(list(cache.iterdir())) == 1
  assert np.abs(a.maps - b.maps).max() > 1e-3
  np.testing.assert_allclose(b.maps, load(other)([photograph, photograph], batch_size=2).maps[:1], atol=1e-6)


@pytest.mark.parametrize('change', [{'tta': 'flips'}, {'dtype': 'bfloat16'}])
def test_what_changes_the_computation_has_a_program_of_its_own(cache, bundle, change):
  load(bundle)
  load(bundle, **change)
  assert len(list(cache.iterdir())) == 2


def test_changed_code_is_traced_anew(cache, bundle, monkeypatch):
  load(bundle)
  monkeypatch.setattr(programs, '_digest_code', lambda: 'another version')
  load(bundle)
  assert len(list(cache.iterdir())) == 2


@pytest.mark.parametrize('damage', [
    lambda data: b'', lambda data: data[:len(data) // 2], lambda data: data[:-1] + bytes([data[-1] ^ 1])])
def test_a_damaged_program_is_traced_anew(cache, bundle, photograph, damage):
  found = load(bundle)(photograph)
  kept, = cache.iterdir()
  kept.write_bytes(damage(kept.read_bytes()))
  np.testing.assert_array_equal(load(bundle)(photograph).maps, found.maps)
  assert programs.read(kept)  # and kept again


def test_a_network_of_another_library_is_not_kept(cache, tmp_path, monkeypatch):
  """Nobody would see that its code has changed."""
  monkeypatch.setitem(models.MODELS, 'oracle', oracle.Oracle)
  save_bundle(tmp_path / 'foreign', config=oracle.oracle_config(), card='',
              variables={'params': {'gain': np.float32(1)}})
  assert load(tmp_path / 'foreign').program is None
  assert not cache.exists()


def test_nothing_is_kept_where_there_is_no_place_for_it(cache, bundle, photograph):
  cache.parent.parent.joinpath('cache').write_text('a file')
  predictor = load(bundle)
  assert predictor.program is None
  assert predictor(photograph).maps.shape == (1, SIZE, SIZE, 8)
