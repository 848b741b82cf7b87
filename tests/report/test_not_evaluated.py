"""Lesions that no training data annotate are 'not evaluated' wherever a photograph is spoken of, and never absent.

The network learned from IDRiD: microaneurysms, intraretinal hemorrhages, hard exudates and cotton-wool spots. Its maps show
the other four all the same, and nobody may hear of it, neither as found nor as not found.
"""

from __future__ import annotations

import csv
import dataclasses
import html
import json
import re

import batch
import numpy as np
import pytest

from lesion_jax.clinical.evidence import weigh
from lesion_jax.clinical.record import describe, not_evaluated
from lesion_jax.core import EVIDENCE, LESION_KEYS
from lesion_jax.report import overlay, result_folder
from lesion_jax.report.card import model_card
from lesion_jax.report.html import write_report
from lesion_jax.report.label_studio import read_results
from lesion_jax.report.table import write_table

IDRID = ['MA', 'iHE', 'HaEx', 'CWS']
OTHERS = ['vHE', 'pHE', 'NV', 'FiP']
SAID = 'vHE, pHE, NV and FiP are not evaluated'


def write(out, index, **options):
  return batch.write(out, index, annotated=IDRID, **options)


def text_of(page):
  """What a reader sees of a page, its script and style left out."""
  body = re.sub(r'<(script|style)>.*?</\1>', '', page, flags=re.DOTALL)
  return ' '.join(html.unescape(re.sub(r'<[^>]+>', ' ', body)).split())


def everything_found():
  """A prediction in which all eight lesions are everywhere."""
  found = batch.find(batch.HEALTHY)
  maps = np.full_like(found.maps, 0.9)
  return dataclasses.replace(found, maps=maps, lesions=maps.max((1, 2)))


class TestRecord:

  @pytest.mark.parametrize('found', [batch.find(batch.HEALTHY), everything_found()], ids=['nothing', 'everything'])
  def test_states_lesions_and_evidence(self, found):
    record = describe(found, batch.network(annotated=IDRID), file='a.png', run=batch.run_of(0))
    assert {key: record['states'][key] for key in OTHERS} == dict.fromkeys(OTHERS, 'not evaluated')
    assert not_evaluated(record) == OTHERS and list(record['lesions']) == IDRID
    states = {(entry['grade'], entry['lesion']): entry['state'] for entry in record['evidence']['findings']}
    assert {states[4, key] for key in OTHERS} == {'not judged'}
    assert record['evidence']['sufficient_for'] != 4

  def test_no_file_of_a_photograph_shows_them(self, tmp_path):
    found = everything_found()
    record = describe(found, batch.network(annotated=IDRID), file='a.png', run=batch.run_of(0))
    written = batch.write_result(tmp_path / 'a', found, record)
    assert not {f'{key}.png' for key in OTHERS} & set(written['files'])
    outlines = (tmp_path / 'a' / 'outlines.svg').read_text()
    assert 'MA' in outlines and not any(re.search(rf'\b{key}\b', outlines) for key in OTHERS)

  @pytest.mark.parametrize('index, changes, keys', [
      (batch.HEALTHY, {'annotated': IDRID}, []),
      (batch.MILD, {'annotated': IDRID, 'smallest': {'MA': {'value': 5000, 'unit': 'pixels'}}}, ['MA'])])  # present, and nothing to outline
  def test_pictures_say_which_lesions_none_is_of_and_name_what_is_present(self, tmp_path, monkeypatch, index, changes, keys):
    said = []
    for room in (overlay, result_folder):
      monkeypatch.setattr(room, 'legend_strip', lambda width, keys, none='': said.append((list(keys), none)) or np.zeros((1, width, 3), np.uint8))
    found = batch.find(index)
    record = describe(found, batch.network(**changes), file='a.png', run=batch.run_of(0))
    batch.write_result(tmp_path / 'a', found, record, photograph=found.squares[0].pixels)
    assert said == [(keys, 'none of MA, iHE, HaEx, CWS found')] * 2

  def test_a_network_without_lesions_evaluates_none(self):
    record = describe(batch.find(batch.RICH, heads=('grades',)), batch.network(), file='a.png', run=batch.run_of(0))
    assert set(record['states'].values()) == {'not evaluated'} and record['evidence'] is None


class TestEvidence:

  @pytest.mark.parametrize('grade', [0, None])
  def test_nothing_found_is_said_of_what_was_looked_for(self, grade):
    supports = weigh(dict.fromkeys(IDRID, 'absent'), (0, 0, 0, 0), grade)['supports']
    end = ', as in DR0' if grade == 0 else ''
    assert supports == [f'None of the lesions that are evaluated (MA, iHE, HaEx and CWS) was found{end}; {SAID}.']

  def test_exclusively_holds_among_what_was_looked_for(self):
    evidence = weigh(dict.fromkeys(IDRID, 'absent') | {'MA': 'present'}, (0, 0, 0, 0), 1)
    assert evidence['supports'] == [f'Microaneurysms, exclusively (MA) found: sufficient for DR1; {SAID}.']
    alone = weigh(dict.fromkeys(LESION_KEYS[:7], 'absent') | {'MA': 'present'}, (0, 0, 0, 0), 1)
    assert alone['supports'][0].endswith('; FiP is not evaluated.')

  def test_a_network_that_evaluates_all_needs_no_such_words(self):
    for grade, lesions in ((0, {}), (1, {'MA': 'present'})):
      evidence = weigh(dict.fromkeys(LESION_KEYS, 'absent') | lesions, (0, 0, 0, 0), grade)
      assert 'not evaluated' not in str(evidence['supports']) and evidence['not_judged'] == []

  @pytest.mark.parametrize('grade', [0, 1, 2, 3, 4])
  @pytest.mark.parametrize('found', [(), ('MA',), ('iHE',), tuple(IDRID)])
  def test_none_of_them_is_ever_missing_or_found(self, grade, found):
    evidence = weigh({key: 'present' if key in found else 'absent' for key in IDRID}, (0, 0, 0, 0), grade)
    named = {entry.finding for entry in EVIDENCE if entry.lesion in OTHERS}
    for sentence in [*evidence['supports'], *evidence['contradicts']]:
      before, _, _ = sentence.partition('Not evaluated')
      assert not any(finding in before.lower() for finding in named) or 'is judged' in sentence, sentence
    assert evidence['not_judged'] == [
        'Not evaluated: vHE, pHE, NV and FiP, which the data that the network learned from do not annotate.']
    assert evidence['verdict'] == 'not judged' or grade != 4


class TestPage:

  def test_the_overview_says_which_lesions_none_is_of(self, tmp_path):
    write_report(tmp_path / 'report.html', [write(tmp_path, batch.HEALTHY)])
    said = text_of((tmp_path / 'report.html').read_text())
    assert 'none of MA, iHE, HaEx, CWS' in said and 'Not evaluated in any photograph: vHE, pHE, NV, FiP.' in said
    assert 'none of the evaluated lesions found, as in DR0' in said
    assert 'no lesion found' not in said and SAID in said

  def test_the_lesions_of_a_photograph_are_all_eight(self, tmp_path):
    write_report(tmp_path / 'report.html', [write(tmp_path, batch.RICH)])
    article = (tmp_path / 'report.html').read_text().partition('<article')[2].partition('</article>')[0]
    rows = re.findall(r'<tr>.*?</tr>', article.partition('<section class="lesions">')[2].partition('</section>')[0])
    last = {key: text_of(next(row for row in rows if f'</svg>{key} ' in row)) for key in LESION_KEYS}
    assert all(last[key].endswith('not evaluated') for key in OTHERS)
    assert not any('evaluated' in last[key] for key in IDRID)

  def test_exclusively_is_qualified_in_the_table(self, tmp_path):
    write_report(tmp_path / 'report.html', [write(tmp_path, batch.MILD)])
    said = text_of((tmp_path / 'report.html').read_text())
    assert 'microaneurysms, exclusively (MA) sufficient found among the lesions evaluated' in said

  def test_a_network_that_evaluates_all_says_it_as_before(self, tmp_path):
    write_report(tmp_path / 'report.html', [batch.write(tmp_path, batch.HEALTHY)])
    said = text_of((tmp_path / 'report.html').read_text())
    assert 'no lesion found, as in DR0' in said and ' none no lesion found' in said
    beside = re.findall(r'(\w+) in \d\+ quadrants sufficient not evaluated', said)  # findings that are none of the eight lesions
    assert beside == ['beading', 'IrMA'] and said.count('not evaluated') == len(beside)

  def test_a_network_without_lesions_has_none_evaluated(self, tmp_path):
    grader = batch.write(tmp_path, batch.RICH, heads=('grades',))
    write_report(tmp_path / 'report.html', [grader, write(tmp_path, batch.HEALTHY)])
    said = text_of((tmp_path / 'report.html').read_text())
    assert 'does not look for lesions: none of them is evaluated' in said


def test_the_table_has_a_word_and_no_number_for_them(tmp_path):
  write_table(tmp_path / 'results.csv', [write(tmp_path, batch.HEALTHY)])
  with (tmp_path / 'results.csv').open(newline='') as file:
    row, = csv.DictReader(file)
  for key in OTHERS:
    assert (row[f'{key} state'], row[key], row[f'{key} regions'], row[f'{key} share']) == ('not evaluated', '', '', '')
  assert {row[f'{key} state'] for key in IDRID} == {'absent'}


def test_annotators_are_told_what_nobody_looked_for(tmp_path):
  write(tmp_path, batch.RICH)
  task, = read_results(tmp_path)
  assert task['data']['not_evaluated'] == 'vHE, pHE, NV, FiP'
  drawn = {label for result in task['predictions'][0]['result'] if 'polygonlabels' in result['value']
           for label in result['value']['polygonlabels']}
  assert drawn and drawn <= set(IDRID)


def test_where_all_are_evaluated_annotators_are_told_nothing(tmp_path):
  batch.write(tmp_path, batch.RICH)
  task, = read_results(tmp_path)
  assert set(task['data']) == {'image'}


def test_the_card_does_not_call_them_absent():
  said = ' '.join(model_card(batch.config(annotated=IDRID)).split())
  assert 'outputs for vHE, pHE, NV, FiP were never trained: ignore them. These lesions are not evaluated' in said


def test_the_record_on_disk_is_the_one_that_was_checked(tmp_path):
  write(tmp_path, batch.HEALTHY)
  record = json.loads((tmp_path / str(batch.HEALTHY) / 'result.json').read_text())
  assert {record['states'][key] for key in OTHERS} == {'not evaluated'}
