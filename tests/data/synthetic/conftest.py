"""One small data set and its scenes, made once for the tests of this folder."""

from __future__ import annotations

import pytest

from lesion_jax.data import synthetic

SEED, COUNT, SIZE = 3, 160, 128


@pytest.fixture(scope='session')
def samples() -> list[synthetic.Sample]:
  return [synthetic.generate(SEED, index, SIZE) for index in range(COUNT)]


@pytest.fixture(scope='session')
def scenes() -> list[synthetic.Scene]:
  return [synthetic.draw_scene(SEED, index) for index in range(COUNT)]
