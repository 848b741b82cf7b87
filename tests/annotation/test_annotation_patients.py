"""Whose eye a photograph shows."""

from __future__ import annotations

import pathlib

import pytest

from lesion_jax.annotation.patients import Identity, identify, read_patients

HEAD = 'photograph,patient,eye\n'


def paths(*names):
  return [pathlib.Path(name) for name in names]


def test_a_name_says_patient_and_eye():
  found = identify(paths('d/10_left.jpg', 'a_b_right.png'), {})
  assert list(found.values()) == [Identity('10_left', '10'), Identity('a_b_right', 'a_b')]


def test_a_table_goes_before_the_name(tmp_path):
  table = tmp_path / 'patients.csv'
  table.write_text(HEAD + 'IMG1.jpg, p1 ,left\n10_left,p2,right\n', 'utf-8-sig')
  found = identify(paths('IMG1.jpg', '10_left.png', '11_left.png'), read_patients(table))
  assert [identity.id for identity in found.values()] == ['p1_left', 'p2_right', '11_left']


@pytest.mark.parametrize('text, message', [
    ('photograph,patient\na,b\n', r'has no column eye; expected photograph, patient, eye'),
    (HEAD + 'a,p,OD\n', r"row 2: patient 'p', eye 'OD'; .* an eye is left or right"),
    (HEAD + 'a,../p,left\n', r"row 2: patient '../p'"),
    (HEAD + 'a,,left\n', r"row 2: patient ''"),
    (HEAD + 'a,p,left\na,q,left\n', r'row 3: a has a row already'),
    (HEAD + 'Eye.jpg,p,left\nEYE.JPG,q,left\n', r'row 3: EYE.JPG has a row already'),  # which of them, nobody knows
    (HEAD + 'a,p\n', r"row 2: patient 'p', eye ''"),
])
def test_another_table_is_refused(tmp_path, text, message):
  table = tmp_path / 'patients.csv'
  table.write_text(text)
  with pytest.raises(ValueError, match=rf'patients\.csv.*{message}'):
    read_patients(table)


def test_photographs_of_unknown_patients_are_named():
  with pytest.raises(ValueError, match=r'2 photographs do not say whose eye .*\(IMG1\.jpg, IMG2\.jpg\).*--patients'):
    identify(paths('IMG2.jpg', '10_left.jpg', 'IMG1.jpg'), {})


@pytest.mark.parametrize('names', [('a/10_left.jpg', 'b/10_left.jpg'), ('P1_left.jpg', 'p1_left.jpg')])
def test_two_photographs_of_one_eye_are_refused(names):
  with pytest.raises(ValueError, match='two photographs of one eye'):
    identify(paths(*names), {})
