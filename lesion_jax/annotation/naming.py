"""What names say: the patient and the eye of a photograph, and the lesion of a folder or a label. One rule for all readers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from lesion_jax.annotation.table import composed, plain
from lesion_jax.core import LESION_KEYS, LESIONS

LEFT, RIGHT = 'left', 'right'
_EYE_OF = {'left': LEFT, 'l': LEFT, 'os': LEFT, 'right': RIGHT, 'r': RIGHT, 'od': RIGHT}
_EYES = '|'.join(sorted(_EYE_OF, key=len, reverse=True))
_GAP = r'[_\-. ]'
# '12_left', 'p-3.OD', '12_L_2' (a second photograph of the eye), '0012R'; and 'OD_12'.
_RULES = tuple(re.compile(rule, re.IGNORECASE) for rule in (
    rf'(?P<patient>.+?){_GAP}(?P<eye>{_EYES})(?:{_GAP}\d{{1,3}})?',
    r'(?P<patient>.*\d)(?P<eye>od|os|l|r)',
    rf'(?P<eye>{_EYES}){_GAP}(?P<patient>.+)'))
PATTERN = '<patient>_left, _right, _L, _R, _OS or _OD'

# Names by which releases and annotators call lesions, beside keys and names of `core.LESIONS`: HE, EX and SE are those of
# IDRiD, DDR and TJDR.
_LESION_NAMES = {
    'iHE': ('HE', 'HEM', 'hemorrhage', 'haemorrhage', 'intraretinal haemorrhage', 'retinal hemorrhage',
            'retinal haemorrhage', 'hemohedge'),
    'HaEx': ('EX', 'hard exudate'),
    'CWS': ('SE', 'soft exudate', 'cotton wool spot'),
    'MA': ('microaneurysm', 'red small dot'),
    'vHE': ('VH', 'vitreous haemorrhage'),
    'pHE': ('PH', 'PRH', 'preretinal haemorrhage'),
    'NV': ('neovascularisation', 'neovessel', 'new vessel'),
    'FiP': ('FP', 'fibrous tissue', 'fibrovascular proliferation'),
}


class Eye(NamedTuple):
  """Whose eye a photograph shows, and which: LEFT or RIGHT."""

  patient: str
  eye: str


def eye_of(name: str) -> Eye | None:
  """What a photograph's name, without its ending, says of patient and eye; None where it says nothing."""
  name = composed(name)
  for rule in _RULES:
    if match := rule.fullmatch(name):
      return Eye(match['patient'], _EYE_OF[match['eye'].lower()])
  return None


def patients_of(names: Iterable[str]) -> dict[str, str]:
  """Photograph -> patient, of those names that are pairs or series of eyes; {} where no two names are of one patient, so
  that nothing is gained by the rule."""
  found = {name: eye.patient for name in names if (eye := eye_of(name))}
  return found if len(set(found.values())) < len(found) else {}


def _spellings() -> dict[str, str]:
  spelt = {key: (key, f'{key}s', lesion.name, f'{lesion.name}s') for key, lesion in zip(LESION_KEYS, LESIONS, strict=True)}
  found = {plain(name): key for key, names in spelt.items() for name in names}
  for key, names in _LESION_NAMES.items():
    for name in names:
      found.setdefault(plain(name), key)
      if len(name) > 4:
        found.setdefault(plain(f'{name}s'), key)
  return found


_KNOWN = _spellings()


def lesion_of(name: str) -> str | None:
  """The key of the lesion that a folder or label names: by its key, its name, or as releases name it, whatever its case
  and with a number before it ('3. Hard Exudates') or 'masks' after it. None where it names none."""
  bare = re.sub(r'^\d+[.)]?\s*', '', composed(name))
  short = plain(bare)
  return _KNOWN.get(short) or _KNOWN.get(short.removesuffix('s').removesuffix('mask'))


def say_patients(patients: Iterable[str], source: str) -> str:
  """What was taken for a patient, and how many there are, for people."""
  counts = Counter(patients)
  return f'{len(counts)} patients of {sum(counts.values())} photographs, {source}'
