"""Votes on grades and on pixels."""

from __future__ import annotations

import numpy as np
import pytest

from lesion_jax.annotation.consensus import majority_grade, majority_masks
from lesion_jax.core import lesion_bits

MA, NV = (lesion_bits([key]) for key in ('MA', 'NV'))


@pytest.mark.parametrize('grades, agreed', [
    ((2, 2, 2), 2), ((2, 2, 3), 2), ((0, 0, 4), 0), ((1, 2, 3), None),
    ((1, 1, 2, 2), None), ((1, 1, 1, 2), 1), ((1, 1, 2, 3), None), ((1, 1, 2, 3, 1), 1),
    ((2, 2, None), 2), ((2, None, None), None), ((None, None, None), None), ((3,), 3), ((), None),
])
def test_a_grade_needs_more_than_half_of_all_annotators(grades, agreed):
  assert majority_grade(grades) == agreed


def masks(*rows):
  return [np.array([row], np.uint8) for row in rows]


@pytest.mark.parametrize('votes, agreed', [(None, [0, 0, MA, MA]), (1, [0, MA, MA, MA]), (3, [0, 0, 0, MA])])
def test_a_pixel_needs_more_than_half_of_all_annotators_or_so_many_votes(votes, agreed):
  drawn = masks([0, MA, MA, MA], [0, 0, MA, MA], [0, 0, 0, MA])
  np.testing.assert_array_equal(majority_masks(drawn, votes), [agreed])


def test_an_annotator_who_marked_nothing_votes_against():
  np.testing.assert_array_equal(majority_masks(masks([MA], [MA], [0], [0])), [[0]])
  np.testing.assert_array_equal(majority_masks(masks([MA], [MA], [0])), [[MA]])


def test_lesions_are_voted_on_one_by_one():
  np.testing.assert_array_equal(majority_masks(masks([MA | NV, NV], [MA, NV], [NV, MA])), [[MA | NV, NV]])


@pytest.mark.parametrize('seed', range(3))
def test_votes_are_what_counting_them_gives(seed):
  drawn = np.random.default_rng(seed).integers(0, 256, (5, 7, 9), np.uint8)
  counted = np.unpackbits(drawn[..., None], axis=-1, bitorder='little').sum(0) >= 3
  np.testing.assert_array_equal(majority_masks(list(drawn)), np.packbits(counted, axis=-1, bitorder='little')[..., 0])


@pytest.mark.parametrize('votes', [0, 3])
def test_more_votes_than_annotators_are_refused(votes):
  with pytest.raises(ValueError, match=f'{votes} votes of 2 annotators'):
    majority_masks(masks([0], [0]), votes)
