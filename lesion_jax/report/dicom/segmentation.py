"""The lesions as a DICOM Segmentation: binary, a segment each, in the grid of the photograph's own pixels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import highdicom
import numpy as np
from highdicom import PixelMeasuresSequence
from highdicom.color import CIELabColor
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
from pydicom.dataset import Dataset

from lesion_jax.core import LESIONS
from lesion_jax.report.dicom.codes import LESION, RETINA, ours, schemes
from lesion_jax.report.dicom.source import EMPTY, uid
from lesion_jax.report.overlay import COLORS

# Elements by which highdicom would look for frames, tiles and places, which photographs of a retina do not have, or that are large.
_LEFT_OUT = {*EMPTY, 'SpecificCharacterSet', 'PixelData', 'NumberOfFrames', 'SharedFunctionalGroupsSequence', 'PerFrameFunctionalGroupsSequence', 'ImagePositionPatient',
              'ImageOrientationPatient', 'PixelSpacing', 'TotalPixelMatrixRows', 'TotalPixelMatrixColumns'}
RESEARCH = 'For research only; made by lesion_jax'


def has_segments(record: Mapping[str, Any]) -> bool:
  """Returns whether there is a lesion that is evaluated, by a network that makes maps."""
  return bool(record['lesions']) and all(lesion['found'] is not None for lesion in record['lesions'].values())


def segments(record: Mapping[str, Any]) -> list[str]:
  """Returns the keys of the lesions that are evaluated, whose place is their segment's number and their frame's, from 1."""
  return [lesion.key for lesion in LESIONS if lesion.key in record['lesions']]


def make(header: Any, record: Mapping[str, Any], masks: Mapping[str, np.ndarray], content: str) -> Segmentation:
  """Makes the segmentation: a segment, and a frame, each lesion that is evaluated, those that are absent empty. So what was looked
  for and not found is told from what was not looked for, and there is always a segment, as the standard wants (PS3.3, C.8.20.2).

  Args:
    header: of what it refers to.
    record: of the photograph.
    masks: bool [H, W], of the lesions that are present.
    content: what tells this content from all others.
  """
  keys, size = segments(record), (header.Rows, header.Columns)
  names = {lesion.key: lesion.name for lesion in LESIONS}
  pixels = np.stack([np.asarray(masks.get(key, np.zeros(size, bool)), np.uint8) for key in keys], axis=-1)[None]
  algorithm = highdicom.AlgorithmIdentificationSequence(
      name=f'lesion_jax {record["model"]["name"]}'[:64], family=highdicom.sr.CodedConcept('123110', 'DCM', 'Artificial Intelligence'),
      version=record['run']['lesion_jax'], source='lesion_jax', parameters={'network': record['run']['model']})
  described = [SegmentDescription(
      number, f'{names[key]} ({key})', LESION, ours(key, names[key].capitalize()), SegmentAlgorithmTypeValues.AUTOMATIC, algorithm,
      tracking_uid=uid('lesion', content, key), tracking_id=key, anatomic_regions=[RETINA],
      display_color=CIELabColor.from_rgb(*COLORS[key])) for number, key in enumerate(keys, 1)]
  scale = measures(record)
  made = Segmentation(
      [without_values(header)], pixels, SegmentationTypeValues.BINARY, described, uid('segmentation series', content), 9001,
      uid('segmentation', content), 1, manufacturer='lesion_jax', manufacturer_model_name=record['model']['name'][:64],
      software_versions=record['run']['lesion_jax'], device_serial_number=record['run']['model'][:64],
      content_description=RESEARCH, content_label='LESIONS', omit_empty_frames=False, series_description=f'Lesions. {RESEARCH}',
      coding_schemes=schemes(), pixel_measures=scale)
  if scale is None:
    made.SharedFunctionalGroupsSequence[0].pop('PixelMeasuresSequence', None)
  organization = uid('dimensions', content)
  made.DimensionOrganizationSequence[0].DimensionOrganizationUID = organization
  for index in made.DimensionIndexSequence:
    index.DimensionOrganizationUID = organization
  restore(made, header)
  return made


def measures(record: Mapping[str, Any]) -> PixelMeasuresSequence | None:
  """The distance between pixels, where the photograph says it, in its rows and its columns."""
  spacing = record['photograph'].get('spacing')
  return PixelMeasuresSequence((spacing['row'], spacing['column']), None) if spacing else None


def without_values(header: Any) -> Any:
  """A copy of a header in which what highdicom would hold to the standard, and refuse, is empty; `restore` puts it back. It is of a
  single frame, as a photograph is, and of no place in space."""
  copy = Dataset()
  for element in header:
    if element.keyword not in _LEFT_OUT:
      copy.add(element)
  group = Dataset()
  group.PixelMeasuresSequence = PixelMeasuresSequence((1, 1), None)  # highdicom asks for it; never taken
  copy.NumberOfFrames, copy.SharedFunctionalGroupsSequence = 1, [group]
  for name in EMPTY:
    setattr(copy, name, None if name == 'PatientSex' else '')
  return copy


def restore(made: Any, header: Any) -> None:
  """Patient and study as they stand in the header, whatever they hold, in its letters; and when the camera contributed is not said, where highdicom
  says now."""
  for name in EMPTY:
    made[name] = header[name]
  made.pop('SpecificCharacterSet', None)
  if 'SpecificCharacterSet' in header:
    made['SpecificCharacterSet'] = header['SpecificCharacterSet']
  for equipment in made.get('ContributingEquipmentSequence', ()):
    equipment.pop('ContributionDateTime', None)
