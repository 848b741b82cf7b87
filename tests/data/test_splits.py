"""Patient-wise splits."""

from __future__ import annotations

import hashlib
import random

import pytest

from lesion_jax.data.splits import SPLIT_SEED, carve_validation, deal, split_by_patient, split_digest

# Two photographs of every even patient.
PATIENTS = [str(number) for number in range(100)] + [str(number) for number in range(0, 100, 2)]


def _sides(patients, **options):
  return {split: {patients[i] for i in positions} for split, positions in split_by_patient(patients, **options).items()}


def test_every_photograph_is_in_exactly_one_split():
  positions = [i for split in split_by_patient(PATIENTS).values() for i in split]
  assert sorted(positions) == list(range(len(PATIENTS)))


def test_no_patient_is_in_two_splits():
  sides = _sides(PATIENTS)
  assert not sides['train'] & sides['validation']
  assert not (sides['train'] | sides['validation']) & sides['test']


def test_fractions_are_of_patients():
  assert {split: len(patients) for split, patients in _sides(PATIENTS).items()} == {
      'train': 70, 'validation': 10, 'test': 20}


def test_order_of_the_input_does_not_matter():
  shuffled = random.Random(0).sample(PATIENTS, len(PATIENTS))
  assert _sides(shuffled) == _sides(PATIENTS)


def test_another_seed_is_another_split():
  assert _sides(PATIENTS, seed=SPLIT_SEED + 1) != _sides(PATIENTS)


def test_the_published_split_never_changes():
  assert SPLIT_SEED == 2020
  assert split_by_patient(list('abcdefghij')) == {
      'train': [0, 1, 2, 5, 6, 7, 9], 'validation': [8], 'test': [3, 4]}


def test_a_split_can_be_left_out():
  sides = split_by_patient(PATIENTS, fractions=(7 / 8, 1 / 8, 0))
  assert not sides['test'] and sides['validation']


@pytest.mark.parametrize('fractions', [(0.5, 0.1, 0.1), (1.2, -0.2, 0.0), (0.5, 0.5)])
def test_bad_fractions_are_refused(fractions):
  with pytest.raises(ValueError, match='sum to 1'):
    split_by_patient(PATIENTS, fractions=fractions)


def test_items_are_dealt_as_their_patients_are():
  items = [f'photograph {number}' for number in range(len(PATIENTS))]
  assert deal(items, PATIENTS) == {
      split: [items[i] for i in positions] for split, positions in split_by_patient(PATIENTS).items()}


def test_validation_is_carved_7_to_1_and_by_patient():
  carved = carve_validation(list(range(len(PATIENTS))), PATIENTS)
  sides = {split: {PATIENTS[i] for i in items} for split, items in carved.items()}
  assert list(carved) == ['train', 'validation']
  assert sorted(carved['train'] + carved['validation']) == list(range(len(PATIENTS)))
  assert (len(sides['train']), len(sides['validation'])) == (88, 12) and not sides['train'] & sides['validation']


class TestDigest:

  def test_it_is_the_sha_256_of_the_sorted_lines(self):
    lines = 'train\ta\ntrain\tb\ntest\tc\n'
    assert split_digest({'test': ['c'], 'train': ['b', 'a'], 'validation': []}) == hashlib.sha256(
        lines.encode()).hexdigest()

  def test_a_photograph_that_moves_changes_it(self):
    assert split_digest({'train': ['a', 'b']}) != split_digest({'train': ['a'], 'test': ['b']})
    assert split_digest({'train': ['a', 'b']}) == split_digest({'train': ['b', 'a'], 'test': []})
