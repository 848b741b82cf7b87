"""The table of parameter counts in docs/networks.md holds for every registered network, and the README names all of them."""

import math
import pathlib
import re

import jax
import jax.numpy as jnp
import pytest

from lesion_jax.models import MODELS, get_model

ROOT = pathlib.Path(__file__).parents[2]
PAGE = ROOT / 'docs' / 'networks.md'
# A row such as `| `lesion_net_16s` | 31,098,344 | ... |`.
ROW = re.compile(r'^\| `(\w+)` \| ([\d,]+) \|', re.MULTILINE)


def stated():
  """Name -> number of parameters, as the page says."""
  return {name: int(count.replace(',', '')) for name, count in ROW.findall(PAGE.read_text('utf-8'))}


def count_parameters(**model):
  """Number of trained parameters of a network, from shapes alone."""
  network = get_model(**model)
  images = jax.ShapeDtypeStruct((1, 128, 128, 3), jnp.uint8)
  shapes = jax.eval_shape(lambda key, x: network.init(key, x, train=False), jax.random.key(0), images)
  return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes['params']))


def test_every_registered_network_has_its_row_and_no_other_does():
  assert stated().keys() == MODELS.keys()


def test_the_readme_names_every_network_once():
  networks = (ROOT / 'README.md').read_text('utf-8').partition('\n## Networks\n')[2].partition('\n\nAll share')[0]
  named = re.findall(r'`(\w+)`', networks)
  assert sorted(named) == sorted(MODELS)


SHOWN = ('lesion_net_16s', 'patch_fcn_32s', 'multitask')  # the others by `make test-all`


@pytest.mark.parametrize('name', [pytest.param(name, marks=() if name in SHOWN else pytest.mark.slow) for name in MODELS])
def test_the_count_of_the_table_is_exact(name):
  assert count_parameters(name=name) == stated()[name]


def test_the_defaults_of_the_multitask_network_are_those_of_the_table():
  named = count_parameters(name='multitask', attention='conv', lesion={'name': 'lesion_net_16s'})
  assert named == stated()['multitask']


def test_cw_maxpool_has_no_parameters_and_conv_two_convolutions():
  """Eq. 6 and Eq. 7; the latter's are 3x3, 8 -> 64 -> 2048, with biases. The rest are the two branches."""
  convolutions = 9 * 8 * 64 + 64 + 9 * 64 * 2048 + 2048
  without = count_parameters(name='multitask', attention='cw_maxpool')
  assert without == stated()['lesion_net_16s'] + stated()['inception_v3_grader']
  assert without + convolutions == stated()['multitask']
  assert f'{without:,} with CW-MaxPool' in PAGE.read_text('utf-8')
