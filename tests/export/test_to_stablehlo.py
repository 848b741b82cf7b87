"""The StableHLO program computes what Flax computes, on either platform and in any batch, for every network."""

import jax
import jax.export
import numpy as np
import pytest
import safetensors.numpy

from lesion_jax.export import export, to_stablehlo
from lesion_jax.export.source import Source
from lesion_jax.models import MODELS, get_fields


def load(path):
  """As the README of an export says."""
  program = jax.export.deserialize(bytearray((path / 'model.stablehlo').read_bytes()))
  return program, safetensors.numpy.load_file(path / 'model.safetensors')


SHOWN = ('lesion_net_2s', 'deeplab_v3_plus', 'abn_classifier', 'multitask')  # every time; the others by `make test-all`
LESION = {'lesion': {'name': 'lesion_net_8s'}}


@pytest.mark.parametrize('name', [pytest.param(name, marks=() if name in SHOWN else pytest.mark.slow) for name in MODELS])
def test_every_network_becomes_a_program_for_both_platforms_and_any_batch(make_bundle, tmp_path, name):
  source = Source.of(make_bundle(name=name, **(LESION if 'lesion' in get_fields(name) else {})))
  to_stablehlo.write(source, tmp_path)
  program, weights = load(tmp_path)
  assert program.platforms == ('cpu', 'cuda')
  (_, images), _ = jax.tree.unflatten(program.in_tree, program.in_avals)
  assert str(images.shape) == '(batch, 48, 48, 3)' and images.dtype == np.uint8
  assert (tmp_path / 'model.stablehlo').stat().st_size < 1_000_000  # no weights in it
  for key, array in source.weights.items():
    np.testing.assert_array_equal(weights[key], array)


@pytest.mark.parametrize('model', [
    {'name': 'multitask', 'width': 1 / 16, 'lesion': {'name': 'lesion_net_8s', 'width': 1 / 16}},
    {'name': 'danet', 'width': 1 / 16, 'chunk': 5},
    {'name': 'patch_fcn_32s', 'grid': 2},
], ids=lambda model: model['name'])
def test_the_program_computes_what_flax_computes(make_bundle, tmp_path, model):
  differences = export(make_bundle(**model), 'stablehlo', tmp_path / 'net')
  assert max(differences.values()) < 1e-6
  names = sorted(file.name for file in (tmp_path / 'net').iterdir())
  assert names == ['README.md', 'bundle.json', 'config.json', 'model.safetensors', 'model.stablehlo', 'preprocessing']
  assert 'The first call with each size of batch compiles' in (tmp_path / 'net' / 'README.md').read_text()
