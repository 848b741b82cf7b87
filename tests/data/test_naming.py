"""Patients, eyes and lesions by names."""

from __future__ import annotations

import pytest

from lesion_jax.annotation.naming import eye_of, lesion_of, patients_of


@pytest.mark.parametrize('name, patient, eye', [
    ('300_left', '300', 'left'), ('a_b_RIGHT', 'a_b', 'right'), ('p-3.OD', 'p-3', 'right'), ('p3 os', 'p3', 'left'),
    ('12_L', '12', 'left'), ('12-r', '12', 'right'), ('12_L_2', '12', 'left'), ('0012R', '0012', 'right'),
    ('0012OS', '0012', 'left'), ('OD_12', '12', 'right'), ('re\u0301tine_l', 'r\u00e9tine', 'left'),
])
def test_a_name_says_patient_and_eye(name, patient, eye):
  assert eye_of(name) == (patient, eye)


@pytest.mark.parametrize('name', ['eye01', 'IDRiD_001', 'normal', 'girl', 'left', '_left', '20051020_43808_0100_PP', 'foot'])
def test_other_names_say_nothing(name):
  assert eye_of(name) is None


def test_patients_are_taken_from_names_only_where_two_photographs_share_one():
  assert patients_of(['1_left', '1_right', '2_left', 'x']) == {'1_left': '1', '1_right': '1', '2_left': '2'}
  assert patients_of(['1_left', '2_right', 'x']) == {}


@pytest.mark.parametrize('name, key', [
    ('MA', 'MA'), ('mas', 'MA'), ('HE', 'iHE'), ('EX', 'HaEx'), ('SE', 'CWS'), ('3. Hard Exudates', 'HaEx'),
    ('cotton_wool_spots', 'CWS'), ('SoftExudate_Masks', 'CWS'), ('Haemorrhages', 'iHE'), ('Neovascularisation', 'NV'),
    ('vitreous haemorrhage', 'vHE'), ('Drusen', None), ('exudates', None), ('', None),
])
def test_lesions_are_known_by_the_names_of_releases(name, key):
  assert lesion_of(name) == key
