"""The photographs of a release in their own pixels are those from which the prepared examples were made."""

import draw_releases
import numpy as np
import pytest
from drawing import draw_idrid, fundus, save

from lesion_jax.core import LESION_KEYS, lesion_bits
from lesion_jax.data.builders.records import make_record
from lesion_jax.data.native import NativeSource
from lesion_jax.data.registry import load_dataset

DRAWN = {'idrid': draw_idrid, 'ddr': draw_releases.draw_ddr, 'fgadr': draw_releases.draw_fgadr,
         'tjdr': draw_releases.draw_tjdr, 'e_ophtha': draw_releases.draw_e_ophtha,
         'maples_dr': draw_releases.draw_maples_dr, 'folder': draw_releases.draw_folder}


@pytest.mark.parametrize('name', DRAWN)
def test_made_smaller_they_are_the_prepared_examples(name, tmp_path):
  dataset = draw_releases.open_release(name, DRAWN[name](tmp_path / name))
  for split in dataset.splits:
    natives, examples = NativeSource(dataset, split), dataset.source(split)
    assert len(natives) == len(examples)
    for native, example in zip(natives, examples, strict=True):
      shape = native.image.shape[:2]
      assert (native.crop.height, native.crop.width) == shape
      assert {mask.shape for mask in (*native.present.values(), *native.unscored.values())} <= {shape}
      record = make_record(native.image, native.crop, dataset.size, present=native.present, unscored=native.unscored,
                           **native.labels)
      for field in ('image', 'lesions', 'ignore'):
        np.testing.assert_array_equal(getattr(record, field), example[field], err_msg=field)
      assert (native.labels['id'], native.labels['patient']) == (example['id'], example['patient'])
      assert lesion_bits(native.labels['annotated']) == example['annotated']


def test_masks_are_the_releases_own(tmp_path):
  dataset = draw_releases.open_release('idrid', draw_idrid(tmp_path / 'idrid'))
  native = NativeSource(dataset, 'test')[0]
  expected = np.zeros((96, 144), bool)
  expected[40:44, 60:64] = True
  np.testing.assert_array_equal(native.present['MA'], expected)
  assert set(native.present) <= set(LESION_KEYS) and native.labels['annotated'] == ('MA', 'iHE', 'HaEx', 'CWS')


def test_what_was_left_out_of_the_prepared_data_is_left_out_here(tmp_path, monkeypatch):
  monkeypatch.setattr('lesion_jax.data.builders.left_out.MAX_SHARE', 0.5)
  release = draw_releases.draw_ddr(tmp_path / 'ddr')
  save(release / 'lesion_segmentation' / 'test' / 'image' / '007-0006-100.jpg', np.zeros((96, 144, 3), np.uint8))
  dataset = draw_releases.open_release('ddr', release)
  assert [native.labels['id'] for native in NativeSource(dataset, 'test')] == ['007-0007-100']


def test_a_release_that_has_changed_since_is_said(tmp_path):
  release = draw_releases.draw_folder(tmp_path / 'folder')
  (release / 'grades.csv').unlink()
  dataset = draw_releases.open_release('folder', release)
  for number in range(12, 40):
    save(release / 'images' / f'eye{number}.png', fundus(64, 64, seed=number))
  with pytest.raises(ValueError, match=r'the raw dataset has \d+ photographs and its preprocessed copy \d+; it was changed'):
    NativeSource(dataset, 'train')


def test_where_masks_have_no_size_of_their_own_it_is_said(tmp_path):
  dataset = load_dataset('synthetic', data_dir=tmp_path, size=32, count=20)
  with pytest.raises(ValueError, match='own pixels: its images are generated at the size of the network'):
    NativeSource(dataset, 'train')
  with pytest.raises(ValueError, match="has no masks of the photographs' own size"):
    dataset.builder.read_native(0)


def test_a_release_that_is_dealt_otherwise_since_gives_no_photograph_of_another_split(tmp_path):
  release = draw_releases.draw_folder(tmp_path / 'folder')
  dataset = draw_releases.open_release('folder', release)
  test = dataset.ids['test']
  others = [name for split in ('train', 'validation') for name in dataset.ids[split]][:len(test)]
  rows = {**dict.fromkeys(dataset.ids['train'] + test, 'train'), **dict.fromkeys(dataset.ids['validation'], 'validation')}
  (release / 'grades.csv').write_text('id,split\n' + ''.join(f'{name},{"test" if name in others else split}\n' for name, split in rows.items()))
  with pytest.raises(ValueError, match=r'gives the photograph \w+ where its preprocessed copy has \w+; it was dealt otherwise'):
    list(NativeSource(dataset, 'test'))
