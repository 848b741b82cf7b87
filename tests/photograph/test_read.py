"""Every kind of file that holds a photograph comes out as the same RGB bytes, or is refused in one sentence."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from drawing import fundus, save
from PIL import Image

from lesion_jax.photograph import read
from lesion_jax.photograph.read import MAX_PIXELS, read_photograph

COLOR = fundus(20, 30)
GREY = COLOR[..., 0]
ON_ITS_SIDE, ORIENTATION = 6, 0x0112


def grey_rgb(grey):
  return np.repeat(grey[..., None], 3, -1)


def turned():
  """EXIF of a camera that was held on its side; `np.rot90(upright)` is what it stored."""
  exif = Image.Exif()
  exif[ORIENTATION] = ON_ITS_SIDE
  return exif


@pytest.mark.parametrize('name', ['a.png', 'a.tif', 'a.bmp', 'a.ppm', 'a.webp', 'a.jp2'])
def test_every_lossless_format_gives_the_same_bytes(tmp_path, name):
  options = {'lossless': True} if name == 'a.webp' else {}
  np.testing.assert_array_equal(read_photograph(save(tmp_path / name, COLOR, **options)), COLOR)


def test_the_content_decides_not_the_name(tmp_path):
  buffer = io.BytesIO()
  Image.fromarray(COLOR).save(buffer, 'PNG')
  (tmp_path / 'a.jpg').write_bytes(buffer.getvalue())
  np.testing.assert_array_equal(read_photograph(str(tmp_path / 'a.jpg')), COLOR)


def test_names_with_spaces_and_other_scripts(tmp_path):
  np.testing.assert_array_equal(read_photograph(save(tmp_path / 'œil gauche 左眼' / 'Ä ß.png', COLOR)), COLOR)


class TestModes:

  @pytest.mark.parametrize('mode', ['1', 'L', 'LA', 'P'])
  def test_grey_stays_grey_in_three_channels(self, tmp_path, mode):
    bilevel = np.where(GREY > 90, 255, 0).astype(np.uint8)
    path = save(tmp_path / 'a.png', Image.fromarray(bilevel).convert(mode))
    np.testing.assert_array_equal(read_photograph(path), grey_rgb(bilevel))

  def test_a_palette_is_looked_up(self, tmp_path):
    image = Image.fromarray(COLOR).quantize(8)
    np.testing.assert_array_equal(read_photograph(save(tmp_path / 'a.png', image)), np.asarray(image.convert('RGB')))

  @pytest.mark.parametrize('name', ['a.png', 'a.tif'])
  def test_transparency_is_dropped_and_what_it_hid_is_seen(self, tmp_path, name):
    alpha = np.zeros(COLOR.shape[:2], np.uint8)
    alpha[:, ::2] = 128
    path = save(tmp_path / name, np.dstack([COLOR, alpha]))
    np.testing.assert_array_equal(read_photograph(path), COLOR)

  @pytest.mark.parametrize('kind', ['CMYK', 'YCCK'])
  def test_jpegs_for_printing_are_taken_as_adobe_writes_them(self, tmp_path, kind):
    """A flat colour, as the layout of both is what counts: Adobe stores 255 - C, M, Y and K."""
    flat = np.full((16, 16, 3), (200, 90, 40), np.uint8)
    inks = Image.fromarray(flat).convert('CMYK')
    path = save(tmp_path / 'a.jpg', inks if kind == 'CMYK' else _as_ycck(inks), quality=100)
    data = bytearray(path.read_bytes())
    transform = data.index(b'Adobe') + 11  # the mark of Adobe says which of the two it is
    assert data[transform] == 0
    data[transform] = 2 if kind == 'YCCK' else 0
    path.write_bytes(data)
    with Image.open(path) as image:
      assert image.mode == 'CMYK'
    assert np.abs(read_photograph(path).astype(int) - flat).max() <= 3

  def test_a_print_tiff(self, tmp_path):
    path = save(tmp_path / 'a.tif', Image.fromarray(COLOR).convert('CMYK'))
    np.testing.assert_array_equal(read_photograph(path), COLOR)


class TestDepth:

  @pytest.mark.parametrize('name', ['a.png', 'a.tif'])
  def test_grey_of_16_bits_is_scaled_to_8(self, tmp_path, name):
    wide = np.array([[0, 128, 129, 257], [32767, 32768, 65407, 65535]], np.uint16)
    expected = np.array([[0, 0, 1, 1], [127, 128, 255, 255]], np.uint8)  # wide / 257, rounded
    np.testing.assert_array_equal(read_photograph(save(tmp_path / name, wide)), grey_rgb(expected))

  def test_grey_of_16_bits_where_0_is_white(self, tmp_path):
    path = save(tmp_path / 'a.tif', np.array([[0, 65535, 257]], np.uint16))
    data = path.read_bytes()
    tag = data.index(b'\x06\x01\x03\x00')  # 262, photometric interpretation, one short
    path.write_bytes(data[:tag + 8] + b'\0' + data[tag + 9:])
    np.testing.assert_array_equal(read_photograph(path), grey_rgb(np.array([[255, 0, 254]], np.uint8)))

  def test_colour_of_16_bits_is_scaled_to_8(self, tmp_path):
    wide = np.random.default_rng(0).integers(0, 1 << 16, (5, 7, 3), np.uint16)
    (tmp_path / 'a.png').write_bytes(_png_16(wide))
    (tmp_path / 'a.tif').write_bytes(_tiff_16(wide))
    for name in ('a.png', 'a.tif'):
      assert np.abs(read_photograph(tmp_path / name) - wide / 257).max() <= 1

  @pytest.mark.parametrize('kind', [np.int32, np.float32])
  def test_more_than_16_bits_are_refused(self, tmp_path, kind):
    path = save(tmp_path / 'a.tif', np.zeros((4, 4), kind))
    with pytest.raises(ValueError, match=r'a\.tif: its pixels are numbers .* convert it to 8 or 16 bits'):
      read_photograph(path)


class TestOrientation:

  UPRIGHT = fundus(16, 32, centre=(5, 15), radius=5)

  @pytest.mark.parametrize('name', ['a.png', 'a.tif', 'a.webp'])
  def test_a_camera_on_its_side(self, tmp_path, name):
    options = {'lossless': True} if name == 'a.webp' else {}
    path = save(tmp_path / name, np.rot90(self.UPRIGHT), exif=turned(), **options)
    np.testing.assert_array_equal(read_photograph(path), self.UPRIGHT)

  def test_a_jpeg_on_its_side(self, tmp_path):
    path = save(tmp_path / 'a.jpg', np.rot90(self.UPRIGHT), exif=turned(), quality=100, subsampling=0)
    found = read_photograph(path)
    assert found.shape == self.UPRIGHT.shape
    assert np.abs(found.astype(int) - self.UPRIGHT).mean() < 2

  def test_grey_of_16_bits_on_its_side(self, tmp_path):
    wide = np.arange(6, dtype=np.uint16).reshape(2, 3) * 257
    path = save(tmp_path / 'a.png', Image.fromarray(np.rot90(wide).copy()), exif=turned())
    np.testing.assert_array_equal(read_photograph(path), grey_rgb(np.arange(6, dtype=np.uint8).reshape(2, 3)))

  @pytest.mark.parametrize('orientation', range(1, 9))
  @pytest.mark.parametrize('name', ['a.png', 'a.tif', 'a.jpg'])
  def test_height_and_width_are_those_of_the_upright_photograph(self, tmp_path, name, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    for least in (None, 4):
      found = read.read_image(save(tmp_path / name, self.UPRIGHT, exif=exif), least=least)
      assert (found.height, found.width) == ((16, 32) if orientation < 5 else (32, 16))
      assert found.image.size == (-(-found.width // found.factor), -(-found.height // found.factor))

  @pytest.mark.parametrize('exif', [b'Exif\0\0' + bytes(range(1, 41)), b'Exif\0\0II*\0'], ids=['no numbers', 'cut off'])
  @pytest.mark.parametrize('name', ['a.png', 'a.webp', 'a.jpg'])
  def test_damaged_exif_is_no_damage_of_the_pixels(self, tmp_path, name, exif):
    options = {'lossless': True} if name == 'a.webp' else {'dpi': (300, 300), 'quality': 95}
    sound, path = (save(tmp_path / part / name, self.UPRIGHT, exif=each, **options) for part, each in (('sound', b''), ('odd', exif)))
    assert exif.removeprefix(b'Exif\0\0') in path.read_bytes()
    np.testing.assert_array_equal(read_photograph(path), read_photograph(sound))

  @pytest.mark.parametrize('odd', [(0x010e, 11, 1), (0x011a, 2, 1), (0xa005, 1, 1)], ids=['a text of floats', 'a fraction of letters', 'a place of bytes'])
  def test_tags_that_cannot_be_written_again_keep_no_photograph_on_its_side(self, tmp_path, odd):
    entries = [(ORIENTATION, 3, 1, b'\6\0\0\0'), (*odd, b'A\xe9\0\1')]
    exif = b'Exif\0\0II*\0\x08\0\0\0' + struct.pack('<H', 2) + b''.join(struct.pack('<HHI4s', *each) for each in entries) + bytes(4)
    path = save(tmp_path / 'a.png', np.rot90(self.UPRIGHT), exif=exif)
    np.testing.assert_array_equal(read_photograph(path), self.UPRIGHT)
    with Image.open(path) as image:
      np.testing.assert_array_equal(np.asarray(read.upright(image)), self.UPRIGHT)


class TestRefused:

  @pytest.mark.parametrize('content, cause', [
      (b'', 'the file is empty'),
      (b'a text that is no photograph', 'it is no image'),
      (b'\x89PNG\r\n\x1a\n\0\0\0\rIHDR', 'coded data are cut off or damaged'),
      (b'\xff\xd8\xff\xe0', 'begins as a JPEG, but'),
      (b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n', 'it is no image'),
  ], ids=['empty', 'text', 'half a PNG header', 'half a JPEG header', 'a program in PostScript'])
  def test_what_is_no_image(self, tmp_path, content, cause):
    (tmp_path / 'a.jpg').write_bytes(content)
    with pytest.raises(ValueError, match=rf'cannot read the photograph .*a\.jpg: .*{cause}'):
      read_photograph(tmp_path / 'a.jpg')

  @pytest.mark.parametrize('name', ['half.jpg', 'half.png', 'half.tif'])
  def test_what_is_cut_off(self, tmp_path, name):
    path = save(tmp_path / name, np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8))
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ValueError, match=rf'cannot read the photograph .*{name}: '):
      read_photograph(path)

  @pytest.mark.parametrize('side', [8_001, 9_600, 14_000])
  def test_a_decompression_bomb_before_it_is_decoded(self, tmp_path, side, monkeypatch):
    path = save(tmp_path / 'bomb.png', Image.new('1', (side, side)))
    monkeypatch.setattr(Image.Image, 'load', lambda self: pytest.fail('it was decoded'))
    with pytest.raises(ValueError, match=r'bomb\.png: it has .*more than 64,000,000'):
      read_photograph(path)

  def test_a_folder(self, tmp_path):
    with pytest.raises(ValueError, match='it is a directory; name the files in it'):
      read_photograph(tmp_path)

  def test_a_missing_file_is_a_missing_file(self, tmp_path):
    with pytest.raises(FileNotFoundError):
      read_photograph(tmp_path / 'a.jpg')


def test_50_megapixels_are_read(tmp_path, monkeypatch):
  monkeypatch.setattr(read, 'FORMATS', ('PNG',))
  path = save(tmp_path / 'large.png', Image.new('RGB', (8_000, 6_250), (9, 8, 7)), compress_level=1)
  found = read_photograph(path)
  assert found.shape == (6_250, 8_000, 3) and 45e6 < found.shape[0] * found.shape[1] < MAX_PIXELS
  assert found[0, 0].tolist() == found[-1, -1].tolist() == [9, 8, 7]


def _as_ycck(inks):
  """YCbCr of C, M, Y as if they were RGB, which Adobe makes of its inverted inks; Pillow inverts what it writes."""
  *colored, black = inks.split()
  channels = Image.merge('RGB', colored).convert('YCbCr').split()
  inverted = [channel.point(lambda value: 255 - value) for channel in channels]
  return Image.merge('CMYK', [*inverted, black])


def _png_16(wide):
  """PNG of 16-bit colour, which Pillow reads and does not write."""
  chunk = lambda kind, data: struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
  rows = b''.join(b'\0' + row.astype('>u2').tobytes() for row in wide)
  return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', wide.shape[1], wide.shape[0], 16, 2, 0, 0, 0))
          + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b''))


def _tiff_16(wide):
  """TIFF of 16-bit colour, likewise: one strip after the directory."""
  height, width, _ = wide.shape
  entries = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 3, 0), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 0),
             (277, 3, 1, 3), (278, 4, 1, height), (279, 4, 1, wide.nbytes), (284, 3, 1, 1)]
  after = 8 + 2 + 12 * len(entries) + 4
  values = {258: after, 273: after + 6}
  directory = b''.join(struct.pack('<HHII', tag, kind, count, values.get(tag, value))
                       for tag, kind, count, value in entries)
  return (b'II*\0' + struct.pack('<IH', 8, len(entries)) + directory + struct.pack('<I', 0)
          + struct.pack('<HHH', 16, 16, 16) + wide.astype('<u2').tobytes())
