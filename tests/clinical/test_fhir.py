"""Codes and their check digits, and a record as FHIR R4."""

from __future__ import annotations

import copy
import dataclasses
import json
import re

import batch
import pytest
from batch import HEALTHY, RICH
from fhirclient.models.bundle import Bundle
from fhirclient.models.device import Device
from fhirclient.models.diagnosticreport import DiagnosticReport
from fhirclient.models.fhirabstractbase import FHIRValidationError
from fhirclient.models.observation import Observation

from lesion_jax.clinical import record as records
from lesion_jax.clinical.codes import ANSWERS, DISORDERS, EYES, LOINC, SEVERITY, SNOMED, is_loinc, is_snomed
from lesion_jax.clinical.fhir import to_fhir
from lesion_jax.clinical.look import look
from lesion_jax.clinical.record import describe
from lesion_jax.core import GRADES, LESION_KEYS
from lesion_jax.photograph.landmarks import Landmark, Landmarks
from lesion_jax.report.result_folder import FHIR, rewrite_lesions, write_result

# As LOINC and SNOMED CT publish them. Written down once more, so that a slip in the table is one here too.
PUBLISHED = {
    'left': '71490-7', 'right': '71491-5',
    0: ('LA18643-9', 'No apparent retinopathy', None),
    1: ('LA18644-7', 'Mild non-proliferative retinopathy', '312903003'),
    2: ('LA18645-4', 'Moderate non-proliferative retinopathy', '312904009'),
    3: ('LA18646-2', 'Severe non-proliferative retinopathy', '312905005'),
    4: ('LA18648-8', 'Proliferative retinopathy', '59276001'),
}
STATUSES = ('registered', 'partial', 'preliminary', 'final')  # of both resources, of R4


def test_the_table_is_what_is_published():
  assert {eye: code.code for eye, code in SEVERITY.items()} == {eye: PUBLISHED[eye] for eye in ('left', 'right')}
  assert all(code.name.lower().startswith(f'{eye} eye') and code.system == LOINC for eye, code in SEVERITY.items())
  for value, grade in enumerate(GRADES):
    answer, disorder = ANSWERS[value], DISORDERS[value]
    assert (answer.code, answer.name, disorder and disorder.code) == PUBLISHED[value] and answer.system == LOINC
    if disorder:  # the same step of severity in all three
      assert disorder.system == SNOMED and disorder.name.endswith('due to diabetes mellitus (disorder)')
      step = grade.name.split()[0]
      assert disorder.name.lower().startswith(step) and answer.name.lower().startswith(step)


def test_every_code_has_its_check_digit_and_no_neighbour_has():
  for code in (*SEVERITY.values(), *ANSWERS):
    assert is_loinc(code.code)
    for digit in set('0123456789') - {code.code[-1]}:
      assert not is_loinc(code.code[:-1] + digit)
  assert {eye: (code.system, code.code) for eye, code in EYES.items()} == {'right': (SNOMED, '18944008'), 'left': (SNOMED, '8966001')}
  for code in (*EYES.values(), *filter(None, DISORDERS)):
    assert code.system == SNOMED and is_snomed(code.code)
    for place in range(len(code.code)):  # Verhoeff finds every single wrong digit, and every swap of neighbours
      for digit in set('0123456789') - {code.code[place]}:
        assert not is_snomed(code.code[:place] + digit + code.code[place + 1:])


@pytest.mark.parametrize('code, holds', [('73211009', True), ('404684003', True), ('73211090', False), ('12', False), ('x3211009', False)])
def test_known_concepts_of_snomed(code, holds):
  """Diabetes mellitus and clinical finding."""
  assert is_snomed(code) is holds


@pytest.mark.parametrize('code, holds', [('2160-0', True), ('4548-4', True), ('LA33-6', True), ('LA32-8', True), ('LA6576-8', True), ('LA6577-6', True), ('LA33-7', False), ('2160-1', False), ('2160', False), ('-1', False)])
def test_known_codes_of_loinc(code, holds):
  """Creatinine and hemoglobin A1c; the answers Yes, No, Positive and Negative."""
  assert is_loinc(code) is holds


def made(index=RICH, eye='right', grade=None, **changes):
  """A record with landmarks."""
  column = {'right': (200.0, 110.0), 'left': (60.0, 150.0)}.get(eye)
  marks = column and Landmarks(Landmark(120.0, column[0], 0.97, True), Landmark(130.0, column[1], 0.9, True), 0.1526 * batch.SIZE)
  found = dataclasses.replace(batch.find(index, grade=grade), landmarks=marks and (marks,))
  return describe(found, batch.network(**changes), file='eye.png', run=batch.run_of(index))


def by_text(bundle, words):
  """The observation whose code says this."""
  found, = (entry['resource'] for entry in bundle['entry'] if words in entry['resource'].get('code', {}).get('text', '')
            and entry['resource']['resourceType'] == 'Observation')
  return found


def holds_to_r4(bundle, subject=None):
  """What R4 demands of these resources: required elements, values of required bindings, one value a name, references that resolve,
  and nothing empty."""
  assert bundle['resourceType'] == 'Bundle' and bundle['type'] == 'collection'
  urls = [entry['fullUrl'] for entry in bundle['entry']]
  assert len(set(urls)) == len(urls) and all(re.fullmatch(r'urn:uuid:[0-9a-f-]{36}', url) for url in urls)
  kinds = [entry['resource']['resourceType'] for entry in bundle['entry']]
  assert kinds.count('DiagnosticReport') == kinds.count('Device') == 1 and set(kinds) == {'DiagnosticReport', 'Device', 'Observation'}

  def walk(node):
    assert node not in ({}, [], '', None)
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
      if key == 'reference':
        assert value in urls
      walk(value)

  walk(bundle)
  for resource in (entry['resource'] for entry in bundle['entry']):
    if resource['resourceType'] == 'Device':
      continue
    assert resource['status'] in STATUSES and resource['code']
    assert resource.get('subject') == subject
    assert not { 'performer', 'effectiveDateTime'} & resource.keys()  # nothing is invented
    for part in (resource, *resource.get('component', ())):
      values = [key for key in part if key.startswith('value')]
      assert len(values) <= 1 and not (values and 'dataAbsentReason' in part) and part['code']


def with_whose(record, **whose):
  """The same record, of this eye."""
  return records.with_whose(record, {'patient': None, 'eye': None, 'source': 'table'} | whose)


RECORDS = {
    'rich': made(), 'healthy': made(HEALTHY), 'left': made(eye='left', grade=4), 'no landmarks': made(eye=None),
    'microaneurysms alone': made(annotated=['MA']), 'patient and eye': with_whose(made(), patient='Åse 7', eye='left'),
    'eye alone': with_whose(made(eye=None), eye='right'), 'no grade, no lesions': made(eye=None) | {'grade': None, 'lesions': None}}


@pytest.mark.parametrize('record', RECORDS.values(), ids=RECORDS)
def test_another_library_reads_it_by_the_models_of_r4(record):
  """Its models of R4 know every element, its type, how many there may be and which must be there, and give back what they read."""
  bundle = json.loads(json.dumps(to_fhir(record), allow_nan=False))
  read = Bundle(bundle, strict=True)
  assert read.as_json() == bundle
  kinds = {'DiagnosticReport': DiagnosticReport, 'Observation': Observation, 'Device': Device}
  for entry in read.entry:
    assert type(entry.resource) is kinds[entry.resource.resource_type]


def test_that_library_finds_what_is_wrong():
  for spoil in (lambda resource: resource.pop('status'), lambda resource: resource.update(invented=1),
                lambda resource: resource.update(code=[resource['code']]), lambda resource: resource.update(valueBoolean='yes')):
    bundle = to_fhir(made())
    spoil(bundle['entry'][1]['resource'])
    with pytest.raises(FHIRValidationError):
      Bundle(bundle, strict=True)


@pytest.mark.parametrize('record', [made(), made(HEALTHY), made(eye='left', grade=4), made(eye=None),
                                    made(annotated=['MA'])], ids=['rich', 'healthy', 'left', 'no landmarks', 'microaneurysms alone'])
def test_what_is_written_is_fhir_and_holds_the_record_s_numbers(record):
  bundle = json.loads(json.dumps(to_fhir(record), allow_nan=False))
  holds_to_r4(bundle)
  grade = by_text(bundle, 'Severity level')
  codes = [coding['code'] for coding in grade['valueCodeableConcept']['coding']]
  assert codes == [code for code in (PUBLISHED[record['grade']['value']][0], PUBLISHED[record['grade']['value']][2]) if code]
  eye = (record.get('landmarks') or {}).get('eye')
  assert [coding['code'] for coding in grade['code'].get('coding', [])] == ([PUBLISHED[eye]] if eye else [])
  lesions = {part['code']['text'].rpartition('(')[2][:-1]: part for part in by_text(bundle, 'Retinal lesions')['component'] if '(' in part['code']['text']}
  assert lesions.keys() == set(LESION_KEYS)
  for key, part in lesions.items():
    state = record['states'][key]
    assert part.get('valueBoolean') == {'present': True, 'absent': False}.get(state)
    assert ('dataAbsentReason' in part) == (state in ('not evaluated', 'ungradable'))
  report = bundle['entry'][0]['resource']
  assert all(sentence in report['conclusion'] for sentence in record['look']['sentences'])


def test_without_landmarks_there_is_no_risk_of_edema_and_without_lesions_none_of_them():
  record = made(eye=None)
  assert not any('edema' in json.dumps(entry['resource'].get('code', {})) for entry in to_fhir(record)['entry'])
  alone = copy.deepcopy(record) | {'lesions': None, 'grade': None}
  bundle = to_fhir(alone)
  assert [entry['resource']['resourceType'] for entry in bundle['entry']] == ['DiagnosticReport', 'Device']


def test_the_same_result_has_the_same_ids_and_another_photograph_others():
  one, same, other = to_fhir(made()), to_fhir(made()), to_fhir(made(HEALTHY))
  urls = lambda bundle: {entry['fullUrl'] for entry in bundle['entry']}
  assert one == same and not urls(one) & urls(other)


def test_it_lies_in_the_folder_and_is_made_anew_with_the_record(tmp_path):
  found = batch.find(RICH)
  record = write_result(tmp_path / 'eye', found, made(eye=None), fhir=True)
  assert FHIR in record['files'] and json.loads((tmp_path / 'eye' / FHIR).read_text('utf-8')) == to_fhir(record)
  fewer = copy.deepcopy(record)
  fewer['lesions']['MA']['present'], fewer['states']['MA'] = False, 'absent'
  again = rewrite_lesions(tmp_path / 'eye', found.maps[0], fewer)
  assert json.loads((tmp_path / 'eye' / FHIR).read_text('utf-8')) == to_fhir(again) != to_fhir(record)
  write_result(tmp_path / 'eye', found, made(eye=None))
  assert not (tmp_path / 'eye' / FHIR).exists()


def test_what_makes_a_photograph_doubtful_stands_beside_the_grade():
  record = made()
  assert 'interpretation' not in by_text(to_fhir(record), 'Severity level')
  record |= {'quality': record['quality'] | {'gradable': False, 'reasons': ['blurred']}, 'likeness': {
      'like': False, 'ratio': 2.0, 'reasons': ['colours'], 'data': 'idrid'}}
  record['look'] = look({key: value for key, value in record.items() if key != 'look'})
  said = [text['text'] for text in by_text(to_fhir(record), 'Severity level')['interpretation']]
  assert said == record['look']['sentences'][:2] and 'blurred' in said[0] and 'unlike' in said[1]
