"""How far annotators agree: quadratic kappa of each two and Fleiss' kappa on grades, Dice of each two on lesions.

All photographs with two annotators or more count, also those that the consensus excludes: agreement on photographs
that were chosen for agreement would be flattered.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from lesion_jax.core import LESION_KEYS, NUM_GRADES, NUM_LESIONS
from lesion_jax.metrics.kappa import Score, quadratic_weighted_kappa

ONE_GRADE = 'all grades are one and the same, so chance agrees as well'
NO_PAIR = 'no photograph has two grades'
UNMARKED = 'neither of them marked it in a photograph that both annotated'
Pair = tuple[str, str]


class Ballot(NamedTuple):
  """What the annotators of one photograph said of it.

  Attributes:
    annotators: n names.
    grades: n grades 0..4, None where none was given.
    overlaps: int64 [n, n, 8], pixels that two annotators marked alike, by lesion; on the diagonal what one marked.
  """

  annotators: tuple[str, ...]
  grades: tuple[int | None, ...]
  overlaps: np.ndarray


class Agreement(NamedTuple):
  """Statistics over all ballots; a metric that is undefined says why.

  Attributes:
    kappa: quadratic weighted kappa of each two annotators who graded the same photographs.
    graded: how many photographs each of these two graded both.
    fleiss: Fleiss' kappa of all grades.
    dice: by lesion, Dice of each two annotators, pooled over the photographs that both annotated.
  """

  kappa: dict[Pair, Score]
  graded: dict[Pair, int]
  fleiss: Score
  dice: dict[str, dict[Pair, Score]]

  def mean_kappa(self) -> Score:
    """Returns the mean over the pairs for which kappa is defined."""
    return _mean(self.kappa.values(), NO_PAIR)

  def mean_dice(self, lesion: str) -> Score:
    """Returns the mean over the pairs for which the lesion's Dice is defined."""
    return _mean(self.dice[lesion].values(), 'no annotator marked it in a photograph with another annotator')


def measure(ballots: Sequence[Ballot]) -> Agreement:
  """Measures the agreement of all annotators."""
  confusions: dict[Pair, np.ndarray] = {}
  sums: dict[Pair, np.ndarray] = {}  # [3, 8]: both, the first, the second
  for ballot in ballots:
    for i, j in itertools.combinations(np.argsort(ballot.annotators), 2):
      pair = ballot.annotators[i], ballot.annotators[j]
      shared = np.stack([ballot.overlaps[i, j], ballot.overlaps[i, i], ballot.overlaps[j, j]])
      sums[pair] = sums.get(pair, 0) + shared
      if ballot.grades[i] is not None and ballot.grades[j] is not None:
        matrix = confusions.setdefault(pair, np.zeros((NUM_GRADES, NUM_GRADES), np.int64))
        matrix[ballot.grades[i], ballot.grades[j]] += 1
  return Agreement(
      kappa={pair: _kappa(matrix) for pair, matrix in sorted(confusions.items())},
      graded={pair: int(matrix.sum()) for pair, matrix in sorted(confusions.items())},
      fleiss=fleiss_kappa(np.array([_tally(ballot.grades) for ballot in ballots]).reshape(-1, NUM_GRADES)),
      dice={key: {pair: _dice(*(int(value) for value in parts[:, j])) for pair, parts in sorted(sums.items())}
            for j, key in enumerate(LESION_KEYS)})


def overlap(masks: Sequence[np.ndarray]) -> np.ndarray:
  """Computes `Ballot.overlaps` of packed masks, uint8 [H, W] each."""
  counts = np.zeros((len(masks), len(masks), NUM_LESIONS), np.int64)
  for i, j in itertools.combinations_with_replacement(range(len(masks)), 2):
    by_byte = np.bincount((masks[i] & masks[j]).ravel(), minlength=256)
    for bit in range(NUM_LESIONS):
      counts[i, j, bit] = counts[j, i, bit] = by_byte[(np.arange(256) >> bit) & 1 == 1].sum()
  return counts


def fleiss_kappa(counts: np.ndarray) -> Score:
  """Computes Fleiss' kappa, also for numbers of annotators that differ from photograph to photograph.

  (P - E) / (1 - E), where P is the mean over photographs of the share of pairs of annotators who agree, and E the sum
  of the squared shares of the grades among all grades given. With equal numbers that is Fleiss (1971), Psychological
  Bulletin 76(5), 378-382; with others each photograph counts once (our choice).

  Args:
    counts: int [N, K], how many annotators gave photograph n grade k. Rows with fewer than two do not count.
  """
  counts = np.asarray(counts, np.float64)
  graded = counts.sum(axis=1)
  counts, graded = counts[graded >= 2], graded[graded >= 2]
  if not len(counts):
    return Score(None, NO_PAIR)
  observed = np.mean((counts * (counts - 1)).sum(axis=1) / (graded * (graded - 1)))
  expected = np.square(counts.sum(axis=0) / counts.sum()).sum()
  if expected == 1:
    return Score(None, ONE_GRADE)
  return Score(float((observed - expected) / (1 - expected)))


def _kappa(matrix: np.ndarray) -> Score:
  score = quadratic_weighted_kappa(matrix)
  return score if score.reason is None else Score(None, ONE_GRADE)  # a pair's matrix is never empty


def _dice(both: int, first: int, second: int) -> Score:
  return Score(2 * both / (first + second)) if first + second else Score(None, UNMARKED)


def _tally(grades: Iterable[int | None]) -> np.ndarray:
  return np.bincount([grade for grade in grades if grade is not None], minlength=NUM_GRADES)


def _mean(scores: Iterable[Score], reason: str) -> Score:
  values = [score.value for score in scores if score.value is not None]
  return Score(float(np.mean(values))) if values else Score(None, reason)
