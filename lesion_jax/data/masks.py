"""What masks of one's own mean: which values are a lesion, which are left open, which are the lesions of an index map; and
whether masks and photographs can belong together at all.

Without a declaration 0 is absent, 1 or 255 present, and 127 excluded from loss and metrics. 255 is "void" for many tools and
"lesion" for others, so masks in which 1 and 255 both occur are never guessed at: `values` says it.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from lesion_jax.annotation.mistakes import SHOWN, cut
from lesion_jax.annotation.naming import lesion_of
from lesion_jax.annotation.table import plain
from lesion_jax.core import LESION_KEYS
from lesion_jax.data.packing import look_at
from lesion_jax.photograph.orientation import exif_orientation

UNSCORED = 127  # as in Retinal-Lesions
PRESENT = (1, 255)
LARGEST_INDEX = 40  # up to here, values of which several occur are taken for the numbers of an index map
TEACH_VALUES = 'say which by values, lesion=1,ignore=255 for instance, or lesion=1+255'
TEACH_INDICES = 'say which lesion each number is by indices, 1=MA,2=iHE,3=HaEx,4=CWS for instance (ignore and none are allowed too)'


@dataclasses.dataclass(frozen=True)
class Values:
  """Which values of a mask mean what.

  Attributes:
    lesion: present.
    ignore: excluded from loss and metrics.
    absent: neither.
    declared: whether somebody said so.
  """

  lesion: tuple[int, ...] = PRESENT
  ignore: tuple[int, ...] = (UNSCORED,)
  absent: tuple[int, ...] = (0,)
  declared: bool = False

  @property
  def levels(self) -> tuple[int, ...]:
    """All that may occur."""
    return tuple(sorted({*self.absent, *self.lesion, *self.ignore}))

  def split(self, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Splits into present and left open, bool [H, W] each, of a mask uint8 [H, W]."""
    return np.isin(mask, self.lesion), np.isin(mask, self.ignore)


def read_values(text: str | Mapping[str, Any]) -> Values:
  """Parses 'lesion=1,ignore=255', 'lesion=1+255', 'lesion=0,absent=255', or the same as JSON {"lesion": [1, 255]}; ''
  is what stands above.

  Raises:
    ValueError: it is anything else.
  """
  if not text:
    return Values()
  pairs = text.items() if isinstance(text, Mapping) else [part.partition('=')[::2] for part in text.split(',')]
  found: dict[str, tuple[int, ...]] = {'lesion': (), 'ignore': (), 'absent': ()}
  for name, numbers in pairs:
    if plain(str(name)) not in found:
      raise ValueError(f'values={cut(text)!r}: {cut(name)!r} is none of lesion, ignore and absent; write lesion=1,ignore=255')
    listed = numbers if isinstance(numbers, Sequence) and not isinstance(numbers, str) else str(numbers).split('+')
    found[plain(str(name))] += tuple(_byte(number, 'values', text) for number in listed)
  found['absent'] = found['absent'] or (0,)
  if not found['lesion'] or sum(map(len, found.values())) > len(set().union(*found.values())):
    raise ValueError(f'values={cut(text)!r}: name the numbers of the lesion, and none of them twice; write '
                     'lesion=1,ignore=255')
  return Values(found['lesion'], found['ignore'], found['absent'], declared=True)


def read_indices(text: str | Mapping[str, Any]) -> dict[int, str | None]:
  """Parses '1=MA,2=HE,255=ignore' or the same as JSON: number -> key of a lesion, 'ignore', or None for what is no
  lesion of ours.

  Raises:
    ValueError: it is anything else.
  """
  pairs = text.items() if isinstance(text, Mapping) else [part.partition('=')[::2] for part in text.split(',') if part]
  found: dict[int, str | None] = {}
  for number, name in pairs:
    name = 'none' if name is None else str(name)
    key = 'ignore' if plain(name) == 'ignore' else None if plain(name) in ('none', 'null', 'background') else lesion_of(name)
    if key is None and plain(name) not in ('none', 'null', 'background'):
      raise ValueError(f'indices={cut(text)!r}: {cut(name)!r} is no lesion, ignore or none; the lesions are '
                       f'{", ".join(LESION_KEYS)}')
    if found.setdefault(number := _byte(number, 'indices', text), key) != key:
      raise ValueError(f'indices={cut(text)!r}: {number} is two things; say once what it is')
  return found


def _byte(number: Any, what: str, text: Any) -> int:
  written = str(number).strip()
  if not written.isdecimal() or len(written) > 3 or int(written) > 255:
    raise ValueError(f'{what}={cut(text)!r}: {cut(written)!r} is no whole number from 0 to 255')
  return int(written)


class Look(NamedTuple):
  """What a mask file has: its values, and whether they are grey levels; or why it cannot be read."""

  path: pathlib.Path
  values: frozenset[int]
  grey: bool
  error: str = ''


def look(path: pathlib.Path) -> Look:
  """Looks at a mask file."""
  try:
    mask, grey = look_at(path)
  except (OSError, ValueError) as error:
    return Look(path, frozenset(), True, str(error))
  return Look(path, frozenset(np.flatnonzero(np.bincount(mask.ravel(), minlength=256)).tolist()), grey)


def examine(masks: Mapping[str, Sequence[Look]], values: Values) -> list[str]:
  """Judges all masks of a folder, one a lesion and photograph, before any is used.

  Args:
    masks: lesion key -> `look` of each file.
    values: what their values mean.

  Returns:
    Warnings, a sentence each.

  Raises:
    ValueError: what the masks say has two meanings, or is an index map, naming files and the key that says it; or values
      that mean nothing, counted over all masks.
  """
  everyone = [one for looks in masks.values() for one in looks]
  if broken := [one for one in everyone if one.error]:
    if len(broken) > 1:
      raise ValueError(f'{len(broken)} of {len(everyone)} masks cannot be read: {"; ".join(one.error for one in broken[:3])}'
                       f'{"; ..." if len(broken) > 3 else ""}')
    # A single one is said, or skipped, where its photograph is read.
  unknown = [one for one in everyone if one.values - set(values.levels)]
  if unknown:
    found = sorted(set().union(*(one.values for one in everyone)))
    small = [value for value in found if value not in (UNSCORED, 255)]
    if len(unknown) > 1 and not values.declared and len(small) > 2 and max(small) <= LARGEST_INDEX:
      raise ValueError(f'{_named(unknown)} hold the values {_listed(found)} ({len(unknown)} of {len(everyone)} masks): these '
                       f'are index maps, in which each number is a lesion, and not masks of one lesion. Put them into masks/ '
                       f'itself, and {TEACH_INDICES}')
    if len(unknown) > 1:
      other = sorted(set(found) - set(values.levels))
      raise ValueError(f'{_named(unknown)} hold the values {_listed(other)} ({len(unknown)} of {len(everyone)} masks), and '
                       f'allowed are {_listed(values.levels)}. Were they resized or saved as JPEG? Else {TEACH_VALUES}')
  if not values.declared:
    _refuse_ambiguous(everyone)
  return [f'{key} has no pixel in any mask: no network can learn it from them' for key, looks in masks.items()
          if not any(one.values & set(values.lesion) for one in looks) and not any(one.error for one in looks)]


def _refuse_ambiguous(everyone: list[Look]) -> None:
  """Raises ValueError where 1 and 255 both occur, in one mask or in several of grey levels."""
  both = [one for one in everyone if {1, 255} <= one.values]
  if both:
    raise ValueError(f'{_named(both)} hold both 1 and 255 ({len(both)} of {len(everyone)} masks): 1 is the lesion and 255 '
                     f'what is not scored, or both are the lesion; {TEACH_VALUES}')
  ones, fulls = ([one for one in everyone if one.grey and value in one.values] for value in (1, 255))
  if ones and fulls:
    raise ValueError(f'{len(ones)} masks have 1 ({_named(ones)}) and {len(fulls)} have 255 ({_named(fulls)}): 1 is the '
                     f'lesion and 255 what is not scored, or both are the lesion; {TEACH_VALUES}')


def examine_maps(looks: Sequence[Look], indices: Mapping[int, str | None]) -> list[str]:
  """Judges all index maps of a folder by `look` of each. Returns warnings.

  Raises:
    ValueError: nobody says what their numbers are, or not what all of them are.
  """
  if broken := [one for one in looks if one.error]:
    raise ValueError(f'{len(broken)} of {len(looks)} index maps cannot be read: '
                     f'{"; ".join(one.error for one in broken[:3])}{"; ..." if len(broken) > 3 else ""}')
  found = set().union(*(one.values for one in looks))
  if unknown := sorted(found - set(indices) - {0}):
    named = _named([one for one in looks if one.values & set(unknown)])
    raise ValueError(f'{named} are index maps, one for all lesions, with the values {_listed(sorted(found))} '
                     f'({len(looks)} maps), and nobody says what {_listed(unknown)} is; {TEACH_INDICES}')
  return [f'{key} has no pixel in any index map: no network can learn it from them'
          for key in LESION_KEYS if key in indices.values()
          and not any(value in found for value, meant in indices.items() if meant == key)]


def turned(photograph: pathlib.Path, masks: Iterable[pathlib.Path]) -> str:
  """Returns what is wrong with a photograph that is turned by its EXIF orientation where it cannot be told whether its
  masks are, as they carry no such tag; '' where nothing is. Sizes tell it where a quarter turn changes them."""
  masks = list(masks)
  try:
    with Image.open(photograph) as image:
      orientation, stored = exif_orientation(image), image.size
    if orientation in (None, 0, 1) or not masks:
      return ''
    with Image.open(masks[0]) as mask:
      if orientation >= 5 and stored[0] != stored[1] and mask.size == stored[::-1]:
        return ''  # drawn on the upright photograph
  except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
    return ''  # DICOM has no EXIF; what is damaged is said where it is read
  return (f'is turned by its EXIF orientation ({orientation}), and it cannot be told whether its masks were drawn on the '
          'turned photograph; save photographs that have masks upright, without that tag')


def require_upright(photograph: pathlib.Path, masks: Iterable[pathlib.Path]) -> None:
  """Raises ValueError, naming the photograph, with what `turned` says."""
  if wrong := turned(photograph, masks):
    raise ValueError(f'{photograph} {wrong}')


def _listed(values: Iterable[int]) -> str:
  values = list(values)
  return ', '.join(map(str, values[:8])) + (', ...' if len(values) > 8 else '')


def _named(looks: Sequence[Look]) -> str:
  shown = ', '.join(str(one.path) if number == 0 else one.path.name for number, one in enumerate(looks[:SHOWN]))
  return shown + (', ...' if len(looks) > SHOWN else '')
