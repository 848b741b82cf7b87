"""Patient-wise splits."""

from __future__ import annotations

import collections
import hashlib
import random

import pytest

from lesion_jax.data.splits import (
    SPLIT_SEED, SPLITS, Dealing, labels_of, split_digest, stratify)

# Two photographs of every even patient.
PATIENTS = [str(number) for number in range(100)] + [str(number) for number in range(0, 100, 2)]


def _positions(patients, **options):
  return Dealing(**options).deal(range(len(patients)), patients)


def _sides(patients, **options):
  return {split: {patients[i] for i in positions} for split, positions in _positions(patients, **options).items()}


def test_every_photograph_is_in_exactly_one_split():
  positions = [i for split in _positions(PATIENTS).values() for i in split]
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
  assert _positions(list('abcdefghij')) == {
      'train': [0, 1, 2, 5, 6, 7, 9], 'validation': [8], 'test': [3, 4]}


def test_items_are_dealt_as_their_patients_are():
  items = [f'photograph {number}' for number in range(len(PATIENTS))]
  assert Dealing().deal(items, PATIENTS) == {
      split: [items[i] for i in positions] for split, positions in _positions(PATIENTS).items()}


def test_validation_is_carved_7_to_1_and_by_patient():
  carved = Dealing().carve(list(range(len(PATIENTS))), PATIENTS, test=['official'])
  assert carved.pop('test') == ['official']
  sides = {split: {PATIENTS[i] for i in items} for split, items in carved.items()}
  assert list(carved) == ['train', 'validation']
  assert sorted(carved['train'] + carved['validation']) == list(range(len(PATIENTS)))
  assert (len(sides['train']), len(sides['validation'])) == (88, 12) and not sides['train'] & sides['validation']


def test_folds_of_an_official_training_set_leave_the_official_test_set_alone():
  items = list(range(len(PATIENTS)))
  folds = [Dealing(folds=4, fold=fold).carve(items, PATIENTS, test=['official']) for fold in range(4)]
  assert sorted(item for fold in folds for item in fold['test']) == items
  for fold in folds:
    assert sorted(item for split in fold.values() for item in split) == items
    assert not {PATIENTS[i] for i in fold['test']} & {PATIENTS[i] for i in fold['train'] + fold['validation']}


class TestDigest:

  def test_it_is_the_sha_256_of_the_sorted_lines(self):
    lines = 'train\ta\ntrain\tb\ntest\tc\n'
    assert split_digest({'test': ['c'], 'train': ['b', 'a'], 'validation': []}) == hashlib.sha256(
        lines.encode()).hexdigest()

  def test_a_photograph_that_moves_changes_it(self):
    assert split_digest({'train': ['a', 'b']}) != split_digest({'train': ['a'], 'test': ['b']})
    assert split_digest({'train': ['a', 'b']}) == split_digest({'train': ['b', 'a'], 'test': []})


# Files of Retinal-Lesions by lesion, and photographs by grade.
FILES = {'MA': 1435, 'iHE': 1302, 'HaEx': 807, 'CWS': 471, 'NV': 68, 'FiP': 28, 'pHE': 19, 'vHE': 13}
GRADED = (166, 337, 929, 99, 62)


PUBLISHED_VALIDATION = [3, 6, 23, 45, 55, 58, 68, 70, 84, 85]


def _retinal_lesions():
  """Patients and labels as many as that release has: 1,593 photographs of 1,505 patients."""
  chance = random.Random(0)
  patients = [str(number) for number in range(1505)] + [str(number) for number in range(88)]
  grades = [grade for grade, count in enumerate(GRADED) for _ in range(count)]
  chance.shuffle(grades)
  lesions = [set() for _ in patients]
  for key, count in FILES.items():
    for i in chance.sample(range(len(patients)), count):
      lesions[i].add(key)
  return patients, [labels_of(*each) for each in zip(lesions, grades, strict=True)]


def _counts(items, labels):
  return collections.Counter(label for i in items for label in labels[i])


class TestStratified:

  PATIENTS, LABELS = _retinal_lesions()

  def test_every_split_has_its_share_of_the_rarest_lesions_whatever_the_seed(self):
    numbers, none = range(len(self.PATIENTS)), {'hash': 0, 'stratified': 0}
    for seed in range(20):
      for name in none:
        found = Dealing(name, seed).deal(numbers, self.PATIENTS, self.LABELS)
        counts = {split: _counts(items, self.LABELS) for split, items in found.items()}
        none[name] += any(not counts[split][key] for split in SPLITS for key in FILES)
        if name == 'stratified':
          for key, total in FILES.items():
            for split, share in zip(SPLITS, (0.7, 0.1, 0.2), strict=True):
              assert abs(counts[split][key] - share * total) <= max(2, 0.12 * share * total), (seed, split, key)
    assert none['stratified'] == 0 and none['hash'] >= 5  # by chance one seed in three or four leaves a split without vHE

  def test_grades_are_spread_and_sizes_are_those_of_chance(self):
    found = Dealing('stratified').deal(range(len(self.PATIENTS)), self.PATIENTS, self.LABELS)
    of_patients = {split: len({self.PATIENTS[i] for i in items}) for split, items in found.items()}
    by_chance = _positions(self.PATIENTS)
    assert of_patients == {split: len({self.PATIENTS[i] for i in items}) for split, items in by_chance.items()}
    for grade, total in enumerate(GRADED):
      for split, share in zip(SPLITS, (0.7, 0.1, 0.2), strict=True):
        assert _counts(found[split], self.LABELS)[f'DR{grade}'] == pytest.approx(share * total, abs=0.2 * total ** 0.5 + 4)

  def test_no_patient_is_in_two_splits(self):
    found = Dealing('stratified').deal(self.PATIENTS, self.PATIENTS, self.LABELS)
    sides = [set(items) for items in found.values()]
    assert sum(map(len, sides)) == len(set().union(*sides)) == 1505

  def test_neither_the_order_of_the_input_nor_of_labels_matters_and_the_seed_does(self):
    order = list(range(len(self.PATIENTS)))
    random.Random(1).shuffle(order)
    found = Dealing('stratified').deal(self.PATIENTS, self.PATIENTS, self.LABELS)
    shuffled = Dealing('stratified').deal(*([values[i] for i in order] for values in (
        self.PATIENTS, self.PATIENTS, [sorted(labels) for labels in self.LABELS])))
    assert {split: set(items) for split, items in found.items()} == {
        split: set(items) for split, items in shuffled.items()}
    other = Dealing('stratified', 1).deal(self.PATIENTS, self.PATIENTS, self.LABELS)
    assert set(other['test']) != set(found['test'])

  def test_the_published_stratified_split_never_changes(self):
    labels = [{'NV'} if number % 25 == 0 else {'MA'} if number % 2 else set() for number in range(100)]
    names = [f'p{number}' for number in range(100)]
    found = Dealing('stratified').deal(range(100), names, labels)
    assert found['validation'] == PUBLISHED_VALIDATION
    assert [len([i for i in found[split] if labels[i] == {'NV'}]) for split in SPLITS] == [3, 0, 1]

  def test_a_patient_has_the_labels_of_both_eyes(self):
    """Two patients with vHE in one eye each: one side each, with both of their eyes."""
    sides = stratify(['a', 'a', 'b', 'b'], [{'vHE'}, (), (), {'vHE'}], (1, 1))
    assert sides[0] == sides[1] != sides[2] == sides[3]

  def test_without_labels_only_numbers_count(self):
    found = Dealing('stratified').deal(PATIENTS, PATIENTS)
    assert {split: len(set(items)) for split, items in found.items()} == {'train': 70, 'validation': 10, 'test': 20}

  def test_of_few_patients_no_split_is_left_empty(self):
    labels = [labels_of(grade=number % 5) for number in range(10)]
    found = Dealing('stratified').deal(range(10), list('abcdefghij'), labels)
    assert {split: len(items) for split, items in found.items()} == {'train': 7, 'validation': 1, 'test': 2}

  @pytest.mark.parametrize('given', [(['a'], [], (1,)), (['a'], [()], ()), (['a'], [()], (0, 0)), (['a'], [()], (2, -1))])
  def test_what_cannot_be_dealt_is_refused(self, given):
    with pytest.raises(ValueError, match='give a patient and a set of labels'):
      stratify(*given)


class TestFolds:

  @pytest.mark.parametrize('name', ['hash', 'stratified'])
  def test_every_photograph_is_tested_once_and_never_beside_its_patient(self, name):
    labels = [{'NV'} if number % 10 == 0 else set() for number in range(len(PATIENTS))]
    tested = []
    for fold in range(4):
      found = Dealing(name, folds=4, fold=fold).deal(range(len(PATIENTS)), PATIENTS, labels)
      assert sorted(i for items in found.values() for i in items) == list(range(len(PATIENTS)))
      sides = {split: {PATIENTS[i] for i in items} for split, items in found.items()}
      assert not sides['test'] & (sides['train'] | sides['validation']) and not sides['train'] & sides['validation']
      assert [len(sides[split]) for split in SPLITS] in ([66, 9, 25], [65, 10, 25])
      if name == 'stratified':
        assert 2 <= len({PATIENTS[i] for i in found['test'] if labels[i]}) <= 5
      tested += found['test']
    assert sorted(tested) == list(range(len(PATIENTS)))

  def test_prepared_data_of_one_split_are_told_from_those_of_another(self):
    dealings = [Dealing(), Dealing('stratified'), Dealing('hash', 1), Dealing('stratified', 1),
                *(Dealing('stratified', folds=5, fold=fold) for fold in range(5)), Dealing('hash', folds=5)]
    assert len({dealing.suffix for dealing in dealings}) == len(dealings)
    assert Dealing().suffix == '', 'what was prepared before is found where it lies'

  @pytest.mark.parametrize('name', ['hash', 'stratified'])
  def test_more_folds_than_patients_are_refused_before_the_first_is_trained(self, name):
    """One of them would have nothing to test on."""
    with pytest.raises(ValueError, match='folds=4 of 3 patients'):
      Dealing(name, folds=4).deal(range(6), list('abcabc'))
    assert Dealing(name, folds=3, fold=2).deal(range(6), list('abcabc'))['test']

  @pytest.mark.parametrize('options', [{'name': 'random'}, {'folds': 1}, {'folds': -2}, {'folds': 3, 'fold': 3},
                                       {'fold': 1}, {'folds': 3, 'fold': -1}])
  def test_mistakes_are_named(self, options):
    with pytest.raises(ValueError, match='|'.join(f'{key}=' for key in [*options, 'split'])):
      Dealing(**options)
