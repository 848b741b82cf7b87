"""What is known of each prepared photograph without decoding it: one small file beside the records of a data set."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import zipfile
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from lesion_jax.core import LANDMARKS, UNKNOWN_EDEMA

NAME = 'index.npz'
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, RuntimeError, ValueError)  # what NumPy raises for damaged archives


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
    edema: int32 [N], core.UNKNOWN_EDEMA where it is unknown, as of data prepared before this was kept.
    landmarks: float32 [N, 2, 2], as in core.Example; NaN where they are unknown, likewise.
  """

  id: np.ndarray
  patient: np.ndarray
  grade: np.ndarray
  annotated: np.ndarray
  side: np.ndarray
  areas: np.ndarray
  fingerprint: np.ndarray
  edema: np.ndarray | None = None
  landmarks: np.ndarray | None = None

  def __post_init__(self) -> None:
    if self.edema is None:
      object.__setattr__(self, 'edema', np.full(len(self.id), UNKNOWN_EDEMA, np.int32))
    if self.landmarks is None:
      object.__setattr__(self, 'landmarks', np.full((len(self.id), len(LANDMARKS), 2), np.nan, np.float32))

  def __len__(self) -> int:
    return len(self.id)

  def take(self, rows: np.ndarray) -> Index:
    """Returns some of the photographs, by position."""
    return Index(**{name: value[rows] for name, value in vars(self).items()})


FIELDS = tuple(field.name for field in dataclasses.fields(Index))
LATER = ('edema', 'landmarks')  # fields that an index written before has not


def join(parts: Sequence[Index]) -> Index:
  """Joins several, one behind the other."""
  return Index(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in FIELDS})


def save(folder: str | os.PathLike[str], splits: Mapping[str, Index]) -> None:
  """Writes the photographs of all splits into a folder."""
  np.savez_compressed(pathlib.Path(folder, NAME), **{
      f'{split}/{name}': value for split, index in splits.items() for name, value in vars(index).items()})


def read(folder: str | os.PathLike[str], split: str) -> Index:
  """Returns the photographs of one split. Raises FileNotFoundError where nothing is kept, KeyError for another
  split, one of DAMAGE where the file is damaged."""
  with pathlib.Path(folder, NAME).open('rb') as file, np.load(file, allow_pickle=False) as found:
    return Index(**{name: found[f'{split}/{name}'] for name in FIELDS if name not in LATER or f'{split}/{name}' in found})
