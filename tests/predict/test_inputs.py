"""What people hold a photograph in: each form gives the answer of its file."""

from __future__ import annotations

import concurrent.futures
import io
import multiprocessing
import os
import pathlib
import pickle

import numpy as np
import oracle
import pytest
from PIL import Image

import lesion_jax
from lesion_jax import models
from lesion_jax.photograph.prepare import prepare
from lesion_jax.weights.bundle import save_bundle

UPRIGHT = oracle.photograph(grade=3, lesions=[(oracle.GREEN, (100, 80, 129, 119))])


@pytest.fixture
def predictor(tmp_path, monkeypatch):
  monkeypatch.setitem(models.MODELS, 'oracle', oracle.Oracle)
  save_bundle(tmp_path / 'bundle', config=oracle.oracle_config(), card='', variables={'params': {'gain': np.float32(1)}})
  return lesion_jax.load(tmp_path / 'bundle')


@pytest.fixture
def path(tmp_path):
  Image.fromarray(UPRIGHT).save(tmp_path / 'eye.png')
  return tmp_path / 'eye.png'


def _turned():
  """On its side, as a camera stores it, with its EXIF orientation."""
  image = Image.fromarray(np.rot90(UPRIGHT).copy())
  image.getexif()[0x0112] = 6
  return image


class Column(list):
  """As of a table of pandas: an iterable with a type and one dimension."""

  dtype, ndim = np.dtype(object), 1


FORMS = {
    'path': lambda path: path, 'text': str, 'bytes': lambda path: path.read_bytes(), 'bytearray': lambda path: bytearray(path.read_bytes()),
    'BytesIO': lambda path: io.BytesIO(path.read_bytes()), 'open file': lambda path: path.open('rb'),
    'Pillow': Image.open, 'on its side': lambda path: _turned(), 'array': lambda path: UPRIGHT,
    'RGBA': lambda path: np.dstack([UPRIGHT, np.full(UPRIGHT.shape[:2], 9, np.uint8)]),
    'RGBA of Pillow': lambda path: Image.open(path).convert('RGBA'),
    'array of paths': lambda path: np.array([str(path)]), 'array of Path': lambda path: np.array([path], object),
    'column': lambda path: Column([str(path)]), 'batch': lambda path: UPRIGHT[None], 'list': lambda path: [path]}


@pytest.mark.parametrize('form', FORMS)
def test_every_form_gives_the_answer_of_the_file(predictor, path, form):
  given = FORMS[form](path)
  found, expected = predictor(given), predictor(path)
  np.testing.assert_array_equal(found.maps, expected.maps)
  np.testing.assert_array_equal(found.grades, expected.grades)
  if hasattr(given, 'close'):
    given.close()


def test_grey_is_the_same_in_three_channels(path):
  grey = UPRIGHT[..., 0].copy()
  expected = prepare(np.repeat(grey[..., None], 3, axis=-1), 64).pixels
  for given in (grey, Image.fromarray(grey)):
    np.testing.assert_array_equal(prepare(given, 64).pixels, expected)


@pytest.mark.parametrize('given, said', [
    (b'', 'photograph 0: the file is empty'), (b'GIF89a', 'photograph 0: '), (io.StringIO('text'), "open it with mode 'rb'"),
    (np.zeros((80, 80, 3)), r'got float64 \[80, 80, 3\]'), (Image.new('F', (90, 90)), 'photograph 0: the Pillow image cannot be taken')])
def test_what_is_none_is_said(predictor, given, said):
  with pytest.raises(ValueError, match=said):
    predictor(given)


def test_slices_of_a_prediction(predictor):
  eyes = [oracle.photograph(grade=grade) for grade in (0, 1, 2, 3)]
  found = predictor(eyes)
  assert found[1:3].grades.argmax(-1).tolist() == [1, 2] and len(found[1:3]) == 2 == len(found[1:3].squares)
  assert found[::-1].grades.argmax(-1).tolist() == [3, 2, 1, 0] and len(found[4:]) == 0
  assert found[-1].grades.argmax() == 3


def test_eight_threads_get_what_one_gets(predictor):
  eyes = [oracle.photograph(grade=number % 5, center=(100 + number, 150)) for number in range(24)]
  serial = [predictor(eye) for eye in eyes]
  with concurrent.futures.ThreadPoolExecutor(8) as pool:
    for found, expected in zip(pool.map(predictor, eyes), serial, strict=True):
      np.testing.assert_array_equal(found.maps, expected.maps)
      np.testing.assert_array_equal(found.grades, expected.grades)


def test_pickled_it_is_the_same_network_in_any_folder_or_none(make_bundle, tmp_path, monkeypatch):
  make_bundle('net')
  monkeypatch.chdir(tmp_path)
  data = pickle.dumps(lesion_jax.load('net'))
  (tmp_path / 'other').mkdir()
  monkeypatch.chdir(tmp_path / 'other')
  assert pickle.loads(data).variables['params']['gain'] == 1
  make_bundle('net', gain=0.5)
  with pytest.raises(ValueError, match='net: the weights there are no longer those of the predictor'):
    pickle.loads(data)


def test_it_is_pickled_as_what_it_was_loaded_from(predictor, path, tmp_path):
  raised = lesion_jax.load(tmp_path / 'bundle', thresholds={'MA': 0.25}, device='cpu:1')
  again = pickle.loads(pickle.dumps(raised))
  assert again.thresholds.tolist() == raised.thresholds.tolist() and again.thresholds[0] == 0.25
  np.testing.assert_array_equal(again(path).maps, predictor(path).maps)
  import dataclasses

  with pytest.raises(TypeError, match='send the path of its bundle'):
    pickle.dumps(dataclasses.replace(predictor, origin=None))


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='there is no fork here')
@pytest.mark.filterwarnings('ignore')  # JAX warns of fork itself
def test_a_fork_is_refused_in_words_and_does_not_hang(predictor, path):
  reading, writing = multiprocessing.Pipe(duplex=False)

  def child():
    try:
      predictor(path)
    except RuntimeError as error:
      writing.send(str(error))

  process = multiprocessing.get_context('fork').Process(target=child)
  process.start()
  assert reading.poll(60) and "start processes with the method 'spawn'" in reading.recv()
  process.join(20)
  assert process.exitcode == 0 and isinstance(path, pathlib.Path)
