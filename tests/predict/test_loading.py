"""`lesion_jax.load`: archives, and what its caller may choose; what cannot be is said with what can."""

from __future__ import annotations

import shutil

import jax
import numpy as np
import oracle
import pytest
import tiny
from oracle import GREEN, photograph

import lesion_jax
from lesion_jax import runtime
from lesion_jax.predict import load, loading
from lesion_jax.weights.bundle import save_bundle

SPOT = photograph(lesions=[(GREEN, (100, 80, 129, 119))])


def test_an_archive_predicts_as_its_bundle(make_bundle, predictor, tmp_path):
  shutil.make_archive(str(tmp_path / 'packed'), 'zip', root_dir=make_bundle())
  packed = load(tmp_path / 'packed.zip')
  assert packed.config == predictor.config
  np.testing.assert_array_equal(packed(SPOT).maps, predictor(SPOT).maps)


def test_what_the_caller_of_another_predictor_chose_is_not_taken_from_a_bundle(make_bundle):
  """As of one that was saved with the configuration of a predictor."""
  chosen = {'tta': 'flips', 'backend': 'onnxruntime', 'operating_point': 'careful'}
  predictor = load(make_bundle(**chosen))
  assert not predictor.config.keys() & chosen and predictor.config == load(make_bundle('other')).config


@pytest.mark.parametrize('kind', [np.float16, jax.numpy.bfloat16, np.float64])
def test_parameters_are_float32_however_they_were_saved(make_bundle, kind):
  path = make_bundle()
  save_bundle(path, config=oracle.oracle_config(), card='', variables={'params': {'gain': np.asarray(1.5, kind)}})
  for variables in (load(path).variables, lesion_jax.load_model(path).variables):
    assert variables['params']['gain'].dtype == np.float32 and variables['params']['gain'] == 1.5


@pytest.mark.parametrize('members, tta', [(1, None), (1, 'flips'), (2, None), (2, 'flips')])
def test_each_network_is_traced_once_until_the_first_answers(make_bundle, monkeypatch, members, tta):
  """Tracing is most of what an answer waits for when the program is in the cache."""
  traced, forward = [], loading.forward

  def counting(model):
    predict_fn = forward(model)
    return lambda *arguments: traced.append(model) or predict_fn(*arguments)

  monkeypatch.setattr(loading, 'forward', counting)
  predictor = load([make_bundle(str(number)) for number in range(members)], tta=tta)
  predictor(SPOT)
  predictor([SPOT, SPOT])
  assert len(traced) == members


class TestDtype:

  MULTITASK = {'name': 'multitask', 'lesion': {'name': 'lesion_net_32s'}}

  def test_it_is_that_of_the_computation_in_every_part(self, make_tiny_bundle):
    path = make_tiny_bundle(self.MULTITASK)
    images = tiny.random_batch(seed=0, rows=1)['image']
    exact, rounded = load(path), load(path, dtype='bfloat16')
    assert rounded.config['model'] == {
        'name': 'multitask', 'dtype': 'bfloat16', 'lesion': {'name': 'lesion_net_32s', 'dtype': 'bfloat16'}}
    assert 'dtype' not in exact.config['model']
    assert {x.dtype for x in jax.tree.leaves(rounded.variables)} == {np.dtype(np.float32)}
    for head in ('maps', 'grades'):
      a, b = getattr(exact(images), head), getattr(rounded(images), head)
      assert b.dtype == np.float32 and 0 < np.abs(a - b).max() < 0.05, head

  def test_another_is_refused(self, make_bundle):
    with pytest.raises(ValueError, match="unknown dtype 'float16'; choose one of float32, bfloat16"):
      load(make_bundle(), dtype='float16')


class TestDevice:

  @pytest.mark.parametrize('name, position', [('cpu', 0), ('cpu:2', 2), (jax.devices()[1], 1)])
  def test_everything_is_there(self, make_bundle, name, position):
    predictor = load(make_bundle(), device=name)
    found = predictor.predict_fn(predictor.variables, np.zeros((1, oracle.SIZE, oracle.SIZE, 3), np.uint8))
    for array in (*jax.tree.leaves(predictor.variables), found.maps):
      assert array.devices() == {jax.devices()[position]}

  @pytest.mark.parametrize('name', ['gpu', 'cuda:1', 'cpu:9', 'cpu:-1', 'cpu:x', '', 'abacus'])
  def test_one_that_is_not_there_is_said_with_those_that_are(self, make_bundle, name):
    with pytest.raises(ValueError, match=f"there is no device '{name}'; there are cpu:0, cpu:1, cpu:2, cpu:3"):
      load(make_bundle(), device=name)


class TestThresholds:

  def test_one_for_all(self, make_bundle):
    assert load(make_bundle(), thresholds=0.3).thresholds.tolist() == [0.3] * 8

  def test_by_lesion_the_others_keep_the_bundles(self, make_bundle):
    path = make_bundle(thresholds=oracle.oracle_config()['thresholds'] | {'HaEx': 0.25, 'NV': 0.4})
    predictor = load(path, thresholds={'NV': 0.7, 'MA': 0.1})
    assert predictor.thresholds.tolist() == [0.1, 0.5, 0.25, 0.5, 0.5, 0.5, 0.7, 0.5]
    assert predictor.config['thresholds']['MA'] == 0.1

  @pytest.mark.parametrize('thresholds, message', [
      (50, 'the threshold of MA is 50; it must be a probability above 0 and below 1'),
      ({'HaEx': 'high'}, "the threshold of HaEx is 'high'"),
      ({'drusen': 0.5}, 'there is no lesion drusen to set a threshold for; the lesions are MA, iHE'),
  ])
  def test_others_are_refused(self, make_bundle, thresholds, message):
    with pytest.raises(ValueError, match=message):
      load(make_bundle(), thresholds=thresholds)


class TestMisfits:

  def test_weights_of_another_network(self, make_bundle):
    path = make_bundle()
    save_bundle(path, config=oracle.oracle_config(), variables={'params': {'loss': np.float32(1)}}, card='')
    with pytest.raises(ValueError, match=r'bundle: config\.json and the weights do not make a network: .*"gain"'):
      load(path)

  @pytest.mark.parametrize('fields', [
      {'name': 'lesion_net_32s', 'width': 'wide'}, {'name': 'lesion_net_32s', 'encoder': 'os.system'},
      {'name': 'lesion_net_32s', 'width': 1e9}, {'name': 'multitask', 'lesion': {'stride': 32}}, {'name': 'no_net'}])
  def test_a_configuration_of_no_network(self, make_bundle, fields):
    with pytest.raises(ValueError, match=r'config\.json and the weights do not make a network'):
      load(make_bundle(model=fields))

  def test_no_bundle_at_all(self):
    with pytest.raises(ValueError, match='no bundle came'):
      load([])


class TestCache:

  @pytest.fixture
  def chosen(self):
    before = jax.config.jax_compilation_cache_dir
    yield lambda path: jax.config.update('jax_compilation_cache_dir', path)
    jax.config.update('jax_compilation_cache_dir', before)

  def test_loading_turns_it_on(self, make_bundle, chosen, monkeypatch, tmp_path):
    monkeypatch.setenv('JAX_COMPILATION_CACHE_DIR', str(tmp_path / 'programs'))
    chosen(None)
    load(make_bundle())
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / 'programs') == str(runtime.cache_dir())

  def test_a_place_that_the_program_chose_stays(self, make_bundle, chosen, tmp_path):
    chosen(str(tmp_path / 'mine'))
    load(make_bundle())
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / 'mine')
