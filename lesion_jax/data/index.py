"""What is known of each prepared photograph without decoding it: one small file beside the records of a data set."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

NAME = 'index.npz'


@dataclasses.dataclass(frozen=True, eq=False)
class Index:
  """Of N photographs, in their order.

  Attributes:
    id: str [N].
    patient: str [N].
    grade: int32 [N], core.UNKNOWN_GRADE where it is unknown.
    annotated: uint8 [N], as in core.Example.
    side: int32 [N], side of the square in the photograph's own pixels: below the size of the prepared square the
      photograph was enlarged, and is less sharp than others.
    areas: int32 [N, 8], pixels of each lesion in the prepared square.
    fingerprint: uint8 [N, 32, 32, 3], see `fingerprint`.
  """

  id: np.ndarray
  patient: np.ndarray
  grade: np.ndarray
  annotated: np.ndarray
  side: np.ndarray
  areas: np.ndarray
  fingerprint: np.ndarray

  def __len__(self) -> int:
    return len(self.id)

  def take(self, rows: np.ndarray) -> Index:
    """Returns some of the photographs, by position."""
    return Index(**{name: value[rows] for name, value in vars(self).items()})


FIELDS = tuple(field.name for field in dataclasses.fields(Index))


def join(parts: Sequence[Index]) -> Index:
  """Joins several, one behind the other."""
  return Index(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in FIELDS})


def save(folder: str | os.PathLike[str], splits: Mapping[str, Index]) -> None:
  """Writes the photographs of all splits into a folder."""
  np.savez_compressed(pathlib.Path(folder, NAME), **{
      f'{split}/{name}': value for split, index in splits.items() for name, value in vars(index).items()})


def read(folder: str | os.PathLike[str], split: str) -> Index:
  """Returns the photographs of one split. Raises FileNotFoundError where nothing is kept, KeyError for another
  split."""
  with np.load(pathlib.Path(folder, NAME), allow_pickle=False) as found:
    return Index(**{name: found[f'{split}/{name}'] for name in FIELDS})
