"""An export of a network that is asked by windows takes images of their size, and brings what stitches them."""

import dataclasses
import importlib.util
import json
import subprocess
import sys

import jax
import numpy as np
import pytest
import safetensors.numpy

from lesion_jax import models
from lesion_jax.export import Refused, export
from lesion_jax.models.forward import forward
from lesion_jax.photograph import windows
from lesion_jax.predict.windows import windowed
from lesion_jax.weights.bundle import taken_size

SIZE, WINDOW = 160, 96
SEGMENTER = {'name': 'lesion_net_8s', 'width': 1 / 16}


@pytest.fixture
def bundle(make_bundle):
  """`bundle(**model)`, which says windows of 96 in squares of 160."""

  def make(**model):
    made = make_bundle(**(model or SEGMENTER))
    preprocessing = {'size': SIZE, 'crop': 'field of view', 'window': WINDOW}
    return dataclasses.replace(made, config=made.config | {'preprocessing': preprocessing})

  return make


@pytest.fixture
def squares():
  return np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3), np.uint8)


def load_windows(folder):
  """The file as somebody without lesion_jax imports it."""
  spec = importlib.util.spec_from_file_location('exported_windows', folder / 'windows.py')
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def expect(bundle, squares):
  network = models.get_model(**bundle.config['model'])
  return jax.jit(windowed(forward(network), WINDOW))(bundle.variables, squares)


def test_stitched_it_says_what_we_say(bundle, squares, tmp_path):
  made = bundle()
  export(made, 'stablehlo', tmp_path / 'net')
  assert sorted(path.name for path in (tmp_path / 'net').iterdir()) == [
      'README.md', 'bundle.json', 'config.json', 'model.safetensors', 'model.stablehlo', 'preprocessing', 'windows.py']
  program = jax.export.deserialize(bytearray((tmp_path / 'net' / 'model.stablehlo').read_bytes()))
  assert str(jax.tree.unflatten(program.in_tree, program.in_avals)[0][1].shape) == '(batch, 96, 96, 3)'
  weights = safetensors.numpy.load_file(tmp_path / 'net' / 'model.safetensors')
  run = jax.jit(program.call)
  found = load_windows(tmp_path / 'net').stitch(lambda images: run(weights, images), squares, WINDOW)
  expected = expect(made, squares)
  np.testing.assert_allclose(found['maps'], expected.maps, atol=1e-5)
  np.testing.assert_allclose(found['lesions'], expected.lesions, atol=1e-5)
  page = json.loads((tmp_path / 'net' / 'config.json').read_text())
  assert page['preprocessing'] == made.config['preprocessing'] and taken_size(page) == WINDOW


def test_the_code_is_ours_and_needs_numpy_alone(bundle, tmp_path):
  export(bundle(), 'stablehlo', tmp_path / 'net')
  written = tmp_path / 'net' / 'windows.py'
  with open(windows.__file__, 'rb') as file:
    assert written.read_bytes() == file.read()
  program = ('import sys, numpy, __future__; before = set(sys.modules); import windows; '
             'print(sorted(set(sys.modules) - before))')
  done = subprocess.run([sys.executable, '-c', program], cwd=written.parent, capture_output=True, text=True, timeout=60)
  assert done.stdout.strip() == "['windows']", done.stderr


def test_the_readme_says_how(bundle, tmp_path):
  export(bundle(), 'stablehlo', tmp_path / 'net')
  readme = (tmp_path / 'net' / 'README.md').read_text()
  for text in ('uint8 [B, 96, 96, 3], any B: windows of squares of 160 pixels, which are the square around',
               'found = windows.stitch(run, images, 96)  # images: uint8 [B, 160, 160, 3]',
               '`maps`: float32 [B, 96, 96, 8]', '\n\nOutputs:\n\n'):
    assert text in readme, text


def test_without_windows_nothing_of_them_is_there(make_bundle, tmp_path):
  export(make_bundle(**SEGMENTER), 'stablehlo', tmp_path / 'net')
  assert not (tmp_path / 'net' / 'windows.py').exists()
  assert 'window' not in (tmp_path / 'net' / 'README.md').read_text()


def test_networks_that_grade_are_refused(bundle, tmp_path):
  with pytest.raises(Refused, match=r'preprocessing.window=96.*maps, lesions, grades.*without grades'):
    export(bundle(name='multitask', width=1 / 16, lesion=SEGMENTER), 'stablehlo', tmp_path / 'net')
  assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize('to', ['torch', 'onnx'])
def test_in_torch_and_onnx_alike(bundle, squares, tmp_path, monkeypatch, to):
  torch = pytest.importorskip('torch')
  import tiny_torch

  from lesion_jax.export import lesion_jax_torch

  made = bundle()
  monkeypatch.setattr(lesion_jax_torch, 'build', tiny_torch.build)
  if to == 'onnx':
    for package in ('onnx', 'onnxscript'):
      pytest.importorskip(package)
    onnxruntime = pytest.importorskip('onnxruntime')
    export(made, 'onnx', tmp_path / 'net')
    session = onnxruntime.InferenceSession(tmp_path / 'net' / 'model.onnx', providers=['CPUExecutionProvider'])
    heads = [output.name for output in session.get_outputs()]
    run = lambda images: dict(zip(heads, session.run(heads, {'images': images}), strict=True))
  else:
    from lesion_jax.export import to_torch
    from lesion_jax.export.source import Source

    network = to_torch.make_module(Source.of(made))
    run = lambda images: {head: value.detach().numpy() for head, value in network(torch.from_numpy(images)).items()}
  found = windows.stitch(run, squares, WINDOW)
  np.testing.assert_allclose(found['maps'], expect(made, squares).maps, atol=1e-4)
