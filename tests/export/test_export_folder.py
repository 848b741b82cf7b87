"""An export is written beside its place, checked, and left only if it computes what the Flax network computes."""

import json
import sys
import types

import numpy as np
import oracle
import pytest

from lesion_jax import models
from lesion_jax.export import FORMATS, ExportError, Refused, check, export, folder
from lesion_jax.weights.bundle import Bundle


@pytest.fixture
def bundle(monkeypatch):
  monkeypatch.setattr(models, 'MODELS', models.MODELS | {'oracle': oracle.Oracle})
  return Bundle(oracle.oracle_config(), {'params': {'gain': np.float32(1)}, 'batch_stats': {}})


@pytest.fixture
def as_format(monkeypatch):
  """`as_format(change) -> name` of a format that writes one file and computes what Flax computes, then `change`s it."""

  def make(change):
    def write(source, path):
      (path / 'model').write_bytes(b'')
      return lambda images: change(
          {head: np.array(value) for head, value in source.function(source.weights, images).items()})

    monkeypatch.setitem(folder.FORMATS, 'other', types.SimpleNamespace(
        write=write, USAGE='Load it at {size} pixels.', MODULES=('jax',)))
    return 'other'

  return make


def test_what_is_right_is_left_with_its_configuration_and_how_to_load_it(bundle, as_format, tmp_path):
  differences = export(bundle, as_format(lambda found: found), tmp_path / 'deep' / 'net')
  assert list(differences) == ['maps', 'lesions', 'grades'] and max(differences.values()) <= 1e-6
  assert sorted(path.name for path in (tmp_path / 'deep' / 'net').iterdir()) == [
      'README.md', 'bundle.json', 'config.json', 'model', 'preprocessing']
  assert [path.name for path in (tmp_path / 'deep').iterdir()] == ['net']
  assert json.loads((tmp_path / 'deep' / 'net' / 'bundle.json').read_text()) == bundle.config
  readme = (tmp_path / 'deep' / 'net' / 'README.md').read_text()
  for text in ('Load it at 64 pixels.', 'MA microaneurysm', 'DR4', 'to be ignored: iHE, vHE', 'square around'):
    assert text in readme


def test_thresholds_rule_smallest_regions_and_temperatures_go_with_it(bundle, as_format, tmp_path):
  bundle.config.update(presence={'rule': 'top500', 'thresholds': dict.fromkeys(bundle.config['lesions'], 0.2)},
                       temperatures={'grades': 2.0}, smallest={'MA': {'value': 3, 'unit': 'pixels'}},
                       operating_points={'careful': {'referable': {'threshold': 0.3}}})
  export(bundle, as_format(lambda found: found), tmp_path / 'net')
  page = json.loads((tmp_path / 'net' / 'config.json').read_text())
  assert page['presence'] == bundle.config['presence'] and page['temperatures'] == {'grades': 2.0}
  assert page['smallest'] == {'MA': {'value': 3, 'unit': 'pixels'}} and page['operating_points'] == bundle.config['operating_points']
  readme = (tmp_path / 'net' / 'README.md').read_text()
  for text in ('by the mean of their log odds', 'under `presence`', 'under `temperatures`', 'under `smallest` are no part of a mask',
               'under `operating_points`'):
    assert text in readme


def test_a_deployer_gets_a_page_with_the_versions_and_code_that_runs_where_the_folder_lies(bundle, as_format, tmp_path):
  bundle.config.update(metrics={'curve': [0.5] * 5000}, data={'counts': {'train': 9}})
  export(bundle, as_format(lambda found: found), tmp_path / 'net')
  text = (tmp_path / 'net' / 'config.json').read_text()
  page = json.loads(text)
  assert len(text.splitlines()) < 20 and len(text) < 4000 and not page.keys() & {'metrics', 'data', 'provenance'}
  for key in ('model', 'preprocessing', 'lesions', 'annotated', 'thresholds'):
    assert page[key] == bundle.config[key]
  assert page['versions'].keys() == {'python', 'lesion_jax', 'jax', 'numpy', 'pillow'} and page['weights_sha256']
  readme = (tmp_path / 'net' / 'README.md').read_text()
  assert "folder = pathlib.Path('net')" in readme and 'this folder' not in readme
  for name, version in page['versions'].items():
    assert f'{name} {version}' in readme


def beside(found):
  found['maps'][-1, 3, 3, 2] += 2e-4
  return found


def undefined(found):
  found['grades'][0, 0] = np.nan
  return found


@pytest.mark.parametrize(('change', 'message'), [
    (beside, 'its maps differ from those of Flax by 2.0e-04 for 1 synthetic images'),
    (undefined, 'its grades differ from those of Flax by nan'),
    (lambda found: {'grades': found['grades']}, 'Flax .*maps'),
    (lambda found: found | {'lesions': found['lesions'][:1]}, r'for 3 images it returns .*\[1, 8\]'),
    (lambda found: found | {'lesions': np.float64(found['lesions'])}, 'float64'),
])
def test_what_is_wrong_is_said_and_nothing_is_left(bundle, as_format, tmp_path, change, message):
  with pytest.raises(ExportError, match=message):
    export(bundle, as_format(change), tmp_path / 'net')
  assert not list(tmp_path.iterdir())


def test_what_is_there_is_never_overwritten(bundle, as_format, tmp_path):
  name = as_format(lambda found: found)
  (tmp_path / 'file').write_text('mine')
  (tmp_path / 'full').mkdir()
  (tmp_path / 'full' / 'notes').write_text('mine')
  for taken in ('file', 'full'):
    with pytest.raises(FileExistsError, match='remove it, or give another name'):
      export(bundle, name, tmp_path / taken)
  (tmp_path / 'empty').mkdir()
  export(bundle, name, tmp_path / 'empty')
  assert (tmp_path / 'empty' / 'model').exists()


@pytest.mark.parametrize(('to', 'package', 'extra'), [
    ('torch', 'torch', 'torch'), ('onnx', 'torch', 'onnx'), ('onnx', 'onnxruntime', 'onnx'),
    ('saved_model', 'tensorflow', 'tf')])
def test_a_missing_package_is_said_with_the_command_that_installs_it(bundle, tmp_path, monkeypatch, to, package, extra):
  monkeypatch.setitem(sys.modules, package, None)
  with pytest.raises(ImportError, match=rf'is not installed: pip install .lesion_jax\[{extra}\]'):
    export(bundle, to, tmp_path / 'net')
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('to', ['torch', 'onnx'])
def test_a_network_without_a_twin_is_refused_with_a_list_of_those_that_have_one(bundle, tmp_path, to):
  pytest.importorskip('torch')
  with pytest.raises(Refused, match="'oracle' cannot go to PyTorch or ONNX; those that can: lesion_net_32s.*multitask"):
    export(bundle, to, tmp_path / 'net')
  assert not list(tmp_path.iterdir())


def test_an_unknown_format_is_refused_with_a_list(bundle, tmp_path):
  with pytest.raises(ValueError, match=f"'caffe'; choose one of {', '.join(FORMATS)}"):
    export(bundle, 'caffe', tmp_path / 'net')


@pytest.mark.parametrize('size', [20, 100])
def test_random_images_are_different_photographs_and_always_the_same(size):
  """Of retinas: noise drives a trained network to where float32 itself is uncertain."""
  images = check.random_images(3, size)
  assert images.shape == (3, size, size, 3) and images.dtype == np.uint8
  np.testing.assert_array_equal(images, check.random_images(3, size))
  assert len({image.tobytes() for image in images}) == 3
  red, green, blue = images.astype(float).mean((0, 1, 2))
  assert red > green > blue
