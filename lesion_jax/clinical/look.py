"""Whether a person should look at a photograph, in one field: referable, ungradable, unlike, a second look, or another eye.

All of it follows from the record, so a record from before there was the field has it too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from lesion_jax.clinical.evidence import Ruled, grade_by_rule, is_unseen, listed
from lesion_jax.clinical.findings import regions_by_quadrant
from lesion_jax.core import EDEMA as EDEMA_NAMES
from lesion_jax.core import GRADE_KEYS, REFERABLE_GRADE
from lesion_jax.photograph.likeness import COLOURS

REFERABLE, EDEMA, UNGRADABLE, UNLIKE, SECOND, OTHER_EYE = 'referable', 'edema risk', 'ungradable', 'unlike', 'second look', 'other eye'
REASONS = (UNGRADABLE, UNLIKE, REFERABLE, EDEMA, SECOND, OTHER_EYE)  # first what makes the others doubtful
REFERABLE_EDEMA = 2  # hard exudates within a disc diameter of the fovea (referable in Gulshan et al., JAMA 316(22):2402, 2016)
SAID_BY = {'table': 'the table of patients', 'name': "the file's name", 'dicom': 'the DICOM file',
           'landmarks': 'the order of optic disc and fovea'}  # what says which eye it is, see `patients`
NOTHING = 'No reason for a person to look was found'


def look(record: Mapping[str, Any]) -> dict[str, Any]:
  """What a record says to the question whether a person should look.

    referable    the network grades DR2 or above, or at an operating point that was chosen its probability of that is high enough; of a
                 network that does not grade, the lesions found mean that
    edema risk   hard exudates were found within a disc diameter of the fovea, or the network tells that risk, at an operating point
                 from its probability there; never where neither landmarks nor such a network are
    ungradable   something speaks against the quality of the photograph
    unlike       it is unlike the photographs that the network learned from; never where that is not known
    second look  the lesions found (`grade_by_rule`) disagree with the network, at its operating point, on whether it is referable
    other eye    table, name, DICOM file and the order of optic disc and fovea do not agree on which eye it is: another eye, or a
                 mirrored photograph

  A lesion that is not evaluated is never taken for absent: where one could make a photograph referable that is not, the
  sentence says so.

  Args:
    record: of `record.describe`, with or without its 'look'.

  Returns:
    needed: whether there is a reason.
    reasons: of REASONS, in their order.
    sentences: one for each reason; without any, one that says so.
    rule: the grade by rule, {'grade', 'key', 'referable', 'sufficient', 'not_judged'}; None where the network finds no
      lesions, or none is evaluated.
  """
  if 'look' in record:
    return record['look']
  grade, lesions = record['grade'], record['lesions']
  ruled = None if lesions is None else grade_by_rule(record['states'], regions_by_quadrant(lesions))
  known = ruled is not None and ruled.grade is not None
  found = {}
  point = record.get('operating_point') or {}
  if grade and (said := _referable(grade, point)):
    found[REFERABLE] = said
  elif known and not grade and ruled.referable:
    found[REFERABLE] = f'The lesions found mean {_said(ruled)}, which is referable.'
  if risks := _edema_risks(record, point):
    found[EDEMA] = f'Risk of macular edema: {"; ".join(risks)}.'
  if record['quality']['reasons']:
    found[UNGRADABLE] = f'The photograph may not be gradable: {", ".join(record["quality"]["reasons"])}.'
  likeness = record.get('likeness')
  if likeness and not likeness['like']:
    found[UNLIKE] = (f'The photograph is unlike those that the network learned from ({likeness["data"]}): '
                     + ('its colours are others.' if COLOURS in likeness['reasons']
                        else 'its light, texture or outline is another.'))
  caveat = '' if ruled is None else _caveat(ruled, record['states'])
  if known and grade and (REFERABLE in found) != ruled.referable:
    found[SECOND] = (f'The network {_decided(grade, point)}, but the lesions found mean {_said(ruled)}'
                     f'{caveat}: one is referable, the other is not.')
  if said := _other_eye(record):
    found[OTHER_EYE] = said
  reasons = [reason for reason in REASONS if reason in found]
  return {
      'needed': bool(found),
      'reasons': reasons,
      'sentences': [found[reason] for reason in reasons] or [f'{NOTHING}{caveat}.'],
      'rule': {'grade': ruled.grade, 'key': GRADE_KEYS[ruled.grade], 'referable': ruled.referable,
               'sufficient': ruled.sufficient, 'not_judged': list(ruled.not_judged)} if known else None,
  }


def is_referable(record: Mapping[str, Any]) -> bool:
  """Whether a record says that its photograph is referable, by whatever decides it there: an operating point that was chosen, the
  predicted grade, or of a network that does not grade the lesions."""
  return REFERABLE in look(record)['reasons']


def _other_eye(record: Mapping[str, Any]) -> str:
  """What contradicts the eye that a record is said to be of, in a sentence; '' where nothing does."""
  whose, laterality = record.get('whose'), record.get('photograph', {}).get('laterality')
  eye, source = (whose['eye'], whose['source']) if whose and whose['eye'] else (laterality, 'dicom')
  if not eye:
    return ''
  marks = (record.get('landmarks') or {}).get('eye')
  others = [what for what, other in (('its DICOM file', laterality if source != 'dicom' else None),
                                     ('the order of optic disc and fovea', marks)) if other not in (None, eye)]
  if not others:
    return ''
  return (f'It is said to be a {eye} eye by {SAID_BY[source]}, but {" and ".join(others)} '
          f'{"say" if others[1:] else "says"} the other: the wrong photograph, or a mirrored one.')


def summary(records: Iterable[Mapping[str, Any]]) -> str:
  """How many photographs a person should look at, and why, in one sentence without its full stop."""
  found = [look(record) for record in records]
  counts = Counter(reason for each in found for reason in each['reasons'])
  why = ', '.join(f'{counts[reason]} {reason}' for reason in REASONS if counts[reason])
  needed = sum(each['needed'] for each in found)
  return f'a person should look at {needed} of {len(found)} photographs' + (f' ({why})' if why else '')


def _referable(grade: Mapping[str, Any], point: Mapping[str, Any]) -> str:
  """Why the network's grade is referable; '' where it is not."""
  if 'referable' not in point:
    return f'The network grades {grade["key"]}, which is referable.' if grade['referable'] else ''
  probability = _probability(grade)
  return (f'The probability of {GRADE_KEYS[REFERABLE_GRADE]} and above is {probability:.3f}; at {point["name"]} a photograph is '
          f'referable from {point["referable"]:.3f} on.') if probability >= point['referable'] else ''


def _decided(grade: Mapping[str, Any], point: Mapping[str, Any]) -> str:
  """What the network says to whether it is referable, after 'the network'."""
  if 'referable' not in point:
    return f'grades {grade["key"]}'
  said, least = _apart(_probability(grade), point['referable'])
  return f'gives {GRADE_KEYS[REFERABLE_GRADE]} and above the probability {said} (referable from {least} on at {point["name"]})'


def _apart(value: float, threshold: float) -> tuple[str, str]:
  """A value and the threshold by which it is judged, with three places, or as many as tell them apart."""
  return next(((said, least) for places in range(3, 10) if (said := f'{value:.{places}f}') != (least := f'{threshold:.{places}f}')),
              (f'{value:.3f}', f'{threshold:.3f}'))


def _probability(grade: Mapping[str, Any]) -> float:
  """Of all grades that are referable."""
  return sum(grade['probabilities'][key] for key in GRADE_KEYS[REFERABLE_GRADE:])


def _edema_risks(record: Mapping[str, Any], point: Mapping[str, Any]) -> list[str]:
  """What speaks for edema: the rule, the network, both or neither."""
  ruled, told, risks = record.get('edema'), record.get('edema_by_network'), []
  if ruled and ruled['value'] == REFERABLE_EDEMA:
    risks.append(f'{ruled["sentence"][0].lower()}{ruled["sentence"][1:].rstrip(".")}')
  if told:
    probability = told['probabilities'][str(REFERABLE_EDEMA)]
    if probability >= point['edema'] if 'edema' in point else told['value'] == REFERABLE_EDEMA:
      risks.append(f'the network says {told["name"] if told["value"] == REFERABLE_EDEMA else "that there may be " + EDEMA_NAMES[REFERABLE_EDEMA]} '
                   f'(probability {probability:.3f}{", " + point["name"] + " from " + format(point["edema"], ".3f") + " on" if "edema" in point else ""})')
  return risks


def _said(ruled: Ruled) -> str:
  return f'{GRADE_KEYS[ruled.grade]} by Table I' + ('' if ruled.sufficient else ' (indirect evidence)')


def _caveat(ruled: Ruled, states: Mapping[str, str]) -> str:
  """What is not evaluated, or not judged in this photograph, and could make it referable."""
  if not ruled.could_be_referable:
    return ''
  keys = [key for key in ruled.not_judged if key != 'MA']
  never, here = ([key for key in keys if is_unseen(key, states) == unseen] for unseen in (True, False))
  said = [f'{listed(those)} {"was" if len(those) == 1 else "were"} not {what}' for those, what in ((never, 'evaluated'), (here, 'judged')) if those]
  return f' ({" and ".join(said)} and could change that)'
