"""Photographs out of DICOM files that pydicom writes here: the same RGB bytes, or one sentence."""

from __future__ import annotations

import io
import re
import struct
import sys
import tracemalloc
import zlib

import numpy as np
import oracle
import pytest
from drawing import fundus
from PIL import Image

from lesion_jax.photograph import read
from lesion_jax.photograph.prepare import prepare
from lesion_jax.photograph.read import read_photograph

pydicom = pytest.importorskip('pydicom')

from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.encaps import encapsulate  # noqa: E402

COLOR = fundus(20, 30)
GREY = COLOR[..., 0]
KIND = pydicom.uid.OphthalmicPhotography8BitImageStorage


@pytest.fixture
def write(tmp_path):
  """`write(pixels, photometric, **elements) -> path`: stored as they are, or encoded where they come as bytes."""

  def make(pixels, photometric, *, syntax=pydicom.uid.ExplicitVRLittleEndian, name='eye.dcm', **elements):
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = KIND
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = '1.2.3'
    array = COLOR if isinstance(pixels, bytes) else pixels
    dataset.Rows, dataset.Columns = array.shape[:2]
    dataset.SamplesPerPixel = 3 if array.ndim == 3 else 1
    if array.ndim == 3:
      dataset.PlanarConfiguration = 0
    dataset.PhotometricInterpretation = photometric
    dataset.BitsAllocated = dataset.BitsStored = 8 * array.dtype.itemsize
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(array.dtype.kind == 'i')
    for key, value in elements.items():
      setattr(dataset, key, value)
    order = array.astype(array.dtype.newbyteorder('>' if syntax == pydicom.uid.ExplicitVRBigEndian else '<'))
    dataset.PixelData = encapsulate([pixels]) if isinstance(pixels, bytes) else order.tobytes()
    dataset['PixelData'].VR = 'OB' if isinstance(pixels, bytes) or array.dtype.itemsize == 1 else 'OW'
    dataset.save_as(tmp_path / name, enforce_file_format=True)
    return tmp_path / name

  return make


def grey_rgb(grey):
  return np.repeat(np.asarray(grey)[..., None], 3, -1)


def encode(image, kind='JPEG', **options):
  buffer = io.BytesIO()
  Image.fromarray(image).save(buffer, kind, **options)
  return buffer.getvalue()


def table(*colors):
  """Elements of a palette of 8-bit entries."""
  elements = {}
  for name, channel in zip(('Red', 'Green', 'Blue'), zip(*colors, strict=True), strict=True):
    elements[f'{name}PaletteColorLookupTableDescriptor'] = [len(channel), 0, 8]
    elements[f'{name}PaletteColorLookupTableData'] = bytes(channel)
  return elements


class TestColor:

  @pytest.mark.parametrize('syntax', [
      pydicom.uid.ImplicitVRLittleEndian, pydicom.uid.ExplicitVRLittleEndian, pydicom.uid.ExplicitVRBigEndian])
  def test_rgb_comes_back_bit_for_bit(self, write, syntax):
    np.testing.assert_array_equal(read_photograph(write(COLOR, 'RGB', syntax=syntax)), COLOR)

  def test_the_content_decides_not_the_name(self, write):
    np.testing.assert_array_equal(read_photograph(write(COLOR, 'RGB', name='without suffix')), COLOR)

  def test_channels_one_after_the_other(self, write):
    planes = np.moveaxis(COLOR, -1, 0)
    path = write(planes.reshape(COLOR.shape).copy(), 'RGB', PlanarConfiguration=1)
    np.testing.assert_array_equal(read_photograph(path), COLOR)

  def test_ybr_is_converted(self, write):
    stored = np.asarray(Image.fromarray(COLOR).convert('YCbCr'))
    assert np.abs(read_photograph(write(stored, 'YBR_FULL')).astype(int) - COLOR).max() <= 2

  def test_12_stored_bits_are_scaled(self, write):
    wide = np.array([[[0, 2047, 4095], [16, 8, 4000]]], np.uint16)
    found = read_photograph(write(wide, 'RGB', BitsStored=12, HighBit=11))
    np.testing.assert_array_equal(found, np.rint(wide * (255 / 4095)))

  def test_a_palette_is_looked_up(self, write):
    colors = [(0, 0, 0), (200, 90, 40), (1, 2, 3), (255, 255, 255)]
    index = np.array([[0, 1, 2], [3, 1, 0]], np.uint8)
    np.testing.assert_array_equal(
        read_photograph(write(index, 'PALETTE COLOR', **table(*colors))), np.array(colors)[index])


class TestGrey:

  def test_8_bits_stay_as_they_are(self, write):
    np.testing.assert_array_equal(read_photograph(write(GREY, 'MONOCHROME2')), grey_rgb(GREY))

  def test_monochrome1_is_inverted(self, write):
    np.testing.assert_array_equal(read_photograph(write(255 - GREY, 'MONOCHROME1')), grey_rgb(GREY))

  @pytest.mark.parametrize('bits, numbers, shown', [
      (12, [0, 2047, 2048, 4095], [0, 127, 128, 255]),
      (16, [0, 128, 129, 65535], [0, 0, 1, 255]),
  ])
  def test_without_a_window_the_stored_bits_are_the_range(self, write, bits, numbers, shown):
    path = write(np.array([numbers], np.uint16), 'MONOCHROME2', BitsStored=bits, HighBit=bits - 1)
    np.testing.assert_array_equal(read_photograph(path), grey_rgb([shown]))

  def test_numbers_with_a_sign(self, write):
    path = write(np.array([[-32768, -1, 0, 32767]], np.int16), 'MONOCHROME2')
    np.testing.assert_array_equal(read_photograph(path), grey_rgb([[0, 127, 128, 255]]))

  @pytest.mark.parametrize('rescale', [{}, {'RescaleSlope': 2, 'RescaleIntercept': -1000}])
  def test_the_first_window_of_the_file_decides(self, write, rescale):
    """The linear function of PS3.3 C.11.2.1.2.1, on what the rescaling gives."""
    numbers = np.array([[0, 900, 1000, 1100, 4095]], np.uint16)
    slope, intercept = rescale.get('RescaleSlope', 1), rescale.get('RescaleIntercept', 0)
    center, width = 1000 * slope + intercept, 401
    path = write(numbers, 'MONOCHROME2', BitsStored=12, HighBit=11, WindowCenter=[center, 7], WindowWidth=[width, 9],
                 **rescale)
    share = (numbers.astype(int) * slope + intercept - (center - 0.5)) / (width - 1) + 0.5
    np.testing.assert_array_equal(read_photograph(path), grey_rgb(np.rint(255 * np.clip(share, 0, 1))))

  def test_a_lookup_table_of_the_file_decides(self, write):
    entry = Dataset()
    entry.LUTDescriptor, entry.LUTData = [4, 0, 8], [0, 51, 102, 255]
    entry['LUTDescriptor'].VR = entry['LUTData'].VR = 'US'
    path = write(np.array([[0, 1, 2, 3, 9]], np.uint8), 'MONOCHROME2', VOILUTSequence=[entry])
    np.testing.assert_array_equal(read_photograph(path), grey_rgb([[0, 51, 102, 255, 255]]))

  def test_a_rescaling_without_a_range_is_refused(self, write):
    path = write(GREY, 'MONOCHROME2', RescaleSlope=0, RescaleIntercept=5)
    with pytest.raises(ValueError, match='the rescale slope must be above 0'):
      read_photograph(path)


class TestCompressed:

  @pytest.mark.parametrize('photometric, mark', [
      ('YBR_FULL_422', 'jfif'), ('YBR_FULL_422', None), ('YBR_FULL_422', 'adobe'), ('RGB', 'jfif'), ('RGB', 'adobe')])
  def test_jpeg_with_any_mark_of_its_colours(self, write, photometric, mark):
    data = encode(COLOR, quality=98, subsampling=0)
    if mark != 'jfif':
      assert data[2:4] == b'\xff\xe0'
      adobe = b'\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x01' if mark == 'adobe' else b''
      data = data[:2] + adobe + data[4 + int.from_bytes(data[4:6], 'big'):]
    path = write(data, photometric, syntax=pydicom.uid.JPEGBaseline8Bit)
    assert np.abs(read_photograph(path).astype(int) - COLOR).mean() < 2

  @pytest.mark.parametrize('names', [b'RGB', bytes([1, 2, 3])])
  def test_jpeg_of_rgb_without_a_mark(self, write, names):
    """Its components are named R, G and B, or by numbers, which alone would mean YCbCr."""
    data = encode(COLOR, quality=98, keep_rgb=True)
    data = bytearray(data[:2] + data[4 + int.from_bytes(data[4:6], 'big'):])
    for start, step in ((data.index(b'\xff\xc0') + 10, 3), (data.index(b'\xff\xda') + 5, 2)):
      data[start:start + 3 * step:step] = names
    data = bytes(data)
    path = write(data, 'RGB', syntax=pydicom.uid.JPEGBaseline8Bit)
    assert np.abs(read_photograph(path).astype(int) - COLOR).mean() < 2

  def test_grey_jpeg(self, write):
    path = write(encode(GREY, quality=98), 'MONOCHROME2', syntax=pydicom.uid.JPEGBaseline8Bit, SamplesPerPixel=1)
    assert np.abs(read_photograph(path).astype(int) - grey_rgb(GREY)).mean() < 2

  @pytest.mark.parametrize('photometric', ['RGB', 'YBR_RCT'])
  def test_jpeg_2000(self, write, photometric):
    data = encode(COLOR, 'JPEG2000', no_jp2=True)
    path = write(data, photometric, syntax=pydicom.uid.JPEG2000Lossless)
    np.testing.assert_array_equal(read_photograph(path), COLOR)

  def test_grey_jpeg_2000_of_12_bits(self, write):
    numbers = (GREY.astype(np.uint16) * 16)
    data = encode(numbers, 'JPEG2000', no_jp2=True)
    path = write(data, 'MONOCHROME2', syntax=pydicom.uid.JPEG2000Lossless, SamplesPerPixel=1, BitsAllocated=16,
                 BitsStored=16, HighBit=15)
    np.testing.assert_array_equal(read_photograph(path), grey_rgb(np.rint(numbers / 257)))

  @pytest.mark.parametrize('syntax', [
      pydicom.uid.RLELossless, pydicom.uid.JPEGLosslessSV1, pydicom.uid.DeflatedExplicitVRLittleEndian])
  def test_other_compression_is_refused(self, write, syntax):
    name = re.escape(repr(syntax.name))
    with pytest.raises(ValueError, match=f'stored as {name}; read are Implicit VR.*Decompress it'):
      read_photograph(write(b'some bytes', 'RGB', syntax=syntax))

  def test_a_picture_of_another_size_than_announced_is_not_decoded(self, write, monkeypatch):
    path = write(encode(np.zeros((40, 30, 3), np.uint8)), 'RGB', syntax=pydicom.uid.JPEGBaseline8Bit)
    monkeypatch.setattr(Image.Image, 'load', lambda self: pytest.fail('it was decoded'))
    with pytest.raises(ValueError, match='its picture has 30x40 pixels, its header says 30x20'):
      read_photograph(path)


class TestRefused:

  @pytest.mark.parametrize('elements, cause', [
      ({'NumberOfFrames': 2}, 'it holds 2 frames .*Ophthalmic Photography'),
      ({'Rows': 8_001, 'Columns': 8_001}, 'more than 64,000,000'),
      ({'PhotometricInterpretation': 'YBR_PARTIAL_420'}, "its colours are 'YBR_PARTIAL_420'; read are MONOCHROME1"),
      ({'PixelRepresentation': 1}, 'and a sign'),
      ({'BitsAllocated': 32, 'BitsStored': 32}, '32 of 32 bits'),
      ({'Rows': 21}, 'cannot read the photograph'),
      ({'PhotometricInterpretation': 'MONOCHROME2'}, 'not those of MONOCHROME2'),
      ({'BitsStored': None}, 'no sound DICOM file'),
  ])
  def test_what_its_header_says(self, write, elements, cause):
    with pytest.raises(ValueError, match=rf'eye\.dcm: .*{cause}|{cause} .*eye\.dcm'):
      read_photograph(write(COLOR, 'RGB', **elements))

  @pytest.mark.parametrize('absent, cause', [('Rows', "no picture .*'Ophthalmic"), ('PixelData', 'it holds no pixels')])
  def test_what_is_missing(self, write, absent, cause):
    path = write(COLOR, 'RGB')
    dataset = pydicom.dcmread(path)
    del dataset[absent]
    dataset.save_as(path)
    with pytest.raises(ValueError, match=cause):
      read_photograph(path)

  @pytest.mark.filterwarnings('ignore')  # pydicom says what it finds odd
  def test_damage_anywhere_is_one_sentence_or_none(self, write):
    path = write(COLOR, 'RGB')
    sound, rng, refused = path.read_bytes(), np.random.default_rng(0), 0
    for number in range(60):
      data = bytearray(sound[:rng.integers(140, len(sound))] if number % 2 else sound)
      for place in rng.integers(132, min(len(data), 700), 4):
        data[place] = rng.integers(256)
      path.write_bytes(data)
      try:
        assert read_photograph(path).shape[2] == 3
      except ValueError as error:
        assert str(error).startswith(f'cannot read the photograph {path}: ')
        refused += 1
    assert refused > 30

  def test_without_pydicom_the_extra_is_named(self, write, monkeypatch):
    path = write(COLOR, 'RGB')
    monkeypatch.setitem(sys.modules, 'pydicom', None)
    with pytest.raises(ValueError, match=r"takes pydicom to read: pip install 'lesion_jax\[dicom\]'"):
      read_photograph(path)


def test_importing_the_reader_does_not_import_pydicom():
  import subprocess

  code = f'import sys, {read.__name__}; print("pydicom" in sys.modules)'
  assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout == 'False\n'


class TestContradictions:
  """A header that contradicts the pixels is seen, and nothing of pydicom or Python is said."""

  @pytest.mark.parametrize('mark', ['none', 'numbers'])
  @pytest.mark.parametrize('subsampling', [0, 1, 2])
  def test_unmarked_ycbcr_under_a_header_of_rgb(self, write, subsampling, mark):
    data = encode(COLOR, quality=98, subsampling=subsampling)
    data = data[:2] + data[4 + int.from_bytes(data[4:6], 'big'):]
    path = write(data, 'RGB', syntax=pydicom.uid.JPEGBaseline8Bit)
    assert np.abs(read_photograph(path).astype(int) - COLOR).mean() < 12

  def test_uncompressed_colours_of_another_kind_than_said(self, write):
    ybr = np.asarray(Image.fromarray(COLOR).convert('YCbCr'))
    for pixels, said in ((ybr, 'RGB'), (COLOR, 'YBR_FULL')):
      with pytest.raises(ValueError, match=f'its colours are {said}, but its black is that of'):
        read_photograph(write(pixels, said))

  @pytest.mark.parametrize('bits, high', [(12, 15), (12, 12), (8, 15), (10, 11)])
  def test_bits_in_another_place(self, write, bits, high):
    with pytest.raises(ValueError, match=f'the highest of {bits} bits is number {high}, where {bits - 1} is right'):
      read_photograph(write(COLOR.astype(np.uint16), 'RGB', BitsStored=bits, HighBit=high))

  def test_numbers_beyond_the_bits_and_far_below_them(self, write):
    with pytest.raises(ValueError, match=r'says 10 bits, but its numbers go up to \d{4,5}'):
      read_photograph(write(COLOR.astype(np.uint16) * 257, 'RGB', BitsStored=10, HighBit=9))
    large = np.repeat(np.repeat(COLOR, 4, axis=0), 4, axis=1)
    with pytest.raises(ValueError, match='says 16 bits, but none of its numbers is above 255'):
      read_photograph(write(large.astype(np.uint16), 'RGB'))

  @pytest.mark.parametrize('changes, said', [
      ({'RedPaletteColorLookupTableDescriptor': [9, 0, 8]}, 'said to have 9 entries of 8 bits, but holds 4 bytes'),
      ({'GreenPaletteColorLookupTableDescriptor': [4, 0, 12]}, 'of 12 bits'),
      ({'BluePaletteColorLookupTableData': None}, 'its colour table lacks its blue part'),
      ({f'{name}PaletteColorLookupTable{what}': value for name in ('Red', 'Green', 'Blue')
        for what, value in (('Descriptor', [4, 0, 16]), ('Data', np.array([0, 9, 200, 255], '<u2').tobytes()))},
       'said to have 16 bits, but none of its entries is above 255'),
  ])
  def test_colour_tables(self, write, changes, said):
    colors = [(0, 0, 0), (200, 90, 40), (1, 2, 3), (255, 255, 255)]
    index = np.array([[0, 1, 2], [3, 1, 0]], np.uint8)
    with pytest.raises(ValueError, match=said):
      read_photograph(write(index, 'PALETTE COLOR', **table(*colors) | changes))

  @pytest.mark.parametrize('there, missing', [
      ('RescaleIntercept', 'RescaleSlope'), ('RescaleSlope', 'RescaleIntercept'), ('WindowCenter', 'WindowWidth')])
  def test_half_a_pair_of_numbers_for_grey(self, write, there, missing):
    with pytest.raises(ValueError, match=f'its header has {there} without {missing}'):
      read_photograph(write(GREY, 'MONOCHROME2', **{there: 1, missing: None}))
    np.testing.assert_array_equal(
        read_photograph(write(GREY, 'MONOCHROME2', **{there: None, missing: None})), grey_rgb(GREY))

  @pytest.mark.parametrize('damage, said', [
      (lambda data: data[:len(data) // 2] + b'\xff\xd9', 'its coded data end early'),
      (lambda data: b'VENDOR\0\1' + data, 'do not begin as those do'),
      (lambda data: data.replace(b'\xff\xc0\0\x11\x08', b'\xff\xc1\0\x11\x0c'), 'a JPEG of 12 bits'),
      (lambda data: data[:2] + b'\xff\xc4\0\x05abc' + bytes(60), 'JPEG Baseline data are damaged|has no picture|header is cut'),
  ])
  def test_streams(self, write, damage, said):
    large = np.repeat(np.repeat(COLOR, 4, axis=0), 4, axis=1)
    path = write(damage(encode(large, quality=95)), 'YBR_FULL_422', syntax=pydicom.uid.JPEGBaseline8Bit, Rows=80, Columns=120)
    with pytest.raises(ValueError, match=said) as raised:
      read_photograph(path)
    assert '0x' not in str(raised.value) and 'Error' not in str(raised.value)

  def test_a_jpeg_2000_that_is_cut(self, write):
    data = encode(np.random.default_rng(0).integers(0, 256, COLOR.shape, np.uint8), 'JPEG2000', no_jp2=True)
    with pytest.raises(ValueError, match='its JPEG 2000 Lossless data are damaged'):
      read_photograph(write(data[:len(data) // 3], 'RGB', syntax=pydicom.uid.JPEG2000Lossless))

  def test_pixels_that_end_early(self, write):
    path = write(COLOR, 'RGB', Rows=21)
    with pytest.raises(ValueError, match=r'its pixels end early: 1,800 of 1,890 bytes'):
      read_photograph(path)

  @pytest.mark.parametrize('modality, kind', [('OCT', KIND), ('CR', KIND), ('OP', pydicom.uid.OphthalmicTomographyImageStorage)])
  def test_other_pictures_of_medicine(self, write, modality, kind):
    with pytest.raises(ValueError, match='no colour photograph of a retina'):
      read_photograph(write(COLOR, 'RGB', Modality=modality, SOPClassUID=kind))
    np.testing.assert_array_equal(read_photograph(write(COLOR, 'RGB', Modality='OP')), COLOR)

  def test_without_its_first_132_bytes_it_is_read_and_without_its_first_part_refused(self, write, tmp_path):
    data = write(COLOR, 'RGB').read_bytes()
    (tmp_path / 'a.dcm').write_bytes(data[132:])
    np.testing.assert_array_equal(read_photograph(tmp_path / 'a.dcm'), COLOR)
    length = int.from_bytes(data[140:144], 'little')
    (tmp_path / 'b.dcm').write_bytes(data[144 + length:])
    with pytest.raises(ValueError, match='it is DICOM without its first part'):
      read_photograph(tmp_path / 'b.dcm')

  def test_an_index_is_called_one(self, write):
    path = write(COLOR, 'RGB', name='DICOMDIR')
    path.write_bytes(path.read_bytes().replace(KIND.encode(), b'1.2.840.10008.1.3.10'.ljust(len(KIND), b'\0')))
    with pytest.raises(ValueError, match='it is a DICOMDIR, the index of a medium'):
      read_photograph(path)


class TestSpacing:

  @pytest.mark.parametrize('stated, found', [
      (['0.0062', '0.0064'], (0.0062, 0.0064)), ('', None), (['0', '0.006'], None), (['0.006'], None)])
  def test_millimetres_between_rows_and_between_columns(self, write, stated, found):
    path = write(COLOR, 'RGB', **({'PixelSpacing': stated} if stated else {}))
    assert read.read_spacing(path) == found == read.read_spacing(path.read_bytes())

  def test_no_other_file_has_one(self, tmp_path):
    Image.fromarray(COLOR).save(tmp_path / 'eye.jpg', dpi=(300, 300))
    assert read.read_spacing(tmp_path / 'eye.jpg') is None and read.read_spacing(io.BytesIO(b'')) is None

  def test_of_wide_fields_it_holds_in_one_place_alone(self, write):
    kind = pydicom.uid.WideFieldOphthalmicPhotographyStereographicProjectionImageStorage
    assert read.read_spacing(write(COLOR, 'RGB', SOPClassUID=kind, PixelSpacing=['0.01', '0.01'])) is None

  @pytest.mark.parametrize('spacing, taken', [(0.08, True), (1.0, False), (0.001, False)])
  def test_a_field_of_view_is_as_wide_as_one_can_be(self, write, spacing, taken):
    image = oracle.photograph(height=200, width=300, radius=80)  # a square of 162 pixels or so: 13 mm at 0.08
    square = prepare(write(image, 'RGB', PixelSpacing=[str(spacing)] * 2), 64)
    assert square.spacing == ((spacing, spacing) if taken else None)


def test_a_packed_file_that_says_that_it_is_not_is_not_unpacked():
  """What is to be read decides, and not what stands before it."""
  element = lambda number, value: struct.pack('<HH2sH', 2, number, b'UI', len(value)) + value
  private = lambda value: struct.pack('<HH2sHI', 2, 0x102, b'OB', 0, len(value)) + value
  packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
  packed = b''.join([*(packer.compress(bytes(1 << 20)) for _ in range(64)), packer.flush()])
  plain, deflated = b'1.2.840.10008.1.2.1\0', b'1.2.840.10008.1.2.1.99'
  for decoy, first in ((element(0x10, plain).ljust(128, b'\0'), b''), (bytes(128), private(element(0x10, plain)))):
    file = io.BytesIO(decoy + b'DICM' + first + element(0x10, deflated) + packed)
    tracemalloc.start()
    with pytest.raises(ValueError, match='two things'):
      read_photograph(file)
    assert tracemalloc.get_traced_memory()[1] < 16 << 20
    tracemalloc.stop()
