"""DDR's grading part, in its own layout and with its own traps."""

from __future__ import annotations

import json
import logging

import pytest
from drawing import IDRID_SHAPE, SIDE, fundus, save

from lesion_jax.data.datasets.ddr_grading import DdrGrading
from lesion_jax.data.registry import load_dataset

LABELS = {
    'train': {'007-0001-000.jpg': 0, '007-0002-000.jpg': 4, '007-0003-000.jpg': 5, '007-0004-000.jpg': 2},
    'valid': {'007-1001-000.jpg': 1, '007-1002-000.jpg': 5},
    'test': {'20170413102628830.jpg': 3, '007-2002-000.jpg': 0},
}


@pytest.fixture
def release(tmp_path):
  """Eight photographs in three official sets; label 5 is ungradable."""
  root = tmp_path / 'DDR-dataset'
  for seed, (official_set, labels) in enumerate(LABELS.items()):
    for name in labels:
      save(root / 'DR_grading' / official_set / name, fundus(*IDRID_SHAPE, seed=seed))
    lines = ''.join(f'{name} {label}\n' for name, label in labels.items())
    (root / 'DR_grading' / f'{official_set}.txt').write_text(lines)
  return root


def _load(release):
  return load_dataset('ddr_grading', data_dir=release.parent / 'prepared', size=SIDE, source_dir=release)


def test_the_official_sets_become_the_splits_without_the_ungradable(release):
  dataset = _load(release)
  assert dataset.annotated == () and dataset.graded and dataset.crop == 'field of view'
  for split, official_set in (('train', 'train'), ('validation', 'valid'), ('test', 'test')):
    found = {f'{example["id"]}.jpg': int(example['grade']) for example in dataset.source(split)}
    assert found == {name: label for name, label in LABELS[official_set].items() if label != 5}


def test_photographs_are_cropped_and_no_lesion_is_annotated(release):
  for example in _load(release).source('test'):
    assert example['image'].shape == (SIDE, SIDE, 3) and example['image'][SIDE // 2, SIDE // 2].all()
    assert example['annotated'] == 0 and not example['lesions'].any()


def test_the_ungradable_are_counted(release, caplog, monkeypatch):
  monkeypatch.setattr(logging.getLogger('absl'), 'propagate', True)
  dataset = _load(release)
  assert '2 photographs are skipped, which the raw dataset calls ungradable' in caplog.text
  assert 'train photographs 4 (published: 6835)' in caplog.text and 'ungradable 2 (published: 1151)' in caplog.text
  assert json.loads((dataset.builder.data_path / 'left_out.json').read_text())['ungradable'] == 2


def test_published_counts_agree_with_one_another():
  """Of 13,673 photographs 12,522 have a grade."""
  photographs = sum(DdrGrading.PUBLISHED[f'{split} photographs'] for split in ('train', 'validation', 'test'))
  assert (photographs, photographs - DdrGrading.PUBLISHED['ungradable']) == (13673, 12522)


@pytest.mark.parametrize('text, message', [
    ('007-0001-000.jpg 6', r"train\.txt, line 1 \(007-0001-000\.jpg\): the grade is '6'; grades are 0\.\.4"),
    ('007-0001-000.jpg 1\n\n007-0001-000.jpg 2', r'train\.txt, line 3: 007-0001-000\.jpg has a row already'),
    ('007-0001-000.jpg', r"train\.txt, line 1: '007-0001-000\.jpg' is not of the form 'name\.jpg label'"),
    ('007-0001-000.jpg 1', r'train\.txt has no line for 3 photographs: 007-0002-000\.jpg, '),
])
def test_a_list_that_breaks_its_rules_is_refused(release, text, message):
  (release / 'DR_grading' / 'train.txt').write_text(text)
  with pytest.raises(ValueError, match=message):
    _load(release)


@pytest.mark.parametrize('missing', ['valid', 'valid.txt', ''])
def test_what_is_missing_is_named(release, missing):
  path = release / 'DR_grading' / missing
  path.rename(release / 'elsewhere')
  with pytest.raises(FileNotFoundError, match=str(path)):
    _load(release)


def test_a_damaged_photograph_is_named(release):
  path = release / 'DR_grading' / 'valid' / '007-1001-000.jpg'
  path.write_bytes(path.read_bytes()[:500])
  with pytest.raises(ValueError, match=r'cannot read the photograph .*007-1001-000\.jpg'):
    _load(release)
