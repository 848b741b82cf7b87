"""The result as a DICOM structured report: a measurement report (TID 1500) with grade, lesions, risk of edema and the decision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from highdicom import sr
from pydicom.sr.codedict import codes

from lesion_jax.clinical.codes import ANSWERS, DISORDERS, SEVERITY
from lesion_jax.clinical.fhir import eye_of
from lesion_jax.clinical.look import look
from lesion_jax.core import EDEMA, GRADES, LESIONS
from lesion_jax.metrics.presence import PRESENT
from lesion_jax.report.dicom.codes import LESION, official, ours, schemes, site
from lesion_jax.report.dicom.segmentation import RESEARCH, restore, segments, without_values
from lesion_jax.report.dicom.source import uid

ONE = codes.UCUM.NoUnits
STATES = {'present': ours('PRESENT', 'Present'), 'absent': ours('ABSENT', 'Absent'), 'ungradable': ours('UNGRADABLE', 'Ungradable'),
          'not evaluated': ours('NOT_EVALUATED', 'Not evaluated')}
STATE, DECISION, REASON = ours('STATE', 'State'), ours('LOOK', 'Should a person look'), ours('REASON', 'Reason for a person to look')
GRADE = ours('GRADE', 'Severity of diabetic retinopathy, eye not known')
RISK = ours('EDEMA', 'Risk of macular edema, by hard exudates')
RISK_BY_NETWORK = ours('EDEMA_NETWORK', 'Risk of macular edema, by the network')
YES, NO = ours('YES', 'A person should look'), ours('NO', 'No reason for a person to look was found')


def make(header: Any, record: Mapping[str, Any], segmentation: Any | None, content: str) -> sr.ComprehensiveSR:
  """Makes the report: a group of measurements for the photograph as a whole, one for each lesion that is evaluated, which refers to its
  segment, and as comments the sentences of the record.

  Args:
    header: of the photograph that it refers to.
    record: of the photograph.
    segmentation: of its lesions, where there is one.
    content: what tells this content from all others.
  """
  eye, run = eye_of(record)[0], record['run']
  algorithm = sr.AlgorithmIdentification(f'lesion_jax {record["model"]["name"]}', run['lesion_jax'], [f'network {run["model"]}'])
  device = sr.DeviceObserverIdentifyingAttributes(
      uid('device', run['model']), name='lesion_jax', manufacturer_name='lesion_jax', model_name=record['model']['name'],
      serial_number=run['model'])
  about = {'algorithm_id': algorithm, 'finding_sites': [site(eye)]}
  instance = (header.SOPClassUID, header.SOPInstanceUID)
  groups = [sr.MeasurementsAndQualitativeEvaluations(
      sr.TrackingIdentifier(uid('whole', content), 'photograph'), measurements=_probabilities(record),
      qualitative_evaluations=list(_evaluations(record, eye)), source_images=[sr.SourceImageForMeasurementGroup(*instance)], **about)]
  for number, lesion in enumerate(record['lesions'] and segments(record) or (), 1):
    tracked = sr.TrackingIdentifier(uid('lesion', content, lesion), lesion)
    told = {'finding_category': LESION, 'finding_type': ours(lesion, _name(lesion)), 'measurements': _measurements(record, lesion),
            'qualitative_evaluations': [sr.QualitativeEvaluation(STATE, STATES[record['states'][lesion]])], **about}
    if segmentation is None:
      groups.append(sr.MeasurementsAndQualitativeEvaluations(
          tracked, source_images=[sr.SourceImageForMeasurementGroup(*instance)], **told))
    else:
      groups.append(sr.PlanarROIMeasurementsAndQualitativeEvaluations(
          tracked, referenced_segment=sr.ReferencedSegmentationFrame(
              segmentation.SOPClassUID, segmentation.SOPInstanceUID, number, number, sr.SourceImageForSegmentation(*instance)), **told))
  report = sr.MeasurementReport(
      sr.ObservationContext(observer_device_context=sr.ObserverContext(codes.DCM.Device, device)),
      procedure_reported=ours('FUNDUS', 'Analysis of a colour fundus photograph'), imaging_measurements=groups)
  for sentence in _sentences(record):
    report[0].ContentSequence.append(sr.TextContentItem(codes.DCM.Comment, sentence, sr.RelationshipTypeValues.CONTAINS))
  evidence = [without_values(header), *([] if segmentation is None else [segmentation])]
  made = sr.ComprehensiveSR(
      evidence, report, uid('report series', content), 9002, uid('report', content), 1, manufacturer='lesion_jax',
      manufacturer_model_name=record['model']['name'][:64], software_versions=run['lesion_jax'], device_serial_number=run['model'][:64],
      series_description=f'Report. {RESEARCH}', coding_schemes=schemes())
  restore(made, header)
  return made


def _name(key: str) -> str:
  return next(lesion.name.capitalize() for lesion in LESIONS if lesion.key == key)


def _probabilities(record: Mapping[str, Any]) -> list[sr.Measurement]:
  grade = record['grade']
  return [sr.Measurement(ours(f'P_{key}', f'Probability of {key}'), value, ONE)
          for key, value in (grade['probabilities'].items() if grade else ())]


def _evaluations(record: Mapping[str, Any], eye: str | None) -> Iterator[sr.QualitativeEvaluation]:
  """Grade, risk of edema, decision with its reasons, and what was not evaluated."""
  if grade := record['grade']:
    value = grade['value']
    yield sr.QualitativeEvaluation(official(SEVERITY[eye]) if eye else GRADE, official(ANSWERS[value]))
    if disorder := DISORDERS[value]:
      yield sr.QualitativeEvaluation(ours('DISORDER', f'Disorder of grade {GRADES[value].key}'), official(disorder))
  if edema := record.get('edema'):
    known = edema['value'] is not None
    yield sr.QualitativeEvaluation(RISK, ours(f'EDEMA_{edema["value"]}', EDEMA[edema['value']]) if known else ours('UNKNOWN', 'Unknown'))
  if told := record.get('edema_by_network'):
    yield sr.QualitativeEvaluation(RISK_BY_NETWORK, ours(f'EDEMA_{told["value"]}', EDEMA[told['value']]))
  looked = look(record)
  yield sr.QualitativeEvaluation(DECISION, YES if looked['needed'] else NO)
  for reason in looked['reasons']:
    yield sr.QualitativeEvaluation(REASON, ours(reason.upper().replace(' ', '_'), reason.capitalize()))
  for key, state in record['states'].items():
    if key not in (record['lesions'] or {}):
      yield sr.QualitativeEvaluation(ours(key, _name(key)), STATES[state])


def _measurements(record: Mapping[str, Any], key: str) -> list[sr.Measurement]:
  """Probability, and number of regions and area of a lesion that is present, as the record has them."""
  lesion = record['lesions'][key]
  found = lesion['found'] if record['states'][key] == PRESENT else None
  made = [sr.Measurement(ours('PROBABILITY', 'Probability'), lesion['probability'], ONE)]
  if found is None:
    return made
  made += [sr.Measurement(ours('REGIONS', 'Number of regions'), found['regions'], ONE),
           sr.Measurement(codes.SCT.Area, found['pixels'], sr.CodedConcept('{pixels}', 'UCUM', 'pixels')),
           sr.Measurement(ours('SHARE', 'Share of the field of view'), found['share'], ONE)]
  if 'mm2' in found:
    made.append(sr.Measurement(codes.SCT.Area, found['mm2'], codes.UCUM.SquareMillimeter))
  nearest = (found.get('by_landmarks') or {}).get('nearest')
  if nearest is not None:
    made.append(sr.Measurement(ours('NEAREST', 'Distance from the fovea, in disc diameters'), nearest, ONE))
  return made


def _sentences(record: Mapping[str, Any]) -> list[str]:
  edema = record.get('edema')
  return [*look(record)['sentences'], *([edema['sentence']] if edema else []), *record['notes']]
