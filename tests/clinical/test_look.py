"""Whether a person should look is one field, in the record, the table, the page and one sentence for all."""

from __future__ import annotations

import copy
import csv
import json

import batch
import jsonschema
import numpy as np
import pytest
from batch import HEALTHY, MILD, RICH

from lesion_jax.clinical.look import REASONS, look, summary
from lesion_jax.clinical.record import SCHEMA, describe
from lesion_jax.core import LESION_KEYS
from lesion_jax.data import synthetic
from lesion_jax.photograph import likeness
from lesion_jax.photograph.fingerprint import fingerprint
from lesion_jax.report.html import write_report
from lesion_jax.report.table import write_table

FOUR = ('MA', 'iHE', 'HaEx', 'CWS')


def record(grade, found=(), *, judged=LESION_KEYS, blurred=False, like=None, lesions=True):
  """What `look` reads of a record, of a network that grades so and found these lesions."""
  absent = 'ungradable' if blurred else 'absent'
  return {
      'grade': None if grade is None else {'key': f'DR{grade}', 'referable': grade >= 2},
      'lesions': {key: {'found': None} for key in judged} if lesions else None,
      'states': {key: 'not evaluated' if key not in judged or not lesions else 'present' if key in found else absent
                 for key in LESION_KEYS},
      'quality': {'gradable': not blurred, 'reasons': ['blurred'] if blurred else []},
      'likeness': like,
  }


OTHER = {'whose': {'patient': '7', 'eye': 'left', 'source': 'table'}, 'landmarks': {'eye': 'right'}}
EDEMA = {'edema': {'value': 2, 'sentence': 'The nearest hard exudate is near.'}}
UNLIKE = {'like': False, 'ratio': 2.0, 'reasons': ['colours'], 'data': 'idrid'}


@pytest.mark.parametrize('given, reasons', [
    (record(0), []),
    (record(1, ('MA',)), []),
    (record(2, ('iHE',)), ['referable']),
    (record(2, ('MA',)), ['referable', 'second look']),
    (record(0, ('HaEx',)), ['second look']),
    (record(None, ('iHE',)), ['referable']),  # it does not grade: by rule alone
    (record(None, ('MA',)), []),
    (record(3, lesions=False), ['referable']),  # it finds no lesions: no second opinion
    (record(0, lesions=False), []),
    (record(0, blurred=True), ['ungradable']),
    (record(2, blurred=True), ['ungradable', 'referable']),  # nothing found and nothing known to be absent
    (record(0, like=UNLIKE), ['unlike']),
    (record(0, like=UNLIKE | {'like': True, 'reasons': []}), []),
    (record(4, ('MA',), blurred=True, like=UNLIKE) | EDEMA | OTHER, list(REASONS)),
    (record(0) | {'edema': EDEMA['edema'] | {'value': 1}}, []),
])
def test_the_reasons_why_a_person_should_look(given, reasons):
  found = look(given)
  assert found['reasons'] == reasons and found['needed'] == bool(reasons)
  assert len(found['sentences']) == max(len(reasons), 1)


def told(risk, *probabilities):
  """The network's own risk of edema."""
  return {'edema_by_network': {'value': risk, 'name': f'risk {risk}', 'probabilities': dict(zip('012', probabilities, strict=True))}}


def graded(grade, *probabilities):
  """A record with the probabilities of its grades."""
  given = record(grade, lesions=False)
  given['grade']['probabilities'] = dict(zip(('DR0', 'DR1', 'DR2', 'DR3', 'DR4'), probabilities, strict=True))
  return given


POINT = {'operating_point': {'name': 'high-sensitivity', 'referable': 0.3, 'edema': 0.2}}


@pytest.mark.parametrize('given, reasons', [
    (record(0) | told(2, .1, .2, .7), ['edema risk']),  # the network alone is enough, without landmarks too
    (record(0) | told(1, .1, .8, .1), []),
    (record(0) | told(0, .9, .05, .05) | EDEMA, ['edema risk']),  # and so is the rule
    (graded(0, .6, .05, .2, .1, .05) | POINT, ['referable']),  # 0.35 of DR2 and above, though DR0 is more probable
    (graded(0, .7, .05, .2, .04, .01), []),
    (graded(0, .7, .05, .2, .04, .01) | POINT, []),
    (graded(2, .35, .36, .29, 0, 0) | {'operating_point': {'name': 'high-specificity', 'referable': 0.8}}, []),
    (graded(0, 1, 0, 0, 0, 0) | told(0, .6, .15, .25) | POINT, ['edema risk']),
    (graded(0, 1, 0, 0, 0, 0) | told(0, .7, .15, .15) | POINT, []),
])
def test_what_the_network_says_of_edema_and_an_operating_point_decide_too(given, reasons):
  assert look(given)['reasons'] == reasons


@pytest.mark.parametrize('grade, probabilities, found, point, reasons', [
    (2, (.2, .2, .3, .2, .1), ('iHE',), 0.709, ['second look']),  # 0.6: referable by its grade and its lesions, and not at this point
    (1, (.2, .25, .2, .2, .15), ('MA',), 0.507, ['referable', 'second look']),
    (1, (.2, .25, .2, .2, .15), ('iHE',), 0.507, ['referable']),  # both say so
    (2, (.2, .2, .3, .2, .1), ('MA',), 0.709, []),
])
def test_at_an_operating_point_a_second_look_is_where_the_lesions_say_another_thing_than_it(grade, probabilities, found, point, reasons):
  given = record(grade, found) | {'operating_point': {'name': 'chosen', 'referable': point}}
  given['grade']['probabilities'] = graded(grade, *probabilities)['grade']['probabilities']
  assert look(given)['reasons'] == reasons
  if 'second look' in reasons:
    said = look(given)['sentences'][-1]
    assert said.startswith('The network gives DR2 and above the probability 0.') and f'{point:.3f} on at chosen), but the lesions found mean' in said


def test_a_probability_just_below_an_operating_point_is_said_to_be_below_it():
  given = record(2, ('iHE',)) | {'operating_point': {'name': 'chosen', 'referable': 0.30001}}
  given['grade']['probabilities'] = graded(2, .5, .20001, .29999, 0, 0)['grade']['probabilities']
  assert 'the probability 0.29999 (referable from 0.30001 on at chosen)' in look(given)['sentences'][-1]


def test_the_sentence_says_from_which_probability_on():
  found = look(graded(0, .6, .05, .2, .1, .05) | told(0, .6, .15, .25) | POINT)
  assert '0.350' in found['sentences'][0] and 'high-sensitivity' in found['sentences'][0] and '0.300' in found['sentences'][0]
  assert '0.250' in found['sentences'][1] and '0.200' in found['sentences'][1]
  both = look(record(0) | told(2, .1, .2, .7) | EDEMA)['sentences'][0]
  assert 'nearest hard exudate is near; the network says risk 2' in both


def test_each_reason_is_one_sentence():
  assert look(record(2, ('MA',), blurred=True, like=UNLIKE))['sentences'] == [
      'The photograph may not be gradable: blurred.',
      'The photograph is unlike those that the network learned from (idrid): its colours are others.',
      'The network grades DR2, which is referable.',
      'The network grades DR2, but the lesions found mean DR1 by Table I (iHE, HaEx, CWS, vHE, pHE, NV and FiP were not '
      'judged and could change that): one is referable, the other is not.']
  assert look(record(None, ('HaEx',)))['sentences'] == [
      'The lesions found mean DR2 by Table I (indirect evidence), which is referable.']
  other = look(record(0, like=UNLIKE | {'reasons': ['appearance']}))
  assert other['sentences'][0].endswith(': its light, texture or outline is another.')


def test_lesions_that_are_not_judged_are_named_where_they_could_change_the_referral():
  assert look(record(0, judged=FOUR))['sentences'] == [
      'No reason for a person to look was found (vHE, pHE, NV and FiP were not evaluated and could change that).']
  assert look(record(0))['sentences'] == ['No reason for a person to look was found.']
  both = look(record(2, ('MA',), judged=FOUR, blurred=True))['sentences'][-1]
  assert '(vHE, pHE, NV and FiP were not evaluated and iHE, HaEx and CWS were not judged and could change that)' in both
  assert 'could change' in look(record(4, judged=FOUR))['sentences'][1]
  assert 'could change' not in look(record(0, ('iHE',), judged=FOUR))['sentences'][0]  # what is found is enough


def test_the_grade_by_rule_is_in_the_record():
  assert look(record(0, ('HaEx',), judged=FOUR))['rule'] == {
      'grade': 2, 'key': 'DR2', 'referable': True, 'sufficient': False, 'not_judged': ['vHE', 'pHE', 'NV', 'FiP']}
  assert look(record(2, lesions=False))['rule'] is None
  assert look(record(2, judged=()))['rule'] is None


def test_hemorrhages_are_counted_by_quadrant():
  given = record(2, ('iHE',))
  given['lesions']['iHE']['found'] = {'quadrants': {
      name: {'regions': 21} for name in ('upper_left', 'upper_right', 'lower_left', 'lower_right')}}
  assert look(given)['rule']['grade'] == 3


def test_a_record_from_before_has_it_too(tmp_path):
  entry = batch.write(tmp_path, RICH)
  before = copy.deepcopy(entry.record)
  kept = before.pop('look')
  del before['likeness']
  assert look(before) == kept == look(entry.record)


def test_one_sentence_for_all_says_how_many_and_why():
  assert summary([record(0), record(2, ('iHE',)), record(2, ('MA',), like=UNLIKE)]) == (
      'a person should look at 2 of 3 photographs (1 unlike, 2 referable, 1 second look)')
  assert summary([record(0)]) == 'a person should look at 0 of 1 photographs'


def test_the_table_has_one_column(tmp_path):
  entries = [batch.write(tmp_path, RICH, grade=0), batch.write(tmp_path, HEALTHY), batch.failed()]
  write_table(tmp_path / 'results.csv', entries)
  with (tmp_path / 'results.csv').open(newline='') as file:
    rows = list(csv.DictReader(file))
  assert [row['look'] for row in rows] == [', '.join(look(entries[0].record)['reasons']), 'not needed', '']
  assert 'second look' in rows[0]['look']


def test_the_page_has_one_line_at_the_head_of_each_photograph(tmp_path):
  entries = [batch.write(tmp_path, RICH, grade=2), batch.write(tmp_path, HEALTHY)]
  write_report(tmp_path / 'report.html', entries)
  page = (tmp_path / 'report.html').read_text('utf-8')
  assert page.count('<p class="look">') == 1 and page.count('<p class="look soft">') == 1
  assert 'A person should look:</strong> The network grades DR2, which is referable.' in page
  assert '2 photographs; a person should look at 1 of 2 photographs (1 referable)' in page
  assert page.count('a person looks</span>') == 1


@pytest.fixture(scope='module')
def learned():
  """What a bundle says of the drawn photographs that it learned from."""
  prints = np.stack([fingerprint(synthetic.generate(seed=11, index=index, size=64).image) for index in range(40)])
  return [likeness.entry('synthetic', {'synthetic': (prints, likeness.NONE)})]


def test_a_record_says_whether_the_photograph_is_like_those_learned_from(learned):
  def record_of(found, **changes):
    return describe(found, batch.network(**changes), file='eye.png', run=batch.run_of(MILD))

  found = batch.find(MILD)
  assert record_of(found)['likeness'] is None
  own = record_of(found, likeness=learned)
  assert own['likeness']['like'] and own['likeness']['data'] == 'synthetic' and 'unlike' not in own['look']['reasons']
  swapped = record_of(batch.seen_as(found, found.squares[0].pixels[..., ::-1]), likeness=learned)
  assert not swapped['likeness']['like'] and 'unlike' in swapped['look']['reasons']
  assert 'absent' in own['states'].values()
  assert set(swapped['states'].values()) <= {'present', 'ungradable'}
  assert not {entry['state'] for entry in swapped['evidence']['findings']} & {'absent'}


def test_what_is_said_of_likeness_keeps_to_the_schema(tmp_path, learned):
  schema = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text('utf-8')))
  for grade in (0, 2):
    kept = batch.write(tmp_path, MILD, grade=grade, likeness=learned).record
    assert kept['likeness'] and not list(schema.iter_errors(kept))
    assert not schema.is_valid({**kept, 'look': kept['look'] | {'reasons': ['tired']}})
