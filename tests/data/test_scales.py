"""Scales of grades: what is written, what it can be, and what a scale can tell."""

from __future__ import annotations

import pytest

from lesion_jax.core import UNKNOWN_GRADE
from lesion_jax.data.scales import asks, read_scale, whole_number


@pytest.mark.parametrize('text, grade', [
    ('0', 0), ('4', 4), ('3.0', 3), ('2,0', 2), ('DR1', 1), ('', UNKNOWN_GRADE), ('NaN', UNKNOWN_GRADE), ('-1', UNKNOWN_GRADE),
])
def test_the_five_steps_in_the_ways_that_tables_write_them(text, grade):
  assert read_scale('').grade(text) == grade


@pytest.mark.parametrize('text, grade', [
    ('No DR', 0), ('no_dr', 0), ('0_no_dr', 0), ('Normal', 0), ('Mild', 1), ('1 - Mild NPDR', 1), ('Moderate', 2), ('2-moderate', 2),
    ('Severe NPDR', 3), ('severe non-proliferative DR', 3), ('Proliferate_DR', 4), ('Proliferative diabetic retinopathy', 4), ('PDR', 4),
    ('ungradable', UNKNOWN_GRADE)])
def test_the_five_steps_in_words(text, grade):
  scale = read_scale('')
  assert scale.grade(text) == grade and scale.knows(text) and not read_scale('referable').knows(text)


@pytest.mark.parametrize('text', ['1_no_dr', '3_Mild', 'no', 'p', 'DR', 'images', '0_images', 'drusen', 'R1'])
def test_other_words_are_no_grades(text):
  assert not read_scale('').knows(text)


@pytest.mark.parametrize('text', ['1.5', '5', 'bad', '1e0'])
def test_another_grade_is_refused_and_the_scales_are_named(text):
  with pytest.raises(ValueError, match=r'grades are 0\.\.4.*referable \(0 no, 1 yes\)'):
    read_scale('').grade(text)


@pytest.mark.parametrize('scale, grades, told', [
    ('icdr', {'0': 0, '1': 1}, (True, True, True)),
    ('referable', {'0': 0, '1': 2, 'yes': 2, 'No': 0}, (False, True, False)),
    ('three', {'0': 0, '1': 1, '2': 4}, (False, False, True)),
    ('0=0,1=1,2=2-4,5=unknown', {'2': 2, '5': UNKNOWN_GRADE}, (False, True, True)),
    ({'R0': 'DR0', 'R1': 'DR1-DR4'}, {'r0': 0, 'R1': 1}, (False, False, True)),
])
def test_scales(scale, grades, told):
  found = read_scale(scale)
  assert {text: found.grade(text) for text in grades} == grades
  assert (found.steps, found.referable, found.healthy) == told
  assert read_scale(found.name).spans == found.spans  # its name is a scale again


@pytest.mark.parametrize('scale', ['other', '0=9', '0=3-1', '0', '0=x'])
def test_what_is_no_scale_is_refused(scale):
  with pytest.raises(ValueError, match=r'scale=.*a scale is icdr'):
    read_scale(scale)


@pytest.mark.parametrize('scale', ['0=0,1=1,1=2', {'1': 1, '1.0': 2}])
def test_a_grade_that_means_two_things_is_refused(scale):
  with pytest.raises(ValueError, match="scale=.*'1.*' is two things"):
    read_scale(scale)


def test_few_grades_without_a_scale_are_asked_about():
  scale = read_scale('')
  assert 'only the grades 0, 1 occur' in asks(scale, [0, 1, -1]) and 'referable yes/no' in asks(scale, [0, 1])
  assert 'three classes' in asks(scale, [0, 1, 2])
  assert not asks(scale, [0, 3]) and not asks(scale, [-1]) and not asks(scale, [1]) and not asks(read_scale('icdr'), [0, 1])


def test_whole_numbers():
  assert [whole_number(text) for text in ('3.0', ' 3 ', '3,00', '3.5', 'x')] == ['3', '3', '3', '3.5', 'x']
