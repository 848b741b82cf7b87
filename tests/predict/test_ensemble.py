"""Several networks answer as one: what each learned is averaged, and the configuration says who they are."""

from __future__ import annotations

import json

import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from oracle import BLUE, GREEN, photograph

from lesion_jax.clinical.record import Network, Run, describe
from lesion_jax.core import LESION_KEYS, Prediction, lesion_index
from lesion_jax.photograph import likeness
from lesion_jax.predict import load
from lesion_jax.predict.ensemble import average, check_heads

MA, HAEX = lesion_index('MA'), lesion_index('HaEx')
SPOTS = photograph(grade=2, lesions=[(GREEN, (100, 80, 129, 119)), (BLUE, (160, 90, 200, 120))])


@pytest.fixture
def make_members(make_bundle):
  """`make_members(*changes of config.json and gain) -> paths`."""
  return lambda *changes: [make_bundle(f'member {number}/bundle', **one) for number, one in enumerate(changes)]


def test_it_is_the_mean_of_what_its_members_say(make_members):
  paths = make_members({}, {'gain': 0.01}, {'gain': -0.02})
  found, alone = load(paths)(SPOTS), [load(path)(SPOTS) for path in paths]
  mean = lambda head: np.mean([getattr(one, head) for one in alone], axis=0)
  np.testing.assert_allclose(found.maps, mean('maps'), atol=1e-6)
  np.testing.assert_allclose(found.grades, mean('grades'), atol=1e-6)
  np.testing.assert_allclose(found.lesions, found.maps.max((1, 2)))
  assert np.abs(found.lesions - mean('lesions')).max() > 0.05, 'the maximum of the mean, not the mean of the maxima'
  assert found.crops == alone[0].crops


def test_each_lesion_is_of_those_that_learned_it(make_members):
  paths = make_members({'annotated': ['MA']}, {'annotated': ['MA', 'HaEx'], 'gain': 0.01}, {'annotated': [], 'gain': 0})
  found, alone = load(paths)(SPOTS).maps, [load(path)(SPOTS).maps for path in paths]
  np.testing.assert_allclose(found[..., MA], (alone[0] + alone[1])[..., MA] / 2, atol=1e-6)
  np.testing.assert_allclose(found[..., HAEX], alone[1][..., HAEX], atol=1e-6)
  nobody = lesion_index('NV')
  np.testing.assert_allclose(found[..., nobody], np.mean(alone, axis=0)[..., nobody], atol=1e-6)


def test_grades_are_of_those_that_grade(make_members):
  maps, grades = {'model': {'name': 'oracle', 'heads': ['maps']}}, {'model': {'name': 'oracle', 'heads': ['grades']}}
  found = load(make_members(maps, grades, maps))(SPOTS)
  assert found.grades.argmax() == 2 and found.grades.max() > 0.99
  assert found.lesions[0, MA] > 0.9


def test_its_variables_are_a_tuple_and_its_function_is_pure(make_members):
  predictor = load(make_members({}, {'gain': 0.5}))
  assert [float(variables['params']['gain']) for variables in predictor.variables] == [1, 0.5]
  images = np.zeros((1, oracle.SIZE, oracle.SIZE, 3), np.uint8)
  found = predictor.predict_fn(predictor.variables, images)
  np.testing.assert_array_equal(found.maps, predictor.predict_fn(predictor.variables, images).maps)


def test_it_takes_what_a_single_network_takes(make_members):
  images = [photograph(200 + 20 * i, 300, grade=grade) for i, grade in enumerate((3, 0, 4))]
  predictor = load(make_members({}, {'gain': 0.5}), tta='flips', thresholds={'MA': 0.1}, device='cpu:1')
  assert predictor(images, batch_size=2).grades.argmax(-1).tolist() == [3, 0, 4]
  assert [found.grades.argmax() for found in predictor.stream(iter(images), batch_size=2)] == [3, 0, 4]
  assert predictor.predict_fn._cache_size() == 1
  assert predictor.thresholds[MA] == 0.1 and predictor.config['tta'] == 'flips'


def test_its_configuration_says_what_it_is(make_members):
  halves = dict.fromkeys(LESION_KEYS, 0.5)
  paths = make_members(
      {'annotated': ['MA', 'iHE'], 'provenance': {'seed': 1}, 'thresholds': halves | {'MA': 0.2, 'iHE': 0.3}},
      {'annotated': ['MA', 'CWS'], 'provenance': {'seed': 2}, 'thresholds': halves | {'MA': 0.4, 'iHE': 0.9}})
  config = load(paths).config
  assert config['model']['name'] == 'ensemble of oracle, oracle'
  assert config['annotated'] == ['MA', 'iHE', 'CWS']
  assert [round(config['thresholds'][key], 6) for key in ('MA', 'iHE', 'CWS')] == [0.3, 0.3, 0.5]
  assert [(one['bundle'], one['seed'], one['data'], one['annotated']) for one in config['provenance']['members']] == [
      ('member 0/bundle', 1, 'drawn', ['MA', 'iHE']), ('member 1/bundle', 2, 'drawn', ['MA', 'CWS'])]
  assert json.loads(json.dumps(config)) == config
  assert str(paths[0].parents[1]) not in json.dumps(config)


def test_presence_is_judged_by_a_rule_that_all_members_have(make_members):
  presence = {'rule': 'top500', 'thresholds': dict.fromkeys(LESION_KEYS, 0.2)}
  other = presence | {'thresholds': dict.fromkeys(LESION_KEYS, 0.6)}
  config = load(make_members({'annotated': ['MA', 'iHE'], 'presence': presence, 'temperatures': {'grades': 2.0}},
                             {'annotated': ['MA', 'CWS'], 'presence': other, 'gain': 0.5})).config
  assert config['presence']['rule'] == 'top500' and 'temperatures' not in config
  assert [round(config['presence']['thresholds'][key], 6) for key in ('MA', 'iHE', 'CWS')] == [0.4, 0.2, 0.6]


def test_a_photograph_has_to_be_like_what_every_member_learned_from(make_members):
  prints = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), np.uint8)
  bright, dark = ([likeness.entry(name, {name: (prints // by, likeness.NONE)})]
                  for name, by in (('bright', 1), ('dark', 2)))
  config = load(make_members({'likeness': bright}, {'likeness': dark, 'gain': 0.5}, {'gain': 0.25})).config
  assert [entry['data'] for entry in config['likeness']] == ['bright', 'dark']
  assert 'likeness' not in load(make_members({}, {'gain': 0.5})).config


def test_members_of_different_rules_are_judged_by_eq_1(make_members):
  presence = {'rule': 'top500', 'thresholds': dict.fromkeys(LESION_KEYS, 0.2)}
  assert load(make_members({'presence': presence}, {'gain': 0.5})).rule.name == 'maximum'


def test_a_member_that_grades_alone_has_no_say_in_presence(make_members):
  presence = {'rule': 'top500', 'thresholds': dict.fromkeys(LESION_KEYS, 0.2)}
  for order in (1, -1):
    members = [{'annotated': ['MA', 'iHE'], 'presence': presence}, {'model': {'name': 'oracle', 'heads': ['grades']}, 'annotated': []}][::order]
    config = load(make_members(*members)).config
    assert config['presence'] == presence and config['annotated'] == ['MA', 'iHE']


def test_the_record_of_a_photograph_takes_it(make_members):
  predictor = load(make_members({}, {'gain': 0.5}))
  found = predictor(SPOTS)
  record = describe(found, Network.of(predictor.config), file='eye.png', run=Run('', '', {}))
  assert record['lesions']['MA']['present'] and record['grade']['value'] == 2
  assert record['model']['name'] == 'ensemble of oracle, oracle'
  assert len(record['model']['provenance']['members']) == 2


def test_a_list_of_one_is_that_bundle(make_members, predictor):
  single = load(make_members({}))
  assert single.config == predictor.config and set(single.variables) == {'params', 'batch_stats'}


def test_members_that_see_another_square_are_refused(make_members):
  other = {'size': 32, 'crop': 'square'}
  with pytest.raises(ValueError, match=r"member 0/bundle takes .*'size': 64.*, member 2/bundle as .*'size': 32.*must take the same"):
    load(make_members({}, {}, {'preprocessing': other}))


def test_maps_and_answers_without_maps_are_not_mixed():
  maps, lesions, grades = Prediction(maps=1, lesions=1), Prediction(lesions=1, grades=1), Prediction(grades=1)
  check_heads('abc', [maps, grades, maps])
  check_heads('abc', [lesions, grades, lesions])
  with pytest.raises(ValueError, match='a, d find lesions by maps and b without'):
    check_heads('abcd', [maps, lesions, grades, maps])


def test_answers_without_maps_are_averaged_by_lesion():
  fns = [lambda value, images: Prediction(lesions=jnp.full((1, 8), value)) for _ in range(2)]
  found = average(fns, [['MA'], ['MA', 'HaEx']])((0.25, 0.75), None)
  assert found.maps is None and found.grades is None and found.attention is None
  assert np.asarray(found.lesions)[0, [MA, HAEX]].tolist() == [0.5, 0.75]


def test_attention_is_on_the_finest_grid():
  coarse, fine = np.full((1, 2, 2), 0.5, np.float32), np.zeros((1, 4, 4), np.float32)
  fns = [lambda value, images: Prediction(attention=value)] * 3
  found = average([*fns, lambda *_: Prediction(grades=np.ones((1, 5)))], [[]] * 4)((coarse, fine, fine, None), None)
  np.testing.assert_allclose(found.attention, np.full((1, 4, 4), 0.5 / 3), atol=1e-6)
