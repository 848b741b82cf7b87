"""The folder for PyTorch stands alone, computes what Flax computes, and is the way back to the same bundle."""

import json
import pathlib
import subprocess
import sys

import jax
import numpy as np
import oracle
import pytest
from flax import traverse_util
from safetensors.numpy import load_file, save_file

from lesion_jax.export import export, from_torch
from lesion_jax.export.check import random_images
from lesion_jax.export.source import Source
from lesion_jax.models import get_model
from lesion_jax.weights.bundle import Bundle, save_bundle
from lesion_jax.weights.initialize import initialize
from lesion_jax.weights.names import to_torch

SIZE, WIDTH = 64, 1 / 16
MODEL = {'name': 'multitask', 'width': WIDTH, 'dtype': 'bfloat16', 'lesion': {'name': 'lesion_net_16s', 'width': WIDTH}}
GOLDEN = pathlib.Path(__file__).parents[1] / 'golden' / 'inception_v3.npz'
# What a user does, in a process that must not need the library.
USE = '''
import sys, numpy, torch
sys.path.insert(0, sys.argv[1])
import lesion_jax_torch
network = lesion_jax_torch.load(sys.argv[1])
assert not network.training
with torch.inference_mode():
  found = network(torch.from_numpy(numpy.load(sys.argv[2])))
numpy.savez(sys.argv[3], **found)
assert not {"lesion_jax", "jax", "flax"} & set(sys.modules)
'''


@pytest.fixture(scope='module')
def bundle():
  """The real encoder, narrow."""
  fresh = initialize(get_model(**MODEL), jax.ShapeDtypeStruct((1, SIZE, SIZE, 3), np.uint8), seed=0)
  rng = np.random.default_rng(0)
  variables = jax.tree.map(lambda x: (x + rng.normal(0, 0.05, x.shape)).astype(np.float32), fresh)
  return Bundle(oracle.oracle_config(model=MODEL, preprocessing={'size': SIZE, 'crop': 'field of view'}), variables)


@pytest.fixture(scope='module')
def exported(bundle, tmp_path_factory):
  """(folder, the differences found)."""
  pytest.importorskip('torch')
  path = tmp_path_factory.mktemp('exported') / 'net'
  return path, export(bundle, 'torch', path)


@pytest.fixture
def small(make_bundle):
  """The same on the shallow encoder."""
  return make_bundle(**MODEL)


@pytest.fixture
def folder(small, tmp_path):
  """What the way back needs of an exported folder, made without torch."""
  state = to_torch(traverse_util.flatten_dict(small.variables, sep='/'))
  save_file({name: np.ascontiguousarray(array) for name, array in state.items()}, tmp_path / 'model.safetensors')
  (tmp_path / 'config.json').write_text(json.dumps(small.config))
  return tmp_path


def assert_same(actual, expected):
  assert actual.config == expected.config
  assert jax.tree.structure(actual.variables) == jax.tree.structure(expected.variables)
  for one, other in zip(*(jax.tree.leaves(bundle.variables) for bundle in (actual, expected)), strict=True):
    assert one.dtype == other.dtype
    np.testing.assert_array_equal(one, other)


def test_the_folder_is_readable_and_complete(exported):
  path, differences = exported
  assert max(differences.values()) < 3e-6
  files = {file.relative_to(path).as_posix() for file in path.rglob('*') if file.is_file()}
  assert files == {'README.md', 'config.json', 'bundle.json', 'model.safetensors', *(
      f'lesion_jax_torch/{name}.py' for name in ('__init__', 'encoder', 'lesions', 'baselines', 'grades')), *(
      f'preprocessing/{name}.py' for name in ('__init__', 'crop', 'field', 'morphology', 'read'))}


def test_it_needs_nothing_of_the_library_and_predicts_what_flax_predicts(bundle, exported, tmp_path):
  images = random_images(2, SIZE)
  np.save(tmp_path / 'images.npy', images)
  arguments = exported[0], tmp_path / 'images.npy', tmp_path / 'found.npz'
  subprocess.run([sys.executable, '-I', '-c', USE, *map(str, arguments)], check=True, timeout=120)
  source = Source.of(bundle)
  expected = jax.jit(source.function)(source.weights, images[:1])
  with np.load(tmp_path / 'found.npz') as found:
    assert list(found) == ['maps', 'lesions', 'grades', 'attention']
    for head, value in expected.items():
      np.testing.assert_allclose(found[head][:1], value, rtol=0, atol=3e-6)


def test_the_encoders_are_named_as_in_torchvision(exported):
  state = load_file(exported[0] / 'model.safetensors')
  with np.load(GOLDEN) as file:
    stock = {name for name in json.loads(str(file['shapes'])) if not name.startswith(('fc.', 'AuxLogits.'))}
  stock -= {name for name in stock if name.endswith('num_batches_tracked')}
  for prefix in ('grading.encoder.', 'lesion.encoder.'):
    assert {name.removeprefix(prefix) for name in state if name.startswith(prefix)} == stock


def test_the_way_back_gives_the_same_bundle_bit_by_bit(bundle, exported):
  assert_same(from_torch(exported[0]), bundle)


def test_what_was_changed_on_the_page_comes_back(small, folder):
  (folder / 'bundle.json').write_text(json.dumps(small.config))
  (folder / 'config.json').write_text(json.dumps({'model': small.config['model'], 'thresholds': {'MA': 0.25}, 'versions': {}}))
  assert from_torch(folder).config == small.config | {'thresholds': {'MA': 0.25}}


@pytest.mark.parametrize('change, said', [
    (lambda images: images.float() / 255, r'floats in 0..255; got floats from 0 to 1\. Scaling is part of the network'),
    (lambda images: (images.float() / 255 - 0.5) / 0.5, 'floats from -1 to 1'),
    (lambda images: images.float() * 257, 'floats from 0 to 6.55e'),
    (lambda images: images.float() * float('nan'), 'floats from nan to nan'),
    (lambda images: images.int(), 'got torch.int32'),
    (lambda images: images[:, :32, :32], '64x64 pixels, for which the network was made; got 32x32'),
    (lambda images: images.permute(0, 3, 1, 2), r'channels last; got \[1, 3, 64, 64\]'),
    (lambda images: images[0], r'channels last; got \[64, 64, 3\]')])
def test_what_it_would_answer_wrongly_is_refused(exported, change, said):
  torch = pytest.importorskip('torch')
  from lesion_jax.export.to_torch import _import_from

  network = _import_from(exported[0]).load(exported[0])
  images = torch.randint(0, 256, (1, SIZE, SIZE, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
  images[0, 0, 0], images[0, 0, 1] = 0, 255
  with torch.inference_mode(), pytest.raises(ValueError, match=said):
    network(change(images))


def test_floats_in_the_range_of_bytes_and_other_sizes_on_request_are_taken(exported):
  torch = pytest.importorskip('torch')
  from lesion_jax.export.to_torch import _import_from

  network = _import_from(exported[0]).load(exported[0])
  images = torch.full((1, SIZE, SIZE, 3), 90, dtype=torch.uint8)
  with torch.inference_mode():
    torch.testing.assert_close(network(images.float()), network(images))
    assert network(torch.zeros(1, SIZE, SIZE, 3))['grades'].shape == (1, 5)
    network.size = None
    assert network(images[:, :48, :48])['maps'].shape == (1, 48, 48, 8)


def test_the_way_back_does_not_need_torch(small, folder, monkeypatch):
  monkeypatch.setitem(sys.modules, 'torch', None)
  assert_same(from_torch(folder), small)


@pytest.mark.parametrize('name', ['model.safetensors', 'trained.pth'])
def test_what_torch_saved_comes_back_too(small, folder, name):
  torch = pytest.importorskip('torch')
  import safetensors.torch
  state = safetensors.torch.load_file(folder / 'model.safetensors')
  state['lesion.encoder.block_2.bn.num_batches_tracked'] = torch.tensor(7)  # a counter that torch adds
  save = torch.save if name.endswith('.pth') else safetensors.torch.save_file
  save(state, folder / name)
  assert_same(from_torch(folder / name), small)


def test_weights_that_do_not_fit_are_listed_on_both_sides(folder):
  state = load_file(folder / 'model.safetensors')
  state['grading.head.fc.extra.bias'] = state.pop('grading.head.fc.bias')
  save_file(state, folder / 'model.safetensors')
  with pytest.raises(ValueError, match=r'missing(.|\n)*grading/head/fc/bias(.|\n)*left over(.|\n)*fc/extra/bias'):
    from_torch(folder)


def test_a_folder_that_is_none_is_said(folder):
  (folder / 'config.json').write_text('{"model": {"name": "resnet"}}')
  with pytest.raises(ValueError, match="does not describe a network .unknown model 'resnet'"):
    from_torch(folder)
  (folder / 'config.json').write_text('{}')
  with pytest.raises(ValueError, match='does not describe a network'):
    from_torch(folder)
  (folder / 'config.json').unlink()
  with pytest.raises(FileNotFoundError, match='there is no .*config.json; name a folder'):
    from_torch(folder)


def test_missing_weights_are_said(folder):
  (folder / 'model.safetensors').unlink()
  with pytest.raises(FileNotFoundError, match='no weights at'):
    from_torch(folder)


def test_a_bundle_needs_no_import(folder, small):
  save_bundle(folder / 'net', config=small.config, variables=small.variables, card='')
  with pytest.raises(ValueError, match='has the weights of a bundle already, which needs no import'):
    from_torch(folder / 'net')
