"""What the page says before anything is switched: doubt where there is doubt, nothing of what a network does not do, and the same bytes."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import re

import batch
import jsonschema
import numpy as np
import pytest
from batch import HEALTHY, MILD, RICH
from PIL import Image

from lesion_jax.annotation.labels import Labels
from lesion_jax.bulk.options import Options, Refused
from lesion_jax.clinical.evidence import weigh
from lesion_jax.clinical.patients import LARGEST_SERIES
from lesion_jax.clinical.record import SCHEMA, describe
from lesion_jax.clinical.unsure import MARGIN, disagrees, is_unsure, margin, margin_of
from lesion_jax.comparison import compare_predictions
from lesion_jax.report import html, html_photograph
from lesion_jax.report.html import has_maps, write_report
from lesion_jax.report.table import COLUMNS, dictionary_path, write_table
from lesion_jax.report.whose import Whose, patients, whose

REAL = {'data': {'name': 'idrid'}}
CALIBRATED = REAL | {'temperatures': {'grades': 1.7}, 'metrics': {'confusion': [[50, 0], [0, 64]], 'tempered': {'grade': {'ece': 0.14}},
                                                                  'calibration': {'grade': {'ece': 0.2}}}}


def page_of(out, *entries, **options):
  write_report(out / 'report.html', entries, **options)
  return (out / 'report.html').read_text('utf-8')


def article(page):
  return page.partition('<article')[2].partition('</article>')[0]


def graded(entry, *probabilities):
  return batch.changed(entry, 1, grade={'probabilities': dict(zip(('DR0', 'DR1', 'DR2', 'DR3', 'DR4'), probabilities, strict=True))})


class TestUnsure:

  def test_the_margin_is_the_calibration_error_of_what_the_bundle_answers_with(self):
    assert margin_of(batch.config(**CALIBRATED)) == {'value': 0.14, 'images': 114}
    assert margin_of(batch.config(**CALIBRATED | {'temperatures': {}})) == {'value': 0.2, 'images': 114}
    assert margin_of(batch.config()) is None
    for other in ({'calibration': True}, {'calibration': {'grade': {'ece': 0.1}}, 'confusion': [None]}, {'calibration': {'grade': {'ece': 5}}},
                  {'calibration': {'grade': 'x'}}, {'calibration': {'grade': {'ece': 'x'}}}, {'calibration': {'grade': None}}):
      assert margin_of({'metrics': other}) is None, other

  def test_the_record_has_it_and_keeps_to_the_schema(self, tmp_path):
    record = batch.write(tmp_path, MILD, **CALIBRATED).record
    jsonschema.validate(record, json.loads(SCHEMA.read_text()))
    assert record['grade']['margin'] == {'value': 0.14, 'images': 114} and margin(record) == 0.14
    assert 'margin' not in batch.write(tmp_path, MILD).record['grade'] and margin(batch.write(tmp_path, MILD).record) == MARGIN

  @pytest.mark.parametrize('first, second, unsure', [(0.5, 0.37, True), (0.5, 0.36, False), (0.4, 0.4, True)])
  def test_two_grades_nearer_than_that_are_not_told_apart(self, tmp_path, first, second, unsure):
    entry = graded(batch.write(tmp_path, MILD, **CALIBRATED), 0.0, first, second, 0.0, 1 - first - second)
    assert is_unsure(entry.record) is unsure
    said = article(page_of(tmp_path, entry))
    assert ('<span class="badge warned">unsure</span>' in said) is unsure
    assert ('are nearer to each other than 0.14, by which the probability of the likeliest grade was off on average on 114 test images' in said) is unsure

  def test_without_a_grade_nothing_is_unsure(self, tmp_path):
    record = batch.write(tmp_path, RICH, heads=('maps', 'lesions')).record
    assert not is_unsure(record) and not disagrees(record)

  @pytest.mark.parametrize('index, grade, expected', [(RICH, None, False), (RICH, 0, True), (HEALTHY, 0, False), (HEALTHY, 4, True)])
  def test_grade_and_lesions_disagree(self, tmp_path, index, grade, expected):
    assert disagrees(batch.write(tmp_path, index, grade=grade, **REAL).record) is expected


class TestHonesty:

  @pytest.mark.parametrize('index', [RICH, HEALTHY])
  def test_a_network_of_synthetic_images_never_confirms(self, tmp_path, index):
    assert 'badge supported' in page_of(tmp_path, batch.write(tmp_path, index, **REAL))
    page = page_of(tmp_path, batch.write(tmp_path, index))
    assert 'badge supported' not in page and page.count('; not to be relied on here</span>') == 2  # in the list and in the article

  def test_nor_does_any_of_a_photograph_unlike_its_training_data(self, tmp_path):
    entry = batch.write(tmp_path, RICH, **REAL)
    looks = entry.record['look'] | {'needed': True, 'reasons': ['unlike'], 'sentences': ['The photograph is unlike.']}
    page = page_of(tmp_path, batch.changed(entry, 1, look=looks), batch.write(tmp_path, MILD, **REAL))
    assert '<strong>Unlike the training data.</strong> 1 of 2 photographs is unlike those that the network learned from' in page
    assert 'This photograph is unlike those that the network learned from' in article(page) and 'badge supported' not in article(page)

  @pytest.mark.parametrize('changes, said', [
      (REAL, 'Probabilities are not calibrated: they are what the network answers.'),
      (CALIBRATED, 'Probabilities are calibrated by one temperature (1.70) on the validation photographs of idrid. They were off by 0.14 on average on '
                   '114 test images.')])
  def test_probabilities_say_what_they_are_calibrated_on(self, tmp_path, changes, said):
    page = article(page_of(tmp_path, batch.write(tmp_path, RICH, **changes)))
    assert said in page and 'in the network&#x27;s own probabilities, and not calibrated' in page

  def test_attention_is_on_a_stated_scale(self, tmp_path):
    page = article(page_of(tmp_path, batch.write(tmp_path, RICH)))
    assert 'from 0 (dark) to 1 (bright) in every photograph' in page and 'here 0.400 to 0.600.' in page
    found = dataclasses.replace(batch.find(RICH), attention=np.full((1, 8, 8), 0.5, np.float32))
    record = batch.write_result(tmp_path / 'even', found, describe(found, batch.network(), file='even.png', run=batch.run_of(RICH)))
    assert 'so it hardly differs' in article(page_of(tmp_path, batch.Entry('even.png', 'even', 'predicted', record)))


class TestWhatANetworkDoesNotDo:

  def test_without_grades_there_is_no_question_of_grades(self, tmp_path):
    page = page_of(tmp_path, batch.write(tmp_path, RICH, heads=('maps', 'lesions'), **REAL))
    assert 'Do the lesions support the grade?' not in page and 'What the lesions found mean' in page
    assert 'data-filter="grade"' not in page and 'data-only="unsure"' not in page and 'data-set="attention"' not in page

  def test_without_maps_there_are_no_controls_of_maps(self, tmp_path):
    page = page_of(tmp_path, batch.write(tmp_path, RICH, heads=('lesions', 'grades'), **REAL))
    assert not re.search('data-blink|data-set=|data-lesion=|data-cut=|data-switch="plain"', page[:page.index('<script')])
    assert 'data-filter="lesion"' in page

  def test_cells_of_quadrants_are_in_words(self, tmp_path):
    entry = batch.write(tmp_path, RICH, **REAL)
    lesions = json.loads(json.dumps(entry.record['lesions']))
    lesions['HaEx']['found']['quadrants']['upper_left'] = {'regions': 0, 'pixels': 9, 'share': 0.001}
    page = article(page_of(tmp_path, batch.changed(entry, 1, lesions=lesions)))
    assert 'part of a region<br><span class="soft">0.1&nbsp;%</span>' in page
    assert not re.search(r'<td>0 <span', page)


  def test_what_a_photograph_leaves_open_is_not_said_to_be_not_evaluated(self, tmp_path):
    entry = batch.write(tmp_path, RICH, **REAL)
    states = dict.fromkeys(entry.record['states'], 'ungradable') | {'NV': 'not evaluated', 'iHE': 'present'}
    page = article(page_of(tmp_path, batch.changed(entry, 1, states=states, evidence=weigh(states, None, 3))))
    cells = dict(re.findall(r'<td>([^<]+)</td><td>\w+</td><td>(?:<span class="soft">)?([\w ]+)', page))
    assert cells['hard exudate (HaEx)'] == 'not judged' and cells['neovascularization (NV)'] == cells['venous beading in 2+ quadrants'] == 'not evaluated'


class TestTable:

  def test_it_says_what_is_referable_and_a_dictionary_says_what_its_columns_mean(self, tmp_path):
    entries = [batch.write(tmp_path, RICH), batch.write(tmp_path, HEALTHY), batch.failed(), batch.write(tmp_path, MILD, heads=('maps', 'lesions'))]
    write_table(tmp_path / 'results.csv', entries)
    with (tmp_path / 'results.csv').open(newline='') as file:
      rows = list(csv.DictReader(file))
    assert [row['referable'] for row in rows] == ['yes', 'no', '', '']
    assert dictionary_path(tmp_path / 'results.csv').name == 'results_columns.csv'
    with (tmp_path / 'results_columns.csv').open(newline='') as file:
      described = {row['column']: row for row in csv.DictReader(file)}
    assert list(described) == list(rows[0]) == list(COLUMNS)
    assert all(row['meaning'] and row['meaning'] != row['column'] for row in described.values())
    assert all(row['values'] for row in described.values())
    assert described['HaEx share'] == {'column': 'HaEx share', 'meaning': 'area of hard exudate over the area of the field of view',
                                       'unit': 'fraction', 'values': '0 to 1'}


class TestWhose:

  def test_records_say_it_and_no_name_against_them(self, tmp_path):
    old = batch.write(tmp_path, RICH)
    named = [batch.changed(old, 4, file=f'a/{name}.jpg') for name in ('10_left', '10_right', 'alone', '77_OD')]
    said = batch.changed(old, 5, whose={'patient': 'P7', 'eye': 'left', 'source': 'table'}, file='a/10_right_again.jpg')
    nobody = batch.changed(old, 6, whose={'patient': None, 'eye': 'right', 'source': 'dicom'})
    assert whose([*named, said, nobody]) == [
        Whose('10', 'left'), Whose('10', 'right'), Whose(), Whose('77', 'right'), Whose('P7', 'left'), Whose('', 'right')]
    unsaid = [dataclasses.replace(old, file='a/10_left.jpg'), batch.failed('a/10_right.jpg')]  # as with --no-patients
    assert whose(unsaid) == [Whose()] * 2 and patients(unsaid) == [None] * 2
    asked = dataclasses.replace(batch.failed('a/x.jpg'), whose={'patient': '10', 'eye': 'left', 'source': 'table'})
    assert whose([asked]) == [Whose('10', 'left')]

  def test_an_eye_that_the_landmarks_contradict_is_said(self, tmp_path):
    centre = {'row': 1.0, 'column': 1.0, 'confidence': 1.0, 'found': True}
    marks = {'disc': centre, 'fovea': centre | {'column': 9.0}, 'disc_diameter': 40.0, 'eye': 'right'}
    entry = batch.changed(batch.write(tmp_path, RICH), 1, landmarks=marks, whose={'patient': 'P7', 'eye': 'left', 'source': 'table'})
    assert 'By the order of disc and fovea it is the right eye' in page_of(tmp_path, entry)


  def test_patients_of_one_name_in_two_folders_are_two(self, tmp_path):
    old = batch.write(tmp_path, RICH, **REAL)
    named = [batch.changed(old, number, file=file) for number, file in enumerate(('a/10_left.jpg', 'a/10_right.jpg', 'b/10_right.jpg', 'alone.jpg'))]
    assert patients(named) == [0, 0, 1, None]
    page = page_of(tmp_path, *named)
    assert re.findall(r'class="fellow" data-number="(\d)"', page) == ['2', '1'] and re.findall(r'"group":(\w+)', page) == ['0', '0', '1', 'null']
    said = [batch.changed(each, 9, whose={'patient': '10', 'eye': 'left', 'source': 'table'}) for each in named]
    assert patients(said) == [0, 0, 0, 0]
    many = [batch.changed(old, number, file=f'a/10_left_{number}.jpg') for number in range(LARGEST_SERIES + 1)]
    assert set(patients(many)) == {None}


def test_no_probability_is_rounded_to_impossible_or_certain(tmp_path):
  entry = graded(batch.write(tmp_path, MILD, heads=('grades',), **REAL), 0.0012, 0.996, 0.0028, 0.0, 0.0)
  page = page_of(tmp_path, batch.changed(entry, 1, edema_by_network={'value': 0, 'name': 'none', 'probabilities': {'0': 0.9996, '1': 0.0002, '2': 0.0002}}))
  assert '<strong>DR1</strong> <span class="soft">&gt;&nbsp;0.99</span>' in page
  assert article(page).count('<td>&lt;&nbsp;0.01</td>') == 4 and 'level 0: &gt;&nbsp;0.99, level 1: &lt;&nbsp;0.01' in page
  assert not re.search(r'\b(0\.00|1\.00|0\.0 %|100\.0 %)', article(page).partition('class="answer')[0].partition('class="grade"')[2])


class TestReferable:

  @pytest.mark.parametrize('name, least, probabilities, badges', [
      ('high-sensitivity', 0.3, (0.6, 0.05, 0.2, 0.1, 0.05), ['strong">referable at high-sensitivity<']),
      ('high-specificity', 0.8, (0.3, 0.1, 0.35, 0.15, 0.1), ['plain">not referable at high-specificity<'])])
  def test_an_operating_point_decides_on_all_of_the_page(self, tmp_path, name, least, probabilities, badges):
    value = int(np.argmax(probabilities))
    entry = batch.write(tmp_path, MILD, heads=('grades',), grade=value, **REAL)
    entry = batch.changed(graded(entry, *probabilities), 1, operating_point={'name': name, 'referable': least})
    del entry.record['look']
    page = page_of(tmp_path, entry)
    assert re.findall(r'(?:strong|plain)">(?:not )?referable at [\w-]+<', article(page)) == badges
    assert (f'"referable":{str(value == 0).lower()}' in page) and ('strong">referable<' in page.partition('<article')[0]) == (value == 0)
    assert ('A person should look' in article(page)) == (value == 0)
    write_table(tmp_path / 'results.csv', [entry])
    with (tmp_path / 'results.csv').open(newline='') as file:
      row, = csv.DictReader(file)
    assert (row['referable'], row['look']) == (('yes', 'referable') if value == 0 else ('no', 'not needed'))

  def test_of_a_network_that_does_not_grade_the_lesions_do(self, tmp_path):
    page = page_of(tmp_path, batch.write(tmp_path, RICH, heads=('maps', 'lesions'), **REAL))
    assert 'strong">referable<' in page.partition('<article')[0] and '"referable":true' in page


class TestFile:

  def test_the_same_results_make_the_same_bytes(self, tmp_path):
    entries = [batch.write(tmp_path, index) for index in (RICH, MILD)]
    for entry in entries:
      os.utime(tmp_path / entry.folder / 'result.json', (1_700_000_000, 1_700_000_000))
    first = page_of(tmp_path, *entries)
    assert page_of(tmp_path, *entries) == first and '2023-11-14 22:13 UTC' in first

  def test_it_says_how_large_it_is(self, tmp_path):
    page = page_of(tmp_path, batch.write(tmp_path, RICH))
    said = re.search(r'([\d.]+) ([kM]B) page', page)
    assert float(said[1]) * {'kB': 1e3, 'MB': 1e6}[said[2]] == pytest.approx((tmp_path / 'report.html').stat().st_size, rel=0.01)

  def test_a_large_page_stores_its_photographs_as_text(self, tmp_path, monkeypatch):
    evil = '</script><script>window.injected = 1</script>'
    monkeypatch.setattr(html, 'STORED', 1)
    page = page_of(tmp_path, batch.write(tmp_path, RICH, file=f'{evil}.png', folder='evil'), batch.write(tmp_path, MILD))
    assert page.count('<script type="text/html" data-stored=') == 2 and page.count('<script') == page.count('</script>') == 4
    assert evil not in page and 'data-src="data:image/jpeg' in page

  def test_pictures_at_full_size_stay_so(self, tmp_path, monkeypatch):
    monkeypatch.setattr(html, 'SIDES', ((9, 64),))
    entry = batch.write(tmp_path, RICH)
    own = batch.changed(entry, 1, run=entry.record['run'] | {'options': {'full_size': True}})
    width = lambda page: (tmp_path / 'report.html').stat().st_size
    assert width(page_of(tmp_path, own)) > width(page_of(tmp_path, entry))

  def test_maps_are_written_again_where_they_were(self, tmp_path):
    entry = batch.write(tmp_path, RICH)
    assert not has_maps(tmp_path / 'report.html')
    page_of(tmp_path, entry)
    assert not has_maps(tmp_path / 'report.html')
    page_of(tmp_path, entry, maps=True)
    assert has_maps(tmp_path / 'report.html')
    assert not has_maps(tmp_path / 'none.html')

  @pytest.mark.parametrize('options', [{}, {'maps': 'npz', 'maps_at': 'photograph'}])
  def test_maps_of_the_page_need_maps(self, options):
    with pytest.raises(Refused, match='give --maps npz too'):
      Options('bundle', page_maps=True, **options)
    assert Options('bundle', page_maps=True, maps='npz').recorded() == Options('bundle', maps='npz').recorded()
    assert Options('bundle', full_size=True).recorded()['full_size'] is True and 'full_size' not in Options('bundle').recorded()

  def test_an_outline_of_one_point_does_not_end_the_path(self, tmp_path):
    entry = batch.write(tmp_path, RICH)
    path = tmp_path / entry.folder / 'outlines.svg'
    path.write_text(re.sub(r' d="', ' d="M5 5lz', path.read_text()))  # as earlier versions wrote it
    assert 'd="M5 5l0 0zM' in page_of(tmp_path, entry)


class TestReadings:

  def tasks(self, out, *names, who='Ann'):
    content = [{'data': {'image': name, 'patient': f'P{number}'}, 'annotations': [{'completed_by': who, 'result': [
        {'from_name': 'grade', 'to_name': 'photograph', 'type': 'choices', 'value': {'choices': [f'DR{number}']}}]}]}
        for number, name in enumerate(names)]
    (out / 'readings.json').write_text(json.dumps(content))
    return content

  @pytest.fixture
  def results(self, tmp_path):
    write_table(tmp_path / 'results.csv', [
        batch.write(tmp_path, RICH, file='a/100%_left.png'), batch.write(tmp_path, MILD, file='=b.png')])
    return tmp_path

  def test_json_of_the_page_is_compared(self, results):
    self.tasks(results, 'a/100%25_left.png', '=b.png')
    found = compare_predictions(results, results / 'readings.json', resamples=10)
    assert found['images'] == 2 and found['not_predicted'] == [] and Labels().grade('DR1', '') == 1

  def test_a_name_that_has_an_apostrophe_before_it_is_found(self, results):
    (results / 'readings.csv').write_text("file,grade\n'=b.png,1\n")
    assert compare_predictions(results, results / 'readings.csv', resamples=10)['images'] == 1

  def test_two_people_are_not_one(self, results):
    first, second = self.tasks(results, 'a/100%25_left.png'), self.tasks(results, '=b.png', who='Bob')
    (results / 'readings.json').write_text(json.dumps(first + second))
    with pytest.raises(ValueError, match=r'grades of 2 people \(Ann, Bob\)'):
      compare_predictions(results, results / 'readings.json')

  def test_two_photographs_of_one_name_are_refused(self, results):
    self.tasks(results, 'a/x.png', 'b/x.png')
    with pytest.raises(ValueError, match='two photographs of the name'):
      compare_predictions(results, results / 'readings.json')


def test_the_picture_of_a_photograph_that_is_all_field_is_not_clipped(tmp_path):
  found = batch.seen_as(batch.find(RICH), np.full((batch.SIZE, batch.SIZE, 3), 120, np.uint8))
  record = batch.write_result(tmp_path / 'all', found, describe(found, batch.network(), file='all.png', run=batch.run_of(RICH)))
  Image.fromarray(found.squares[0].view).save(tmp_path / 'all' / 'field.jpg')
  assert 'clip-path' not in article(page_of(tmp_path, batch.Entry('all.png', 'all', 'predicted', record)))
  assert 'clip-path="url(#field-1)"' in article(page_of(tmp_path, batch.write(tmp_path, RICH)))


@pytest.mark.parametrize('score, threshold, said', [
    (0.71, 0.5, '0.71'), (0.998123, 0.999974, '0.998 <span class="soft">from 1.000</span>'),
    (0.99995, 0.999974, '0.99995 <span class="soft">from 0.99997</span>'), (0.5, 0.5, '0.500000 <span class="soft">from 0.500000</span>')])
def test_a_score_has_the_digits_that_tell_it_from_its_threshold(score, threshold, said):
  assert html_photograph._apart(score, threshold) == said
