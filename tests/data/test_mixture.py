"""IDRiD, which annotates four lesions and no grade, together with the synthetic data set, which has everything."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from drawing import draw_idrid

from lesion_jax.core import LESION_KEYS, UNKNOWN_GRADE, lesion_bits
from lesion_jax.data.mixture import Mixture, shares
from lesion_jax.data.pipeline import train_batches
from lesion_jax.data.registry import load_dataset

SIZE = 32
FOUR = ('MA', 'iHE', 'HaEx', 'CWS')


@pytest.fixture(scope='module')
def parts(tmp_path_factory):
  place = tmp_path_factory.mktemp('mixture')
  idrid = load_dataset('idrid', data_dir=place / 'data', size=SIZE, source_dir=draw_idrid(place / 'idrid'))
  return idrid, load_dataset('synthetic', data_dir=place / 'data', size=SIZE, count=24)


@pytest.fixture(scope='module')
def mixture(parts):
  return Mixture(parts)


def test_it_describes_all_parts(mixture, parts):
  idrid, synthetic = parts
  assert mixture.name == 'idrid+synthetic'
  assert mixture.annotated == LESION_KEYS and mixture.graded
  assert Mixture((idrid,)).annotated == FOUR and not Mixture((idrid,)).graded
  for part in parts:
    assert part.description in mixture.description and f'{part.name}: {part.licence}' in mixture.licence
  assert mixture.citation == idrid.citation.strip()
  assert mixture.splits == ('train', 'validation', 'test')


def test_a_square_part_does_not_make_squares_of_fields_of_view(parts):
  idrid, synthetic = parts
  assert (idrid.crop, synthetic.crop) == ('field of view', 'square')
  assert Mixture(parts).crop == 'field of view' and Mixture((synthetic,)).crop == 'square'


def test_held_out_splits_are_the_parts_behind_one_another(mixture, parts):
  for split in ('validation', 'test'):
    expected = [example['id'] for part in parts for example in part.source(split)]
    assert [example['id'] for example in mixture.source(split)] == expected
    assert len(expected) == mixture.lengths[split]


def test_the_share_of_each_part_in_a_split_is_known(mixture, parts):
  source = mixture.source('test')
  for part, rows in shares(mixture, 'test'):
    assert [source[i]['id'] for i in range(len(source))[rows]] == [example['id'] for example in part.source('test')]
  assert [part.name for part, _ in shares(mixture, 'test')] == ['idrid', 'synthetic']
  assert not list(shares(parts[0], 'test')), 'a data set is no mixture'


def test_each_example_keeps_what_its_own_data_set_annotates(mixture):
  batch = next(train_batches(Mixture(mixture.parts, (1, 1)).source('train'), batch_size=8, seed=0, threads=2))
  of_idrid = np.char.startswith(batch['id'], 'IDRiD')
  assert of_idrid.sum() == 4
  np.testing.assert_array_equal(batch['annotated'], np.where(of_idrid, lesion_bits(FOUR), 255))
  assert np.all((batch['grade'] == UNKNOWN_GRADE) == of_idrid)
  assert batch['image'].shape == (8, SIZE, SIZE, 3)


def test_a_part_may_lack_a_held_out_split(parts):
  idrid, synthetic = parts
  without = dataclasses.replace(idrid, lengths=idrid.lengths | {'validation': 0})
  mixture = Mixture((without, synthetic))
  assert [part.name for part, _ in shares(mixture, 'validation')] == ['synthetic']
  assert len(mixture.source('validation')) == synthetic.lengths['validation']


@pytest.mark.parametrize('weights, message', [
    ((1.0,), r"weights=\(1\.0,\): give one for each of the 2 data sets of idrid\+synthetic"),
    ((1.0, 0.0), r'each must be above 0; leave out a data set'),
    ((1.0, -1.0), r'each must be above 0'),
    ((1.0, float('nan')), r'each must be above 0'),
    ((1.0, float('inf')), r'each must be above 0'),
])
def test_wrong_weights_are_said(parts, weights, message):
  with pytest.raises(ValueError, match=message):
    Mixture(parts, weights)


def test_a_data_set_is_not_mixed_with_itself(parts):
  with pytest.raises(ValueError, match=r'idrid\+idrid names a data set twice; give it a larger weight'):
    Mixture((parts[0], parts[0]))


def test_a_part_with_nothing_to_learn_from_is_said(parts):
  idrid, synthetic = parts
  empty = dataclasses.replace(idrid, lengths=idrid.lengths | {'train': 0})
  with pytest.raises(ValueError, match="idrid has no examples in the split 'train'"):
    Mixture((empty, synthetic))


def test_an_unknown_split_is_said(mixture):
  with pytest.raises(ValueError, match="no examples in the split 'dev'; its splits are: train "):
    mixture.source('dev')
