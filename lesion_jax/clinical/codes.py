"""Codes by which a clinic's record knows grades: LOINC and SNOMED CT, each with the official name.

LOINC: the severity level of each eye, and the answers of its list LL2117-1 (loinc.org/71490-7, loinc.org/71491-5, loinc.org/LL2117-1).
SNOMED CT: disorders and body structures of the International Edition, by their fully specified names. Codes carry a check digit, see `is_loinc` and
`is_snomed`. LOINC is copyright Regenstrief Institute and free under its licence; SNOMED CT needs an affiliate licence where a
country has none for all: whoever sends its codes needs it.
"""

from __future__ import annotations

from typing import NamedTuple

LOINC, SNOMED = 'http://loinc.org', 'http://snomed.info/sct'  # as FHIR names the systems


class Code(NamedTuple):
  """A code of a system, with its official name."""

  system: str
  code: str
  name: str


SEVERITY = {  # of an eye, by photograph.landmarks.LEFT and RIGHT
    'left': Code(LOINC, '71490-7', 'Left eye Diabetic retinopathy severity level by Ophthalmoscopy'),
    'right': Code(LOINC, '71491-5', 'Right eye Diabetic retinopathy severity level by Ophthalmoscopy'),
}
EYES = {  # body structures, by the same
    'left': Code(SNOMED, '8966001', 'Left eye structure (body structure)'),
    'right': Code(SNOMED, '18944008', 'Right eye structure (body structure)'),
}
ANSWERS = (  # of grades 0 to 4
    Code(LOINC, 'LA18643-9', 'No apparent retinopathy'),
    Code(LOINC, 'LA18644-7', 'Mild non-proliferative retinopathy'),
    Code(LOINC, 'LA18645-4', 'Moderate non-proliferative retinopathy'),
    Code(LOINC, 'LA18646-2', 'Severe non-proliferative retinopathy'),
    Code(LOINC, 'LA18648-8', 'Proliferative retinopathy'),
)
DISORDERS = (  # of grades 0 to 4; there is no disorder in DR0
    None,
    Code(SNOMED, '312903003', 'Mild nonproliferative retinopathy due to diabetes mellitus (disorder)'),
    Code(SNOMED, '312904009', 'Moderate nonproliferative retinopathy due to diabetes mellitus (disorder)'),
    Code(SNOMED, '312905005', 'Severe nonproliferative retinopathy due to diabetes mellitus (disorder)'),
    Code(SNOMED, '59276001', 'Proliferative retinopathy due to diabetes mellitus (disorder)'),
)

# Of the dihedral group of order ten, by which Verhoeff's check digit is computed, and its permutation (J. Verhoeff, "Error
# Detecting Decimal Codes", 1969; SNOMED CT's release file specification 6.5).
_TIMES = tuple(tuple(
    (a + b) % 5 if a < 5 and b < 5 else 5 + (a + b) % 5 if a < 5 else 5 + (a - b) % 5 if b < 5 else (a - b) % 5
    for b in range(10)) for a in range(10))
_TURN = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


def is_loinc(code: str) -> bool:
  """Whether a code of LOINC, or an answer, 'LA...', has the right check digit: modulus 10 with every second digit doubled, from
  the right (LOINC Users' Guide, appendix on the check digit). The letters of an answer count too; how much, was found from
  published answers."""
  number, dash, check = code.removeprefix('LA').partition('-')
  if not (dash and number.isdecimal() and number.isascii() and check.isdecimal() and len(check) == 1):
    return False
  doubled = [int(digit) * (2 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(number))]
  letters = (5, 8)[len(number) % 2] if code.startswith('LA') else 0
  return (sum(each // 10 + each % 10 for each in doubled) + letters + int(check)) % 10 == 0


def is_snomed(code: str) -> bool:
  """Whether an identifier of SNOMED CT has the right check digit (Verhoeff) and is of a concept ('00' before it, of the International
  Edition, or '10' of an extension)."""
  if not (code.isdecimal() and code.isascii() and 6 <= len(code) <= 18 and code[-3:-1] in ('00', '10')):
    return False
  found = 0
  for place, digit in enumerate(reversed(code)):
    value = int(digit)
    for _ in range(place % 8):
      value = _TURN[value]
    found = _TIMES[found][value]
  return found == 0
