"""`lesion-jax ship`: the same network in fewer bytes, and what is not done."""

from __future__ import annotations

import jax
import numpy as np
import oracle
import pytest
import tiny

from lesion_jax import cli, models
from lesion_jax.export import export
from lesion_jax.predict import load
from lesion_jax.weights.bundle import load_bundle, save_bundle
from lesion_jax.weights.initialize import initialize

MODEL = {'name': 'multitask', 'lesion': {'name': 'lesion_net_8s'}}


@pytest.fixture
def bundle(tmp_path, monkeypatch):
  """A small multi-task network with random weights, and fingerprints."""
  for key, model in tiny.TINY_MODELS.items():
    monkeypatch.setitem(models.MODELS, key, model)
  example = jax.ShapeDtypeStruct((1, tiny.SIZE, tiny.SIZE, 3), np.uint8)
  prints = {split: np.zeros((count, 16, 16, 3), np.uint8) for split, count in (('train', 3), ('validation', 1))}
  config = oracle.oracle_config(model=MODEL, preprocessing={'size': tiny.SIZE, 'crop': 'square'})
  save_bundle(tmp_path / 'bundle', config=config, variables=initialize(models.get_model(**MODEL), example, seed=0), card='',
              photographs=prints)
  return tmp_path / 'bundle'


@pytest.fixture
def ship(bundle, tmp_path):
  """`ship(*options) -> the new bundle`."""

  def run(*options, out='small'):
    assert cli.main(['ship', str(bundle), '--out', str(tmp_path / out), *options]) == 0
    return tmp_path / out

  return run


@pytest.mark.parametrize('storage, share, far', [
    pytest.param('float16', 0.56, 2e-3, marks=pytest.mark.slow), ('int8', 0.36, 2e-2)])
def test_predictions_stay_near_and_bytes_do_not(ship, bundle, capsys, storage, share, far):
  small = ship('--storage', storage)
  said = capsys.readouterr().out
  sizes = [sum(file.stat().st_size for file in path.iterdir()) for path in (bundle, small)]
  assert f'{sizes[0]:,} bytes as float32' in said and f'{sizes[1]:,} bytes as {storage}' in said
  weights = [(path / 'model.safetensors').stat().st_size for path in (bundle, small)]
  assert weights[1] < share * weights[0]  # so small a network is mostly small kernels, statistics and names
  images = np.random.default_rng(0).integers(0, 256, (2, tiny.SIZE, tiny.SIZE, 3), np.uint8)
  for head in ('maps', 'lesions', 'grades'):
    before, after = (getattr(load(path)(images, crop=False), head) for path in (bundle, small))
    assert after.dtype == np.float32 and 0 < np.abs(before - after).max() < far


def test_the_largest_error_of_a_weight_is_that_of_numpy(ship, bundle, capsys):
  small = ship('--storage', 'int8')
  errors = jax.tree.map(lambda a, b: float(np.abs(np.float64(a) - b).max()),
                        *(load_bundle(path).variables for path in (bundle, small)))
  worst = max(jax.tree.leaves(errors))
  line, = (line for line in capsys.readouterr().out.splitlines() if line.startswith('largest error of a weight'))
  assert f' {worst:.3g}, ' in line and '% of the largest of params/' in line


def test_configuration_and_fingerprints_go_along_and_the_card_is_new(ship, bundle):
  (bundle / 'README.md').write_text('old')
  before, after = load_bundle(bundle), load_bundle(ship('--storage', 'int8'))
  assert after.config == before.config and after.digest != before.digest
  np.testing.assert_array_equal(after.photographs['train'], before.photographs['train'])
  card = (bundle.parent / 'small' / 'README.md').read_text()
  assert card.startswith('# multitask') and 'stored in 8 bits' in card


def test_fingerprints_can_stay_behind(ship, capsys):
  assert load_bundle(ship('--no-photographs')).photographs is None
  assert 'left out' in capsys.readouterr().out


def test_it_can_be_exported_as_if_it_were_float32(ship, tmp_path):
  small = ship('--storage', 'int8')
  differences = export(load_bundle(small), 'stablehlo', tmp_path / 'exported')
  assert max(differences.values()) < 1e-4
  assert load_bundle(small).digest in (tmp_path / 'exported' / 'README.md').read_text()


def test_rounding_twice_is_refused_and_unpacking_is_not(ship, tmp_path, capsys):
  small = ship('--storage', 'int8')
  with pytest.raises(SystemExit) as stop:
    cli.main(['ship', str(small), '--storage', 'float16', '--out', str(tmp_path / 'again')])
  assert stop.value.code == 2 and 'is stored as int8 already' in capsys.readouterr().err
  assert not (tmp_path / 'again').exists()
  assert cli.main(['ship', str(small), '--storage', 'float32', '--out', str(tmp_path / 'wide')]) == 0
  for a, b in zip(*(jax.tree.leaves(load_bundle(path).variables) for path in (small, tmp_path / 'wide')), strict=True):
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize('arguments, message', [
    (['absent', '--out', 'x'], 'absent is not a bundle: it does not exist'),
    (['bundle', '--out', 'bundle'], 'is the bundle itself'),
    (['bundle', '--out', 'file'], 'is a file'),
    (['bundle', '--out', 'x', '--storage', 'int4'], "invalid choice: 'int4'"),
])
def test_mistakes_end_with_2(bundle, tmp_path, monkeypatch, capsys, arguments, message):
  monkeypatch.chdir(tmp_path)
  before = load_bundle(bundle).digest
  (tmp_path / 'file').write_text('mine')
  with pytest.raises(SystemExit) as stop:
    cli.main(['ship', *arguments])
  assert stop.value.code == 2 and message in capsys.readouterr().err
  assert not (tmp_path / 'x').exists() and load_bundle(bundle).digest == before
