"""Scales of grades: what a table's numbers mean on the international scale DR0 to DR4, and which metrics they can give.

  icdr        0 to 4, as in the paper
  referable   0 no, 1 yes: DR2 to DR4 (also no/yes, false/true)
  three       0 none, 1 non-proliferative (DR1 to DR3), 2 proliferative (DR4)
  a mapping   '0=0,1=2-4,5=unknown': as written in the table = the grade, the span of grades, or unknown

A photograph whose grade is a span keeps the lowest grade of it. So of all photographs on the scale single grades are unknown
(there is no kappa, no accuracy), referable DR too where a span has grades of both, and healthy eyes where DR0 is not told apart,
in thresholds as in metrics (`evaluate.scale.on_scale`); and no network of five grades learns from them.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any

from lesion_jax.annotation.mistakes import cut
from lesion_jax.annotation.table import plain
from lesion_jax.core import GRADE_KEYS, NUM_GRADES, REFERABLE_GRADE, UNKNOWN_GRADE

Span = tuple[int, int]  # lowest and highest grade
EMPTY = ('', 'nan', 'na', 'n/a', 'none', 'null', '?', 'unknown', str(UNKNOWN_GRADE))
_STEPS: dict[str, Span | None] = {str(grade): (grade, grade) for grade in range(NUM_GRADES)}
_NO, _YES = (0, REFERABLE_GRADE - 1), (REFERABLE_GRADE, NUM_GRADES - 1)
KNOWN: dict[str, dict[str, Span | None]] = {
    'icdr': _STEPS | {key.casefold(): _STEPS[str(grade)] for grade, key in enumerate(GRADE_KEYS)},
    'referable': {'0': _NO, 'no': _NO, 'false': _NO, '1': _YES, 'yes': _YES, 'true': _YES},
    'three': {'0': (0, 0), '1': (1, NUM_GRADES - 2), '2': (NUM_GRADES - 1, NUM_GRADES - 1)},
}
# The five steps in words, without gaps and without what follows of 'NPDR', 'DR' and 'retinopathy', as folders and tables have them.
_WORDS = {'no': 0, 'noapparent': 0, 'normal': 0, 'healthy': 0, 'mild': 1, 'mildnonproliferative': 1, 'moderate': 2,
          'moderatenonproliferative': 2, 'severe': 3, 'severenonproliferative': 3, 'proliferative': 4, 'proliferate': 4, 'p': 4,
          'ungradable': UNKNOWN_GRADE, 'ungradeable': UNKNOWN_GRADE}
_NOT_ALONE = ('no', 'noapparent', 'p')  # words that mean a grade with 'DR' behind them alone
TEACH = ('a scale is icdr (0..4), referable (0 no, 1 yes), three (0 none, 1 non-proliferative, 2 proliferative), or a mapping '
         'such as 0=0,1=2-4,5=unknown')


@dataclasses.dataclass(frozen=True)
class Scale:
  """What the grades of a table mean.

  Attributes:
    name: as declared; '' where nobody declared one, which reads as 'icdr'.
    spans: as written -> the grades that it can be; None: unknown.
  """

  name: str
  spans: Mapping[str, Span | None]

  def grade(self, text: str) -> int:
    """Returns the lowest grade that `text` can be, UNKNOWN_GRADE for an empty cell and what the scale calls unknown.

    Raises:
      ValueError: it is none of the scale, saying what it has.
    """
    written = whole_number(text).casefold()
    if written in self.spans:
      span = self.spans[written]
      return UNKNOWN_GRADE if span is None else span[0]
    if self.name in ('', 'icdr') and (grade := in_words(text)) is not None:
      return grade
    if written in EMPTY:
      return UNKNOWN_GRADE
    if not self.name or self.name == 'icdr':
      raise ValueError(f'grade is {cut(text)!r}; grades are 0..{NUM_GRADES - 1}, or empty where it is unknown (of another '
                       f'scale, declare it: {TEACH})')
    raise ValueError(f'grade is {cut(text)!r}; the scale {self.name} has {", ".join(self.spans)}, or empty where it is unknown')

  def knows(self, text: str) -> bool:
    """Returns whether `text` is a grade of the scale, and not merely an empty cell."""
    return whole_number(text).casefold() in self.spans or self.name in ('', 'icdr') and in_words(text) is not None

  @property
  def _found(self) -> set[Span]:
    return {span for span in self.spans.values() if span is not None}

  @property
  def steps(self) -> bool:
    """Whether every grade is one of DR0 to DR4."""
    return all(low == high for low, high in self._found)

  @property
  def referable(self) -> bool:
    """Whether it tells referable DR from the rest."""
    return not any(low < REFERABLE_GRADE <= high for low, high in self._found)

  @property
  def healthy(self) -> bool:
    """Whether it tells DR0 from the rest."""
    return not any(low == 0 < high for low, high in self._found)

  def describe(self) -> dict[str, Any]:
    """Returns it ready for JSON, as it is kept with preprocessed data."""
    return {'name': self.name, 'steps': self.steps, 'referable': self.referable, 'healthy': self.healthy}


ICDR = {'name': 'icdr', 'steps': True, 'referable': True, 'healthy': True}  # of data sets that say nothing


def read_scale(text: str | Mapping[str, Any]) -> Scale:
  """Returns a scale by its name, or as a mapping in text or of JSON; '' reads as icdr, undeclared.

  Raises:
    ValueError: it is none.
  """
  if isinstance(text, str) and text in ('', *KNOWN):
    return Scale(text, KNOWN[text or 'icdr'])
  pairs = text.items() if isinstance(text, Mapping) else [part.partition('=')[::2] for part in text.split(',')]
  spans: dict[str, Span | None] = {}
  for written, meant in pairs:
    span = _span(str(meant).strip(), text)
    if spans.setdefault(whole_number(str(written).strip()).casefold(), span) != span:
      raise ValueError(f'scale={cut(text)!r}: {cut(str(written))!r} is two things; say once what it is')
  return Scale(','.join(f'{written}={_show(span)}' for written, span in spans.items()), spans)


def _span(text: str, whole: Any) -> Span | None:
  if plain(text) in ('unknown', 'null', 'none'):
    return None
  bare = text.upper().replace('DR', '')
  match = re.fullmatch(r'([0-4])(?:-([0-4]))?', bare)
  low, high = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
  if low > high:
    raise ValueError(f'scale={cut(whole)!r}: {cut(text)!r} is no grade, span of grades or unknown; {TEACH}')
  return low, high


def _show(span: Span | None) -> str:
  return 'unknown' if span is None else str(span[0]) if span[0] == span[1] else f'{span[0]}-{span[1]}'


def whole_number(text: str) -> str:
  """Writes '3.0' and '3,0' as '3': tables written after a missing value hold floats. Other text as it is."""
  match = re.fullmatch(r'\s*([+-]?\d{1,9})(?:[.,]0*)?\s*', text)
  return str(int(match[1])) if match else text.strip()


def in_words(text: str) -> int | None:
  """Returns the grade of 'No DR', 'Mild', 'Severe NPDR', 'Proliferative retinopathy' or 'ungradable', also with the
  number before it, as in '0_no_dr'; None where it is none of these, or the number is another than the word's."""
  match = re.fullmatch(r'(?:(\d)[_\-. )]+)?(.+)', text.strip())
  if not match:
    return None
  bare = re.sub(r'(nonproliferative)?(diabeticretinopathy|retinopathy|npdr|dr)$', '', short := plain(match[2]))
  if bare not in _WORDS or bare in _NOT_ALONE and bare == short:
    return None
  grade = _WORDS[bare]
  return None if match[1] and int(match[1]) != grade else grade


def asks(scale: Scale, grades: Iterable[int]) -> str:
  """Returns what is asked where nobody declared a scale and few grades occur: '' where all may well be as it seems."""
  found = sorted(set(grades) - {UNKNOWN_GRADE})
  if scale.name or not found or found[-1] > REFERABLE_GRADE or len(found) < 2:
    return ''
  other = 'referable yes/no' if found[-1] == 1 else 'three classes'
  declare = 'referable' if found[-1] == 1 else 'three'
  return (f'only the grades {", ".join(map(str, found))} occur: grades of five steps (scale=icdr), or {other} '
          f'(scale={declare})? Read as five steps until the data set or the option scale says it')
