"""The onnxruntime backend says what JAX says, from a graph that was made here and nowhere else."""

from __future__ import annotations

import os
import shutil
import sys
import types

import jax
import numpy as np
import oracle
import pytest

from lesion_jax.core import LESION_KEYS
from lesion_jax.predict import load, onnx_graph
from lesion_jax.weights.bundle import load_bundle, save_bundle
from lesion_jax.weights.initialize import initialize

SIZE = 32
LESION = {'name': 'lesion_net_32s', 'width': 1 / 16}
MODEL = {'name': 'multitask', 'width': 1 / 16, 'lesion': LESION}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
  monkeypatch.setenv('JAX_COMPILATION_CACHE_DIR', str(tmp_path / 'cache'))
  return tmp_path / 'cache' / onnx_graph.FOLDER


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
  from lesion_jax.models import get_model

  path = tmp_path_factory.mktemp('saved') / 'bundle'
  config = oracle.oracle_config(model=MODEL, preprocessing={'size': SIZE, 'crop': 'square'})
  example = jax.ShapeDtypeStruct((1, SIZE, SIZE, 3), np.uint8)
  save_bundle(path, config=config, card='', variables=initialize(get_model(**MODEL), example, 0))
  return path


@pytest.fixture
def bundle(saved, tmp_path):
  return shutil.copytree(saved, tmp_path / 'bundle')


@pytest.mark.slow
def test_it_says_what_jax_says_and_makes_its_graph_once(bundle, cache, monkeypatch):
  for package in ('torch', 'onnx', 'onnxscript', 'onnxruntime'):
    pytest.importorskip(package)
  images = np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 3), np.uint8)
  config = load_bundle(bundle).config | {'presence': {'rule': 'top500', 'thresholds': dict.fromkeys(LESION_KEYS, 0.49)}}
  save_bundle(bundle, config=config, card='', variables=load_bundle(bundle).variables)
  expected, found = load(bundle)(images), load(bundle, backend='onnxruntime', thresholds=0.3)
  assert found.rule.name == 'top500' and load(bundle, backend='onnxruntime', rule='maximum').rule.name == 'maximum'
  assert found.config['backend'] == 'onnxruntime' and found.thresholds.tolist() == [0.3] * 8
  for batch_size in (1, 2):
    answer = found(images, batch_size=batch_size)
    for head in ('maps', 'lesions', 'grades', 'attention'):
      np.testing.assert_allclose(getattr(answer, head), getattr(expected, head), atol=1e-5, err_msg=head)
    np.testing.assert_allclose(answer.presence, expected.presence, atol=1e-5)
  assert len(list(cache.iterdir())) == 1

  monkeypatch.setattr(onnx_graph, 'make_graph', lambda bundle, folder: pytest.fail('made again'))
  monkeypatch.setitem(sys.modules, 'torch', None)
  again = load(bundle, backend='onnxruntime')(images)
  np.testing.assert_array_equal(again.maps, answer.maps)


@pytest.mark.slow
def test_by_windows_too(tmp_path):
  for package in ('torch', 'onnx', 'onnxscript', 'onnxruntime'):
    pytest.importorskip(package)
  from lesion_jax.models import get_model

  preprocessing = {'size': 160, 'crop': 'square', 'window': 96}
  variables = initialize(get_model(**LESION), jax.ShapeDtypeStruct((1, 160, 160, 3), np.uint8), 0)
  save_bundle(tmp_path / 'crops', config=oracle.oracle_config(model=LESION, preprocessing=preprocessing), card='',
              variables=variables)
  images = np.random.default_rng(0).integers(0, 256, (2, 160, 160, 3), np.uint8)
  expected, found = load(tmp_path / 'crops')(images), load(tmp_path / 'crops', backend='onnxruntime')(images)
  np.testing.assert_allclose(found.maps, expected.maps, atol=1e-5)
  np.testing.assert_allclose(found.lesions, expected.lesions, atol=1e-5)


@pytest.fixture
def written(tmp_path):
  (tmp_path / 'made').mkdir()
  for name in (onnx_graph.GRAPH, onnx_graph.WEIGHTS):
    (tmp_path / 'made' / name).write_bytes(b'of a graph: ' + name.encode())
  return tmp_path / 'made'


@pytest.mark.parametrize('name', [onnx_graph.GRAPH, onnx_graph.WEIGHTS, onnx_graph.DIGESTS])
@pytest.mark.parametrize('damage', [
    lambda data: None, lambda data: b'', lambda data: data[:-3], lambda data: data[:10] + bytes([data[10] ^ 1]) + data[11:]])
def test_a_damaged_graph_is_written_again(bundle, written, name, damage):
  place = onnx_graph.find_place(load_bundle(bundle))
  assert not onnx_graph.is_whole(place)
  assert onnx_graph.keep(place, written) and onnx_graph.is_whole(place)
  rest = damage((place / name).read_bytes())
  (place / name).unlink()
  if rest is not None:
    (place / name).write_bytes(rest)
  assert not onnx_graph.is_whole(place)
  assert onnx_graph.keep(place, written) and onnx_graph.is_whole(place)
  assert (place / onnx_graph.GRAPH).read_bytes() == (written / onnx_graph.GRAPH).read_bytes()
  assert [item.name for item in place.parent.iterdir()] == [place.name]


def test_a_graph_is_kept_whatever_the_umask_but_nowhere_where_others_may_write(bundle, cache, written):
  place, before = onnx_graph.find_place(load_bundle(bundle)), os.umask(0o002)
  try:
    assert onnx_graph.keep(place, written) and onnx_graph.is_whole(place)
  finally:
    os.umask(before)
  place.parent.chmod(0o777)
  assert not onnx_graph.keep(place, written)


def test_a_graph_that_came_with_the_bundle_is_not_looked_at(bundle, cache, monkeypatch):
  pytest.importorskip('onnxruntime')
  (bundle / 'model.onnx').write_bytes(b'of a stranger')
  monkeypatch.setattr(onnx_graph, 'make_graph', lambda bundle, folder: (_ for _ in ()).throw(RuntimeError('made here')))
  with pytest.raises(RuntimeError, match='made here'):
    load(bundle, backend='onnxruntime')


def test_other_weights_networks_and_sizes_have_a_graph_of_their_own(bundle):
  found = load_bundle(bundle)
  places = {onnx_graph.find_place(one) for one in (
      found, type(found)(found.config, {}, 'another digest'),
      type(found)(found.config | {'model': LESION}, {}, found.digest),
      type(found)(found.config | {'preprocessing': {'size': 64, 'crop': 'square'}}, {}, found.digest),
      type(found)(found.config | {'preprocessing': {'size': 640, 'crop': 'square', 'window': 96}}, {}, found.digest))}
  assert len(places) == 5


def test_where_it_cannot_be_kept_it_is_used_all_the_same(bundle, cache, monkeypatch):
  monkeypatch.setitem(sys.modules, 'onnxruntime', types.ModuleType('onnxruntime'))
  monkeypatch.setattr(onnx_graph, 'make_graph', lambda bundle, folder: (folder / onnx_graph.GRAPH).write_text('a graph'))
  cache.parent.write_text('a file')
  folder = onnx_graph.find_graph(load_bundle(bundle))
  assert (folder / onnx_graph.GRAPH).read_text() == 'a graph' and cache not in folder.parents


@pytest.mark.parametrize('options, message', [
    ({'tta': 'flips'}, 'test-time augmentation'), ({'dtype': 'bfloat16'}, "dtype 'bfloat16'"), ({'device': 'gpu'}, "device 'gpu'")])
def test_what_it_does_not_do_is_refused(bundle, options, message):
  with pytest.raises(ValueError, match=f'the onnxruntime backend does not do {message}: it runs one network on the CPU'):
    load(bundle, backend='onnxruntime', **options)


def test_ensembles_and_other_backends_are_refused(bundle):
  with pytest.raises(ValueError, match='does not do an ensemble'):
    load([bundle, bundle], backend='onnxruntime')
  with pytest.raises(ValueError, match="unknown backend 'tvm'; choose one of jax, onnxruntime"):
    load(bundle, backend='tvm')


def test_where_onnxruntime_is_missing_the_command_is_said(bundle, monkeypatch):
  monkeypatch.setitem(sys.modules, 'onnxruntime', None)
  with pytest.raises(ImportError, match=r"pip install 'lesion_jax\[onnxruntime\]'"):
    load(bundle, backend='onnxruntime')
