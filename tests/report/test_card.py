"""A model card says what the network is, what it learned from, and what it is not for."""

from __future__ import annotations

import json

import pytest

from lesion_jax.core import LESION_KEYS
from lesion_jax.report.card import model_card


@pytest.fixture
def config(result):
  return {
      'model': {'name': 'multitask'}, 'annotated': ['MA', 'iHE', 'HaEx', 'CWS', 'pHE'],
      'preprocessing': {'size': 448, 'crop': 'field of view'}, 'metrics': result,
      'data': {'name': 'idrid', 'description': 'Photographs.', 'citation': '@data{x}', 'licence': 'CC BY 4.0',
               'lengths': {'train': 1000, 'test': 27}},
      'thresholds': dict.fromkeys(LESION_KEYS, 0.5), 'provenance': {'seed': 3, 'pretrained': ''},
  }


def test_everything_that_the_bundle_knows_is_on_it(config, result):
  card = model_card(config)
  for text in ('# multitask\n', '448x448', 'microaneurysm (MA)', '| train | 1,000 |', 'CC BY 4.0', '@data{x}',
               f'| iHE intraretinal hemorrhage | {result["pixel_f1"]["lesions"]["iHE"]:.3f} |',
               f'| quadratic weighted kappa | {result["kappa"]["value"]:.3f} |', '| `seed` | 3 |',
               "lesion_jax.load('path/to/this/directory')", 'lesion-jax predict', 'not a medical device'):
    assert text in card, text


def test_intervals_are_shown_and_explained(config, with_intervals):
  card = model_card(config | {'metrics': with_intervals})
  assert f'| quadratic weighted kappa | {with_intervals["kappa"]["value"]:.3f} [-0.050, 0.250] |' in card
  assert 'in brackets: 95 % intervals, from 1,000 draws of the images with replacement' in card
  assert 'in brackets' not in model_card(config)


def test_it_says_how_often_a_photograph_is_flagged_as_unlike_by_mistake(config):
  assert 'unlike' not in model_card(config)
  group = {'name': 'idrid', 'photographs': 1341, 'held_out': 389, 'false_alarms': 0.0153846}
  card = model_card(config | {'likeness': [{'data': 'idrid', 'groups': [group]}]})
  assert '- `idrid`: described by 1,341 photographs; of further ones' in card
  assert 'at most 1.5 % are to be flagged, by 389 held out' in card


def test_what_was_not_trained_or_has_no_value_is_said(config):
  card = model_card(config)
  assert 'Its outputs for vHE, NV, FiP were never trained' in card
  assert '| NV neovascularization | not annotated | not annotated | not annotated | not annotated |' in card
  assert 'undefined: AUPR of pHE (no positive in the ground truth)' in card


def test_a_network_trained_on_squares_says_what_it_does_with_photographs(config):
  text = 'a square one is only resized'
  assert text not in model_card(config)
  assert text in model_card(config | {'preprocessing': {'size': 448, 'crop': 'square'}})


def test_a_network_that_is_asked_by_windows_says_so(config):
  assert 'windows' not in model_card(config)
  preprocessing = {'size': 1440, 'crop': 'field of view', 'window': 448}
  assert 'crops of 448x448 pixels' in model_card(config | {'preprocessing': preprocessing})


def test_synthetic_weights_say_nothing_about_patients(config):
  assert 'synthetic' not in model_card(config)
  card = model_card(config | {'data': {'name': 'synthetic'}})
  assert 'Its training data are synthetic' in card and 'nothing about photographs of patients' in card


def test_it_shows_only_the_outputs_that_the_network_has(config):
  grader = {key: value for key, value in config['metrics'].items() if not key.startswith(('pixel', 'image', 'aupr'))}
  card = model_card(config | {'metrics': grader})
  assert 'found.grades' in card and 'found.lesions' not in card and 'on_photograph' not in card
  segmentation = {'pixel_f1': config['metrics']['pixel_f1'], 'image_f1': config['metrics']['image_f1']}
  card = model_card(config | {'metrics': segmentation})
  assert 'found.grades' not in card and "found.on_photograph('MA')" in card and 'DR0' not in card


def test_a_bundle_without_data_and_figures_has_a_card():
  card = model_card({'model': {'name': 'x'}, 'annotated': [], 'preprocessing': {'size': 64}})
  assert card.startswith('# x\n') and '## Data' not in card and '## Figures' not in card and '## Provenance' not in card


def test_thresholds_are_in_the_order_of_the_paper(config):
  config['thresholds'] = dict.fromkeys(sorted(LESION_KEYS), 0.5)
  assert f'thresholds | {", ".join(f"{key} 0.5" for key in LESION_KEYS)}' in model_card(config)


PRESENCE = {
    'rule': 'top500', 'thresholds': dict.fromkeys(LESION_KEYS, 0.25), 'specificity': 0.95, 'healthy': 34,
    'negatives': {'MA': 34, 'iHE': 40}, 'validation': {'specificity': {'MA': 0.9706}, 'sensitivity': {'MA': 0.96},
                                                       'healthy_clean': 0.9412}}


def test_thresholds_and_the_rule_are_on_it_with_what_they_were_chosen_on(config):
  assert '## Thresholds' not in model_card(config) and 'not calibrated' in model_card(config)
  card = model_card(config | {'presence': PRESENCE, 'temperatures': {'lesions': {'MA': 2.5}, 'grades': 1.25}})
  assert 'by the mean of their log odds' in card
  assert 'Of 34 healthy eyes of the validation split, 94.1 % are called free of all lesions.' in card
  assert '| MA microaneurysm | 0.5 | 0.25 | 34 | 0.971 | 0.960 | 2.5 |' in card
  assert '| iHE intraretinal hemorrhage | 0.5 | 0.25 | 40 |  |  | 1 |' in card
  assert 'Temperature of the grades: 1.25.' in card
  assert 'not calibrated' not in card and 'one temperature a head' in card


def test_a_rule_without_negatives_says_that_nothing_was_chosen(config):
  card = model_card(config | {'presence': PRESENCE | {'rule': 'maximum', 'negatives': {'MA': 0}, 'validation': {}}})
  assert 'Not chosen from data: no validation photograph is without a lesion, and 0.5 stands.' in card


def test_a_rule_that_does_not_say_what_it_was_chosen_on_is_described_alone(config):
  """As of several networks that answer as one."""
  card = model_card(config | {'presence': {'rule': 'top500', 'thresholds': dict.fromkeys(LESION_KEYS, 0.25)}})
  assert 'by the mean of their log odds' in card and 'chosen on is not said' in card and '0.5 stands' not in card


@pytest.mark.parametrize('changes, said', [
    ({'data': {'licence': 'CC0'}}, 'Licence of the data: CC0.'),
    ({'data': {'name': 'mine', 'lengths': 7}}, '`data` in `config.json` is not as this version of lesion_jax writes it'),
    ({'metrics': {'pixel_f1': 0.7}}, '`metrics` in `config.json` is not as'),
    ({'metrics': {'confusion': [[1]]}}, '`metrics` in `config.json` is not as'),
    ({'edema': {'training': 9}}, '`edema` in `config.json` is not as'),
])
def test_what_another_version_wrote_in_another_form_is_named_and_the_rest_described(config, changes, said):
  card = model_card(config | changes)
  assert said in card and '## Provenance' in card and '## Intended use' in card


def test_a_card_made_of_a_saved_configuration_is_the_same(config, result):
  metrics = result | {'data_sets': {'idrid': result, 'ddr': result}}
  data = config['data'] | {'lengths': {'train': 7, 'validation': 2, 'test': 3}}
  made = config | {'metrics': metrics, 'data': data}
  card = model_card(made)
  again = model_card(json.loads(json.dumps(made, sort_keys=True)))
  assert '### On `idrid` alone' in card and '### On `ddr` alone' in card
  assert sorted(card.splitlines()) == sorted(again.splitlines())  # but for the order of the parts and of provenance
  rows = [line.split()[1] for line in again.splitlines() if line.startswith(('| train', '| validation', '| test'))]
  assert rows == ['train', 'validation', 'test']


def test_an_operating_point_is_described_as_far_as_it_is(config):
  whole = {'threshold': 0.4, 'sensitivity': 0.95, 'specificity': 0.9}
  card = model_card(config | {'operating_points': {'first': {'referable': whole, 'edema': whole, 'photographs': 45}}})
  assert '| `first` | from 0.400 (sensitivity 0.950, specificity 0.900) | from 0.400 (' in card and 'Chosen on 45 validation photographs' in card
  card = model_card(config | {'operating_points': {'own': {'referable': {'threshold': 0.3}}}})  # all that a bundle must say
  assert '| `own` | from 0.300 |  |' in card and 'Chosen on' not in card.partition('## Operating points')[2].partition('\n## ')[0]
