"""DIARETDB1 in a small copy of its layout: lists, four experts a photograph, and their consensus."""

from __future__ import annotations

import numpy as np
import pytest
from drawing import fundus, save
from markings import circle, diaretdb1, marking, polygon

from lesion_jax.annotation.diaretdb1 import Marking
from lesion_jax.annotation.raster import rasterise
from lesion_jax.annotation.shapes import Ellipse, Polygon
from lesion_jax.core import LESION_KEYS, UNKNOWN_GRADE, lesion_bits, unpack_bits
from lesion_jax.data.datasets.diaretdb1 import consensus
from lesion_jax.data.registry import load_dataset
from lesion_jax.photograph.crop import read_field

SHAPE = (96, 120)  # the release's 1152x1500, roughly
SIDE = 64
LISTS = {'train': range(1, 9), 'test': range(21, 24)}
# What the four experts say of one hemorrhage, and whether that makes 0.75 in the mean.
OPINIONS = {
    ('High', 'High', 'High', None): True,
    ('Medium', 'Medium', 'Medium', 'Medium'): True,
    ('High', 'High', 'Medium', 'Low'): True,
    ('High', 'High', 'Medium', None): False,
    ('High', 'High', 'Low', 'Low'): False,
    ('High', None, None, None): False,
}
DOT = circle(60, 48, 6)
TRIANGLE = polygon((40, 30), (58, 30), (49, 42))


@pytest.fixture
def release(tmp_path):
  """Eight training photographs and three test ones; number 1 shows an exudate, and all the first case of OPINIONS."""
  root = tmp_path / 'ddb1_v02_01'
  for split, numbers in LISTS.items():
    lines = []
    for number in numbers:
      name = f'diaretdb1_image{number:03d}'
      save(root / 'images' / f'{name}.png', fundus(*SHAPE, seed=number))
      files = [f'groundtruth/{name}_{expert:02d}_plain.xml' for expert in range(1, 5)]
      (root / 'groundtruth').mkdir(exist_ok=True)
      for file, confidence in zip(files, next(iter(OPINIONS)), strict=True):
        found = [marking(TRIANGLE, 'Hard_exudates')] if number == 1 else []
        found += [marking(DOT, 'Haemorrhages', confidence)] if confidence else []
        (root / file).write_text(diaretdb1(*found, marking(circle(90, 48, 9), 'Disc')))
      lines.append(' '.join([f'images/{name}.png', *files]))
    (root / f'ddb1_v02_01_{split}_plain.txt').write_text('\n'.join([*lines, '']))
  return root


@pytest.fixture
def dataset(release):
  return load_dataset('diaretdb1', data_dir=release.parent / 'prepared', size=SIDE, source_dir=release)


def test_splits_are_the_official_test_set_and_an_eighth_of_the_official_training_set(dataset):
  assert dataset.lengths == {'train': 7, 'validation': 1, 'test': 3}
  assert [example['id'] for example in dataset.source('test')] == [f'diaretdb1_image{n:03d}' for n in LISTS['test']]


def test_four_lesions_are_annotated_and_no_grade_is_known(dataset):
  assert dataset.annotated == ('MA', 'iHE', 'HaEx', 'CWS') and not dataset.graded
  for split in dataset.splits:
    for example in dataset.source(split):
      assert example['annotated'] == lesion_bits(['MA', 'iHE', 'HaEx', 'CWS'])
      assert example['grade'] == UNKNOWN_GRADE and not example['ignore'].any()


def test_masks_are_the_experts_shapes_cropped_as_the_photograph(dataset, release):
  examples = {example['id']: example for split in dataset.splits for example in dataset.source(split)}
  shapes = [Ellipse('iHE', (60, 48), (6, 6), 0), Polygon('HaEx', ((40, 30), (58, 30), (49, 42)))]
  image, crop = read_field(release / 'images' / 'diaretdb1_image001.png')
  np.testing.assert_array_equal(examples['diaretdb1_image001']['lesions'],
                                crop.apply_mask(rasterise(shapes, SHAPE), SIDE))
  np.testing.assert_array_equal(examples['diaretdb1_image001']['image'], crop.apply(image, SIDE))
  seen = unpack_bits(examples['diaretdb1_image022']['lesions']).any((0, 1))
  assert [key for key, is_seen in zip(LESION_KEYS, seen, strict=True) if is_seen] == ['iHE']


@pytest.mark.parametrize('opinions, positive', OPINIONS.items())
def test_the_mean_confidence_of_the_experts_decides(opinions, positive):
  shape = Ellipse('iHE', (10.0, 10.0), (3.0, 3.0), 0.0)
  degree = {'High': 1.0, 'Medium': 0.75, 'Low': 0.25}
  experts = [[Marking(shape, degree[level])] if level else [] for level in opinions]
  found = consensus(experts, 'iHE', (20, 20))
  np.testing.assert_array_equal(found, (rasterise([shape], (20, 20)) > 0) & positive)
  assert not consensus(experts, 'MA', (20, 20)).any()


def test_of_an_experts_overlapping_markings_the_surest_counts():
  low, high = Ellipse('MA', (10.0, 10.0), (8.0, 8.0), 0.0), Ellipse('MA', (10.0, 10.0), (3.0, 3.0), 0.0)
  experts = [[Marking(high, 1.0), Marking(low, 0.25)]] * 4
  np.testing.assert_array_equal(consensus(experts, 'MA', (20, 20)), rasterise([high], (20, 20)) > 0)


def _no_list(root):
  (root / 'ddb1_v02_01_test_plain.txt').unlink()


def _no_expert(root):
  (root / 'groundtruth' / 'diaretdb1_image002_03_plain.xml').unlink()


def _three_experts(root):
  path = root / 'ddb1_v02_01_train_plain.txt'
  path.write_text(path.read_text().replace(' groundtruth/diaretdb1_image002_04_plain.xml', ''))


def _empty_list(root):
  (root / 'ddb1_v02_01_test_plain.txt').write_text('\n')


@pytest.mark.parametrize('spoil, message', [
    (_no_list, r'no list .*ddb1_v02_01_test_plain\.txt'),
    (_no_expert, r'no file .*image002_03_plain\.xml, which .*train_plain\.txt, line 2, lists'),
    (_three_experts, r'train_plain\.txt, line 2: expected a photograph and the files of 4 experts'),
    (_empty_list, r'test_plain\.txt lists no photograph'),
])
def test_a_spoiled_release_is_refused(release, spoil, message):
  spoil(release)
  with pytest.raises((FileNotFoundError, ValueError), match=message):
    load_dataset('diaretdb1', data_dir=release.parent / 'prepared', size=SIDE, source_dir=release)
