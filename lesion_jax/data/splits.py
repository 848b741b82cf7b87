"""Patient-wise splits: both eyes of a patient land on the same side, or one eye leaks the other."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import TypeVar

SPLITS = ('train', 'validation', 'test')

# The seed of every split of this project. A figure measured on another seed's split is not comparable.
SPLIT_SEED = 2020

Item = TypeVar('Item')


def split_by_patient(
    patients: Sequence[str], *, seed: int = SPLIT_SEED, fractions: tuple[float, float, float] = (0.7, 0.1, 0.2)
) -> dict[str, list[int]]:
  """Deals photographs to 'train', 'validation' and 'test', all those of one patient to one split.

  Patients are ordered by the SHA-256 of 'seed:patient' and the order is cut at the fractions of the number of patients
  (rounded down at half). So the split depends on the set of patients and the seed alone: not on the order of the
  input, nor on a library's random generator. The paper splits 'at random' 70/10/20; unit and seed are our choice.

  Args:
    patients: the patient of each photograph.
    seed: any integer; SPLIT_SEED is the published one.
    fractions: of the patients, in the order of SPLITS; they sum to 1.

  Returns:
    Split name -> positions in `patients`, ascending. A split can be empty when there are few patients.

  Raises:
    ValueError: where the fractions are negative or do not sum to 1.
  """
  if len(fractions) != len(SPLITS) or min(fractions) < 0 or not math.isclose(sum(fractions), 1):
    raise ValueError(f'fractions={fractions}: give one share for each of {SPLITS}, none negative, that sum to 1')
  order = sorted(set(patients), key=lambda patient: hashlib.sha256(f'{seed}:{patient}'.encode()).digest())
  train_end = round(fractions[0] * len(order))
  validation_end = round((fractions[0] + fractions[1]) * len(order))
  side = {
      patient: SPLITS[(rank >= train_end) + (rank >= validation_end)] for rank, patient in enumerate(order)
  }
  return {split: [i for i, patient in enumerate(patients) if side[patient] == split] for split in SPLITS}


def deal(items: Sequence[Item], patients: Sequence[str]) -> dict[str, list[Item]]:
  """Deals the items of a release that has no official split, 70/10/20, by `split_by_patient`.

  Args:
    items: of any kind.
    patients: the patient of each item; the photograph's name where the release names no patients.
  """
  return {split: [items[i] for i in positions] for split, positions in split_by_patient(patients).items()}


def carve_validation(training: Sequence[Item], patients: Sequence[str]) -> dict[str, list[Item]]:
  """Splits an official training set into 'train' and 'validation', 70 to 10 as in the paper, by `split_by_patient`.

  Args:
    training: items of any kind.
    patients: the patient of each item; the photograph's name where the release names no patients.
  """
  positions = split_by_patient(patients, fractions=(7 / 8, 1 / 8, 0))
  return {split: [training[i] for i in positions[split]] for split in ('train', 'validation')}


def split_digest(ids: Mapping[str, Sequence[str]]) -> str:
  """Names a split of photographs: the SHA-256 of a line 'split<tab>id<newline>' for each, in UTF-8.

  Lines are in the order of SPLITS, then of the ids, so that no other order counts. Two with the same digest have the
  same photographs in the same splits.

  Args:
    ids: split -> the photographs' ids; an empty split is as good as none.
  """
  lines = [f'{split}\t{name}\n' for split in SPLITS for name in sorted(ids.get(split, ()))]
  return hashlib.sha256(''.join(lines).encode()).hexdigest()
