"""What labels mean, and what is said of those that mean nothing."""

from __future__ import annotations

import json

import pytest

from lesion_jax.annotation.labels import Labels
from lesion_jax.core import GRADE_KEYS, GRADES, LESION_KEYS, LESIONS


@pytest.mark.parametrize('lesion', LESIONS)
def test_keys_and_names_of_lesions_are_known(lesion):
  for label in (lesion.key, lesion.key.lower(), lesion.name, lesion.name.replace(' ', '_').title(), f'{lesion.name}s'):
    assert Labels().lesion(label, '') == lesion.key


@pytest.mark.parametrize('value', range(5))
def test_keys_names_and_numbers_of_grades_are_known(value):
  for label in (GRADE_KEYS[value], f'DR {value}', f'dr-{value}', str(value), GRADES[value].name):
    assert Labels().grade(label, '') == value


def test_a_map_goes_first_and_null_leaves_out():
  labels = Labels({'Haemorrhage': 'iHE', 'MA': 'CWS', 'disc': None, 'mild': 'DR1'})
  assert [labels.lesion(label, '') for label in ('Haemorrhage', 'MA', 'disc', 'NV')] == ['iHE', 'CWS', None, 'NV']
  assert labels.grade('mild', '') == 1 and labels.grade('disc', '') is None


def test_an_unknown_lesion_teaches_how_to_map_it():
  with pytest.raises(ValueError, match=r"task 3: 'Drusen' is no lesion\. Known are MA, iHE, .*FiP .*--labels FILE"):
    Labels().lesion('Drusen', 'task 3')


def test_an_unknown_grade_teaches_how_to_map_it():
  with pytest.raises(ValueError, match=r"here: 'PDR' is no grade\. Known are DR0, .*DR4 .*--labels FILE"):
    Labels().grade('PDR', 'here')


def test_a_lesion_is_no_grade_and_a_grade_no_lesion():
  with pytest.raises(ValueError, match="'MA' is no grade"):
    Labels().grade('MA', '')
  with pytest.raises(ValueError, match="'DR2' is no lesion"):
    Labels().lesion('DR2', '')


def test_a_map_is_read_from_json(tmp_path):
  path = tmp_path / 'labels.json'
  path.write_text(json.dumps({'Blutung': 'iHE', 'Papille': None}), 'utf-8')
  assert Labels.read(path).lesion('Blutung', '') == 'iHE'


@pytest.mark.parametrize('text, message', [
    ('[1]', 'must hold one JSON object'), ('{"a": 3}', 'must hold one JSON object'), ('{', 'is not JSON'),
    ('{"a": "HE"}', f"'a' is mapped to 'HE'; Known are {LESION_KEYS[0]}"),
])
def test_another_map_is_refused(tmp_path, text, message):
  path = tmp_path / 'labels.json'
  path.write_text(text)
  with pytest.raises(ValueError, match=f'labels.json.*{message}'):
    Labels.read(path)
