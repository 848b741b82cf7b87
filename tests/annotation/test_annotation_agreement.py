"""Kappa, Fleiss' kappa and Dice against independent computations, and what is undefined."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from lesion_jax.annotation.agreement import Ballot, fleiss_kappa, measure, overlap
from lesion_jax.core import LESION_KEYS, lesion_bits

# The worked example of Fleiss (1971) as it stands on Wikipedia's page of the same name: 10 subjects, 14 raters.
PUBLISHED = np.array([
    [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]])


def test_fleiss_kappa_of_the_published_example():
  assert fleiss_kappa(PUBLISHED).value == pytest.approx(0.210, abs=5e-4)


def by_pairs(votes):
  """Fleiss' kappa by enumerating every ordered pair of raters of a subject."""
  agree = [np.mean([a == b for a, b in itertools.permutations(row, 2)]) for row in votes]
  everything = np.concatenate(votes)
  chance = sum(np.mean(everything == grade)**2 for grade in range(5))
  return (np.mean(agree) - chance) / (1 - chance)


@pytest.mark.parametrize('raters', [(3, 3), (2, 6)])
def test_fleiss_kappa_is_the_agreement_of_pairs_beyond_chance(raters):
  rng = np.random.default_rng(0)
  votes = [np.clip(rng.integers(0, 5) + rng.integers(-1, 2, rng.integers(raters[0], raters[1] + 1)), 0, 4)
           for _ in range(40)]
  counts = np.array([np.bincount(row, minlength=5) for row in votes])
  assert fleiss_kappa(counts).value == pytest.approx(by_pairs(votes), rel=1e-12)
  lonely = np.array([[1, 0, 0, 0, 0], [0, 0, 0, 0, 0]])
  assert fleiss_kappa(np.concatenate([counts, lonely])) == fleiss_kappa(counts), 'one grade is no pair'


@pytest.mark.parametrize('counts, reason', [
    (np.zeros((0, 5), int), 'no photograph has two grades'),
    ([[1, 0, 0, 0, 0], [0, 1, 0, 0, 0]], 'no photograph has two grades'),
    ([[0, 3, 0, 0, 0], [0, 2, 0, 0, 0]], 'all grades are one and the same'),
])
def test_fleiss_kappa_can_be_undefined(counts, reason):
  score = fleiss_kappa(np.array(counts))
  assert score.value is None and reason in score.reason


def ballots(count, annotators='abc', seed=0):
  rng = np.random.default_rng(seed)
  found = []
  for _ in range(count):
    masks = [rng.integers(0, 256, (6, 7), np.uint8) & 0b1111 for _ in annotators]
    found.append((Ballot(tuple(annotators), tuple(int(g) for g in rng.integers(0, 5, len(annotators))),
                         overlap(masks)), masks))
  return found


def test_kappa_of_each_pair_is_scikit_learns():
  found = [ballot for ballot, _ in ballots(30)]
  agreement = measure(found)
  assert list(agreement.kappa) == [('a', 'b'), ('a', 'c'), ('b', 'c')] and set(agreement.graded.values()) == {30}
  for (one, other), score in agreement.kappa.items():
    grades = [[ballot.grades['abc'.index(name)] for ballot in found] for name in (one, other)]
    assert score.value == pytest.approx(cohen_kappa_score(*grades, weights='quadratic', labels=range(5)))
  assert agreement.mean_kappa().value == pytest.approx(np.mean([score.value for score in agreement.kappa.values()]))


def test_dice_of_each_pair_is_pooled_over_their_photographs():
  found = ballots(5)
  agreement = measure([ballot for ballot, _ in found])
  bit = np.uint8(lesion_bits(['iHE']))
  first, second = (np.stack([masks[i] & bit for _, masks in found]) > 0 for i in (0, 2))
  expected = 2 * (first & second).sum() / (first.sum() + second.sum())
  assert agreement.dice['iHE']['a', 'c'].value == pytest.approx(expected)
  assert agreement.mean_dice('iHE').value == pytest.approx(np.mean([s.value for s in agreement.dice['iHE'].values()]))


def test_what_nobody_marked_has_no_dice():
  agreement = measure([ballot for ballot, _ in ballots(5)])
  assert agreement.dice['NV']['a', 'b'].value is None
  assert 'neither of them marked it' in agreement.dice['NV']['a', 'b'].reason
  assert agreement.mean_dice('NV').value is None and agreement.mean_dice('NV').reason


def test_a_pair_is_the_same_in_whatever_order_it_annotated():
  one = ballots(1, 'ab')[0][0]
  other = Ballot(('b', 'a'), one.grades[::-1], one.overlaps[::-1, ::-1])
  assert measure([one, one]) == measure([one, other])


def test_annotators_without_a_common_photograph_are_no_pair_and_without_a_grade_have_no_kappa():
  ungraded = Ballot(('c', 'd'), (None, 1), np.zeros((2, 2, 8), np.int64))
  agreement = measure([ballots(1, 'ab')[0][0], ungraded])
  assert set(agreement.kappa) == {('a', 'b')} and set(agreement.dice['MA']) == {('a', 'b'), ('c', 'd')}


def test_one_grade_throughout_has_no_kappa():
  agreement = measure([Ballot(('a', 'b'), (2, 2), np.zeros((2, 2, 8), np.int64))] * 3)
  assert agreement.kappa['a', 'b'].value is None and 'one and the same' in agreement.kappa['a', 'b'].reason
  assert agreement.mean_kappa().value is None


def test_without_ballots_everything_is_undefined():
  agreement = measure([])
  assert agreement.kappa == {} and agreement.fleiss.value is None
  assert [agreement.mean_dice(key).value for key in LESION_KEYS] == [None] * 8


def test_overlaps_count_pixels_by_lesion():
  first, second = (np.array([row], np.uint8) for row in ([1, 1, 3, 0], [1, 2, 2, 128]))
  counts = overlap([first, second])
  assert counts[0, 0].tolist() == [3, 1, 0, 0, 0, 0, 0, 0]
  assert counts[1, 1].tolist() == [1, 2, 0, 0, 0, 0, 0, 1]
  assert counts[0, 1].tolist() == counts[1, 0].tolist() == [1, 1, 0, 0, 0, 0, 0, 0]
