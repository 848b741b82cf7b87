"""`lesion-jax import-weights`: what it makes, what it says, and that it overwrites nothing."""

from __future__ import annotations

import hashlib
import sys
import types

import flax.linen as nn
import jax
import numpy as np
import oracle
import pytest
from safetensors.numpy import load_file, save_file

from lesion_jax import cli, models
from lesion_jax.models.layers import ConvBN
from lesion_jax.weights.bundle import Bundle, load_bundle, save_bundle
from lesion_jax.weights.encoder import from_imagenet_input, read_encoder


class OneLayer(nn.Module):
  """An encoder of one layer, so that the weights are few."""

  @nn.compact
  def __call__(self, images, *, train):
    return ConvBN(2, 3, name='Conv2d_1a_3x3')(images.astype(np.float32), train=train)


@pytest.fixture
def state(monkeypatch):
  """What torchvision would save of it."""
  monkeypatch.setattr(models, 'InceptionV3', OneLayer)
  rng = np.random.default_rng(0)
  shapes = {'conv.weight': (2, 3, 3, 3), 'bn.weight': 2, 'bn.bias': 2, 'bn.running_mean': 2, 'bn.running_var': 2}
  state = {f'Conv2d_1a_3x3.{name}': rng.random(shape).astype(np.float16) for name, shape in shapes.items()}
  return state | {'fc.weight': np.ones((3, 2), np.float16), 'fc.bias': np.ones(3, np.float16)}


@pytest.fixture
def source(state, tmp_path):
  save_file(state, tmp_path / 'source.safetensors')
  return tmp_path / 'source.safetensors'


def run(*arguments):
  return cli.main(['import-weights', *map(str, arguments)])


def refused(capsys, *arguments):
  """What it says when it ends with 2."""
  with pytest.raises(SystemExit) as stop:
    run(*arguments)
  assert stop.value.code == 2
  return capsys.readouterr().err


def test_encoder_weights_become_a_file_under_torchvisions_names(state, source, tmp_path, capsys):
  out = tmp_path / 'new' / 'encoder.safetensors'
  assert run(source, '--out', out) == 0
  saved = load_file(out)
  assert set(saved) == {name for name in state if not name.startswith('fc.')}
  for name, array in saved.items():
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, state[name])
  assert [file.name for file in out.parent.iterdir()] == [out.name]
  said = capsys.readouterr().out
  assert hashlib.sha256(out.read_bytes()).hexdigest() in said
  assert '5 arrays, 1 kernels; 58 parameters, 4 running statistics' in said
  assert 'fc.bias and 1 more: the classifier' in said and f'--config.segment.pretrained={out}' in said


def test_what_it_makes_gives_the_same_when_it_is_read_again(source, tmp_path):
  run(source, '--out', tmp_path / 'encoder.safetensors')
  first, second = (read_encoder(path) for path in (source, tmp_path / 'encoder.safetensors'))
  assert first.ignored and not second.ignored
  jax.tree.map(np.testing.assert_array_equal, first.arrays, second.arrays)


def test_weights_for_imagenet_input_are_converted_on_demand(source, tmp_path, capsys):
  assert run(source, '--out', tmp_path / 'encoder.safetensors', '--input', 'imagenet') == 0
  expected = from_imagenet_input(read_encoder(source).arrays)
  jax.tree.map(np.testing.assert_array_equal, read_encoder(tmp_path / 'encoder.safetensors').arrays, expected)
  assert 'the first convolution now takes pixels in -1..1' in capsys.readouterr().out


@pytest.mark.parametrize('change, message', [
    ({'Conv2d_1a_3x3.bn.bias': None, 'head.bias': np.ones(1)},
     ('missing from the weights (1):\n    params/Conv2d_1a_3x3/bn/bias\n',
      'left over in the weights (1):\n    params/head/bias\n')),
    ({'Conv2d_1a_3x3.bn.bias': np.ones(5)}, ('of another shape (1)',)),
    ({'Conv2d_1a_3x3.bn.other': np.ones((5, 5, 5))}, ('cannot place',)),
])
def test_weights_that_are_no_whole_encoder_are_refused(state, tmp_path, capsys, change, message):
  save_file({name: array for name, array in (state | change).items() if array is not None}, tmp_path / 'w.safetensors')
  error = refused(capsys, tmp_path / 'w.safetensors', '--out', tmp_path / 'encoder.safetensors')
  assert all(part in error for part in message)
  assert not (tmp_path / 'encoder.safetensors').exists()


def test_nothing_is_overwritten(source, tmp_path, capsys):
  (tmp_path / 'mine.safetensors').write_bytes(b'mine')
  assert 'is there already' in refused(capsys, source, '--out', tmp_path / 'mine.safetensors')
  assert (tmp_path / 'mine.safetensors').read_bytes() == b'mine'


@pytest.mark.parametrize('content, out, message', [
    (None, 'e', 'there is nothing at'),
    (b'nothing', 'e.safetensors', 'no weights that are known'),
    (b'\x89HDF\r\n\x1a\n', 'e.safetensors', 'pip install lesion_jax[keras]'),
    (b'nothing', 'e.pth', 'must end in .safetensors'),
])
def test_usage_errors_say_what_to_do(tmp_path, capsys, monkeypatch, content, out, message):
  monkeypatch.setitem(sys.modules, 'h5py', None)
  if content is not None:
    (tmp_path / 'w').write_bytes(content)
  assert message in refused(capsys, tmp_path / 'w', '--out', tmp_path / out)


@pytest.fixture
def exported(tmp_path, monkeypatch):
  """A folder as an export to torch leaves it, and what its reader, put in the place of ours, makes of it."""
  folder = tmp_path / 'exported'
  (folder / 'lesion_jax_torch').mkdir(parents=True)
  for name in ('config.json', 'model.safetensors'):
    (folder / name).write_text('')
  bundle = Bundle(oracle.oracle_config(), {'params': {'gain': np.float32(1.5)}, 'batch_stats': {}})
  export = types.ModuleType('lesion_jax.export')
  export.from_torch = {folder: bundle, folder / 'model.safetensors': bundle}.__getitem__
  monkeypatch.setitem(sys.modules, 'lesion_jax.export', export)
  return folder, bundle


@pytest.mark.parametrize('given', ['', 'model.safetensors'])
def test_an_exported_folder_becomes_the_bundle_again(exported, tmp_path, capsys, given):
  folder, bundle = exported
  assert run(folder / given, '--out', tmp_path / 'bundle') == 0
  found = load_bundle(tmp_path / 'bundle')
  assert found.config == bundle.config
  np.testing.assert_array_equal(found.variables['params']['gain'], bundle.variables['params']['gain'])
  said = capsys.readouterr().out
  assert hashlib.sha256((tmp_path / 'bundle' / 'model.safetensors').read_bytes()).hexdigest() in said
  assert '# oracle' in (tmp_path / 'bundle' / 'README.md').read_text()


def test_the_bundle_it_makes_is_that_which_was_exported(exported, tmp_path):
  folder, bundle = exported
  save_bundle(tmp_path / 'original', config=bundle.config, variables=bundle.variables, card='')
  run(folder, '--out', tmp_path / 'again')
  for name in ('config.json', 'model.safetensors'):
    assert (tmp_path / 'again' / name).read_bytes() == (tmp_path / 'original' / name).read_bytes()


def test_a_bundle_that_is_there_is_not_overwritten(exported, tmp_path, capsys):
  folder = exported[0]
  (tmp_path / 'bundle').mkdir()
  assert run(folder, '--out', tmp_path / 'bundle') == 0
  before = (tmp_path / 'bundle' / 'config.json').stat().st_mtime_ns
  assert 'bundle is there already; it is left alone' in refused(capsys, folder, '--out', tmp_path / 'bundle')
  assert (tmp_path / 'bundle' / 'config.json').stat().st_mtime_ns == before


def test_an_exported_folder_has_no_input_to_choose(exported, tmp_path, capsys):
  assert '--input is for encoder weights' in refused(
      capsys, exported[0], '--out', tmp_path / 'bundle', '--input', 'imagenet')
