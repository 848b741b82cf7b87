"""Masks on disk -> packed bytes."""

from __future__ import annotations

import numpy as np
import pytest
from drawing import block, palette, save
from PIL import Image

from lesion_jax.core import LESION_KEYS, unpack_bits
from lesion_jax.data.packing import look_at, pack_masks, read_mask, read_soft_mask

MASK = block(3, 5, 7, 2, (20, 30))


def _rgba(mask):
  pixels = np.zeros((*mask.shape, 4), np.uint8)
  pixels[mask, 0] = 255
  pixels[..., 3] = 255
  return pixels


@pytest.mark.parametrize('kind, image, positive', [
    ('palette', palette(MASK), 1),
    ('bilevel', Image.fromarray(MASK), 1),
    ('grey', (MASK * 255).astype(np.uint8), 255),
    ('red, opaque everywhere', _rgba(MASK), 255),
])
def test_every_kind_of_file_gives_the_same_mask(tmp_path, kind, image, positive):
  path = save(tmp_path / 'mask.tif', image)
  np.testing.assert_array_equal(read_mask(path, shape=(20, 30), levels=(0, positive)), MASK * positive, err_msg=kind)


def test_levels_survive(tmp_path):
  grey = np.random.default_rng(0).choice([0, 127, 255], (20, 30)).astype(np.uint8)
  read = read_mask(save(tmp_path / 'mask.png', grey), shape=(20, 30), levels=(0, 127, 255))
  np.testing.assert_array_equal(read, grey)
  assert read.dtype == np.uint8


def test_another_size_than_the_photograph_names_both(tmp_path):
  path = save(tmp_path / 'mask.png', Image.fromarray(MASK))
  with pytest.raises(ValueError, match=r'mask\.png is 30x20 pixels and its photograph 20x30'):
    read_mask(path, shape=(30, 20), levels=(0, 1))


def test_other_values_are_named(tmp_path):
  grey = np.zeros((20, 30), np.uint8)
  grey[0, :3] = 3, 127, 250
  path = save(tmp_path / 'mask.png', grey)
  with pytest.raises(ValueError, match=r'mask\.png holds the values 3, 250; this raw dataset has only 0, 127, 255'):
    read_mask(path, shape=(20, 30), levels=(0, 127, 255))


@pytest.mark.parametrize(('dtype', 'value', 'said'), [
    (np.float32, 0.9, '0.9'), (np.float32, np.nan, 'nan'), (np.float32, np.inf, 'inf'), (np.float32, 254.5, '254.5'),
    (np.int32, -1, '-1'), (np.int32, 256, '256'), (np.int32, 65791, '65791'), (np.uint16, 300, '300')])
def test_numbers_that_are_no_byte_are_refused_not_wrapped(tmp_path, dtype, value, said):
  path = tmp_path / 'mask.tif'
  Image.fromarray(np.where(MASK, value, 0).astype(dtype)).save(path)
  for read in (lambda: read_soft_mask(path, shape=(20, 30)), lambda: read_mask(path, shape=(20, 30), levels=range(256))):
    with pytest.raises(ValueError, match=rf'mask\.tif: it holds {said}; a mask has whole numbers from 0 to 255, or 0 and 65535 alone'):
      read()


@pytest.mark.parametrize('dtype', [np.float32, np.int32, np.uint16])
@pytest.mark.parametrize(('value', 'read'), [(1, 1), (127, 127), (255, 255), (65535, 255)])
def test_whole_numbers_are_read_whatever_their_type(tmp_path, dtype, value, read):
  path = tmp_path / 'mask.tif'
  Image.fromarray(np.where(MASK, value, 0).astype(dtype)).save(path)
  np.testing.assert_array_equal(read_mask(path, shape=(20, 30), levels=(0, read)), MASK * read)


@pytest.mark.parametrize('name', ['mask.tif', 'mask.gif'])
def test_a_mask_of_several_pictures_is_refused(tmp_path, name):
  first = Image.fromarray(np.zeros_like(MASK, np.uint8))
  first.save(tmp_path / name, save_all=True, append_images=[Image.fromarray(MASK.astype(np.uint8) * 255)])
  for read in (lambda: read_soft_mask(tmp_path / name, shape=(20, 30)), lambda: look_at(tmp_path / name)):
    with pytest.raises(ValueError, match=rf'{name}: it holds 2 pictures, and a mask is one'):
      read()


def test_a_broken_file_is_named(tmp_path):
  path = tmp_path / 'mask.png'
  path.write_bytes(b'not an image')
  with pytest.raises(ValueError, match=r'cannot read the mask .*mask\.png'):
    read_mask(path, shape=(20, 30), levels=(0, 1))


def test_a_missing_file_is_a_missing_file(tmp_path):
  with pytest.raises(FileNotFoundError):
    read_mask(tmp_path / 'mask.png', shape=(20, 30), levels=(0, 1))


@pytest.mark.parametrize('kind, image, shown', [
    ('grey', (MASK * 200).astype(np.uint8), 200),
    ('bilevel', Image.fromarray(MASK), 255),
    ('palette, red', palette(MASK), 255),
    ('colour', np.repeat((MASK * 130).astype(np.uint8)[..., None], 3, axis=-1), 130),
    ('red, opaque everywhere', _rgba(MASK), 255),
])
def test_a_soft_mask_gives_the_grey_that_every_kind_of_file_shows(tmp_path, kind, image, shown):
  path = save(tmp_path / 'mask.png', image)
  np.testing.assert_array_equal(read_soft_mask(path, shape=(20, 30)), MASK * shown, err_msg=kind)


def test_a_soft_mask_has_the_size_of_its_photograph_too(tmp_path):
  path = save(tmp_path / 'mask.png', Image.fromarray(MASK))
  with pytest.raises(ValueError, match=r'mask\.png is 30x20 pixels and its photograph 20x30'):
    read_soft_mask(path, shape=(30, 20))


def test_packing_is_undone_by_unpacking():
  masks = np.random.default_rng(1).random((8, 20, 30)) < 0.3
  packed = pack_masks(dict(zip(LESION_KEYS, masks, strict=True)), (20, 30))
  assert packed.dtype == np.uint8
  np.testing.assert_array_equal(unpack_bits(packed), masks.transpose(1, 2, 0))


def test_a_lesion_without_a_mask_is_absent():
  assert not pack_masks({}, (20, 30)).any()
  assert set(np.unique(pack_masks({'CWS': MASK}, (20, 30)))) == {0, 8}


def test_an_unknown_lesion_is_refused():
  with pytest.raises(ValueError, match='unknown lesion'):
    pack_masks({'IrMA': MASK}, (20, 30))
