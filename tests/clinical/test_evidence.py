"""Table I of the paper, held against what was found."""

from __future__ import annotations

import pytest

from lesion_jax.clinical.evidence import grade_by_rule, weigh
from lesion_jax.core import EVIDENCE, LESION_KEYS

MANY = (21, 25, 30, 22)


def found(*keys, judged=LESION_KEYS):
  return {key: 'present' if key in keys else 'absent' for key in judged}


def states(evidence, grade):
  return {entry['finding']: entry['state'] for entry in evidence['findings'] if entry['grade'] == grade}


@pytest.mark.parametrize('lesions, grade, verdict, sufficient_for', [
    ((), 0, 'supported', None),
    (('MA',), 0, 'contradicted', 1),
    (('CWS',), 0, 'contradicted', None),  # indirect evidence only, but DR0 is no lesion
    (('MA',), 1, 'supported', 1),
    (('MA', 'HaEx'), 1, 'contradicted', None),  # not exclusively
    (('MA', 'NV'), 1, 'contradicted', 4),
    ((), 1, 'unsupported', None),
    (('iHE', 'MA'), 2, 'supported', 2),
    (('HaEx',), 2, 'indirect', None),
    (('MA',), 2, 'unsupported', 1),
    (('iHE', 'vHE'), 2, 'contradicted', 4),
    (('iHE', 'CWS'), 2, 'supported', 2),  # indirect evidence for DR3 excludes nothing
    (('iHE',), 3, 'unsupported', 2),
    (('iHE', 'CWS'), 3, 'indirect', 2),
    (('NV', 'iHE'), 4, 'supported', 4),
    (('FiP',), 4, 'indirect', None),
    (('iHE',), 4, 'unsupported', 2),
    (('iHE',), None, None, 2),
])
def test_the_verdict_on_a_predicted_grade(lesions, grade, verdict, sufficient_for):
  evidence = weigh(found(*lesions), (1, 0, 0, 0), grade)
  assert (evidence['verdict'], evidence['sufficient_for']) == (verdict, sufficient_for)


@pytest.mark.parametrize('counts, state', [(MANY, 'found'), ((21, 21, 21, 20), 'absent'), (None, 'not judged')])
def test_severe_needs_more_than_20_hemorrhages_in_every_quadrant(counts, state):
  evidence = weigh(found('iHE'), counts, 3)
  assert states(evidence, 3)['over 20 intraretinal hemorrhages in each of 4 quadrants'] == state
  assert evidence['verdict'] == ('supported' if state == 'found' else 'unsupported')


def test_without_hemorrhages_nobody_needs_to_count_them():
  assert states(weigh(found(), None, 0), 3)['over 20 intraretinal hemorrhages in each of 4 quadrants'] == 'absent'


def test_every_entry_of_the_table_is_answered_in_its_order():
  entries = weigh(found('MA'), None, 1)['findings']
  assert [(entry['grade'], entry['finding']) for entry in entries] == [(e.grade, e.finding) for e in EVIDENCE]


def test_what_supports_and_what_contradicts_is_said_in_sentences():
  evidence = weigh(found('iHE', 'HaEx', 'CWS', 'NV'), MANY, 2)
  assert evidence['supports'] == ['Intraretinal hemorrhage (iHE) found: sufficient for DR2.',
                                  'Hard exudate (HaEx) found: indirect evidence for DR2.']
  assert evidence['contradicts'] == [
      'Over 20 intraretinal hemorrhages in each of 4 quadrants (iHE: 21, 25, 30, 22) found: sufficient for DR3, above '
      'the predicted DR2.',
      'Cotton-wool spot (CWS) found: indirect evidence for DR3, above the predicted DR2.',
      'Neovascularization (NV) found: sufficient for DR4, above the predicted DR2.']
  assert evidence['not_judged'] == []


def test_a_grade_without_any_of_its_lesions_is_said():
  assert weigh(found('iHE'), (1, 1, 1, 1), 4)['contradicts'] == [
      'DR4 is predicted, but of what Table I names for it, this was not found: neovascularization; vitreous '
      'hemorrhage; preretinal hemorrhage; fibrous proliferation.']
  assert weigh(found('iHE'), (1, 1, 1, 1), 3)['contradicts'][0].endswith(
      'Not evaluated: venous beading in 2+ quadrants; IrMA in 1+ quadrants.')


def test_dr1_beside_other_lesions_and_dr0_beside_any_are_said():
  assert weigh(found('MA', 'HaEx', 'CWS'), None, 1)['contradicts'][0] == (
      'DR1 means microaneurysms exclusively, but HaEx and CWS were found.')
  assert weigh(found('MA'), None, 0)['contradicts'][0] == 'DR0 means no lesion, but MA was found.'


def test_no_lesion_supports_dr0():
  assert weigh(found(), None, 0)['supports'] == ['None of the lesions that are evaluated was found, as in DR0.']


def test_lesions_that_are_not_annotated_are_never_judged():
  evidence = weigh(found('MA', judged=('MA', 'iHE', 'HaEx', 'CWS')), (0, 0, 0, 0), 4)
  assert set(states(evidence, 4).values()) == {'not judged'}
  assert evidence['verdict'] == 'not judged'
  assert 'nothing that Table I names for it is judged' in evidence['contradicts'][0]
  assert evidence['not_judged'] == [
      'Not evaluated: vHE, pHE, NV and FiP, which the data that the network learned from do not annotate.']


@pytest.mark.parametrize('grade', [0, 1, 2, 3, 4, None])
def test_what_an_unreliable_photograph_leaves_open_is_neither_absent_nor_for_a_grade(grade):
  evidence = weigh(dict.fromkeys(LESION_KEYS, 'ungradable'), None, grade)
  assert {entry['state'] for entry in evidence['findings']} == {'not judged'} and evidence['supports'] == []
  assert evidence['verdict'] == (None if grade is None else 'not judged')
  assert not any('not found' in sentence for sentence in evidence['contradicts'])
  assert evidence['not_judged'] == [
      f'Not judged: {", ".join(LESION_KEYS[:-1])} and {LESION_KEYS[-1]}, which were not found in a photograph that cannot be relied on.']


def test_beside_what_it_leaves_open_what_is_found_still_counts():
  seen = dict.fromkeys(LESION_KEYS, 'ungradable') | {'iHE': 'present', 'NV': 'not evaluated'}
  evidence = weigh(seen, (1, 0, 0, 0), 2)
  assert evidence['verdict'] == 'supported' and states(evidence, 4)['neovascularization'] == 'not judged'
  assert [sentence.partition(':')[0] for sentence in evidence['not_judged']] == ['Not evaluated', 'Not judged']
  alone = weigh(dict.fromkeys(LESION_KEYS, 'ungradable') | {'MA': 'present', 'NV': 'not evaluated'}, None, 1)['supports']
  assert alone[0].endswith('; NV is not evaluated; iHE, HaEx, CWS, vHE, pHE and FiP are not judged.')


def test_a_lesion_that_does_not_exist_is_refused():
  with pytest.raises(ValueError, match='unknown lesion'):
    weigh({'XX': 'present'}, None, 0)


def states_of(*keys, unknown=(), state='not evaluated'):
  return {key: 'present' if key in keys else state if key in unknown else 'absent' for key in LESION_KEYS}


@pytest.mark.parametrize('lesions, hemorrhages, grade, sufficient', [
    ((), None, 0, True),
    (('MA',), None, 1, True),
    (('iHE',), None, 2, True),
    (('MA', 'iHE'), MANY, 3, True),
    (('iHE',), (21, 21, 21, 20), 2, True),
    (('HaEx',), None, 2, False),
    (('MA', 'HaEx'), None, 2, False),  # not exclusively
    (('MA', 'CWS'), None, 3, False),
    (('HaEx', 'CWS'), None, 3, False),
    (('iHE', 'CWS', 'HaEx'), (1, 0, 0, 0), 2, True),  # our choice: what is sufficient decides
    (('FiP',), None, 4, False),
    (('NV', 'iHE'), None, 4, True),
    (('vHE',), None, 4, True),
    (('pHE', 'MA'), None, 4, True),
])
def test_the_grade_by_rule_is_the_highest_for_which_something_was_found(lesions, hemorrhages, grade, sufficient):
  ruled = grade_by_rule(states_of(*lesions), hemorrhages)
  assert (ruled.grade, ruled.sufficient, ruled.not_judged) == (grade, sufficient, ())
  assert ruled.referable == (grade >= 2) and not ruled.could_be_referable


@pytest.mark.parametrize('state', ['not evaluated', 'ungradable'])
def test_what_is_not_judged_is_never_absent_by_rule(state):
  ruled = grade_by_rule(states_of('MA', unknown=('vHE', 'NV'), state=state))
  assert (ruled.grade, ruled.not_judged) == (1, ('vHE', 'NV'))
  assert not ruled.referable and ruled.could_be_referable
  assert grade_by_rule(states_of(unknown=LESION_KEYS, state=state)).grade is None
  assert grade_by_rule({}) == grade_by_rule(states_of(unknown=LESION_KEYS))
  assert not grade_by_rule(states_of(unknown=('MA',), state=state)).could_be_referable  # DR1 at most
  assert not grade_by_rule(states_of('iHE', unknown=('NV',), state=state)).could_be_referable  # it is already


def test_the_rule_refuses_a_lesion_that_does_not_exist():
  with pytest.raises(ValueError, match='unknown lesion'):
    grade_by_rule({'XX': 'present'})
