"""Patient-wise splits: both eyes of a patient land on the same side, or one eye leaks the other.

Two kinds, by name: 'hash' deals patients by chance alone; 'stratified' also sees to it that every side gets its share of
each grade and lesion, the rarest first. Of a lesion in 13 of 1,593 photographs chance leaves none for validation with
one seed in four. (The libraries that there are for it, iterative-stratification and scikit-multilearn, deal single
examples and keep no patient together.)
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from lesion_jax.core import GRADE_KEYS, UNKNOWN_GRADE

SPLITS = ('train', 'validation', 'test')

# The seed of every split of this project. A figure measured on another seed's split is not comparable.
SPLIT_SEED = 2020

Item = TypeVar('Item')


def shuffled(patients: Iterable[str], seed: int | str = SPLIT_SEED) -> list[str]:
  """Returns each patient once, in the order of the SHA-256 of 'seed:patient'."""
  return sorted(set(patients), key=lambda patient: hashlib.sha256(f'{seed}:{patient}'.encode()).digest())


def stratify(
    patients: Sequence[str], labels: Sequence[Collection[str]], shares: Sequence[int], *, seed: int = SPLIT_SEED
) -> list[int]:
  """Deals photographs to splits so that each gets its share of every label, all those of one patient to one split.

  Iterative stratification (K. Sechidis, G. Tsoumakas and I. Vlahavas, "On the Stratification of Multi-Label Data", ECML
  PKDD 2011, Algorithm 1) of patients, each with the labels of all of his photographs: the label that the fewest patients
  still to be dealt have comes first; each of these patients goes to the side that lacks most of that label, of equals to
  the one that lacks most patients, and of equals again by chance. Chance is the SHA-256 of 'seed:patient', so the split
  depends on patients, labels, shares and seed alone: not on the order of the input, nor on a library. All in whole
  numbers. That patients are dealt, not photographs, is our choice, and that a side takes no more than its share, as
  `Dealing` by hash cuts it: of few patients with many labels the smallest side would else get none.

  Args:
    patients: the patient of each photograph.
    labels: what each photograph has; a photograph without any is dealt by number alone.
    shares: of the splits, whole numbers, such as (7, 1, 2).
    seed: any integer.

  Returns:
    The side of each photograph, a position in `shares`.

  Raises:
    ValueError: lengths differ, or a share is negative or all are 0.
  """
  if len(labels) != len(patients) or min(shares, default=0) < 0 or not sum(shares):
    raise ValueError(f'{len(patients)} patients, {len(labels)} sets of labels and the shares {tuple(shares)}: give a patient '
                     'and a set of labels for each photograph, and shares of 0 or more, not all 0')
  chance = lambda *parts: hashlib.sha256(':'.join(map(str, (seed, *parts))).encode()).digest()
  having: dict[str, set[str]] = collections.defaultdict(set)
  for patient, own in zip(patients, labels, strict=True):
    having[patient] |= set(own)
  order = sorted(having, key=chance)
  total, sides = sum(shares), [side for side, share in enumerate(shares) if share]
  waiting = {label: [patient for patient in order if label in having[patient]] for label in set().union(*having.values())}
  left = {label: len(those) for label, those in waiting.items()}
  room = dict(enumerate(_sizes(shares, len(order))))
  # What each side lacks, in units of 1 / total of a patient.
  lacks = {side: shares[side] * len(order) for side in sides}
  lacks_of = {label: {side: shares[side] * left[label] for side in sides} for label in left}
  dealt: dict[str, int] = {}

  def put(patient: str, need: Mapping[int, int]) -> None:
    side = max((side for side in sides if room[side]), key=lambda side: (need[side], lacks[side], chance(patient, side)))
    dealt[patient] = side
    room[side] -= 1
    lacks[side] -= total
    for label in having[patient]:
      lacks_of[label][side] -= total
      left[label] -= 1

  while any(left.values()):
    rarest = min((label for label in left if left[label]), key=lambda label: (left[label], label))
    for patient in (patient for patient in waiting[rarest] if patient not in dealt):
      put(patient, lacks_of[rarest])
  for patient in (patient for patient in order if patient not in dealt):
    put(patient, lacks)
  return [dealt[patient] for patient in patients]


def labels_of(lesions: Collection[str] = (), grade: int = UNKNOWN_GRADE) -> frozenset[str]:
  """Returns what `stratify` is to spread of a photograph: keys of its lesions as far as they are known without looking
  at pixels, and the key of its grade, unless that is unknown."""
  return frozenset(lesions) | ({GRADE_KEYS[grade]} if grade != UNKNOWN_GRADE else set())


@dataclasses.dataclass(frozen=True)
class Dealing:
  """How the photographs of a raw dataset become splits, where the raw dataset does not say.

  With `folds` the patients are dealt to so many equal parts; part number `fold` is the test split, and validation is
  carved from the others, 7 to 1. Where a raw dataset has an official test set, that is done with its training set.

  Attributes:
    name: 'hash' or 'stratified', see the module's docstring.
    seed: of chance; SPLIT_SEED is the published one.
    folds: 2 or more, or 0 for a single split, 70/10/20.
    fold: which part is the test split, 0..folds-1.

  Raises:
    ValueError: for another name, folds or fold.
  """

  name: str = 'hash'
  seed: int = SPLIT_SEED
  folds: int = 0
  fold: int = 0

  def __post_init__(self):
    if self.name not in DEALINGS:
      raise ValueError(f'split={self.name!r}: it is one of {", ".join(DEALINGS)}')
    if self.folds == 1 or self.folds < 0 or not 0 <= self.fold < max(self.folds, 1):
      raise ValueError(f'folds={self.folds}, fold={self.fold}: give 2 folds or more and a fold from 0 to folds - 1, or 0 '
                       'and 0 for a single split')

  @property
  def suffix(self) -> str:
    """Tells preprocessed data of one split from those of another; '' for the split that there was at first."""
    name = '' if (self.name, self.seed) == ('hash', SPLIT_SEED) else f'-{self.name}{self.seed}'
    return name + (f'-fold{self.fold}of{self.folds}' if self.folds else '')

  def describe(self) -> dict[str, Any]:
    """Returns it ready for JSON."""
    return dataclasses.asdict(self)

  def deal(
      self, items: Sequence[Item], patients: Sequence[str], labels: Sequence[Collection[str]] | None = None
  ) -> dict[str, list[Item]]:
    """Deals the items of a raw dataset that has no official split.

    Args:
      items: of any kind.
      patients: the patient of each item; the photograph's name where the raw dataset names no patients.
      labels: of each item, for 'stratified'; None: nothing is known of them.

    Raises:
      ValueError: there are more folds than patients.
    """
    if self.folds > len(set(patients)):
      raise ValueError(f'folds={self.folds} of {len(set(patients))} patients: give at most one fold a patient')
    if not self.folds:
      return self._sides(items, patients, labels, dict(zip(SPLITS, (7, 1, 2), strict=True)))
    parts = self._sides(range(len(items)), patients, labels, dict.fromkeys(range(self.folds), 1))
    return self._hold_out(items, patients, labels, set(parts[self.fold]))

  def deal_folds(
      self, items: Sequence[Item], patients: Sequence[str], labels: Sequence[Collection[str]] | None, given: Sequence[int],
  ) -> dict[str, list[Item]]:
    """Deals like `deal` with folds, by folds that somebody has dealt already.

    Args:
      items: as of `deal`, and so are `patients` and `labels`.
      given: the fold of each item, whole numbers of which the smallest is fold 0, the next one fold 1, and so on.

    Raises:
      ValueError: there are not `folds` of them, or a patient is in two.
    """
    numbers = sorted(set(given))
    if len(numbers) != self.folds:
      raise ValueError(f'there are {len(numbers)} folds ({", ".join(map(str, numbers[:12]))}), and folds={self.folds} are asked '
                       f'for; set folds to {len(numbers)}')
    of_patient: dict[str, int] = {}
    for patient, fold in zip(patients, given, strict=True):
      if of_patient.setdefault(patient, fold) != fold:
        raise ValueError(f'the patient {patient} is in the folds {of_patient[patient]} and {fold}; all photographs of a patient '
                         'belong to one fold')
    return self._hold_out(items, patients, labels, {i for i, fold in enumerate(given) if fold == numbers[self.fold]})

  def _hold_out(
      self, items: Sequence[Item], patients: Sequence[str], labels: Sequence[Collection[str]] | None, test: set[int],
  ) -> dict[str, list[Item]]:
    """The items at the positions `test` as the test split, the others carved."""
    rest = [i for i in range(len(items)) if i not in test]
    of_rest = lambda values: [values[i] for i in rest]
    carved = self._carve(of_rest(items), of_rest(patients), None if labels is None else of_rest(labels))
    return {**carved, 'test': [items[i] for i in sorted(test)]}

  def carve(
      self, training: Sequence[Item], patients: Sequence[str], labels: Sequence[Collection[str]] | None = None, *,
      test: Sequence[Item],
  ) -> dict[str, list[Item]]:
    """Splits an official training set into 'train' and 'validation', 70 to 10 as in the paper. With `folds` it is the
    training set alone that is dealt, and the official test set is in no split: cross-validation does not look at it.

    Args:
      training, patients, labels: as of `deal`.
      test: the official test set.

    Raises:
      ValueError: of `deal`.
    """
    return self.deal(training, patients, labels) if self.folds else {**self._carve(training, patients, labels), 'test': [*test]}

  def _carve(
      self, training: Sequence[Item], patients: Sequence[str], labels: Sequence[Collection[str]] | None
  ) -> dict[str, list[Item]]:
    """'train' and 'validation'."""
    return self._sides(training, patients, labels, {'train': 7, 'validation': 1})

  def _sides(
      self, items: Sequence[Item], patients: Sequence[str], labels: Sequence[Collection[str]] | None,
      shares: Mapping[Any, int],
  ) -> dict[Any, list[Item]]:
    if self.name == 'stratified':
      sides = stratify(patients, labels or [()] * len(patients), list(shares.values()), seed=self.seed)
    else:
      sides = _by_chance(patients, list(shares.values()), self.seed)
    return {name: [item for item, found in zip(items, sides, strict=True) if found == side]
            for side, name in enumerate(shares)}


DEALINGS = ('hash', 'stratified')


def _by_chance(patients: Sequence[str], shares: Sequence[int], seed: int) -> list[int]:
  """The side of each photograph: patients in the order of their hash, cut at the shares as `_sizes` does."""
  order = shuffled(patients, seed)
  of_rank = (side for side, size in enumerate(_sizes(shares, len(order))) for _ in range(size))
  sides = dict(zip(order, of_rank, strict=True))
  return [sides[patient] for patient in patients]


def _sizes(shares: Sequence[int], count: int) -> list[int]:
  """How many of `count` patients each side gets: the order of patients is cut at the shares, rounded, to
  the even number at half."""
  ends = [0, *(round(sum(shares[:side + 1]) / sum(shares) * count) for side in range(len(shares)))]
  return [end - start for start, end in itertools.pairwise(ends)]


def split_digest(ids: Mapping[str, Sequence[str]]) -> str:
  """Names a split of photographs: the SHA-256 of a line 'split<tab>id<newline>' for each, in UTF-8.

  Lines are in the order of SPLITS, then of the ids, so that no other order counts. Two with the same digest have the
  same photographs in the same splits.

  Args:
    ids: split -> the photographs' ids; an empty split is as good as none.
  """
  lines = [f'{split}\t{name}\n' for split in SPLITS for name in sorted(ids.get(split, ()))]
  return hashlib.sha256(''.join(lines).encode()).hexdigest()
