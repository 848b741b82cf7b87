"""Lesions that contradict a grade by Table I."""

from __future__ import annotations

import pytest

from lesion_jax.annotation.cleaning import contradicted
from lesion_jax.core import LESION_KEYS, lesion_bits

RELEASED = {'MA', 'iHE', 'NV', 'vHE', 'pHE'}  # lesions in which the release has the level 127


@pytest.mark.parametrize('grade, keys', [
    (0, ('MA', 'iHE', 'vHE', 'pHE', 'NV')),
    (1, ('iHE', 'vHE', 'pHE', 'NV')),
    (2, ('vHE', 'pHE', 'NV')),
    (3, ('vHE', 'pHE', 'NV')),
    (4, ()),
])
def test_sufficient_evidence_for_a_higher_grade_contradicts(grade, keys):
  assert set(keys) <= set(LESION_KEYS)
  assert contradicted(grade) == lesion_bits(keys)


def test_the_rule_can_strike_the_lesions_that_it_strikes_in_the_release_and_no_other():
  struck = {key for grade in range(5) for key in LESION_KEYS if contradicted(grade) & lesion_bits([key])}
  assert struck == RELEASED
