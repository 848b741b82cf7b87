"""Patients, eyes and lesions by names."""

from __future__ import annotations

import pytest

from lesion_jax.annotation.naming import eye_of, lesion_of, like_series, patients_of


@pytest.mark.parametrize('name, patient, eye', [
    ('300_left', '300', 'left'), ('a_b_RIGHT', 'a_b', 'right'), ('p-3.OD', 'p-3', 'right'), ('p3 os', 'p3', 'left'),
    ('12_L', '12', 'left'), ('12-r', '12', 'right'), ('12_L_2', '12', 'left'), ('0012R', '0012', 'right'),
    ('0012OS', '0012', 'left'), ('OD_12', '12', 'right'), ('re\u0301tine_l', 'r\u00e9tine', 'left'),
    ('P012_OD_20210304', 'P012', 'right'), ('0012-L-macula', '0012', 'left'), ('IMG_R_0012', 'IMG_0012', 'right'),
    ('3_links', '3', 'left'), ('3_rechts', '3', 'right'), ('3_OG', '3', 'left'), ('pac7 ojo derecho', 'pac7', 'right'),
    ('12_LE', '12', 'left'), ('12_RE', '12', 'right'), ('\u5f203_\u5de6', '\u5f203', 'left'), ('\u5f20\u53f3\u773c', '\u5f20', 'right'),
    ('Le_Thi_12_OD', 'Le_Thi_12', 'right'), ('M\u00fcller, Anna 3_OS', 'M\u00fcller, Anna 3', 'left'), ('12left', '12', 'left'),
])
def test_a_name_says_patient_and_eye(name, patient, eye):
  assert eye_of(name) == (patient, eye)


@pytest.mark.parametrize('name', ['eye01', 'IDRiD_001', 'normal', 'girl', 'left', '_left', '20051020_43808_0100_PP', 'foot'])
def test_other_names_say_nothing(name):
  assert eye_of(name) is None


def test_patients_are_taken_from_names_only_where_two_photographs_share_one():
  assert patients_of(['1_left', '1_right', '2_left', 'x']) == {'1_left': '1', '1_right': '1', '2_left': '2'}
  assert patients_of(['1_left', '2_right', 'x']) == {}


def test_what_stands_before_the_eye_is_no_patient_where_nearly_all_names_have_it():
  names = [f'study1_{eye}_{number:04d}' for number in range(30) for eye in ('OD', 'OS')]
  found = patients_of(names)
  assert len(set(found.values())) == 30 and found['study1_OD_0007'] == found['study1_OS_0007']


def test_names_that_may_be_series_of_one_patient():
  assert like_series([f'{number // 3:04d}_{number % 3 + 1}' for number in range(12)]) == ('0000_1', '0000_2', '0000_3')
  for names in ([f'IMG_{number:04d}' for number in range(9)], [f'IDRiD_{number}' for number in range(9)], ['1_a', '2_b', '3_c'],
                [f'2021_{number}' for number in range(40)], []):
    assert like_series(names) == ()


@pytest.mark.parametrize('name, key', [
    ('MA', 'MA'), ('mas', 'MA'), ('HE', 'iHE'), ('EX', 'HaEx'), ('SE', 'CWS'), ('3. Hard Exudates', 'HaEx'),
    ('cotton_wool_spots', 'CWS'), ('SoftExudate_Masks', 'CWS'), ('Haemorrhages', 'iHE'), ('Neovascularisation', 'NV'),
    ('vitreous haemorrhage', 'vHE'), ('Drusen', None), ('exudates', None), ('', None),
])
def test_lesions_are_known_by_the_names_of_releases(name, key):
  assert lesion_of(name) == key
