"""Reading photographs out of DICOM files, with pydicom (the extra `dicom`).

What is done to the pixels (our choice, after PS3.3 of the standard):

  monochrome     through the modality LUT, then the VOI LUT or the first window that the file states; without either,
                 the range of its stored bits becomes 0..255. MONOCHROME1 is inverted. Grey in all three channels
  RGB, YBR       as they are, converted to RGB; more than 8 stored bits are scaled to 0..255
  palette        through its colour table, whose transparency is dropped

Read are files of one frame, uncompressed, JPEG (8 bits) or JPEG 2000; what Pillow cannot decode is refused. Overlays,
colour profiles and the patient's data are left alone; of these the laterality alone is read.
"""

from __future__ import annotations

import io
import math
import pathlib
import re
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from lesion_jax.photograph.jpeg import START, check_jpeg

MAGIC_OFFSET, MAGIC = 128, b'DICM'
# Transfer syntaxes, how the pixels are stored (PS3.5, section 10).
UNCOMPRESSED = {'1.2.840.10008.1.2': 'Implicit VR Little Endian', '1.2.840.10008.1.2.1': 'Explicit VR Little Endian',
                '1.2.840.10008.1.2.2': 'Explicit VR Big Endian'}
JPEG = {'1.2.840.10008.1.2.4.50': 'JPEG Baseline', '1.2.840.10008.1.2.4.51': 'JPEG Extended of 8 bits'}
JPEG_2000 = {'1.2.840.10008.1.2.4.90': 'JPEG 2000 Lossless', '1.2.840.10008.1.2.4.91': 'JPEG 2000'}
BIG_ENDIAN = '1.2.840.10008.1.2.2'
READABLE = UNCOMPRESSED | JPEG | JPEG_2000
MONOCHROME = ('MONOCHROME1', 'MONOCHROME2')
COLORS = ('RGB', 'YBR_FULL', 'YBR_FULL_422', 'YBR_ICT', 'YBR_RCT')
PALETTE = 'PALETTE COLOR'
MAX_BITS = 16
META = b'\x02\0\0\0UL'  # where the first 132 bytes, of which nothing is read, are missing
SYNTAX = re.compile(rb'\x02\0\x10\0UI..([0-9.]+)', re.DOTALL)
HEAD = 4096  # bytes in which it stands
INDEX = '1.2.840.10008.1.3.10'  # Media Storage Directory
STARTS = (START, (b'\xff\x4f\xff\x51', b'\0\0\0\x0cjP  '))  # of JPEG, of JPEG 2000
HOLE = bytes(1024)
NEEDED = ('PhotometricInterpretation', 'SamplesPerPixel', 'BitsAllocated', 'BitsStored', 'PixelRepresentation')
# Modalities (PS3.3, C.7.3.1.1.1) of which no picture is a photograph of a retina.
OTHERS = {'OPT': 'tomography of the eye', 'OCT': 'tomography', 'OPTENF': 'tomography seen from the front',
          'OAM': 'axial measurements', 'OPM': 'mapping of the eye', 'OPV': 'visual field', 'KER': 'keratometry', 'AR': 'refraction', 'LEN': 'lensometry',
          'CR': 'radiography', 'DX': 'radiography', 'RG': 'radiography', 'CT': 'computed tomography', 'MR': 'magnetic resonance',
          'US': 'ultrasound', 'BDUS': 'ultrasound', 'MG': 'mammography', 'XA': 'angiography by X-rays', 'RF': 'fluoroscopy',
          'PT': 'positron emission', 'NM': 'nuclear medicine', 'PX': 'dental radiography', 'IO': 'dental radiography',
          'SM': 'slide microscopy', 'ECG': 'electrocardiography', 'SEG': 'segmentation', 'SR': 'a report', 'DOC': 'a document'}
FEW = 4096  # numbers; of fewer none need be large
DARK, BLACK_SHARE, NEAR_BLACK, NEAR_GREY = 16, 0.01, 40, 12  # of `_looks_like`: levels, and a share of the pixels


class _Refused(ValueError):
  """Why a file is not read, in words of ours."""


class _InParts:
  """A file of which the rest is never read at once, as pydicom reads what is to be inflated: gigabytes may come of that, whatever
  the first bytes say of how it is stored."""

  def __init__(self, file: BinaryIO) -> None:
    self._file = file

  def read(self, size: int | None = -1) -> bytes:
    """Reads so many bytes. Raises ValueError for all that there are."""
    if size is None or size < 0:
      raise _Refused('its first part says two things about how its pixels are stored, one of them packed as a whole; export it again')
    return self._file.read(size)

  def __getattr__(self, name: str) -> Any:
    return getattr(self._file, name)


def is_dicom(file: pathlib.Path | BinaryIO) -> bool:
  """Returns whether a file is DICOM, whatever its name: marked as such, or begun with DICOM's elements, its mark having
  been lost."""
  if isinstance(file, pathlib.Path):
    with file.open('rb') as opened:
      return is_dicom(opened)
  file.seek(0)
  head = file.read(MAGIC_OFFSET + len(MAGIC))
  return head[MAGIC_OFFSET:] == MAGIC or head.startswith(META) or _is_bare(head)


def is_jpeg_2000(head: bytes) -> bool:
  """Returns whether a file's pixels are JPEG 2000, by its first HEAD bytes: a file of its own, or inside DICOM."""
  if head.startswith(STARTS[True]):
    return True
  found = SYNTAX.search(head) if is_dicom(io.BytesIO(head)) else None
  return bool(found) and found[1].decode('ascii') in JPEG_2000


def is_index(file: pathlib.Path) -> bool:
  """Returns whether a DICOM file is a DICOMDIR, the index of a medium."""
  with file.open('rb') as opened:
    return INDEX.encode() in opened.read(HEAD)


def read_dicom(file: BinaryIO, *, max_pixels: int) -> np.ndarray:
  """Reads the one photograph of a DICOM file as uint8 [H, W, 3] RGB.

  What the header says is held to the pixels wherever both can be known; where they contradict each other, the file is refused.

  Args:
    file: open for reading in binary.
    max_pixels: no more are decoded.

  Raises:
    ValueError: naming the cause: pydicom is missing; the file is damaged, is no photograph, holds no pixels, several frames, or
      pixels of a kind that is not read.
  """
  try:
    import pydicom
  except ImportError as error:
    raise ValueError("it is a DICOM file, which takes pydicom to read: pip install 'lesion_jax[dicom]'") from error
  file.seek(0)
  head = file.read(HEAD)
  if _is_bare(head):
    raise ValueError('it is DICOM without its first part, which says how the rest is stored; export it again as a DICOM file '
                     '(part 10)')
  if INDEX.encode() in head:
    raise ValueError('it is a DICOMDIR, the index of a medium, and holds no picture; name the folder that it lies in')
  try:
    found = SYNTAX.search(head)
    if not found:
      raise _Refused('it does not say how its pixels are stored (its transfer syntax is missing)')
    syntax = found[1].decode('ascii')
    if syntax not in READABLE:  # before anything more is read: a deflated file could be a bomb
      raise _Refused(f'its pixels are stored as {pydicom.uid.UID(syntax).name!r}; read are {", ".join(READABLE.values())}. '
                     'Decompress it, with dcmdjpeg, dcmrle or gdcmconv --raw')
    file.seek(0)
    _check_header(pydicom.dcmread(_InParts(file), stop_before_pixels=True, force=True), max_pixels)
    file.seek(0)
    dataset = pydicom.dcmread(_InParts(file), force=True)
    if 'PixelData' not in dataset:
      raise _Refused('it holds no pixels')
    return _to_rgb(_decode(dataset, syntax), dataset)
  except (_Refused, MemoryError):
    raise
  except Exception as error:  # pydicom and what it calls raise anything for damaged files
    raise ValueError('it is no sound DICOM file: something in its header or its pixels is damaged or missing; export it '
                     'again') from error


def read_spacing(file: BinaryIO) -> tuple[float, float] | None:
  """Returns the distance between the centres of two rows and of two columns of a DICOM file, in mm on the retina, as
  its Pixel Spacing says; None where it says none, or something that is none.

  In ophthalmic photography (PS3.3, C.8.17.2) that is the nominal distance at the focal plane, the retina. Of wide fields it holds in
  one place of the projection alone, and is not taken.

  Args:
    file: open for reading in binary, of which `read_dicom` read the photograph.
  """
  import pydicom

  file.seek(0)
  try:
    header = pydicom.dcmread(file, stop_before_pixels=True, force=True, specific_tags=['SOPClassUID', 'PixelSpacing'])
    row, column = (float(value) for value in header.PixelSpacing)
    if 'Wide Field' in getattr(header.get('SOPClassUID'), 'name', ''):
      return None
  except Exception:  # noqa: BLE001 (whatever pydicom raises for what is damaged or missing: then nothing is known)
    return None
  return (row, column) if all(0 < value < math.inf for value in (row, column)) else None


def read_laterality(file: BinaryIO) -> str | None:
  """Returns which eye a DICOM file says that it shows, 'right' or 'left', by its Image Laterality, or else its Laterality; None
  where it says neither, both eyes, or the two contradict each other. Nothing else of the patient is read.

  Args:
    file: open for reading in binary, of which `read_dicom` read the photograph.
  """
  import pydicom

  names = ('ImageLaterality', 'Laterality')
  file.seek(0)
  try:
    header = pydicom.dcmread(file, stop_before_pixels=True, force=True, specific_tags=list(names))
    said = {str(header.get(name) or '').strip().upper() for name in names} - {''}
  except Exception:  # noqa: BLE001 (as of `read_spacing`)
    return None
  return {'R': 'right', 'L': 'left'}.get(said.pop()) if len(said) == 1 else None


def _is_bare(head: bytes) -> bool:
  """DICOM that begins with its data, group 8, without preamble and file meta: a tag, then a type of value or a length."""
  if len(head) < 8 or head[:2] != b'\x08\0' or head[3] != 0:
    return False
  return head[4:6] in (b'CS', b'UI', b'DA', b'TM', b'UL', b'SH', b'LO') or 0 < int.from_bytes(head[4:8], 'little') < 128


def _check_header(header: Any, max_pixels: int) -> None:
  """Holds what the file says of itself to what is read. Raises ValueError."""
  kind, modality = getattr(header.get('SOPClassUID'), 'name', 'unknown'), header.get('Modality')
  if 'Rows' not in header or 'Columns' not in header:
    raise _Refused(f'it holds no picture (its kind is {kind!r})')
  if modality in OTHERS or 'Tomography' in kind or 'Raw Data' in kind:
    raise _Refused(f'it is no colour photograph of a retina: its kind is {kind!r}, its modality {modality!r}'
                   + (f' ({OTHERS[modality]})' if modality in OTHERS else ''))
  frames = int(header.get('NumberOfFrames') or 1)
  if frames != 1:
    raise _Refused(f'it holds {frames} frames (its kind is {kind!r}); a photograph has one, save that alone')
  for name in NEEDED:
    if header.get(name) in (None, ''):
      raise _Refused(f'it is no sound DICOM file: it lacks {name}; export it again')
  if header.Rows * header.Columns > max_pixels:
    raise _Refused(f'it has {header.Columns}x{header.Rows} pixels (width x height), more than {max_pixels:,}; '
                   'reduce it')
  known = (*MONOCHROME, *COLORS, PALETTE)
  if header.PhotometricInterpretation not in known:
    raise _Refused(f'its colours are {header.PhotometricInterpretation!r}; read are {", ".join(known)}')
  bits, signed = header.BitsStored, header.PixelRepresentation == 1 and header.PhotometricInterpretation not in MONOCHROME
  if signed or not 0 < bits <= header.BitsAllocated <= MAX_BITS:
    raise _Refused(f'its pixels have {bits} of {header.BitsAllocated} bits'
                   f'{" and a sign" if signed else ""}; read are up to {MAX_BITS}, in colour without a sign')
  if header.get('HighBit') not in (None, bits - 1):
    raise _Refused(f'its header says that the highest of {bits} bits is number {header.HighBit}, where {bits - 1} is right: '
                   'which bits hold the picture is not known; export it again')
  for pair in (('RescaleSlope', 'RescaleIntercept'), ('WindowCenter', 'WindowWidth')):
    empty = [name for name in pair if header.get(name) in (None, '')]
    if len(empty) == 1:
      there, = set(pair) - set(empty)
      raise _Refused(f'its header has {there} without {empty[0]}: which of its numbers is black is not known; export it again')


def _decode(dataset: Any, syntax: str) -> np.ndarray:
  """The stored numbers, [H, W] or [H, W, 3]; YBR has become RGB."""
  from pydicom import encaps, pixels

  if syntax in UNCOMPRESSED:
    _check_length(dataset)
    _check_bits(dataset, syntax)
    _check_colors(pixels.pixel_array(dataset, raw=True), dataset)
    return pixels.pixel_array(dataset)
  frame = next(encaps.generate_frames(dataset.PixelData, number_of_frames=1))
  if not frame.startswith(STARTS[syntax in JPEG_2000]):
    raise _Refused(f'its pixels are said to be {READABLE[syntax]}, but do not begin as those do: they are damaged, or stored '
                   'in a way of their maker\'s own; export it again')
  try:
    image = Image.open(io.BytesIO(frame), formats=('JPEG', 'JPEG2000'))
  except UnidentifiedImageError as error:
    raise _refused_stream(frame, syntax) from error
  with image:
    if image.size != (dataset.Columns, dataset.Rows):  # another size was not checked
      raise _Refused(f'its picture has {image.width}x{image.height} pixels, its header says '
                     f'{dataset.Columns}x{dataset.Rows}')
    if syntax in JPEG_2000:
      if HOLE in frame:
        raise _Refused('its coded data have a hole; export it again')
      try:
        return pixels.pixel_array(dataset, decoding_plugin='pillow')
      except Exception as error:  # whatever the plug-in raises
        raise _refused_stream(frame, syntax) from error
    if dataset.BitsStored != 8:
      raise _Refused(f'it is a JPEG of {dataset.BitsStored} bits; read are 8')
    try:
      check_jpeg(frame)
    except ValueError as error:
      raise _Refused(str(error)) from error
    return _decode_jpeg(image, frame, dataset)


def _refused_stream(frame: bytes, syntax: str) -> _Refused:
  """Of a compressed stream that cannot be decoded."""
  if syntax in JPEG:
    try:
      check_jpeg(frame)
    except ValueError as error:
      return _Refused(str(error))
  return _Refused(f'its {READABLE[syntax]} data are damaged, or of a kind that is not read; export it again, or decompress it '
                  'with dcmdjpeg or gdcmconv --raw')


def _decode_jpeg(image: Any, frame: bytes, dataset: Any) -> np.ndarray:
  """By Pillow itself: pydicom converts twice where Adobe's mark says YCbCr. Without a mark the numbers decide, then the header.
  """
  marked = {'adobe', 'jfif'} & set(image.info) or [component[0] for component in image.layer] == list(b'RGB')
  if marked or len(image.layer) != 3:
    return np.array(image)
  reduced = any(component[1:3] != image.layer[2][1:3] for component in image.layer)  # colour at half the size: never RGB
  with Image.open(io.BytesIO(frame), formats=('JPEG',)) as again:
    again.draft('YCbCr', again.size)  # no conversion
    stored = np.array(again)
  as_rgb = False if reduced else _looks_like(stored)
  if as_rgb is None:
    as_rgb = dataset.PhotometricInterpretation == 'RGB'
  return stored if as_rgb else np.array(image)


def _looks_like(stored: np.ndarray) -> bool | None:
  """Whether numbers of three channels are RGB (True) or YCbCr (False), by what is black: (0, 0, 0) or (0, 128, 128); None where
  nothing black says so."""
  pixels = stored.reshape(-1, 3)[::max(1, stored.size // 3_000_000)]
  dark = pixels[pixels[:, 0] < DARK]
  if len(dark) < BLACK_SHARE * len(pixels):
    return None
  others = np.median(dark[:, 1:], axis=0)
  return True if (others < NEAR_BLACK).all() else False if (np.abs(others - 128) < NEAR_GREY).all() else None


def _check_length(dataset: Any) -> None:
  samples = int(dataset.SamplesPerPixel) if dataset.PhotometricInterpretation != 'YBR_FULL_422' else 2
  expected = dataset.Rows * dataset.Columns * samples * dataset.BitsAllocated // 8
  if len(dataset.PixelData) < expected:
    raise _Refused(f'its pixels end early: {len(dataset.PixelData):,} of {expected:,} bytes are there; copy it again')
  if len(dataset.PixelData) > expected + 1:  # one may be added to make it even
    raise _Refused(f'it has {len(dataset.PixelData):,} bytes of pixels, its header says {expected:,}: one is wrong; export it '
                   'again')


def _check_bits(dataset: Any, syntax: str) -> None:
  """Holds the stored bits that the header names to uncompressed numbers, of which pydicom takes so many and no more."""
  if dataset.PixelRepresentation == 1 or dataset.BitsStored == dataset.BitsAllocated or dataset.BitsAllocated not in (8, 16):
    return
  kind = 'u1' if dataset.BitsAllocated == 8 else '>u2' if syntax == BIG_ENDIAN else '<u2'
  data = dataset.PixelData
  most = int(np.frombuffer(data[:len(data) // 2 * 2], kind).max(initial=0))
  if most >= 1 << dataset.BitsStored:
    raise _Refused(f'its header says {dataset.BitsStored} bits, but its numbers go up to {most}; export it again')


def _check_colors(stored: np.ndarray, dataset: Any) -> None:
  """Holds the colours that the header names to what is black in uncompressed numbers of 8 bits. Raises ValueError."""
  said = dataset.PhotometricInterpretation
  if stored.dtype != np.uint8 or stored.shape[2:] != (3,) or said not in ('RGB', 'YBR_FULL'):
    return
  looks = _looks_like(stored)
  if looks is not None and looks != (said == 'RGB'):
    raise _Refused(f'its header says that its colours are {said}, but its black is that of {"RGB" if looks else "YBR_FULL"}; '
                   'export it again')


def _to_rgb(stored: np.ndarray, dataset: Any) -> np.ndarray:
  from pydicom import pixels

  photometric = dataset.PhotometricInterpretation
  if stored.shape[2:] != ((3,) if photometric in COLORS else ()):
    raise _Refused(f'its pixels are {list(stored.shape)}, which are not those of {photometric}')
  bits = dataset.BitsStored
  if dataset.PixelRepresentation != 1:
    windowed = any(dataset.get(name) not in (None, '') for name in ('WindowCenter', 'VOILUTSequence', 'ModalityLUTSequence'))
    if bits > 8 and photometric != PALETTE and not windowed and stored.max(initial=0) < 256 and stored.size > FEW:
      raise _Refused(f'its header says {bits} bits, but none of its numbers is above 255; export it with 8 bits')
  if photometric in MONOCHROME:
    return np.repeat(_grey_table(dataset)[stored][..., None], 3, axis=-1)
  if photometric == PALETTE:
    _check_palette(dataset)
    stored = pixels.apply_color_lut(stored, dataset)[..., :3]
    bits = 8 * stored.dtype.itemsize
  return stored if bits == 8 and stored.dtype == np.uint8 else _scale_table(bits)[stored]


def _check_palette(dataset: Any) -> None:
  """Holds what the header says of the colour table to the table. Raises ValueError."""
  wide = []
  for name in ('Red', 'Green', 'Blue'):
    descriptor = dataset.get(f'{name}PaletteColorLookupTableDescriptor')
    data = dataset.get(f'{name}PaletteColorLookupTableData')
    if f'Segmented{name}PaletteColorLookupTableData' in dataset:
      return  # pydicom unfolds it
    if not descriptor or len(descriptor) != 3 or not data:
      raise _Refused(f'its colour table lacks its {name.lower()} part; export it in RGB')
    entries, bits = descriptor[0] or 1 << 16, descriptor[2]
    if bits not in (8, 16) or not 0 <= len(data) - entries * bits // 8 <= 1:
      raise _Refused(f'its colour table is said to have {entries} entries of {bits} bits, but holds {len(data):,} bytes; '
                     'export it in RGB')
    if bits == 16:
      wide.append(int(np.frombuffer(data[:2 * entries], '<u2').max()))
  if wide and max(wide) < 256:
    raise _Refused('its colour table is said to have 16 bits, but none of its entries is above 255; export it in RGB')


def _scale_table(bits: int) -> np.ndarray:
  """uint8 [65536]: 0..255 for every number that a pixel may hold."""
  return np.clip(np.rint(np.arange(1 << MAX_BITS) * (255 / ((1 << bits) - 1))), 0, 255).astype(np.uint8)


def _grey_table(dataset: Any) -> np.ndarray:
  """uint8 [2^b]: 0..255 for every number that a grey pixel of b bits may hold; negative ones index from the end."""
  from pydicom import pixels

  for name in ('RescaleSlope', 'RescaleIntercept', 'WindowCenter', 'WindowWidth'):
    if name in dataset and dataset.get(name) in (None, ''):
      del dataset[name]  # both of a pair, see `_check_header`: as if they were not there
  numbers = np.arange(1 << dataset.BitsAllocated)
  if dataset.PixelRepresentation == 1:
    numbers[len(numbers) // 2:] -= len(numbers)
  shown = pixels.apply_voi_lut(pixels.apply_modality_lut(numbers, dataset), dataset)
  low, high = _shown_range(dataset)
  if not low < high:
    raise _Refused(f'its grey values run from {low} to {high}; the rescale slope must be above 0')
  share = np.clip((shown - low) / (high - low), 0, 1)
  if dataset.PhotometricInterpretation == 'MONOCHROME1':
    share = 1 - share
  return np.rint(255 * share).astype(np.uint8)


def _shown_range(dataset: Any) -> tuple[float, float]:
  """Black and white of what pydicom's `apply_voi_lut` gives."""
  for sequence in ('VOILUTSequence', 'ModalityLUTSequence'):  # the later table decides
    if dataset.get(sequence):
      return 0, (1 << dataset[sequence][0].LUTDescriptor[2]) - 1
  bits, signed = dataset.BitsStored, dataset.PixelRepresentation == 1
  low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
  if dataset.get('RescaleSlope') not in (None, '') and dataset.get('RescaleIntercept') not in (None, ''):
    low, high = (end * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept) for end in (low, high))
  return low, high
