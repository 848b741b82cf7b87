"""Masks of one data set and grades of another, of the same photographs: found by fingerprint, whatever their names."""

from __future__ import annotations

import numpy as np
import pytest
from drawing import SIDE, copy_of, patchwork, save

from lesion_jax.core import UNKNOWN_GRADE
from lesion_jax.data.registry import load_dataset
from lesion_jax.photograph import fingerprint as module
from lesion_jax.photograph.fingerprint import twins, twins_of
from lesion_jax.photograph.read import read_photograph


@pytest.fixture
def release(idrid_grading_release, idrid_release):
  """IDRiD with both parts, each photograph told from the others; of part A's first the copies in part B are two, of the same grade,
  of its second two that contradict one another."""
  folder = idrid_release / 'B. Disease Grading' / '1. Original Images' / 'a. Training Set'
  photographs = sorted((idrid_release / 'A. Segmentation').rglob('*.jpg'))
  for number, path in enumerate([*photographs, *sorted(folder.glob('*.jpg'))]):
    save(path, patchwork(read_photograph(path), number), quality=95)
  for number, source in ((3, 0), (8, 0), (1, 1), (2, 1)):  # graded 3, 3, 1, 2
    copy_of(read_photograph(photographs[source]), folder / f'IDRiD_{number:03d}.jpg', scale=1, quality=95)
  return idrid_release


def test_a_photograph_without_a_grade_has_that_of_its_twin_if_its_twins_agree(release, tmp_path):
  masked, graded = (load_dataset(name, data_dir=tmp_path / 'data', size=SIDE, source_dir=release) for name in ('idrid', 'idrid_grading'))
  found = masked.graded_by([masked, graded])
  first, second = sorted(masked.ids['train'] + masked.ids.get('validation', []))[:2]
  grades = {name: int(grade) for split in found.splits
            for name, grade in zip(found.source(split).index.id, found.source(split).index.grade, strict=True)}
  assert grades.pop(first) == 3 and set(grades.values()) == {UNKNOWN_GRADE} and second in grades
  assert found.graded and not masked.graded
  examples = {example['id']: example for split in found.splits for example in found.source(split)}
  assert examples[first]['grade'] == 3 and examples[second]['grade'] == UNKNOWN_GRADE
  assert examples[first]['lesions'].any()  # its masks stay


def test_where_nobody_has_a_grade_for_it_nothing_changes(release, tmp_path):
  masked = load_dataset('idrid', data_dir=tmp_path / 'data', size=SIDE, source_dir=release)
  assert masked.graded_by([masked]) is masked


def test_the_twins_of_each_fingerprint_are_those_within_reach_and_blocks_change_nothing(monkeypatch):
  rng = np.random.default_rng(0)
  one = rng.integers(0, 256, (9, 16, 16, 3), np.uint8)
  other = np.concatenate([one[[2, 5]], rng.integers(0, 256, (4, 16, 16, 3), np.uint8), one[[5, 0]]])
  expected = [[7], [], [0], [], [], [1, 6], [], [], []]
  assert [found.tolist() for found in twins_of(one, other)] == expected
  monkeypatch.setattr(module, 'BLOCK', 4)
  assert [found.tolist() for found in twins_of(one, other)] == expected
  np.testing.assert_array_equal(twins(one, other), [bool(places) for places in expected])
  assert [found.tolist() for found in twins_of(one[:2], other[:0])] == [[], []]
