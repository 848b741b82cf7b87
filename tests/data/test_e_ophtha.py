"""e-ophtha: two parts that annotate one lesion each."""

from __future__ import annotations

import numpy as np
import pytest
from draw_releases import draw_e_ophtha, drawn, examples_of, grey, halved, mask_of, open_release, photograph
from drawing import save

from lesion_jax.core import LESION_KEYS, lesion_bits


@pytest.fixture
def release(tmp_path):
  return draw_e_ophtha(tmp_path / 'e_ophtha')


def _examples(release):
  return examples_of(open_release('e_ophtha', release))


def test_every_photograph_of_both_parts_is_found_whatever_the_case_of_its_name(release):
  examples = _examples(release)
  assert len(examples) == 18
  assert {'EX_E0000404_DS000DGS', 'EX_E0000404_C0021833', 'EX_E0000043_DS000DGV',
          'MA_E0000043_DS000DGT'} <= set(examples)


def test_what_a_mac_leaves_beside_photographs_is_none(release):
  path = next((release / 'e_optha_EX' / 'EX').glob('*/*'))
  path.with_name(f'._{path.name}').write_bytes(b'\0\5\x16\7')
  assert len(_examples(release)) == 18


def test_a_part_annotates_its_lesion_and_no_other(release):
  dataset = open_release('e_ophtha', release)
  assert dataset.annotated == ('MA', 'HaEx') and not dataset.graded
  for name, example in examples_of(dataset).items():
    assert example['annotated'] == lesion_bits(['HaEx'] if name.startswith('EX') else ['MA']), name


@pytest.mark.parametrize('name, lesion', [('EX_E0000404_DS000DGS', 'HaEx'), ('MA_E0000404_C0021833', 'MA')])
def test_masks_are_read_under_the_names_of_their_part(release, name, lesion):
  example = _examples(release)[name]
  for key in LESION_KEYS:
    expected = halved(40, 60, 4, 4) if key == lesion else np.zeros((56, 56), bool)
    np.testing.assert_array_equal(mask_of(example, key), expected, err_msg=key)


@pytest.mark.parametrize('name', ['EX_E0000043_DS000DGV', 'MA_E0000002_C0000002'])
def test_in_a_healthy_photograph_the_lesion_is_annotated_and_absent(release, name):
  example = _examples(release)[name]
  assert example['annotated'] and not example['lesions'].any() and not example['ignore'].any()


def test_a_folder_of_both_parts_is_on_one_side(release):
  dataset = open_release('e_ophtha', release)
  sides = {}
  for split in dataset.splits:
    for name in (example['id'] for example in dataset.source(split)):
      part, folder, _ = name.split('_')
      sides.setdefault(folder, {}).setdefault(part, set()).add(split)
  both = {folder: parts for folder, parts in sides.items() if len(parts) == 2}
  assert len(both) == 6 and all(len(set.union(*parts.values())) == 1 for parts in both.values())


def test_a_mask_is_found_whatever_the_case_of_its_name(release):
  mask = release / 'e_optha_MA' / 'Annotation_MA' / 'E0000043' / 'DS000DGT.png'
  mask.rename(mask.with_suffix('.PNG'))
  assert mask_of(_examples(release)['MA_E0000043_DS000DGT'], 'MA').any()


def test_a_photograph_with_the_lesion_and_no_mask_is_named(release):
  mask = release / 'e_optha_EX' / 'Annotation_EX' / 'E0000404' / 'DS000DGS_EX.png'
  mask.unlink()
  with pytest.raises(FileNotFoundError, match=f'no mask {mask}'):
    _examples(release)


def test_a_part_without_photographs_is_named(release):
  for path in (release / 'e_optha_EX' / 'healthy').rglob('*.[jJ]*'):
    path.unlink()
  with pytest.raises(FileNotFoundError, match='no photograph .*healthy'):
    _examples(release)


def test_the_misspelling_of_the_release_is_expected(release):
  (release / 'e_optha_MA').rename(release / 'e_ophtha_MA')
  with pytest.raises(FileNotFoundError, match='no folder .*e_optha_MA'):
    _examples(release)


def test_a_mask_with_other_values_is_refused(release):
  path = release / 'e_optha_EX' / 'EX' / 'E0000404' / 'C0021833.jpg'
  save(path, photograph(3), quality=95)
  save(release / 'e_optha_EX' / 'Annotation_EX' / 'E0000404' / 'C0021833_EX.png', grey(drawn(40, 60, 4, 4)) // 2)
  with pytest.raises(ValueError, match=r'C0021833_EX\.png holds the values 127'):
    _examples(release)
