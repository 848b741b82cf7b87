"""A grade is a label of lesions too: what DR0 and DR1 say to be absent, and the index that knows it without decoding."""

from __future__ import annotations

import numpy as np
import pytest
from drawing import SIDE

from lesion_jax.core import lesion_bits
from lesion_jax.data import index
from lesion_jax.data.mixture import Mixture
from lesion_jax.data.dataset import absent_by_grade
from lesion_jax.data.registry import load_dataset
from lesion_jax.photograph.fingerprint import distances, fingerprint

FOUR = ('MA', 'iHE', 'HaEx', 'CWS')


@pytest.fixture
def graded(idrid_grading_release, tmp_path):
  return load_dataset('idrid_grading', data_dir=tmp_path / 'data', size=SIDE, source_dir=idrid_grading_release)


@pytest.fixture
def masked(idrid_release, tmp_path):
  return load_dataset('idrid', data_dir=tmp_path / 'data', size=SIDE, source_dir=idrid_release)


def test_dr0_has_no_lesion_and_dr1_microaneurysms_alone():
  found = absent_by_grade(np.array([0, 1, 2, 3, 4, -1]), FOUR)
  assert found.tolist() == [lesion_bits(FOUR), lesion_bits(FOUR[1:]), 0, 0, 0, 0] and found.dtype == np.uint8


def test_nothing_is_claimed_of_lesions_that_nobody_has_masks_of():
  assert absent_by_grade(np.array([0]), ('HaEx',)).tolist() == [lesion_bits(['HaEx'])]


def test_photographs_that_say_nothing_of_a_lesion_are_left_out_of_training_and_the_others_are_negatives(graded):
  found = graded.with_negatives(FOUR)
  assert found.annotated == FOUR and graded.annotated == ()
  for split in found.splits:
    source = found.source(split)
    grades = graded.source(split).index.grade
    assert len(source) == found.lengths[split] == (np.isin(grades, (0, 1)) | (split != 'train')).sum()
    for example in source:
      assert example['annotated'] == lesion_bits({0: FOUR, 1: FOUR[1:]}.get(int(example['grade']), ()))
      assert not example['lesions'].any() and not example['ignore'].any()


def test_of_what_training_leaves_out_nothing_is_known_of_any_lesion(graded):
  found = graded.with_negatives(FOUR)
  idle, learned = found.idle(), found.source('train')
  assert set(idle.index.id) | set(learned.index.id) == set(graded.source('train').index.id)
  assert not set(idle.index.id) & set(learned.index.id)
  assert (idle.index.grade >= 2).all() and not idle.index.annotated.any() and idle[0]['id'] == idle.index.id[0]
  assert graded.idle() is None and graded.with_negatives(FOUR, whole=True).idle() is None


def test_all_photographs_stay_where_they_are_asked_for(graded):
  found = graded.with_negatives(FOUR, whole=True)
  assert found.lengths == graded.lengths
  annotated = {int(example['grade']): int(example['annotated']) for example in found.source('train')}
  assert annotated[0] == lesion_bits(FOUR) and annotated[2] == 0


def test_data_without_grades_cannot_say_what_is_absent(masked):
  with pytest.raises(ValueError, match='idrid has no grades'):
    masked.with_negatives(FOUR)


def test_a_mixture_has_both(masked, graded):
  both = Mixture((masked, graded.with_negatives(FOUR)), (1.0, 1.0))
  assert both.annotated == FOUR
  assert both.lengths['train'] == masked.lengths['train'] + graded.with_negatives(FOUR).lengths['train']


def test_the_index_says_what_decoding_would(masked):
  source = masked.source('train')
  for row, example in enumerate(source):
    assert (source.index.id[row], source.index.patient[row]) == (example['id'], example['patient'])
    np.testing.assert_array_equal(source.index.areas[row], [((example['lesions'] >> j) & 1).sum() for j in range(8)])
    np.testing.assert_array_equal(source.index.fingerprint[row], fingerprint(example['image']))
    assert source.index.annotated[row] == example['annotated'] and source.index.side[row] == 112  # of the drawn field


def test_indices_are_written_and_joined(masked, tmp_path):
  one = masked.source('train').index
  index.save(tmp_path, {'train': one, 'test': masked.source('test').index})
  back = index.read(tmp_path, 'train')
  both = index.join([back, index.read(tmp_path, 'test')])
  assert len(both) == len(one) + masked.lengths['test']
  for name in index.FIELDS:
    np.testing.assert_array_equal(getattr(both, name)[:len(one)], getattr(one, name))
  with pytest.raises(KeyError):
    index.read(tmp_path, 'validation')


class TestVisits:

  def test_a_visit_counts_as_a_patient(self, graded):
    """Photographs 1 and 2 of the training set are of visit 1, 6 and 7 of visit 5 (`visits`)."""
    patients = {str(i): p for split in ('train', 'validation') for i, p in
                zip(graded.source(split).index.id, graded.source(split).index.patient, strict=True)}
    assert patients['IDRiD_001'] == patients['IDRiD_002'] != patients['IDRiD_003']
    assert patients['IDRiD_006'] == patients['IDRiD_007']

  def test_no_visit_is_on_two_sides_in_the_real_release(self, real_idrid, tmp_path):
    from lesion_jax.data.datasets.idrid_grading import IdridGrading
    builder = IdridGrading(config=IdridGrading.CONFIG(source_dir=real_idrid), data_dir=tmp_path, file_format='array_record')
    splits, counts = builder.release()
    assert counts == {'training photographs': 413, 'test photographs': 103}
    assert {split: len(items) for split, items in splits.items()} == {'train': 341, 'validation': 48, 'test': 103}
    patients = [{item.patient for item in items} for items in splits.values()]
    assert not patients[0] & patients[1] and not patients[0] & patients[2] and not patients[1] & patients[2]
    kept = {item.path.stem for split in ('train', 'validation') for item in splits[split]}
    assert not kept & {'IDRiD_021', 'IDRiD_391', 'IDRiD_028', 'IDRiD_327', 'IDRiD_118'}


def test_distances_do_not_depend_on_exposure():
  rng = np.random.default_rng(0)
  prints = rng.integers(20, 200, (5, 32, 32, 3), np.uint8)
  brighter = np.clip(prints * 1.03, 0, 255).astype(np.uint8)
  found = distances(prints, brighter)
  assert np.diag(found).max() < 1 < 30 < found[~np.eye(5, dtype=bool)].min()
  plain = np.sqrt(((prints[0].astype(float) - prints[1]) ** 2).mean())
  assert found[0, 1] <= plain


def test_some_training_patients_validate_instead(graded):
  """All photographs of a patient, those that say nothing of any lesion too, and each once; test is left alone."""
  whole, found = graded.with_negatives(FOUR), graded.with_negatives(FOUR, aside=0.8)
  ids = lambda data: {split: set(data.ids.get(split, ())) for split in ('train', 'validation', 'test')}
  before, after = ids(whole), ids(found)
  assert after['test'] == before['test'] and before['validation'] < after['validation']
  assert after['train'] < before['train'] and not after['train'] & after['validation']
  everyone = ids(graded)
  assert before['train'] | before['validation'] <= after['train'] | after['validation'] <= everyone['train'] | everyone['validation']
  patients = {split: set(found.source(split).index.patient) for split in ('train', 'validation')}
  assert not patients['train'] & patients['validation']
  assert found.lengths == {split: len(names) for split, names in after.items()}
  moved = sorted(after['validation'] - before['validation'])
  assert {example['id'] for example in found.source('validation')} == after['validation']
  assert ids(found.without({'validation': moved[:1]}))['validation'] == after['validation'] - {moved[0]}


def test_the_sick_are_left_out_of_every_split_where_nobody_asks_about_them(graded):
  """They say nothing of any lesion, so the others are what there was."""
  every, found = graded.with_negatives(FOUR), graded.with_negatives(FOUR, sick=False)
  for split in found.splits:
    index = every.source(split).index
    assert found.source(split).index.id.tolist() == index.id[index.annotated > 0].tolist()
    assert found.lengths[split] == len(found.source(split))
  assert found.lengths['test'] < every.lengths['test'] and found.lengths['train'] == every.lengths['train']
  assert every.idle() is not None and found.idle() is None
