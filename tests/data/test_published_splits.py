"""The splits of releases whose ids are known from their layout: figures of this project are of these photographs."""

from __future__ import annotations

import pytest

from lesion_jax.data.splits import Dealing, split_digest

# Of the 54 official training photographs of the segmentation part.
IDRID_VALIDATION = ['IDRiD_01', 'IDRiD_11', 'IDRiD_12', 'IDRiD_32', 'IDRiD_39', 'IDRiD_43', 'IDRiD_45']


def _splits(digits, training, test):
  """The splits of a whole part of IDRiD: its training photographs are carved, its test photographs are official."""
  names = [f'IDRiD_{number:0{digits}d}' for number in training]
  return Dealing().carve(names, names, test=[f'IDRiD_{number:0{digits}d}' for number in test])


def test_idrid_validates_on_exactly_these():
  splits = _splits(2, range(1, 55), range(55, 82))
  assert splits['validation'] == IDRID_VALIDATION
  assert sorted(splits['train'] + splits['validation']) == [f'IDRiD_{number:02d}' for number in range(1, 55)]


@pytest.mark.parametrize('digits, training, test, lengths, digest', [
    (2, range(1, 55), range(55, 82), (47, 7, 27), '8a09bcec250b4fbd36f78655cd61cd42982b1a64a232aaa40a81b65a6475ff72'),
    (3, range(1, 414), range(1, 104), (361, 52, 103),
     '2ccf0132196adbb3be7debdbb32ea1f81d0b662077a53d2521c11628f7d54f2a'),
], ids=['segmentation', 'grading'])
def test_the_digest_that_lesion_jax_data_prints_of_idrid(digits, training, test, lengths, digest):
  splits = _splits(digits, training, test)
  assert tuple(len(splits[split]) for split in ('train', 'validation', 'test')) == lengths
  assert split_digest(splits) == digest
