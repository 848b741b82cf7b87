"""Codes of segmentation and report: DICOM's, SNOMED CT's and LOINC's where they have one, else those of this project.

No context group of DICOM has the lesions of diabetic retinopathy, so they are codes of the project's own scheme, SCHEME, by the keys of
`core.LESIONS`; the scheme is named in each object.
"""

from __future__ import annotations

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import CodedConcept, FindingSite
from pydicom.sr.codedict import codes

from lesion_jax.clinical.codes import LOINC, SNOMED, Code

SCHEME = '99LESIONJAX'  # private, as all that begin with 99 (PS3.16, 8)
SCHEME_NAME = 'Codes of lesion_jax'
DESIGNATORS = {LOINC: 'LN', SNOMED: 'SCT'}  # as DICOM names them
LESION = codes.SCT.MorphologicallyAbnormalStructure
RETINA = codes.SCT.Retina
SIDES = {'right': codes.SCT.Right, 'left': codes.SCT.Left}
LONGEST = 64  # characters of a meaning


def ours(value: str, meaning: str) -> CodedConcept:
  """Returns a code of the project's own scheme."""
  return CodedConcept(value, SCHEME, meaning[:LONGEST])


def official(code: Code) -> CodedConcept:
  """Returns a code of LOINC or SNOMED CT with its official name, without what kind of concept SNOMED CT calls it."""
  return CodedConcept(code.code, DESIGNATORS[code.system], code.name.removesuffix(' (disorder)'))


def schemes() -> list[CodingSchemeIdentificationItem]:
  """Returns what says of which schemes the codes are that are not DICOM's own."""
  return [CodingSchemeIdentificationItem(SCHEME, name=SCHEME_NAME, responsible_organization='lesion_jax')]


def site(eye: str | None) -> FindingSite:
  """Returns where it was found: the retina, of an eye where that is known."""
  return FindingSite(RETINA, laterality=SIDES.get(eye or ''))
