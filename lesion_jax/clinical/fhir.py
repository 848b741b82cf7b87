"""A record as FHIR R4: a bundle with one DiagnosticReport, its Observations and the Device that made them.

The patient is in it whom a table of the user names (`whose` of the record), as an identifier without a system: whoever sends it knows
whose identifier that is. A patient that a file's name alone says is not, and nothing is invented where none is known. Nothing is final before a person has looked: all is
'preliminary'. Ids follow from photograph, network and options, so the same result has the same ones.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

from lesion_jax.clinical.codes import ANSWERS, DISORDERS, EYES, SEVERITY, Code
from lesion_jax.clinical.look import SAID_BY, UNGRADABLE, UNLIKE, look
from lesion_jax.clinical.patients import seen_eye
from lesion_jax.core import EDEMA, LESIONS
from lesion_jax.metrics.presence import ABSENT, NOT_EVALUATED, PRESENT

ABSENT_REASON = 'http://terminology.hl7.org/CodeSystem/data-absent-reason'
CATEGORY = 'http://terminology.hl7.org/CodeSystem/observation-category'
SPACE = uuid.uuid5(uuid.NAMESPACE_URL, 'urn:lesion-jax:result')
STATUS = 'preliminary'
# Why a lesion has no value, by its state: words of FHIR's data-absent-reason.
REASONS = {NOT_EVALUATED: ('not-performed', 'Not Performed'), None: ('unknown', 'Unknown')}


def to_fhir(record: Mapping[str, Any]) -> dict[str, Any]:
  """The bundle (type 'collection'), ready for JSON.

  Its Observations are those that the record has something for: the grade, under LOINC's code of the eye where that is known
  (`whose` of the record, or else its DICOM file, or the landmarks), with LOINC's answer and SNOMED CT's disorder; the risk of macular edema; and the lesions, a component each. Their
  numbers are those of the record. The conclusion is whether a person should look, and why.

  Args:
    record: of `record.describe`.
  """
  run = record['run']
  key = json.dumps([run['photograph'], run['model'], run['options']], sort_keys=True)
  name = lambda what: f'urn:uuid:{uuid.uuid5(SPACE, f"{what} {key}")}'
  device = {'resourceType': 'Device', 'deviceName': [{'name': f'lesion_jax, network {record["model"]["name"]}', 'type': 'model-name'}],
            'version': [{'value': run['lesion_jax']}], 'identifier': [{'value': run['model']}]}
  common = {
      'resourceType': 'Observation', 'status': STATUS,
      'category': [{'coding': [{'system': CATEGORY, 'code': 'imaging', 'display': 'Imaging'}]}],
      'device': {'reference': name('device')}, 'note': [{'text': note} for note in record['notes']], **_subject(record)}
  eye, by = eye_of(record)
  where = {'bodySite': {'coding': [_coding(EYES[eye])], 'text': f'{eye} eye, by {by}'}} if eye else {}
  made = {'grade': _grade(record, eye), 'edema': _edema(record), 'edema_by_network': _edema_by_network(record), 'lesions': _lesions(record)}
  observations = {what: common | where | found for what, found in made.items() if found}
  looked = look(record)
  report = {
      'resourceType': 'DiagnosticReport', 'status': STATUS, 'code': {'text': 'Analysis of a colour fundus photograph for diabetic '
                                                                             'retinopathy by a network, for research only'},
      **_subject(record),
      **({'result': [{'reference': name(what)} for what in observations]} if observations else {}),
      'conclusion': ('A person should look: ' if looked['needed'] else '') + ' '.join(looked['sentences'])}
  resources = {'report': report, **observations, 'device': device}
  return {'resourceType': 'Bundle', 'type': 'collection',
          'entry': [{'fullUrl': name(what), 'resource': resource} for what, resource in resources.items()]}


def eye_of(record: Mapping[str, Any]) -> tuple[str | None, str]:
  """Which eye it is, and who says so."""
  whose = record.get('whose')
  if whose and whose['eye']:
    return whose['eye'], SAID_BY[whose['source']]
  eye, by = seen_eye(record)
  return eye, SAID_BY.get(by, '')


def _subject(record: Mapping[str, Any]) -> dict[str, Any]:
  whose = record.get('whose')
  if not whose or whose['source'] != 'table' or whose['patient'] is None:
    return {}
  return {'subject': {'type': 'Patient', 'identifier': {'value': whose['patient']}}}


def _coding(code: Code) -> dict[str, str]:
  return {'system': code.system, 'code': code.code, 'display': code.name}


def _grade(record: Mapping[str, Any], eye: str | None) -> dict[str, Any] | None:
  grade = record['grade']
  if not grade:
    return None
  known = [code for code in (ANSWERS[grade['value']], DISORDERS[grade['value']]) if code]
  code = {'coding': [_coding(SEVERITY[eye])]} if eye else {}
  looked = look(record)
  doubts = [{'text': sentence} for reason, sentence in zip(looked['reasons'], looked['sentences'], strict=False)
            if reason in (UNGRADABLE, UNLIKE)]
  return {'code': code | {'text': 'Severity level of diabetic retinopathy' + ('' if eye else ', eye not known')},
          'valueCodeableConcept': {'coding': [_coding(each) for each in known], 'text': f'{grade["key"]} {grade["name"]}'},
          **({'interpretation': doubts} if doubts else {}),
          'component': [{'code': {'text': f'Probability of {key}'}, 'valueQuantity': _number(value)}
                        for key, value in grade['probabilities'].items()]}


def _edema(record: Mapping[str, Any]) -> dict[str, Any] | None:
  edema = record.get('edema')
  if not edema:
    return None
  value = _unknown(None) if edema['value'] is None else {'valueCodeableConcept': {'text': f'{edema["value"]}: {EDEMA[edema["value"]]}'}}
  nearest = [] if edema['nearest'] is None else [
      {'code': {'text': 'Distance from the fovea to the nearest hard exudate, in disc diameters'}, 'valueQuantity': _number(edema['nearest'])}]
  return {'code': {'text': 'Risk of macular edema, by hard exudates and their distance to the fovea'}, **value,
          'interpretation': [{'text': edema['sentence']}], **({'component': nearest} if nearest else {})}


def _edema_by_network(record: Mapping[str, Any]) -> dict[str, Any] | None:
  told = record.get('edema_by_network')
  if not told:
    return None
  return {'code': {'text': 'Risk of macular edema, as the network tells it'},
          'valueCodeableConcept': {'text': f'{told["value"]}: {told["name"]}'},
          'component': [{'code': {'text': f'Probability of risk {risk}'}, 'valueQuantity': _number(value)}
                        for risk, value in told['probabilities'].items()]}


def _lesions(record: Mapping[str, Any]) -> dict[str, Any] | None:
  if record['lesions'] is None:
    return None
  components = []
  for lesion in LESIONS:
    state = record['states'][lesion.key]
    value = {'valueBoolean': state == PRESENT} if state in (PRESENT, ABSENT) else _unknown(state)
    components.append({'code': {'text': f'{lesion.name} ({lesion.key})'}, **value})
    found = (record['lesions'].get(lesion.key) or {}).get('found')
    if found and state == PRESENT:
      components.append({'code': {'text': f'Number of regions of {lesion.key}'}, 'valueInteger': found['regions']})
      components.append({'code': {'text': f'Share of the field of view that is {lesion.key}'}, 'valueQuantity': _number(found['share'])})
  return {'code': {'text': 'Retinal lesions'}, 'component': components}


def _unknown(state: str | None) -> dict[str, Any]:
  code, display = REASONS.get(state, REASONS[None])
  return {'dataAbsentReason': {'coding': [{'system': ABSENT_REASON, 'code': code, 'display': display}]}}


def _number(value: float) -> dict[str, Any]:
  """A number without a unit, which is 1 in UCUM."""
  return {'value': value, 'system': 'http://unitsofmeasure.org', 'code': '1'}
