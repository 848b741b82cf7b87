"""Whose eye a photograph shows, by its name, and both eyes of a patient joined to one decision."""

from __future__ import annotations

import csv
import dataclasses
import json

import batch
import jsonschema
import pytest
from batch import HEALTHY, MILD, RICH

from lesion_jax.clinical.fhir import eye_of, to_fhir
from lesion_jax.clinical.look import look
from lesion_jax.clinical.patients import LARGEST_SERIES, Photograph, by_name, join, summary, whose_is
from lesion_jax.clinical.record import SCHEMA, describe, read_record, with_whose
from lesion_jax.photograph.landmarks import Landmark, Landmarks
from lesion_jax.report.patients import COLUMNS, said_of, write_patients
from lesion_jax.report.result_folder import FHIR, rewrite_whose, write_result
from lesion_jax.report.table import write_table


@pytest.mark.parametrize('name, patient, eye', [
    ('10_left.jpeg', '10', 'left'), ('train/10_right.jpeg', '10', 'right'), ('123_OD.jpg', '123', 'right'), ('123_OS.jpg', '123', 'left'),
    ('P7-L.png', 'P7', 'left'), ('IMG_0012_R.png', 'IMG_0012', 'right'), ('p.3.OD.dcm', 'p.3', 'right'), ('12_OD_right.png', '12', 'right'),
    ('P7_right_2.png', 'P7', 'right'), ('P012_OD_20210304.jpg', 'P012', 'right'), ('12_left_eye.png', '12', 'left'),
    ('A 12 LEFT.TIF', 'A 12', 'left'), ('7_right', '7', 'right'),
    # The eye alone: what else stands there may count photographs, or say what they are of.
    ('left.jpg', None, 'left'), ('OD.png', None, 'right'), ('OD_0012.jpg', None, 'right'), ('control_left_3.jpg', None, 'left'),
    ('turn_left.png', None, 'left'),
])
def test_what_a_name_says(name, patient, eye):
  assert by_name(name) == (patient, eye, 'name')


@pytest.mark.parametrize('name', [
    'IDRiD_001.jpg', 'control_r12.png', 'left_right.png', '12_left_vs_right.png', 'r.png', 'plot_l.png', 'Le_Thi_L.jpg', '12R.png',
    '12right.png', 'lefty_12.png', 'bright_12.png', '1.2.840.10008.5', 'right-hand_7.png', 'left_12_left.png', 'IMG_R_0012.png',
    '12_OU.png', '', '.', '12_od_disc.png', '000001_R_0.jpg'])
def test_what_a_name_does_not_say(name):
  assert by_name(name) is None


def test_a_dicom_file_says_the_eye_where_nobody_else_does_and_never_the_patient():
  assert whose_is(None, 'left') == {'patient': None, 'eye': 'left', 'source': 'dicom'}
  assert whose_is(None, None) is None
  said = {'patient': '7', 'eye': None, 'source': 'table'}
  assert whose_is(said, 'left') == said


def made(index=HEALTHY, patient='7', eye=None, *, source='name', marks=None, laterality=None, grade=None):
  """A record of an eye, with the eye that the landmarks say."""
  column = {'right': 200.0, 'left': 60.0}.get(marks)
  found = batch.find(index, grade=grade)
  found = dataclasses.replace(found, squares=(dataclasses.replace(found.squares[0], laterality=laterality),), landmarks=column and (
      Landmarks(Landmark(120.0, column, 0.97, True), Landmark(130.0, 130.0, 0.9, True), 0.1526 * batch.SIZE),))
  whose = None if (patient, eye) == (None, None) else {'patient': patient, 'eye': eye, 'source': source}
  return describe(found, batch.network(), file='eyes/eye.png', run=batch.run_of(index), whose=whose)


def of(record, file='eyes/eye.png', folder='eye'):
  return Photograph(file, record.get('whose'), record, folder)


class TestTheRecord:

  def test_it_has_whose_eye_it_is_and_fits_the_schema(self):
    record = made(eye='left', laterality='left')
    assert record['whose'] == {'patient': '7', 'eye': 'left', 'source': 'name'} and record['photograph']['laterality'] == 'left'
    schema = json.loads(SCHEMA.read_text('utf-8'))
    jsonschema.validate(record | {'files': []}, schema)
    for wrong in ({'patient': 7}, {'eye': 'both'}, {'source': 'guess'}, {'name': 'Ann'}):
      with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(record | {'files': [], 'whose': record['whose'] | wrong}, schema)
    assert 'whose' not in made(patient=None)

  @pytest.mark.parametrize('said, marks, laterality, contradicted', [
      ('left', 'left', None, False), ('left', None, None, False), ('left', 'right', None, True), ('left', None, 'right', True),
      ('left', 'right', 'right', True), (None, 'right', None, False)])
  def test_another_eye_than_was_said_is_a_reason_to_look_and_changes_nothing(self, said, marks, laterality, contradicted):
    record = made(patient='7', eye=said, marks=marks, laterality=laterality)
    assert ('other eye' in record['look']['reasons']) is contradicted
    assert record['whose']['eye'] == said and (record.get('landmarks') or {}).get('eye') == marks
    if contradicted:
      assert "a left eye by the file's name" in record['look']['sentences'][-1]

  def test_a_dicom_file_s_laterality_is_held_against_the_landmarks_too(self):
    record = made(patient=None, marks='right', laterality='left')
    assert record['look']['reasons'] == ['other eye'] and 'by the DICOM file' in record['look']['sentences'][0]

  def test_where_a_table_names_the_patient_alone_the_dicom_file_says_the_eye(self):
    record = made(eye=None, source='table', marks='right', laterality='left')
    assert record['whose'] == {'patient': '7', 'eye': None, 'source': 'table'}
    assert record['look']['reasons'] == ['other eye'] and 'a left eye by the DICOM file' in record['look']['sentences'][0]
    assert eye_of(record) == ('left', 'the DICOM file') and join([of(record)])[0].missing == ('right',)

  def test_a_later_table_changes_it_as_if_it_had_been_there_from_the_beginning(self):
    before, said = made(patient=None, marks='right'), {'patient': 'x', 'eye': 'left', 'source': 'table'}
    changed = with_whose(before, said)
    assert changed == made(patient='x', eye='left', source='table', marks='right') and list(changed) == list(made(eye='left', marks='right'))
    assert with_whose(changed, None) == before

  def test_finished_results_are_changed_where_they_lie(self, tmp_path):
    found, record = batch.find(RICH), made(RICH, patient=None)
    record = write_result(tmp_path / 'eye', found, record, fhir=True)
    (tmp_path / 'eye' / 'MA.png').write_bytes(b'left alone')
    said = {'patient': '7', 'eye': 'left', 'source': 'table'}
    changed = rewrite_whose(tmp_path / 'eye', record, said, tmp_path / 'eye.png')
    assert read_record(tmp_path / 'eye') == changed and changed['whose'] == said
    assert json.loads((tmp_path / 'eye' / FHIR).read_text('utf-8')) == to_fhir(changed)
    assert (tmp_path / 'eye' / 'MA.png').read_bytes() == b'left alone'
    times = (tmp_path / 'eye' / 'result.json').stat().st_mtime_ns
    assert rewrite_whose(tmp_path / 'eye', changed, said, tmp_path / 'eye.png') == changed
    assert (tmp_path / 'eye' / 'result.json').stat().st_mtime_ns == times


class TestJoined:

  def test_the_worst_risk_of_edema_is_that_of_the_rule_or_of_the_network(self):
    told = lambda rule, network: made(eye='left') | {
        'edema': rule if rule is None else {'value': rule}, 'edema_by_network': network if network is None else {'value': network}}
    risk = lambda *records: join(list(map(of, records)))[0].edema
    assert [risk(told(0, 2)), risk(told(1, None)), risk(told(None, 1)), risk(told(None, None))] == [2, 1, 1, None]
    assert risk(told(0, 0), told(2, 1)) == 2

  def test_the_worst_of_both_eyes_decides(self):
    patient, = join([of(made(eye='left', grade=0)), of(made(RICH, eye='right', grade=3))])
    assert (patient.decision, patient.missing, patient.worst, patient.grade) == ('look', (), ('right',), 3)
    assert patient.reasons == tuple(made(RICH, eye='right', grade=3)['look']['reasons'])

  def test_nothing_in_either_eye_needs_nobody(self):
    patient, = join([of(made(eye='left')), of(made(eye='right'))])
    assert (patient.decision, patient.reasons, patient.worst) == ('not needed', (), ())

  def test_one_eye_alone_is_never_all_clear(self):
    patient, = join([of(made(eye='left'))])
    assert (patient.decision, patient.missing) == ('incomplete', ('right',))
    patient, = join([of(made(RICH, eye='left', grade=2))])
    assert (patient.decision, patient.missing) == ('look', ('right',))

  def test_a_photograph_that_failed_is_no_eye(self):
    failed = Photograph('eyes/7_right.png', {'patient': '7', 'eye': 'right', 'source': 'name'}, None)
    patient, = join([of(made(eye='left')), failed])
    assert (patient.decision, patient.missing, patient.failed) == ('incomplete', ('right',), ('eyes/7_right.png',))
    second = made(eye='right')
    patient, = join([of(made(eye='left')), of(second), failed])
    assert (patient.decision, patient.missing) == ('incomplete', ())
    assert summary([patient]) == 'of 1 patients a person should look at 0; of 1 a photograph failed, without another reason to look at 1'

  def test_several_photographs_of_an_eye_and_some_of_which_nobody_says_the_eye(self):
    table = {'source': 'table'}
    patient, = join([of(made(eye='left', **table)), of(made(eye='left', **table)), of(made(RICH, **table, grade=2)), of(made(eye='right', **table))])
    assert [len(those) for those in patient.eyes.values()] == [1, 2, 1]
    assert (patient.decision, patient.worst, patient.missing, patient.grade) == ('look', (), (), 2)

  def test_an_eye_that_nobody_says_is_the_one_of_its_landmarks(self):
    patient, = join([of(made(source='table', marks='right')), of(made(eye='left', source='table'))])
    assert (patient.missing, patient.decision) == ((), 'not needed')

  def test_one_name_in_two_folders_is_two_patients_and_one_of_a_table_is_one(self):
    named = [of(made(eye='left'), 'a/7_left.png'), of(made(eye='right'), 'b/7_right.png')]
    assert [each.folder for each in join(named)] == ['a', 'b'] and all(each.decision == 'incomplete' for each in join(named))
    table = [of(made(eye=eye, source='table'), f'{folder}/x.png') for folder, eye in (('a', 'left'), ('b', 'right'))]
    assert [each.decision for each in join(table)] == ['not needed'] and len(join(named + table)) == 3

  def test_a_long_series_of_names_is_no_patient(self):
    record = made(eye='left')
    assert join([of(record)] * LARGEST_SERIES) and not join([of(record)] * (LARGEST_SERIES + 1))
    assert join([of(made(eye='left', source='table'))] * (LARGEST_SERIES + 1))

  def test_photographs_of_nobody_known_are_in_none(self):
    assert join([of(made(patient=None)), of(made(patient=None, eye='left')), Photograph('x.png', None, None)]) == []
    assert summary([]) == ''


def entry(tmp_path, index, patient, eye, **changes):
  found = batch.find(index)
  record = describe(found, batch.network(), file=f'eyes/{patient}_{eye}.png', run=batch.run_of(index),
                    whose={'patient': patient, 'eye': eye, 'source': 'name'})
  folder = f'{patient}_{eye}'
  return dataclasses.replace(batch.write(tmp_path, index, folder=folder), file=record['file'],
                             record=write_result(tmp_path / folder, found, record), **changes)


def rows_of(path):
  with path.open(newline='') as file:
    return list(csv.DictReader(file))


class TestTheTables:

  def test_a_line_a_patient(self, tmp_path):
    entries = [entry(tmp_path, RICH, '7', 'left'), entry(tmp_path, MILD, '7', 'right'), entry(tmp_path, HEALTHY, '9', 'left')]
    assert write_patients(tmp_path / 'patients.csv', entries) == ''
    seven, nine = rows_of(tmp_path / 'patients.csv')
    reasons = ', '.join(look(entries[0].record)['reasons'])
    assert (seven['patient'], seven['decision'], seven['reasons'], seven['worst eye'], seven['missing']) == ('7', 'look', reasons, 'left', '')
    assert (seven['left'], seven['right']) == (f'7_left: {reasons}', '7_right: not needed')
    assert (nine['decision'], nine['missing'], nine['right'], nine['said by'], nine['folder']) == ('incomplete', 'right', '', 'name', 'eyes')
    assert said_of(entries) == ('Of 2 patients a person should look at 1; of 1 an eye is missing, without another reason to look at 1 '
                                '(missing: 9: right)')

  def test_patient_and_eye_are_columns_of_the_results_where_anything_says_them(self, tmp_path):
    write_table(tmp_path / 'results.csv', [entry(tmp_path, MILD, '=7', 'right'), batch.failed()])
    first, second = rows_of(tmp_path / 'results.csv')
    assert (first['patient'], first['eye'], first['eye by']) == ("'=7", 'right', 'name')
    assert (second['patient'], second['eye'], second['eye by']) == ('', '', '')
    write_table(tmp_path / 'results.csv', [batch.write(tmp_path, MILD)])
    assert not {'patient', 'eye', 'eye by'} & rows_of(tmp_path / 'results.csv')[0].keys()

  def test_without_patients_there_is_no_table_and_somebody_else_s_stays(self, tmp_path):
    path, some = tmp_path / 'patients.csv', [entry(tmp_path, MILD, '7', 'right')]
    write_patients(path, some)
    assert rows_of(path)[0].keys() == set(COLUMNS)
    write_patients(path, [batch.write(tmp_path, MILD)])
    assert not path.exists()
    path.write_text('image,patient,eye\n7.png,7,left\n')
    assert 'stays as it is' in write_patients(path, some) and write_patients(path, []) == ''
    assert path.read_text().startswith('image,')


class TestFhir:

  def test_the_eye_that_was_said_has_its_codes_also_where_the_landmarks_contradict_it(self):
    bundle = to_fhir(made(RICH, eye='left', marks='right'))
    grade, = (each['resource'] for each in bundle['entry'] if 'Severity level' in each['resource'].get('code', {}).get('text', ''))
    assert [coding['code'] for coding in grade['code']['coding']] == ['71490-7']
    assert grade['bodySite'] == {'text': "left eye, by the file's name", 'coding': [
        {'system': 'http://snomed.info/sct', 'code': '8966001', 'display': 'Left eye structure (body structure)'}]}
    assert 'the wrong photograph, or a mirrored one' in bundle['entry'][0]['resource']['conclusion']

  def test_a_patient_of_a_table_is_its_subject_and_one_of_a_name_is_not(self):
    for each in to_fhir(made(RICH, eye='left', source='table'))['entry']:
      if each['resource']['resourceType'] != 'Device':
        assert each['resource']['subject'] == {'type': 'Patient', 'identifier': {'value': '7'}}
    for record in (made(RICH, eye='left'), made(RICH, patient=None), made(RICH, patient=None, eye='left', source='table')):
      assert 'subject' not in json.dumps(to_fhir(record))
