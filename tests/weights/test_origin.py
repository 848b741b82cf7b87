"""What a bundle learned from, and whether that is synthetic data alone."""

import oracle
import pytest

from lesion_jax.predict.config import check_config
from lesion_jax.predict.ensemble import join_configs
from lesion_jax.weights.origin import ALONE, GRADES_ALONE, LESIONS_ALONE, SOME_ALONE, data_sets, is_synthetic, synthetic_note


def config(name='', *, parts=(), joint=False, **before):
  data = {'name': name} | ({'parts': [{'name': part} for part in parts]} if parts else {}) | (
      {'before': before} if before else {})
  return oracle.oracle_config(data=data, model={'name': 'multitask', 'joint': joint})


@pytest.mark.parametrize('found, names, note', [
    (config('synthetic'), ['synthetic'], ALONE),
    (config('idrid'), ['idrid'], ''),
    (config('folder+synthetic'), ['folder', 'synthetic'], ''),  # said by the name alone
    (config('idrid+synthetic', parts=['idrid', 'synthetic']), ['idrid', 'synthetic'], ''),
    (config('my_synthetic_eyes'), ['my_synthetic_eyes'], ''),
    (config(), [], ''),  # a bundle that says nothing is called neither
    (config('synthetic', lesion=['synthetic'], init=['synthetic']), ['synthetic'], ALONE),
    (config('synthetic', init=['idrid']), ['idrid', 'synthetic'], ''),
    (config('idrid_grading', lesion=['synthetic']), ['idrid_grading', 'synthetic'], LESIONS_ALONE),
    (config('idrid_grading', lesion=['synthetic'], joint=True), ['idrid_grading', 'synthetic'], ''),  # both branches learned
    (config('idrid_grading', lesion=['idrid', 'synthetic']), ['idrid', 'idrid_grading', 'synthetic'], ''),
    (config('synthetic', lesion=['idrid']), ['idrid', 'synthetic'], GRADES_ALONE),
    (config('synthetic', lesion=['idrid'], init=['ddr_grading']), ['ddr_grading', 'idrid', 'synthetic'], ''),
])
def test_all_that_a_bundle_says_counts(found, names, note):
  assert data_sets(found) == names
  assert is_synthetic(found) == (note == ALONE)
  assert synthetic_note(found) == note
  check_config(found, 'bundle')


def test_bundles_of_before_and_without_data():
  assert not is_synthetic({'model': {}}) and data_sets({}) == []


def test_several_networks_are_synthetic_where_all_are():
  for other, expected in ((config('synthetic', init=['synthetic']), True), (config('idrid'), False),
                          (config('synthetic', init=['idrid']), False), (config(), False)):
    joined = join_configs(['a', 'b'], [config('synthetic'), other])
    assert is_synthetic(joined) == expected and synthetic_note(joined) == (ALONE if expected else SOME_ALONE)


@pytest.mark.parametrize('first, second, note', [
    (config('idrid'), config('ddr'), ''),
    (config('idrid_grading', lesion=['synthetic']), config('ddr_grading', lesion=['synthetic']), LESIONS_ALONE),
    (config('idrid_grading', lesion=['synthetic']), config('idrid'), SOME_ALONE),
    (config('idrid_grading', lesion=['synthetic']), config('synthetic', lesion=['idrid']), SOME_ALONE),
])
def test_what_is_said_of_several_networks_is_not_less_than_what_is_said_of_each(first, second, note):
  assert synthetic_note(join_configs(['a', 'b'], [first, second])) == note


@pytest.mark.parametrize('data, key', [
    ({'parts': 3}, 'data.parts'), ({'parts': [{}]}, 'data.parts'), ({'before': ['synthetic']}, 'data.before'),
    ({'before': {'init': 'synthetic'}}, 'data.before'), ({'before': {'init': [None]}}, 'data.before')])
def test_what_cannot_be_read_is_refused_before_anything_is_predicted(data, key):
  with pytest.raises(ValueError, match=f'net: {key} is'):
    check_config(oracle.oracle_config(data=data), 'net')
