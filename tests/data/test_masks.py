"""What the files of masks say, and whether it can be meant."""

from __future__ import annotations

import numpy as np
import pytest
from drawing import block, fundus, save
from PIL import Image

from lesion_jax.data.masks import examine, examine_maps, look, read_indices, read_values, turned
from lesion_jax.data.packing import read_mask

LESION = block(5, 8, 9, 7)
FULL = LESION * np.uint8(255)


def _rgba(colour, alpha):
  return Image.fromarray(np.dstack([*[np.broadcast_to(np.uint8(colour), LESION.shape)] * 3, alpha]).astype(np.uint8))


def _palette(first, second, indices):
  image = Image.frombytes('P', LESION.shape[::-1], indices.astype(np.uint8).tobytes())
  image.putpalette([*first, *second] + [0] * 750)
  return image


KINDS = {
    'alpha, white': _rgba(255, FULL),
    'alpha, black': _rgba(0, FULL),
    'colour, opaque': _rgba(FULL, np.full(LESION.shape, 255)),
    'colour, transparent throughout': _rgba(FULL, np.zeros(LESION.shape)),
    'colour and alpha alike': _rgba(FULL, FULL),
    'palette, black first': _palette((0, 0, 0), (255, 0, 0), LESION),
    'palette, white first': _palette((255, 255, 255), (0, 0, 0), ~LESION),
    'palette without colours': _palette((0, 0, 0), (0, 0, 0), LESION),
    'grey and alpha': Image.merge('LA', [Image.new('L', LESION.shape[::-1], 255), Image.fromarray(FULL)]),
    'one bit': Image.fromarray(LESION),
    'sixteen bits': Image.fromarray(LESION.astype(np.uint16) * 65535),
}


@pytest.mark.parametrize('image', KINDS.values(), ids=KINDS)
def test_a_mask_is_what_its_file_shows(tmp_path, image):
  found = read_mask(save(tmp_path / 'm.png', image), shape=LESION.shape, levels=(0, 1, 255))
  np.testing.assert_array_equal(found > 0, LESION)


def test_a_mask_that_is_transparent_and_white_throughout_is_empty(tmp_path):
  path = save(tmp_path / 'm.png', _rgba(255, np.zeros(LESION.shape)))
  assert not read_mask(path, shape=LESION.shape, levels=(0, 255)).any()


def test_colours_that_contradict_alpha_are_refused(tmp_path):
  path = save(tmp_path / 'm.png', _rgba(FULL, 255 * block(30, 30, 9, 9)))
  with pytest.raises(ValueError, match=r'm\.png: its colours say one thing and its alpha another'):
    read_mask(path, shape=LESION.shape, levels=(0, 255))


def test_values_of_sixteen_bits_are_not_clipped(tmp_path):
  path = save(tmp_path / 'm.png', Image.fromarray(LESION.astype(np.uint16) * 300))
  with pytest.raises(ValueError, match='it holds 300; a mask has whole numbers from 0 to 255'):
    read_mask(path, shape=LESION.shape, levels=(0, 255))


def test_a_mask_with_an_orientation_is_refused_by_name(tmp_path):
  exif = Image.Exif()
  exif[0x0112] = 6
  path = save(tmp_path / 'm.png', Image.fromarray(FULL), exif=exif)
  with pytest.raises(ValueError, match=r'm\.png: it has the EXIF orientation 6'):
    read_mask(path, shape=LESION.shape, levels=(0, 255))


class TestExamine:

  def _masks(self, tmp_path, *masks):
    return {'MA': [look(save(tmp_path / f'm{number}.png', np.asarray(mask, np.uint8))) for number, mask in enumerate(masks)]}

  def test_1_or_255_alone_is_the_lesion(self, tmp_path):
    assert examine(self._masks(tmp_path, LESION, 0 * FULL), read_values('')) == []

  @pytest.mark.parametrize('masks', [(FULL, FULL - 254 * block(5, 8, 3, 3)), (LESION, FULL)], ids=['one mask', 'two masks'])
  def test_1_and_255_are_asked_about(self, tmp_path, masks):
    found = self._masks(tmp_path, *masks)
    with pytest.raises(ValueError, match=r'1 is the lesion and 255 what is not scored, or both.*lesion=1,ignore=255'):
      examine(found, read_values(''))
    assert examine(found, read_values('lesion=1,ignore=255')) == []

  def test_index_maps_among_masks_are_told_from_damage(self, tmp_path):
    maps = [LESION * 1 + block(30, 30, 4, 4) * 2 + block(40, 40, 4, 4) * 3] * 3
    with pytest.raises(ValueError, match=r'm0\.png.* hold the values 0, 1, 2, 3 \(3 of 3 masks\): these are index maps'):
      examine(self._masks(tmp_path, *maps), read_values(''))

  def test_values_of_a_jpeg_are_counted(self, tmp_path):
    grey = np.linspace(0, 255, LESION.size).reshape(LESION.shape)
    with pytest.raises(ValueError, match=r'\(2 of 3 masks\), and allowed are 0, 1, 127, 255\. Were they resized'):
      examine(self._masks(tmp_path, grey, grey, FULL), read_values(''))

  def test_values_other_than_those_declared_are_named_where_nothing_is_0(self, tmp_path):
    with pytest.raises(ValueError, match=r'hold the values 255 \(2 of 2 masks\), and allowed are 0, 1'):
      examine(self._masks(tmp_path, 255 + 0 * FULL, 255 + 0 * FULL), read_values('lesion=1'))

  def test_masks_that_cannot_be_read_are_counted(self, tmp_path):
    paths = [tmp_path / f'{name}.png' for name in 'ab']
    for path in paths:
      path.write_bytes(b'?')
    with pytest.raises(ValueError, match=r'2 of 2 masks cannot be read: cannot read the mask .*a\.png'):
      examine({'MA': [*map(look, paths)]}, read_values(''))

  def test_a_lesion_without_a_pixel_anywhere_is_warned_of(self, tmp_path):
    assert examine(self._masks(tmp_path, 0 * FULL, 0 * FULL), read_values('')) == [
        'MA has no pixel in any mask: no network can learn it from them']


def test_index_maps_need_a_meaning_for_every_number(tmp_path):
  path = save(tmp_path / 'm.png', np.uint8(LESION * 1 + block(30, 30, 4, 4) * 7))
  with pytest.raises(ValueError, match=r'm\.png are index maps.*the values 0, 1, 7 \(1 maps\), and nobody says what 7 is'):
    examine_maps([look(path)], {1: 'MA'})
  assert examine_maps([look(path)], {1: 'MA', 7: 'HaEx', 2: 'iHE'}) == [
      'iHE has no pixel in any index map: no network can learn it from them']


@pytest.mark.parametrize('text', ['lesion', 'lesion=x', 'lesion=300', 'ignore=1', 'lesion=1,ignore=1', 'lesion=0', 'other=1'])
def test_other_values_are_refused(text):
  with pytest.raises(ValueError, match='values='):
    read_values(text)


def test_numbers_of_one_meaning_may_be_said_one_by_one():
  assert read_values('lesion=1,lesion=255') == read_values('lesion=1+255')


def test_an_inverted_mask_can_be_declared():
  values = read_values('lesion=0,absent=255')
  present, unscored = values.split(255 - FULL)
  np.testing.assert_array_equal(present, LESION)
  assert not unscored.any() and values.levels == (0, 255)


def test_indices_know_the_names_of_releases_and_what_is_no_lesion():
  assert read_indices('1=HE,2=none,255=ignore') == read_indices({'1': 'iHE', '2': None, '255': 'ignore'}) == {
      1: 'iHE', 2: None, 255: 'ignore'}
  for text in ('1=disc', 'x=MA', '1', '256=MA', '1=MA,2=iHE,1=CWS', '1=MA,01=none'):
    with pytest.raises(ValueError, match='indices='):
      read_indices(text)


class TestTurned:

  def _photograph(self, tmp_path, orientation, shape=(64, 64)):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return save(tmp_path / 'p.jpg', Image.fromarray(fundus(*shape)), exif=exif)

  def _mask(self, tmp_path, shape=(64, 64)):
    return [save(tmp_path / 'm.png', np.zeros(shape, np.uint8))]

  def test_damaged_exif_says_nothing_of_photograph_or_mask(self, tmp_path):
    photograph, mask = tmp_path / 'p.jpg', tmp_path / 'm.png'
    Image.new('RGB', (64, 64)).save(photograph, exif=b'Exif\0\0II*\0')
    Image.new('L', (64, 64)).save(mask, exif=b'Exif\0\0II*\0')
    assert not turned(photograph, [mask])
    assert not read_mask(mask, shape=(64, 64), levels=(0, 255)).any()

  @pytest.mark.parametrize('orientation', [2, 3, 6, 8])
  def test_a_turned_square_with_masks_cannot_be_told(self, tmp_path, orientation):
    said = turned(self._photograph(tmp_path, orientation), self._mask(tmp_path))
    assert f'orientation ({orientation})' in said and 'save photographs that have masks upright' in said

  def test_an_upright_one_and_one_without_masks_are_taken(self, tmp_path):
    assert not turned(self._photograph(tmp_path, 1), self._mask(tmp_path))
    assert not turned(self._photograph(tmp_path, 6), [])

  def test_the_size_tells_where_a_quarter_turn_changes_it(self, tmp_path):
    path = self._photograph(tmp_path, 6, shape=(60, 90))
    assert not turned(path, self._mask(tmp_path, (90, 60)))
    assert turned(path, self._mask(tmp_path, (60, 90)))
