"""A network asked by windows answers for the whole square, in every way in which networks are asked."""

from __future__ import annotations

import sys
import types

import jax
import numpy as np
import oracle
import pytest
import tiny

from lesion_jax import models
from lesion_jax.core import Prediction
from lesion_jax.cpu import arranged
from lesion_jax.photograph.windows import stitch, window_shares, window_starts
from lesion_jax.predict import load, loading, windows
from lesion_jax.predict.ensemble import average
from lesion_jax.predict.step import compiled, forward
from lesion_jax.predict.tta import augmented
from lesion_jax.predict.windows import choose_window, windowed
from lesion_jax.weights.bundle import save_bundle
from lesion_jax.weights.initialize import initialize

SIZE, WINDOW = 160, 96
SEGMENTER, GRADER = {'name': 'lesion_net_8s'}, {'name': 'inception_v3_grader'}
MULTITASK = {'name': 'multitask', 'lesion': SEGMENTER}


@pytest.fixture
def make_bundle(tmp_path, monkeypatch):
  """`make_bundle(name, model, seed, window=0, annotated) -> path` of networks on the small encoder, statistics as after
  training."""
  for key, model in tiny.TINY_MODELS.items():
    monkeypatch.setitem(models.MODELS, key, model)

  def make(name='bundle', model=SEGMENTER, seed=0, window=None, **changes):
    example = jax.ShapeDtypeStruct((1, SIZE, SIZE, 3), np.uint8)
    fresh = initialize(models.get_model(**model), example, seed)
    rng = np.random.default_rng(seed)
    variables = jax.tree.map(lambda x: (x + rng.normal(0, 0.02, x.shape)).astype(np.float32), fresh)
    preprocessing = {'size': SIZE, 'crop': 'square'} | ({} if window is None else {'window': window})
    config = oracle.oracle_config(model=model, preprocessing=preprocessing, **changes)
    save_bundle(tmp_path / name, config=config, card='', variables=variables)
    return tmp_path / name

  return make


@pytest.fixture(scope='module')
def squares():
  return np.random.default_rng(1).integers(0, 256, (2, SIZE, SIZE, 3), np.uint8)


@pytest.fixture
def network(monkeypatch):
  """(the forward pass of a segmenter, its variables)."""
  model = tiny.TINY_MODELS['lesion_net_8s']()
  return forward(model), initialize(model, jax.ShapeDtypeStruct((1, SIZE, SIZE, 3), np.uint8), 0)


def by_hand(predict_fn, variables, images, window):
  """The blended maps, in float64 and window by window, from the network's answers to single windows."""
  size = images.shape[1]
  total, weight = np.zeros((*images.shape[:3], 8)), np.zeros((size, size, 1))
  ramp = np.minimum(np.arange(window) + 0.5, window - 0.5 - np.arange(window))
  for top in window_starts(size, window):
    for left in window_starts(size, window):
      there = np.s_[top:top + window, left:left + window]
      maps = np.asarray(predict_fn(variables, images[:, *there]).maps, np.float64)
      total[:, *there] += maps * np.outer(ramp, ramp)[..., None]
      weight[there] += np.outer(ramp, ramp)[..., None]
  return total / weight


class TestFunction:

  @pytest.mark.parametrize('size', [WINDOW, pytest.param(130, marks=pytest.mark.slow), SIZE])
  def test_it_is_the_weighted_mean_of_the_answers_to_single_windows(self, network, size):
    predict_fn, variables = network
    images = np.random.default_rng(size).integers(0, 256, (2, size, size, 3), np.uint8)
    found = jax.jit(windowed(predict_fn, WINDOW))(variables, images)
    expected = by_hand(jax.jit(predict_fn), variables, images, WINDOW)
    assert found.maps.dtype == np.float32 and found.grades is None and found.attention is None
    np.testing.assert_allclose(found.maps, expected, atol=1e-5)
    np.testing.assert_array_equal(found.lesions, found.maps.max((1, 2)))  # Eq. 1, of the stitched map
    if size > WINDOW:
      assert np.abs(found.maps - predict_fn(variables, images).maps).max() > 1e-3, 'borders are seen'

  def test_one_window_over_all_is_the_whole_square(self, network, squares):
    predict_fn, variables = network
    found, whole = (jax.jit(fn)(variables, squares) for fn in (windowed(predict_fn, SIZE), predict_fn))
    np.testing.assert_allclose(found.maps, whole.maps, atol=1e-5)
    np.testing.assert_allclose(found.lesions, whole.lesions, atol=1e-5)

  def test_far_from_the_borders_of_its_windows_a_network_says_what_it_says_of_the_whole(self):
    """The grid of a network that strides is that of the whole square in every window but the last."""
    model = tiny.TINY_MODELS['fcn_8s']()
    images = np.random.default_rng(0).integers(0, 256, (1, 288, 288, 3), np.uint8)
    variables = initialize(model, jax.ShapeDtypeStruct((1, 288, 288, 3), np.uint8), 0)
    whole, found = (np.asarray(fn(variables, images).maps) for fn in (forward(model), windowed(forward(model), 192)))
    near = np.abs(whole - found).max((0, 3))
    assert near[:16, :16].max() < 1e-5 < near[96:192, 96:192].max()

  @pytest.mark.parametrize('rows', [1, 3])
  def test_it_is_traced_and_compiled_once_for_all_windows(self, network, rows):
    predict_fn, variables = network
    traced = []

    def counting(variables, images):
      traced.append(images.shape)
      return predict_fn(variables, images)

    function = jax.jit(windowed(counting, WINDOW))
    images = np.zeros((rows, SIZE, SIZE, 3), np.uint8)
    for _ in range(2):
      function(variables, images)
    assert traced == [(rows, WINDOW, WINDOW, 3)] and function._cache_size() == 1

  def test_memory_does_not_grow_with_the_number_of_windows(self, network):
    predict_fn, variables = network

    def memory(size, window):
      images = jax.ShapeDtypeStruct((1, size, size, 3), np.uint8)
      program = jax.jit(windowed(predict_fn, window)).lower(variables, images).compile()
      return program.memory_analysis().temp_size_in_bytes

    whole, some, many = memory(768, 0), memory(384, WINDOW), memory(768, WINDOW)
    assert len(window_starts(768, WINDOW)) ** 2 > 200
    assert many - some < 1.2 * 2 * 32 * (768**2 - 384**2)  # the maps and their sum
    assert many < whole

  def test_what_cannot_be_laid_over_the_images_is_said(self, network):
    predict_fn, variables = network
    with pytest.raises(ValueError, match='window=192 pixels cannot be laid over a square of 160'):
      windowed(predict_fn, 192)(variables, np.zeros((1, SIZE, SIZE, 3), np.uint8))
    assert windowed(predict_fn, 0) is predict_fn

  @pytest.mark.parametrize('tta', ['flips', pytest.param('dihedral', marks=pytest.mark.slow)])
  def test_copies_are_turned_before_they_are_cut(self, network, squares, tta):
    predict_fn, variables = network
    inside = windowed(predict_fn, WINDOW)
    found = jax.jit(augmented(inside, tta))(variables, squares)
    flipped = jax.jit(inside)(variables, np.ascontiguousarray(squares[:, :, ::-1])).maps[:, :, ::-1]
    plain = jax.jit(inside)(variables, squares).maps
    assert np.abs(flipped - plain).max() > 1e-3
    if tta == 'flips':
      turn = lambda x, rows, columns: np.ascontiguousarray(x[:, ::rows, ::columns])
      turned = [turn(jax.jit(inside)(variables, turn(squares, rows, columns)).maps, rows, columns)
                for rows in (1, -1) for columns in (1, -1)]
      np.testing.assert_allclose(found.maps, np.mean(turned, axis=0), atol=1e-6)
    np.testing.assert_array_equal(found.lesions, found.maps.max((1, 2)))

  def test_it_is_what_exports_are_stitched_to(self, network, squares):
    predict_fn, variables = network
    once = jax.jit(predict_fn)
    found = stitch(lambda images: {'maps': np.asarray(once(variables, images).maps)}, squares, WINDOW)
    expected = jax.jit(windowed(predict_fn, WINDOW))(variables, squares)
    np.testing.assert_allclose(found['maps'], expected.maps, atol=1e-6)
    np.testing.assert_allclose(found['lesions'], expected.lesions, atol=1e-6)
    assert window_shares(SIZE, WINDOW).dtype == np.float32

  def test_the_arrangement_for_a_cpu_is_inside(self, network, squares):
    predict_fn, variables = network
    found = windowed(arranged(predict_fn, 'cpu'), WINDOW)
    assert 'reduce_window' not in str(jax.make_jaxpr(found)(variables, squares))
    np.testing.assert_allclose(compiled(found, 'cpu')(variables, squares).maps, by_hand(predict_fn, variables, squares, WINDOW), atol=1e-5)


class TestLoad:

  def test_the_bundle_says_it_and_the_caller_overrules(self, make_bundle, squares):
    plain, asking = make_bundle('plain'), make_bundle('asking', window=WINDOW)
    whole, found, forced = load(plain), load(asking), load(plain, window=WINDOW)
    assert found.config['preprocessing'] == {'size': SIZE, 'crop': 'square', 'window': WINDOW} == \
        forced.config['preprocessing']
    assert whole.size == found.size == SIZE
    np.testing.assert_allclose(found(squares).maps, forced(squares).maps, atol=1e-6)
    assert np.abs(found(squares).maps - whole(squares).maps).max() > 1e-3
    undone = load(asking, window=0)
    assert 'window' not in undone.config['preprocessing']
    np.testing.assert_array_equal(undone(squares).maps, whole(squares).maps)

  def test_batches_of_any_size_and_photographs_of_any_size(self, make_bundle, squares):
    predictor = load(make_bundle(window=WINDOW))
    alone, together = predictor(squares), predictor(squares, batch_size=2)
    np.testing.assert_allclose(together.maps, alone.maps, atol=1e-5)
    oblong = oracle.photograph(300, 420)
    assert predictor(oblong).on_photograph('MA').shape == (300, 420)

  @pytest.mark.slow
  def test_each_member_of_an_ensemble_has_its_own(self, make_bundle, squares):
    paths = [make_bundle('a', window=WINDOW), make_bundle('b', seed=1, window=128), make_bundle('c', seed=2)]
    found, alone = load(paths), [load(path) for path in paths]
    np.testing.assert_allclose(found(squares).maps, np.mean([one(squares).maps for one in alone], axis=0), atol=1e-6)
    assert found.config['preprocessing'] == {'size': SIZE, 'crop': 'square'}
    assert [member.get('window') for member in found.config['provenance']['members']] == [WINDOW, 128, None]
    assert load(paths, window=WINDOW).config['preprocessing']['window'] == WINDOW

  @pytest.mark.slow
  def test_an_ensemble_with_copies(self, make_bundle, squares):
    paths = [make_bundle('a', window=WINDOW), make_bundle('b', seed=1)]
    found = load(paths, tta='flips')(squares[:1])
    fn = forward(models.get_model(**SEGMENTER))
    variables = tuple(load(path).variables for path in paths)
    expected = augmented(average([windowed(fn, WINDOW), fn], [['MA'], ['MA']]), 'flips')(variables, squares[:1])
    np.testing.assert_allclose(found.maps, expected.maps, atol=1e-5)

  def test_the_program_is_kept_by_window_and_needs_no_tracing(self, make_bundle, squares, tmp_path, monkeypatch):
    monkeypatch.setattr(loading.programs, '_is_ours', lambda part: True)
    before = jax.config.jax_compilation_cache_dir
    jax.config.update('jax_compilation_cache_dir', str(tmp_path / 'cache'))
    try:
      path = make_bundle(window=WINDOW)
      first = load(path)(squares[0])
      load(path, window=0)
      assert len(list((tmp_path / 'cache' / loading.programs.FOLDER).iterdir())) == 2
      monkeypatch.setattr(loading, 'forward', lambda model: lambda *arguments: pytest.fail('traced'))
      np.testing.assert_array_equal(load(path)(squares[0]).maps, first.maps)
    finally:
      jax.config.update('jax_compilation_cache_dir', before)

  @pytest.mark.parametrize('model, message', [
      (MULTITASK, r'window=96: .*bundle grades, and a grade is of a whole photograph.*or give 0'),
      (GRADER, 'grades, and a grade'),
      ({'name': 'inception_v3_classifier'}, 'makes no lesion maps that windows could be stitched to')])
  @pytest.mark.parametrize('said_by', ['caller', 'bundle'])
  def test_networks_that_judge_whole_photographs_are_refused(self, make_bundle, model, message, said_by):
    path = make_bundle(model=model, window=WINDOW if said_by == 'bundle' else None)
    with pytest.raises(ValueError, match=message):
      load(path, window=WINDOW if said_by == 'caller' else None)
    load(path, window=0)

  @pytest.mark.parametrize('window', [64, 100, 192, -1])
  def test_another_window_is_refused(self, make_bundle, window):
    with pytest.raises(ValueError, match=f'window={window} pixels cannot be laid over a square of {SIZE}'):
      load(make_bundle(), window=window)


def play_onnxruntime(monkeypatch, runs):
  """In the place of onnxruntime: a session that runs `runs(images) -> Prediction`, and a graph that is never made."""
  class Session:

    def __init__(self, graph, options, providers):
      assert graph.read_text() == 'graph' and providers == ['CPUExecutionProvider']

    def get_outputs(self):
      return [types.SimpleNamespace(name='maps'), types.SimpleNamespace(name='lesions')]

    def run(self, heads, inputs):
      found = runs(inputs['images'])
      return [np.asarray(getattr(found, head)) for head in heads]

  monkeypatch.setitem(sys.modules, 'onnxruntime', types.SimpleNamespace(InferenceSession=Session, SessionOptions=types.SimpleNamespace,
      ExecutionOrder=types.SimpleNamespace(PRIORITY_BASED=1)))

  def make_graph(bundle, folder):
    for name in (loading.onnx_graph.GRAPH, loading.onnx_graph.WEIGHTS):
      (folder / name).write_text('graph')

  monkeypatch.setattr(loading.onnx_graph, 'make_graph', make_graph)


@pytest.mark.parametrize('said', ['by the bundle', pytest.param('by the caller', marks=pytest.mark.slow)])
def test_onnxruntime_is_asked_window_by_window(make_bundle, squares, monkeypatch, tmp_path, said):
  """A graph has one size; it is stitched on the host."""
  monkeypatch.setenv('JAX_COMPILATION_CACHE_DIR', str(tmp_path / 'cache'))
  path = make_bundle(window=WINDOW if said == 'by the bundle' else None)
  asked = []
  jaxs = load(path, window=WINDOW)
  once = jax.jit(forward(models.get_model(**SEGMENTER)))

  def runs(images):
    asked.append(images.shape)
    return once(jaxs.variables, images)

  play_onnxruntime(monkeypatch, runs)
  found = load(path, backend='onnxruntime', window=None if said == 'by the bundle' else WINDOW)
  assert found.config['preprocessing']['window'] == WINDOW and found.config['backend'] == 'onnxruntime'
  np.testing.assert_allclose(found(squares).maps, jaxs(squares).maps, atol=1e-5)
  assert set(asked) == {(1, WINDOW, WINDOW, 3)}
  asked.clear()
  found, whole = load(path, backend='onnxruntime', window=0), load(path, window=0)
  np.testing.assert_allclose(found(squares).maps, whole(squares).maps, atol=1e-5)
  assert set(asked) == {(1, SIZE, SIZE, 3)}


class TestChoice:
  """Without a word of anybody: the whole square where memory allows."""

  @pytest.mark.parametrize('size, memory, window', [
      (1440, 16e9, 0), (1440, 3e9, 960), (2848, 16e9, 0), (2848, 8e9, 960), (960, 1, 0), (961, 1, 960)])
  def test_it_goes_by_size_and_memory(self, monkeypatch, size, memory, window):
    monkeypatch.setattr(windows, '_memory', lambda device: memory)
    assert choose_window(size) == window

  def test_of_this_machine(self):
    assert windows._memory(None) == windows._memory('cpu') > 1e8

  def test_a_network_that_cannot_goes_whole_all_the_same(self, make_bundle, squares, monkeypatch):
    monkeypatch.setattr(loading, 'choose_window', lambda size, device: WINDOW)
    assert load(make_bundle('segmenter')).config['preprocessing']['window'] == WINDOW
    assert 'window' not in load(make_bundle('multitask', model=MULTITASK)).config['preprocessing']
    assert 'window' not in load(make_bundle('segmenter'), window=0).config['preprocessing']


def test_what_can_be_asked_by_windows():
  assert windows.fits_windows(Prediction(maps=1, lesions=1))
  assert not windows.fits_windows(Prediction(maps=1, lesions=1, grades=1))
  assert not windows.fits_windows(Prediction(lesions=1))
