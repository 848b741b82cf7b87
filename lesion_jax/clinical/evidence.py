"""What the lesions found say about the grade, by Table I of the paper.

A lesion that the network's data do not annotate is never evaluated: neither found nor absent. Venous beading and IrMA,
which Table I names as well, are not among the eight lesions and never evaluated either.

DR0 (no lesion) and DR1 (microaneurysms exclusively) speak of all lesions. Where some are not evaluated, what is said
for these grades holds among the others, and every sentence that says it names those that are not evaluated: they may be
  there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lesion_jax.core import (
    EVIDENCE, GRADE_KEYS, LESION_KEYS, REFERABLE_GRADE, SEVERE_HEMORRHAGES, Evidence, lesion_index)
from lesion_jax.metrics import presence

FOUND, ABSENT, NOT_JUDGED = 'found', 'absent', 'not judged'
SOURCE = 'Table I of Wei et al., "Learn to Segment Retinal Lesions and Beyond", ICPR 2020'
# Of a predicted grade: something sufficient for it was found (for DR0: nothing at all); indirect evidence only;
# neither; something that excludes it; nothing that Table I names for it is evaluated.
SUPPORTED, INDIRECT, UNSUPPORTED, CONTRADICTED = 'supported', 'indirect', 'unsupported', 'contradicted'
VERDICTS = (SUPPORTED, INDIRECT, UNSUPPORTED, CONTRADICTED, NOT_JUDGED)
SEVERE, = (entry for entry in EVIDENCE if entry.grade == 3 and entry.lesion == 'iHE')  # counts hemorrhages by quadrant
_KNOWN = (presence.PRESENT, presence.ABSENT)  # states of a lesion of which it is known whether it is there


def weigh(lesions: Mapping[str, str], hemorrhages: Sequence[int] | None, grade: int | None) -> dict[str, Any]:
  """Holds the lesions found against Table I, and against the predicted grade.

  Args:
    lesions: PRESENT, ABSENT, NOT_EVALUATED or UNGRADABLE, by key of the lesion; one that is left out is not evaluated. One that was not
      found in a photograph that cannot be relied on, UNGRADABLE, is not judged, whatever is said of it elsewhere.
    hemorrhages: intraretinal hemorrhages in each of the four quadrants; None where they are not counted.
    grade: 0..4, the predicted grade, or None where the network does not grade.

  Returns:
    source: what is applied.
    findings: each entry of EVIDENCE as {'grade', 'finding', 'lesion', 'sufficient', 'state'}.
    sufficient_for: the highest grade for which something sufficient was found, or None.
    verdict: one of VERDICTS; None without a grade.
    supports, contradicts, not_judged: lists of sentences.

  Raises:
    ValueError: `lesions` has a key that is no lesion.
  """
  for key in lesions:
    lesion_index(key)
  present = _judged(lesions)
  states = [_state(entry, present, hemorrhages) for entry in EVIDENCE]
  found = [entry for entry, state in zip(EVIDENCE, states, strict=True) if state == FOUND]
  return {
      'source': SOURCE,
      'findings': [{'grade': entry.grade, 'finding': entry.finding, 'lesion': entry.lesion,
                    'sufficient': entry.sufficient, 'state': state}
                   for entry, state in zip(EVIDENCE, states, strict=True)],
      'sufficient_for': max((entry.grade for entry in found if entry.sufficient), default=None),
      'verdict': None if grade is None else _verdict(grade, found, states, present),
      'supports': _supports(grade, found, present, hemorrhages, lesions),
      'contradicts': [] if grade is None else _contradicts(grade, found, states, present, hemorrhages, lesions),
      'not_judged': _not_judged(lesions),
  }


class Ruled(NamedTuple):
  """The grade that the lesions found mean by Table I.

  Attributes:
    grade: 0..4, or None where nothing is found and nothing is known to be absent.
    sufficient: whether something sufficient for it was found (for DR0: nothing at all), not indirect evidence alone.
    not_judged: keys of the lesions of which it is not known whether they are there, in the order of LESIONS.
  """

  grade: int | None
  sufficient: bool
  not_judged: tuple[str, ...]

  @property
  def referable(self) -> bool:
    """DR2 or above. False means that nothing found is, not that nothing is there, see `could_be_referable`."""
    return self.grade is not None and self.grade >= REFERABLE_GRADE

  @property
  def could_be_referable(self) -> bool:
    """Whether a lesion that is not evaluated would make it referable: each of them does but microaneurysms."""
    return not self.referable and any(key != 'MA' for key in self.not_judged)


def grade_by_rule(states: Mapping[str, str], hemorrhages: Sequence[int] | None = None) -> Ruled:
  """The grade by rule from the lesions found: Table I of the paper as code.

  It is the highest grade for which something sufficient was found: neovascularization, vitreous or preretinal
  hemorrhage mean DR4, more than SEVERE_HEMORRHAGES intraretinal hemorrhages in each quadrant DR3, any of them DR2,
  microaneurysms alone DR1, and no lesion DR0. Table I does not say what indirect evidence means for a grade. Our choice:
  it decides where nothing sufficient for DR2 or above was found, by the highest grade that it speaks for (hard exudates
  DR2, cotton-wool spots DR3, fibrous proliferation DR4), and else raises nothing. Of the 57 photographs of IDRiD that
  have masks and, under another name, a grade (37, 13 and 7 of DR2 to DR4), the true masks of its four lesions give the
  grade exactly in 37, all of DR2; were cotton-wool spots always DR3, in 31 (hemorrhages not counted), and a
  quadratic weighted kappa of 0.18 instead of 0.

  What is not evaluated, or not found in a photograph that cannot be graded, is never taken for absent: 'exclusively'
  then means that no other lesion was found, and `Ruled.not_judged` names what could change the grade. Venous beading and
  IrMA are not among the eight lesions, so DR3 is by hemorrhages and cotton-wool spots alone.

  Args:
    states: PRESENT, ABSENT, NOT_EVALUATED or UNGRADABLE, by key of the lesion; one that is left out is not evaluated.
    hemorrhages: intraretinal hemorrhages in each of the four quadrants; None where they are not counted: then DR3 is
      never by them.

  Raises:
    ValueError: `states` has a key that is no lesion.
  """
  for key in states:
    lesion_index(key)
  there = _judged(states)
  not_judged = tuple(key for key in LESION_KEYS if key not in there)
  if not any(there.values()):
    return Ruled(0 if there else None, bool(there), not_judged)
  found = [entry for entry in EVIDENCE if _state(entry, there, hemorrhages) == FOUND]
  sufficient = max((entry.grade for entry in found if entry.sufficient), default=0)
  indirect = max((entry.grade for entry in found if not entry.sufficient), default=0)
  if sufficient < REFERABLE_GRADE and indirect > sufficient:
    return Ruled(indirect, False, not_judged)
  return Ruled(sufficient, True, not_judged)


def _judged(states: Mapping[str, str]) -> dict[str, bool]:
  """Whether each lesion is there of which that is known."""
  return {key: states[key] == presence.PRESENT for key in LESION_KEYS if states.get(key) in _KNOWN}


def is_unseen(lesion: str | None, states: Mapping[str, str]) -> bool:
  """Whether a finding of Table I is of what the network never learned: none of the eight lesions (None), or one that is not
  evaluated. Else it is this photograph that leaves it open."""
  return lesion is None or states.get(lesion, presence.NOT_EVALUATED) == presence.NOT_EVALUATED


def _left(states: Mapping[str, str]) -> tuple[list[str], list[str]]:
  """The lesions of which nothing is known: those that the network never learned, and those that this photograph leaves open."""
  return ([key for key in LESION_KEYS if states.get(key, presence.NOT_EVALUATED) == presence.NOT_EVALUATED],
          [key for key in LESION_KEYS if states.get(key) == presence.UNGRADABLE])


def _not_judged(states: Mapping[str, str]) -> list[str]:
  """Likewise, in sentences."""
  never, here = _left(states)
  return [*([f'Not evaluated: {listed(never)}, which the data that the network learned from do not annotate.'] if never else []),
          *([f'Not judged: {listed(here)}, which {_was(here)} not found in a photograph that cannot be relied on.'] if here else [])]


def _state(entry: Evidence, present: Mapping[str, bool], hemorrhages: Sequence[int] | None) -> str:
  if entry.lesion not in present:
    return NOT_JUDGED
  holds = present[entry.lesion]
  if holds and entry.grade == 1:  # exclusively
    holds = sum(present.values()) == 1
  elif holds and entry is SEVERE:
    if hemorrhages is None:
      return NOT_JUDGED
    holds = min(hemorrhages) > SEVERE_HEMORRHAGES
  return FOUND if holds else ABSENT


def _verdict(grade: int, found: Sequence[Evidence], states: Sequence[str], present: Mapping[str, bool]) -> str:
  lesions = {key for key, is_there in present.items() if is_there}
  if any(entry.sufficient and entry.grade > grade for entry in found):
    return CONTRADICTED
  if grade < 2 and lesions - (set() if grade == 0 else {'MA'}):  # DR0 is no lesion, DR1 microaneurysms exclusively
    return CONTRADICTED
  if not present:
    return NOT_JUDGED
  if grade == 0:
    return SUPPORTED
  if all(state == NOT_JUDGED for entry, state in zip(EVIDENCE, states, strict=True) if entry.grade == grade):
    return NOT_JUDGED
  kinds = {entry.sufficient for entry in found if entry.grade == grade}
  return SUPPORTED if True in kinds else INDIRECT if kinds else UNSUPPORTED


def _supports(
    grade: int | None, found: Sequence[Evidence], present: Mapping[str, bool], hemorrhages: Sequence[int] | None,
    lesions: Mapping[str, str],
) -> list[str]:
  """Of a predicted grade, what was found for it; without one, all that was found."""
  if present and not any(present.values()) and grade in (0, None):
    said = 'None of the lesions that are evaluated' + (f' ({listed(list(present))})' if len(present) < len(LESION_KEYS) else '') + ' was found'
    return [said + (', as in DR0' if grade == 0 else '') + _unless(lesions) + '.']
  return [f'{_said(entry, hemorrhages)}{_unless(lesions) if entry.grade == 1 else ""}.'
          for entry in found if grade in (entry.grade, None)]


def _contradicts(
    grade: int, found: Sequence[Evidence], states: Sequence[str], present: Mapping[str, bool],
    hemorrhages: Sequence[int] | None, lesions: Mapping[str, str],
) -> list[str]:
  key = GRADE_KEYS[grade]
  others = [lesion for lesion, is_there in present.items() if is_there and (grade == 0 or lesion != 'MA')]
  sentences = []
  if grade == 0 and others:
    sentences.append(f'DR0 means no lesion, but {listed(others)} {_was(others)} found.')
  if grade == 1 and others:
    sentences.append(f'DR1 means microaneurysms exclusively, but {listed(others)} {_was(others)} found.')
  sentences += [f'{_said(entry, hemorrhages)}, above the predicted {key}.'
                for entry in found if entry.grade > grade]
  own = [(entry, state) for entry, state in zip(EVIDENCE, states, strict=True) if entry.grade == grade]
  if grade == 1 and others:
    return sentences
  if own and not any(state == FOUND for _, state in own):
    judged = [entry.finding for entry, state in own if state == ABSENT]
    left = [entry for entry, state in own if state == NOT_JUDGED]
    if judged:
      never = [entry.finding for entry in left if is_unseen(entry.lesion, lesions)]
      here = [entry.finding for entry in left if not is_unseen(entry.lesion, lesions)]
      sentences.append(f'{key} is predicted, but of what Table I names for it, this was not found: {"; ".join(judged)}.'
                       + ''.join(f' Not {what}: {"; ".join(those)}.' for what, those in (('evaluated', never), ('judged', here)) if those))
    elif present:
      sentences.append(f'{key} is predicted, but nothing that Table I names for it is judged: {"; ".join(entry.finding for entry in left)}.')
  return sentences


def _unless(lesions: Mapping[str, str]) -> str:
  """What limits a statement about all lesions: '; NV and FiP are not evaluated', or nothing."""
  never, here = _left(lesions)
  return ''.join(f'; {listed(left)} {"is" if len(left) == 1 else "are"} not {what}'
                 for left, what in ((never, 'evaluated'), (here, 'judged')) if left)


def _said(entry: Evidence, hemorrhages: Sequence[int] | None) -> str:
  """'Hard exudate (HaEx) found: sufficient for DR2', with the counts where Table I counts."""
  words = entry.finding[0].upper() + entry.finding[1:]
  if entry is SEVERE and hemorrhages is not None:
    words += f' (iHE: {", ".join(map(str, hemorrhages))}) found'
  else:
    words += f' ({entry.lesion}) found'
  return f'{words}: {"sufficient" if entry.sufficient else "indirect evidence"} for {GRADE_KEYS[entry.grade]}'


def listed(words: Sequence[str]) -> str:
  """'MA', 'MA and iHE', 'MA, iHE and NV'."""
  return words[0] if len(words) == 1 else f'{", ".join(words[:-1])} and {words[-1]}'


def _was(words: Sequence[str]) -> str:
  return 'was' if len(words) == 1 else 'were'
