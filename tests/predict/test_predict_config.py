"""A bundle for something that prediction does not do is refused, with the key and what must stand there."""

from __future__ import annotations

import numpy as np
import oracle
import pytest

from lesion_jax.photograph import likeness
from lesion_jax.predict import load
from lesion_jax.predict.config import check_config


def test_unknown_keys_are_left_alone():
  check_config(oracle.oracle_config(colour='blue'), 'config.json')


@pytest.mark.parametrize('crop', ['field of view', 'square'])
def test_both_kinds_of_photograph_are_known(crop):
  check_config(oracle.oracle_config(preprocessing={'size': 64, 'crop': crop}), 'config.json')


@pytest.mark.parametrize('window', [0, 96, 640])
def test_windows_are_known(window):
  preprocessing = {'size': 640, 'crop': 'square', 'window': window}
  check_config(oracle.oracle_config(preprocessing=preprocessing), 'config.json')


@pytest.mark.parametrize('key', ['model', 'lesions', 'grades', 'preprocessing', 'thresholds', 'annotated'])
def test_a_missing_key_is_named(key):
  config = oracle.oracle_config()
  del config[key]
  with pytest.raises(ValueError, match=f'config.json lacks {key}; prediction needs'):
    check_config(config, 'config.json')


PRESENCE = {'rule': 'top500', 'thresholds': dict.fromkeys(oracle.LESION_KEYS, 0.3), 'specificity': 0.95, 'healthy': 9}


@pytest.mark.parametrize('changes', [
    {'presence': PRESENCE}, {'presence': PRESENCE | {'rule': 'maximum', 'specificity': None}},
    {'presence': PRESENCE | {'thresholds': dict.fromkeys(oracle.LESION_KEYS, 1)}},
    {'temperatures': {}}, {'temperatures': {'lesions': {'MA': 2}, 'grades': 0.5}},
    {'operating_points': {'high': {'referable': {'threshold': 0.4}, 'photographs': 9}, 'low': {'edema': {'threshold': 1}}}},
    {'metrics': {'calibration': {'grade': {'ece': None}, 'MA': None}}}, {'metrics': {'calibration': {'grade': {'ece': 0.1}}, 'confusion': [[3]]}}])
def test_rules_and_temperatures_are_known(changes):
  check_config(oracle.oracle_config(**changes), 'config.json')


@pytest.mark.parametrize('changes, message', [
    ({'presence': 'top500'}, "presence is 'top500'; it must be an object whose rule is 'top500' or 'maximum'"),
    ({'presence': PRESENCE | {'rule': 'median'}}, "must be an object whose rule is 'top500' or 'maximum', or left out"),
    ({'presence': PRESENCE | {'thresholds': {'MA': 0.1}}}, 'presence.thresholds is .*one number for each'),
    ({'presence': {'rule': 'top500'}}, 'presence.thresholds is None'),
    ({'presence': PRESENCE | {'thresholds': dict.fromkeys(oracle.LESION_KEYS, 1.5)}}, 'numbers from 0 to 1'),
    ({'presence': PRESENCE | {'specificity': 95}}, 'presence.specificity is 95; it must be between 0 and 1'),
    ({'temperatures': 2}, 'temperatures is 2; it must be an object'),
    ({'temperatures': {'lesions': {'drusen': 1}}}, 'temperatures.lesions is .*out of MA'),
    ({'temperatures': {'lesions': {'MA': 0}}}, 'made of numbers above 0'),
    ({'temperatures': {'grades': float('nan')}}, 'made of numbers above 0'),
    ({'temperatures': {'grades': 'warm'}}, 'made of numbers above 0'),
    ({'likeness': 'drawn'}, r'likeness must be a list of \{data, groups\}, or left out'),
    ({'likeness': [{'data': 'drawn', 'groups': [{}]}]}, 'likeness must be made of groups with centre'),
    ({'model': 'oracle'}, "model is 'oracle'; it must be an object with the name"),
    ({'lesions': ['iHE', 'MA']}, r"lesions is \['iHE', 'MA'\]; .*in this order"),
    ({'grades': ['0', '1']}, 'grades is .*DR0'),
    ({'preprocessing': {'size': 0, 'crop': 'field of view'}}, 'preprocessing.size is 0; it must be a number of pixels'),
    ({'preprocessing': {'size': 10**9, 'crop': 'square'}}, 'preprocessing.size is 1000000000; .* from 1 to 4096'),
    ({'model': {'name': ['oracle']}}, 'it must be an object with the name'),
    ({'annotated': [['MA']]}, 'it must be a list of keys'),
    ({'preprocessing': {'size': 64, 'crop': 'center'}},
     "preprocessing.crop is 'center'; it must be 'field of view' or 'square'"),
    ({'preprocessing': {'size': 640, 'crop': 'square', 'window': 100}},
     'preprocessing.window is 100; it must be 0, left out, or a multiple of 32 from 96 to .*, which is 640'),
    ({'preprocessing': {'size': 64, 'crop': 'square', 'window': 96}}, 'preprocessing.window is 96'),
    ({'preprocessing': {'size': 640, 'crop': 'square', 'window': '96'}}, "preprocessing.window is '96'"),
    ({'thresholds': {'MA': 0.5}}, 'thresholds is .*one number for each'),
    ({'thresholds': dict.fromkeys(oracle.LESION_KEYS, 50)}, 'thresholds is .*between 0 and 1'),
    ({'annotated': ['drusen']}, r"annotated is \['drusen'\]; it must be a list of keys"),
    ({'data': ['drawn']}, r"data is \['drawn'\]; it must be an object, or left out"),
    ({'data': {'name': {}}}, r'data.name is \{\}; it must be a text'),
    ({'provenance': 'mine'}, "provenance is 'mine'; it must be an object"),
    ({'provenance': {'members': 3}}, 'provenance.members is 3; it must be a list of objects'),
    ({'provenance': {'members': [3]}}, r'provenance.members is .3.; it must be a list of objects'),
    ({'metrics': 1}, 'metrics is 1; it must be an object'),
    ({'operating_points': 'high'}, "operating_points is 'high'; it must be an object, or left out"),
    ({'operating_points': {'high': None}}, 'operating_points.high is None; it must be an object with referable or edema'),
    ({'operating_points': {'high': {'photographs': 45}}}, 'operating_points.high is .* each with a threshold from 0 to 1'),
    ({'operating_points': {'high': {'referable': {'threshold': 'x'}}}}, 'operating_points.high is'),
    ({'operating_points': {'high': {'referable': {'threshold': 0.4}, 'edema': {}}}}, 'operating_points.high is'),
    ({'operating_points': {'high': {'edema': {'threshold': 40}}}}, 'operating_points.high is'),
])
def test_another_value_is_refused(changes, message):
  with pytest.raises(ValueError, match=message):
    check_config(oracle.oracle_config(**changes), 'config.json')


def test_a_bundle_may_say_what_it_learned_from_or_nothing():
  group = likeness.fit(np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), np.uint8), likeness.NONE)
  for known in (None, [], [{'data': 'noise', 'groups': [group]}]):
    check_config(oracle.oracle_config(likeness=known), 'config.json')


def test_loading_checks_and_names_the_file(make_bundle):
  with pytest.raises(ValueError, match=r'bundle.config\.json: grades is \[\]'):
    load(make_bundle(grades=[]))


def test_what_is_no_bundle_is_said(tmp_path):
  with pytest.raises(FileNotFoundError, match='not a bundle'):
    load(tmp_path)
