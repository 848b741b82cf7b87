"""What names say: the patient and the eye of a photograph, and the lesion of a folder or a label. One rule for all readers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from lesion_jax.annotation.table import composed, plain
from lesion_jax.core import LESION_KEYS, LESIONS

LEFT, RIGHT = 'left', 'right'
# Words that mean an eye wherever they stand, in the languages of which we know data, and short ones that may mean another thing
# and count where there is none of the first.
_WORDS = {LEFT: 'left os og links gauche izquierdo izquierda izq sinistro sinistra esquerdo esquerda 左 左眼',
          RIGHT: 'right od rechts droite droit derecho derecha destro destra direito direita 右 右眼'}
_SHORT = {LEFT: 'l le lt oi oe', RIGHT: 'r re rt'}
_EYE_OF, _SHORT_EYE_OF = ({word: eye for eye, words in table.items() for word in words.split()} for table in (_WORDS, _SHORT))
_OF_EYES = ('eye', 'ojo', 'oeil', 'auge', 'olho', 'occhio')  # 'ojo izquierdo': no part of the patient
_PARTS = re.compile(r'[^_\-. ]+')
_GAPS = '_-. '
# '0012R', '12OD', '12left', and names without gaps in writings that have none.
_ATTACHED = re.compile(r'(?P<patient>.*\d)(?P<eye>od|os|l|r|left|right)|(?P<name>.+?)(?P<sign>[左右])眼?', re.IGNORECASE)
LARGEST_SERIES = 20  # photographs of one patient by what stands before the eye; more are of one study or one camera
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
  """Returns what a photograph's name, without its ending, says of patient and eye; None where it says nothing."""
  return _eye_of(composed(name), whole=False)


def eye_word(word: str) -> str | None:
  """Returns the eye that a whole word means where an eye is expected, as in a column of a table: 'OD', 'left', 'links', 'R'. None
  where it means none."""
  return {**_EYE_OF, **_SHORT_EYE_OF}.get(composed(word).casefold())


def _eye_of(name: str, *, whole: bool) -> Eye | None:
  """Of '12_left', 'p-3.OD', 'P012_OD_20210304' and '12 ojo izquierdo' the patient is what stands before the eye, unless there is
  no digit in it and some behind it (IMG_R_0012), or `whole` says so: then it is all but the eye. Of 'OD_12' it is what follows."""
  parts = list(_PARTS.finditer(name))
  for table in (_EYE_OF, _SHORT_EYE_OF):
    found = [part for part in parts if part[0].lower() in table] if len(parts) > 1 else []
    if found:
      part = found[-1]  # 'Le_Thi_L': a name before it may be like an eye's
      before, after = name[:part.start()].rstrip(_GAPS), name[part.end():].lstrip(_GAPS)
      words = before.split(' ')
      before = ' '.join(words[:-1]) if len(words) > 1 and words[-1].lower() in _OF_EYES else before
      series = re.fullmatch(r'\d{1,3}', after) and before  # '12_L_2', a second photograph of the eye
      joined = whole and not series or not re.search(r'\d', before) and re.search(r'\d', after) and not series
      patient = f'{before}_{after}'.strip('_') if joined or not before else before
      return Eye(patient, table[part[0].lower()])
  if match := _ATTACHED.fullmatch(name):
    if match['sign']:
      return Eye(match['name'].rstrip(_GAPS), LEFT if match['sign'] == '左' else RIGHT)
    return Eye(match['patient'], {**_EYE_OF, **_SHORT_EYE_OF}[match['eye'].lower()])
  return None


def patients_of(names: Iterable[str]) -> dict[str, str]:
  """Returns photograph -> patient, of those names that are pairs or series of eyes; {} where no two names are of one
  patient, so that nothing is gained by the rule. Where what stands before the eye would make series of more than
  LARGEST_SERIES, patients are what is left of a name without the eye."""
  names = list(names)
  for whole in (False, True):
    found = {name: eye.patient for name in names if (eye := _eye_of(composed(name), whole=whole))}
    if max(Counter(found.values()).values(), default=0) <= LARGEST_SERIES:
      break
  return found if len(set(found.values())) < len(found) else {}


def like_series(names: Iterable[str]) -> tuple[str, ...]:
  """Returns two or more names that may be photographs of one patient, '0001_1' and '0001_2', where at least half of all
  are like that and no series is long; () where they are not."""
  names = list(names)
  series: dict[str, list[str]] = {}
  for name in names:
    if match := re.fullmatch(r'(.*\d.*)[_\-. ]([^_\-. ]{1,8})', composed(name)):
      series.setdefault(match[1], []).append(name)
  of_several = [those for those in series.values() if 1 < len(those)]
  many = sum(map(len, of_several))
  if len(of_several) < 2 or 2 * many < len(names) or max(map(len, of_several)) > LARGEST_SERIES:
    return ()
  return tuple(sorted(of_several[0])[:3])


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
  """Returns the key of the lesion that a folder or label names: by its key, its name, or as raw datasets name it,
  whatever its case and with a number before it ('3. Hard Exudates') or 'masks' after it. None where it names none."""
  bare = re.sub(r'^\d+[.)]?\s*', '', composed(name))
  short = plain(bare)
  return _KNOWN.get(short) or _KNOWN.get(short.removesuffix('s').removesuffix('mask'))


def say_patients(patients: Iterable[str], source: str) -> str:
  """Returns what was taken for a patient, and how many there are, for people."""
  counts = Counter(patients)
  return f'{len(counts)} patients of {sum(counts.values())} photographs, {source}'
