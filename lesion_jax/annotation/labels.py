"""Labels of an export -> the lesions and grades of the paper."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Mapping

from lesion_jax.annotation.mistakes import cut
from lesion_jax.annotation.naming import lesion_of
from lesion_jax.core import GRADE_KEYS, GRADES, LESION_KEYS, LESIONS

_IGNORED = None
# What is understood without a map, beside the names of `naming.lesion_of`; spelling counts neither case, nor spaces, hyphens and underscores.
_KNOWN: dict[str, str] = (
    {lesion.key: lesion.key for lesion in LESIONS} | {lesion.name: lesion.key for lesion in LESIONS}
    | {f'{lesion.name}s': lesion.key for lesion in LESIONS}
    | {grade.key: grade.key for grade in GRADES} | {grade.name: grade.key for grade in GRADES}
    | {str(value): key for value, key in enumerate(GRADE_KEYS)})
_TEACH = ('Known are {known} (or their full names). Map other labels with a JSON file such as {{"Haemorrhage": "iHE", '
          '"moderate": "DR2", "optic disc": null}}, where null leaves a label out: --labels FILE')


def _plain(label: str) -> str:
  return ''.join(character for character in label.casefold() if character not in ' -_')


@dataclasses.dataclass(frozen=True)
class Labels:
  """What the labels of an export mean.

  Attributes:
    mapping: label as written -> key of a lesion or a grade, or None for what is to be left out. Goes before what is
      known anyway: the keys, the names and, of grades, the numbers.
  """

  mapping: Mapping[str, str | None] = dataclasses.field(default_factory=dict)

  def __post_init__(self):
    for label, key in self.mapping.items():
      if key is not None and key not in LESION_KEYS + GRADE_KEYS:
        raise ValueError(f'the label {cut(label)!r} is mapped to {cut(key)!r}; {_teach(LESION_KEYS + GRADE_KEYS)}')

  @classmethod
  def read(cls, path: pathlib.Path) -> Labels:
    """Reads a map from a JSON file: one object, labels to keys or null.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: naming it, where it holds anything else.
    """
    try:
      mapping = json.loads(path.read_text('utf-8-sig'))
    except RecursionError as error:
      raise ValueError(f'{path} is nested too deep for a map of labels; it is one object') from error
    except ValueError as error:
      raise ValueError(f'{path} is not JSON: {cut(str(error), 200)}') from error
    if not isinstance(mapping, dict) or not all(key is None or isinstance(key, str) for key in mapping.values()):
      raise ValueError(f'{path} must hold one JSON object of labels; {_teach(LESION_KEYS + GRADE_KEYS)}')
    try:
      return cls(mapping)
    except ValueError as error:
      raise ValueError(f'{path}: {error}') from error

  def lesion(self, label: str, where: str) -> str | None:
    """Returns the lesion that a marking's label names; None: leave the marking out.

    Raises:
      ValueError: for a label of anything else, saying where it stands, what is allowed, and how to map it.
    """
    key = self._find(label)
    if key is not _IGNORED and key not in LESION_KEYS:
      raise ValueError(f'{where}: {cut(label)!r} is no lesion. {_teach(LESION_KEYS)}')
    return key

  def grade(self, label: str, where: str) -> int | None:
    """Returns the grade 0..4 that a choice or tag names; None: leave it out. Raises ValueError as `lesion` does."""
    key = self._find(label)
    if key is _IGNORED:
      return None
    if key not in GRADE_KEYS:
      raise ValueError(f'{where}: {cut(label)!r} is no grade. {_teach(GRADE_KEYS)}')
    return GRADE_KEYS.index(key)

  def is_grade(self, label: str) -> bool:
    """Returns whether `grade` knows it."""
    return self._find(label) in GRADE_KEYS

  def _find(self, label: str) -> str | None:
    """The key, None for what is left out, and '' for what is unknown."""
    if label in self.mapping:
      return self.mapping[label]
    plain = _plain(label)
    return next((key for known, key in _KNOWN.items() if _plain(known) == plain), lesion_of(label) or '')


def _teach(keys: tuple[str, ...]) -> str:
  return _TEACH.format(known=', '.join(keys))
