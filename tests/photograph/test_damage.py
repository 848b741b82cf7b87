"""What a decoder would fill up without a word, or believe without a look, is refused by name; what is sound comes out right."""

from __future__ import annotations

import io
import os
import re
import struct
import threading

import numpy as np
import pytest
from drawing import fundus, save
from PIL import Image

from lesion_jax.data.synthetic import generate
from lesion_jax.photograph import jpeg
from lesion_jax.photograph.read import read_photograph

COLOR = fundus(120, 160, seed=3)


def _jpeg(**options):
  buffer = io.BytesIO()
  Image.fromarray(COLOR).save(buffer, 'JPEG', **{'quality': 90} | options)
  return buffer.getvalue()


def _scan(data):
  """Where the coded data of the last scan begin."""
  place = data.rindex(b'\xff\xda')
  return place + 2 + int.from_bytes(data[place + 2:place + 4], 'big')


KINDS = {'baseline': {}, 'progressive': {'progressive': True}, 'restarts': {'restart_marker_blocks': 7},
         'optimised': {'optimize': True}, 'grey colours': {'subsampling': 0}}


@pytest.mark.parametrize('kind', KINDS)
class TestJpeg:

  def test_sound_ones_pass_whatever_follows_them(self, tmp_path, kind):
    data = _jpeg(**KINDS[kind])
    for behind in (b'', bytes(3000), b'another picture \xff\xd8\xff\xda', b'\r\n'):
      (tmp_path / 'a.jpg').write_bytes(data + behind)
      assert np.abs(read_photograph(tmp_path / 'a.jpg').astype(int) - COLOR).mean() < 8

  def test_without_its_end_marker_or_with_padding_before_it_all_of_the_picture_is_there(self, tmp_path, kind):
    data = _jpeg(**KINDS[kind])
    (tmp_path / 'a.jpg').write_bytes(data[:-2] + bytes(40) + data[-2:])
    assert read_photograph(tmp_path / 'a.jpg').shape == COLOR.shape
    jpeg.check_jpeg(data[:-2])

  @pytest.mark.parametrize('damage', ['cut', 'ended', 'padded', 'hole'])
  def test_what_is_missing_is_damage(self, tmp_path, kind, damage):
    data = _jpeg(**KINDS[kind])
    start = data.index(b'\xff\xda') + 14 if damage != 'hole' else _scan(data)
    middle = start + (len(data) - start) // 2
    (tmp_path / 'a.jpg').write_bytes({
        'cut': data[:middle], 'ended': data[:middle] + b'\xff\xd9', 'padded': data[:middle] + bytes(len(data) - middle - 2) + b'\xff\xd9',
        'hole': data[:middle] + bytes(300) + data[middle + 300:]}[damage])
    with pytest.raises(ValueError, match=r'a\.jpg: its (coded data|header)'):
      read_photograph(tmp_path / 'a.jpg')


def test_more_scans_than_any_writer_makes_are_not_decoded(tmp_path, monkeypatch):
  data = _jpeg(progressive=True)
  last, end = data.rindex(b'\xff\xda'), len(data) - 2
  (tmp_path / 'long.jpg').write_bytes(data[:end] + data[last:end] * jpeg.MAX_SCANS + data[end:])
  monkeypatch.setattr(Image.Image, 'load', lambda self: pytest.fail('it was decoded'))
  with pytest.raises(ValueError, match=rf'long\.jpg: it has more than {jpeg.MAX_SCANS} scans'):
    read_photograph(tmp_path / 'long.jpg')


@pytest.mark.parametrize('marker, bits, said', [
    (0xc1, 12, 'a JPEG of 12 bits'), (0xc3, 8, 'a lossless JPEG'), (0xc9, 8, 'arithmetic coding'), (0xc5, 8, 'hierarchical')])
def test_other_kinds_of_jpeg_are_named(tmp_path, marker, bits, said):
  data = bytearray(_jpeg())
  frame = data.index(b'\xff\xc0')
  data[frame + 1], data[frame + 4] = marker, bits
  (tmp_path / 'a.jpg').write_bytes(data)
  with pytest.raises(ValueError, match=said):
    read_photograph(tmp_path / 'a.jpg')


def _tiff(pages):
  """A TIFF of pages {tag: (type, values)} and bytes of pixels, written here."""
  data, position = bytearray(b'II*\0\0\0\0\0'), 4
  for tags, pixels in pages:
    start = len(data)
    data += pixels + bytes(len(pixels) % 2)
    tags = {273: (4, [start]), 279: (4, [len(pixels)])} | tags
    entries = []
    for tag, (kind, values) in sorted(tags.items()):
      raw = struct.pack(f'<{len(values)}{"H" if kind == 3 else "I"}', *values)
      if len(raw) > 4:
        place, raw = len(data), raw
        data += raw
        raw = struct.pack('<I', place)
      entries.append(struct.pack('<HHI', tag, kind, len(values)) + raw.ljust(4, b'\0'))
    data[position:position + 4] = struct.pack('<I', len(data))
    data += struct.pack('<H', len(entries)) + b''.join(entries)
    position = len(data)
    data += bytes(4)
  return bytes(data)


def _page(pixels, *, planes=1, **more):
  height, width = pixels.shape[:2]
  bits = 8 * pixels.dtype.itemsize
  tags = {256: (4, [width]), 257: (4, [height]), 258: (3, [bits] * 3), 259: (3, [1]), 262: (3, [2]), 277: (3, [3]),
          278: (4, [height]), 284: (3, [planes])} | more.pop('tags', {})
  raw = pixels if planes == 1 else np.moveaxis(pixels, -1, 0)
  if planes == 2:
    size = raw[0].nbytes
    tags |= {273: (4, [8, 8 + size, 8 + 2 * size]), 279: (4, [size] * 3)}
  return tags, raw.tobytes()


class TestTiff:

  @pytest.mark.parametrize('kind, said', [
      ('<f4', 'numbers of 32 bits with a floating point'), ('<f2', 'numbers of 16 bits with a floating point'),
      ('<u4', 'numbers of 32 bits; convert'), ('<i2', 'numbers of 16 bits with a sign')])
  def test_numbers_without_a_known_white_are_named(self, tmp_path, kind, said):
    form = {'f': 3, 'u': 1, 'i': 2}[kind[1]]
    (tmp_path / 'a.tif').write_bytes(_tiff([_page(COLOR.astype(kind), tags={339: (3, [form] * 3)})]))
    with pytest.raises(ValueError, match=said):
      read_photograph(tmp_path / 'a.tif')

  def test_planes_of_8_bits_are_read_and_those_of_16_refused(self, tmp_path):
    (tmp_path / 'a.tif').write_bytes(_tiff([_page(COLOR, planes=2)]))
    np.testing.assert_array_equal(read_photograph(tmp_path / 'a.tif'), COLOR)
    (tmp_path / 'b.tif').write_bytes(_tiff([_page(COLOR.astype('<u2') * 257, planes=2)]))
    with pytest.raises(ValueError, match=r'b\.tif: its colours lie one behind the other in planes of 16 bits'):
      read_photograph(tmp_path / 'b.tif')
    (tmp_path / 'c.tif').write_bytes(_tiff([_page(COLOR.astype('<u2') * 257)]))
    np.testing.assert_array_equal(read_photograph(tmp_path / 'c.tif'), COLOR)

  @pytest.mark.parametrize('marked', [True, False])
  def test_the_photograph_is_taken_and_not_its_thumbnail(self, tmp_path, marked):
    small = np.ascontiguousarray(COLOR[::4, ::4])
    tags = {254: (4, [1])} if marked else {}
    (tmp_path / 'a.tif').write_bytes(_tiff([_page(small, tags=tags), _page(COLOR)]))
    np.testing.assert_array_equal(read_photograph(tmp_path / 'a.tif'), COLOR)
    (tmp_path / 'b.tif').write_bytes(_tiff([_page(COLOR), _page(small, tags=tags)]))
    np.testing.assert_array_equal(read_photograph(tmp_path / 'b.tif'), COLOR)

  @pytest.mark.parametrize('strip', [1 << 10, 1 << 24], ids=['strips', 'one strip'])
  @pytest.mark.parametrize('options', [{}, {'quality': 30}], ids=['plain', 'coarse'])
  def test_jpeg_in_it_with_a_hole_is_damage_wherever_that_is(self, tmp_path, strip, options):
    sound = save(tmp_path / 'a.tif', COLOR, compression='jpeg', strip_size=strip, **options).read_bytes()
    assert np.abs(read_photograph(sound).astype(int) - COLOR).mean() < 8
    with Image.open(tmp_path / 'a.tif') as image:
      parts = [*zip(image.tag_v2[273], image.tag_v2[279], strict=True)]
    assert (len(parts) > 1) == (strip < 1 << 24)
    for place, count in (parts[0], parts[-1]):
      start = place + sound[place:place + count].index(b'\xff\xda') + 14
      middle = (start + place + count) // 2
      end = min(middle + 300, place + count - 2)
      with pytest.raises(ValueError, match='its coded data (end early|are damaged)'):
        read_photograph(sound[:middle] + bytes(end - middle) + sound[end:])

  def test_tiles_of_jpeg_are_looked_at_too(self):
    tags = {256: (4, [160]), 257: (4, [128]), 258: (3, [8] * 3), 259: (3, [7]), 262: (3, [6]), 277: (3, [3]), 530: (3, [2, 2]),
            322: (4, [160]), 323: (4, [128])}
    buffer = io.BytesIO()
    Image.fromarray(np.pad(COLOR, ((0, 8), (0, 0), (0, 0)))).save(buffer, 'JPEG', quality=90)
    tile = buffer.getvalue()
    of = lambda data: _tiff([(tags | {324: (4, [8]), 325: (4, [len(data)])}, data)])
    assert np.abs(read_photograph(of(tile))[:120].astype(int) - COLOR).mean() < 8
    with pytest.raises(ValueError, match='its coded data (end early|are damaged)'):
      read_photograph(of(tile[:len(tile) // 2] + bytes(len(tile) - len(tile) // 2 - 2) + tile[-2:]))

  @pytest.mark.filterwarnings('ignore::UserWarning')  # Pillow's own
  def test_a_later_page_that_is_cut_off_is_said_in_our_words(self):
    data = _tiff([_page(COLOR), _page(COLOR)])
    with pytest.raises(ValueError, match='its page 2 is cut off or damaged'):
      read_photograph(data[:-60])

  def test_nothing_but_a_thumbnail_is_refused(self, tmp_path):
    (tmp_path / 'a.tif').write_bytes(_tiff([_page(COLOR, tags={254: (4, [1])})]))
    with pytest.raises(ValueError, match='nothing but smaller copies'):
      read_photograph(tmp_path / 'a.tif')


@pytest.mark.parametrize('white', [1023, 4095, 65535])
@pytest.mark.parametrize('channels', [1, 3])
def test_wide_pnm_is_scaled_by_its_own_white(tmp_path, white, channels):
  numbers = np.random.default_rng(0).integers(0, white + 1, (70, 90, channels)).astype('>u2')
  (tmp_path / 'a.pnm').write_bytes(b'P%d\n# drawn\n90 70\n%d\n' % (5 if channels == 1 else 6, white) + numbers.tobytes())
  expected = np.floor(numbers * (255 / white) + 0.5)
  assert np.abs(read_photograph(tmp_path / 'a.pnm') - expected).max() <= 1
  (tmp_path / 'b.pnm').write_bytes((tmp_path / 'a.pnm').read_bytes()[:-10])
  with pytest.raises(ValueError, match='10 bytes are missing'):
    read_photograph(tmp_path / 'b.pnm')


@pytest.mark.parametrize('name', ['a.webp', 'a.jp2'])
def test_a_hole_in_coded_data_without_a_check_sum_is_damage(tmp_path, name):
  noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
  data = save(tmp_path / name, noise).read_bytes()
  (tmp_path / name).write_bytes(data[:len(data) // 2] + bytes(1024) + data[len(data) // 2 + 1024:])
  with pytest.raises(ValueError, match='a hole of 1,024 zeros'):
    read_photograph(tmp_path / name)


def test_the_zeros_of_a_black_surround_in_lossless_webp_are_no_hole_and_a_lost_block_is(tmp_path):
  eye = generate(seed=77, index=3, size=512).image
  data = save(tmp_path / 'a.webp', eye, lossless=True, method=0).read_bytes()
  assert bytes(1024) in data
  np.testing.assert_array_equal(read_photograph(tmp_path / 'a.webp'), eye)
  noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
  data = save(tmp_path / 'b.webp', noise, lossless=True).read_bytes()
  (tmp_path / 'b.webp').write_bytes(data[:8192] + bytes(4096) + data[12288:])
  with pytest.raises(ValueError, match='a hole of 4,096 zeros'):
    read_photograph(tmp_path / 'b.webp')


@pytest.mark.parametrize('options', [{}, {'compress_level': 0}, {'bits': 8}], ids=['plain', 'stored', 'palette'])
def test_one_damaged_bit_anywhere_in_the_pixels_of_a_png_is_damage(tmp_path, options):
  image = Image.fromarray(COLOR)
  sound = save(tmp_path / 'a.png', image.quantize(256) if 'bits' in options else image, **options).read_bytes()
  start, end = sound.index(b'IDAT') + 4, sound.rindex(b'IEND') - 9
  for place in np.linspace(start, end - 1, 40).astype(int):
    damaged = bytearray(sound)
    damaged[place] ^= 1 << place % 8
    with pytest.raises(ValueError, match='part IDAT is damaged, by its check sum|cut off or damaged'):
      read_photograph(bytes(damaged))
  assert read_photograph(sound + b'IDAT behind its end').shape == COLOR.shape


@pytest.mark.filterwarnings('ignore::UserWarning')  # Pillow's own, of TIFF
@pytest.mark.parametrize('form, name', [('PNG', 'PNG'), ('TIFF', 'TIFF'), ('GIF', 'GIF'), ('BMP', 'BMP'), ('WEBP', 'WebP'),
                                        ('JPEG2000', 'JPEG 2000'), ('JPEG', 'JPEG')])
def test_what_is_cut_off_is_said_in_our_words(form, name):
  buffer = io.BytesIO()
  Image.fromarray(COLOR).save(buffer, form)
  data = buffer.getvalue()
  for size in (12, 30, 60, len(data) // 3, len(data) // 2, len(data) - len(data) // 8):
    with pytest.raises(ValueError) as refused:
      read_photograph(data[:size])
    said = str(refused.value).partition(': ')[2]
    assert re.search(f'begins as a {name},|cut off|truncated|end early|copy it again', said), (size, said)
    assert not re.search('decoder object|data stream|unpack|index out of', said), (size, said)


@pytest.mark.parametrize('head, said', [
    (b'\0\0\0\x20ftypheix', 'HEIC'), (b'\0\0\0\x20ftypavif', 'AVIF'), (b'\xff\x0a\x12\x34', 'JPEG XL'), (b'%PDF-1.7', 'PDF'),
    (b'8BPS\0\1', 'Photoshop'), (b'\0\x05\x16\x07\0\2', 'AppleDouble'), (b'PK\x03\x04', 'zip'), (b'<!DOCTYPE html>', 'HTML'),
    (b'version https://git-lfs.github.com/spec/v1\noid', 'Git LFS')])
def test_strangers_are_called_by_their_name(tmp_path, head, said):
  (tmp_path / 'eye.jpg').write_bytes(head + bytes(100))
  with pytest.raises(ValueError, match=rf'eye\.jpg: it is .*{said}'):
    read_photograph(tmp_path / 'eye.jpg')


def test_a_pipe_and_a_device_are_refused_at_once(tmp_path):
  os.mkfifo(tmp_path / 'pipe.jpg')
  (tmp_path / 'endless.jpg').symlink_to('/dev/zero')
  said = []

  def read(name):
    try:
      read_photograph(tmp_path / name)
    except ValueError as error:
      said.append(str(error))

  for name in ('pipe.jpg', 'endless.jpg'):
    thread = threading.Thread(target=read, args=(name,), daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
  assert all('it is a pipe or a device, not a file' in each for each in said) and len(said) == 2


def test_a_file_without_an_end_in_sight_is_not_read(tmp_path):
  with (tmp_path / 'a.jpg').open('wb') as file:
    file.truncate(1 << 40)
  with pytest.raises(ValueError, match='it has 1,099,511,627,776 bytes'):
    read_photograph(tmp_path / 'a.jpg')
