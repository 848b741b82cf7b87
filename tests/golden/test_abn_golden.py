"""The Attention Branch Network equals one written in torch, at rest and in training.

The arrays were computed by torch in float64: see make_abn.py beside this file.
"""

import json

import jax
import make_abn as golden
import numpy as np
import pytest
from make_inception_v3 import make_weights
from tiny import TinyEncoder

from lesion_jax.models.abn import ABN
from lesion_jax.weights.initialize import initialize
from lesion_jax.weights.merge import merge
from lesion_jax.weights.names import to_flax


@pytest.fixture(scope='module')
def arrays():
  with np.load(golden.PATH) as file:
    return dict(file)


@pytest.mark.parametrize('mode', ['rest', 'train'])
@pytest.mark.parametrize('task', golden.CLASSES)
def test_both_branches_equal_torchs(arrays, task, mode):
  network = ABN(encoder=TinyEncoder, task=task)
  weights = make_weights(json.loads(str(arrays[f'{task}/shapes'])))
  variables = merge(initialize(network, arrays['images'], seed=0), to_flax(weights), prefix='')  # every single one

  @jax.jit
  def run(variables, images):
    return network.apply(variables, images, train=mode == 'train', mutable=['batch_stats'])[0]

  outputs = run(variables, arrays['images'])
  found = {'logits': getattr(outputs, task), 'auxiliary': getattr(outputs.auxiliary, task),
           'attention': outputs.attention}
  for name, value in found.items():
    expected = arrays[f'{task}/{mode}/{name}']
    assert value.shape == expected.shape
    np.testing.assert_allclose(value, expected, rtol=0, atol=2e-5 * np.abs(expected).max(), err_msg=name)
