"""Reading photographs out of DICOM files, with pydicom (the extra `dicom`).

What is done to the pixels (our choice, after PS3.3 of the standard):

  monochrome     through the modality LUT, then the VOI LUT or the first window that the file states; without either,
                 the range of its stored bits becomes 0..255. MONOCHROME1 is inverted. Grey in all three channels
  RGB, YBR       as they are, converted to RGB; more than 8 stored bits are scaled to 0..255
  palette        through its colour table, whose transparency is dropped

Read are files of one frame, uncompressed, JPEG (8 bits) or JPEG 2000; what Pillow cannot decode is refused. Overlays,
colour profiles and the patient's data are left alone.
"""

from __future__ import annotations

import io
import pathlib
import struct
from typing import Any

import numpy as np
from PIL import Image

MAGIC_OFFSET, MAGIC = 128, b'DICM'
# Transfer syntaxes, how the pixels are stored (PS3.5, section 10).
UNCOMPRESSED = {'1.2.840.10008.1.2': 'Implicit VR Little Endian', '1.2.840.10008.1.2.1': 'Explicit VR Little Endian',
                '1.2.840.10008.1.2.2': 'Explicit VR Big Endian'}
JPEG = {'1.2.840.10008.1.2.4.50': 'JPEG Baseline', '1.2.840.10008.1.2.4.51': 'JPEG Extended of 8 bits'}
JPEG_2000 = {'1.2.840.10008.1.2.4.90': 'JPEG 2000 Lossless', '1.2.840.10008.1.2.4.91': 'JPEG 2000'}
READABLE = UNCOMPRESSED | JPEG | JPEG_2000
MONOCHROME = ('MONOCHROME1', 'MONOCHROME2')
COLORS = ('RGB', 'YBR_FULL', 'YBR_FULL_422', 'YBR_ICT', 'YBR_RCT')
PALETTE = 'PALETTE COLOR'
MAX_BITS = 16


def is_dicom(path: pathlib.Path) -> bool:
  """Whether a file is marked as DICOM, whatever its name."""
  with path.open('rb') as file:
    file.seek(MAGIC_OFFSET)
    return file.read(len(MAGIC)) == MAGIC


def read_dicom(path: pathlib.Path, *, max_pixels: int) -> np.ndarray:
  """Reads the one photograph of a DICOM file as uint8 [H, W, 3] RGB.

  Args:
    path: the file.
    max_pixels: no more are decoded.

  Raises:
    ValueError: naming the cause: pydicom is missing; the file is damaged, holds no pixels, several frames, or pixels of
      a kind that is not read.
  """
  try:
    import pydicom
    from pydicom.errors import BytesLengthException, InvalidDicomError
  except ImportError as error:
    raise ValueError("it is a DICOM file, which takes pydicom to read: pip install 'lesion_jax[dicom]'") from error
  # pydicom has no class for what goes wrong in damaged files. It decodes values when they are asked for.
  damage = (InvalidDicomError, BytesLengthException, AttributeError, LookupError, TypeError, RuntimeError, EOFError,
            ArithmeticError, struct.error)
  try:
    syntax = pydicom.filereader.read_file_meta_info(path).TransferSyntaxUID
    if syntax not in READABLE:  # before anything more is read: a deflated file could be a bomb
      raise ValueError(f'its pixels are stored as {syntax.name!r}; read are {", ".join(READABLE.values())}. '
                       'Decompress it, with dcmdjpeg, dcmdrle or gdcmconv --raw')
    _check_header(pydicom.dcmread(path, stop_before_pixels=True), max_pixels)
    dataset = pydicom.dcmread(path)
    if 'PixelData' not in dataset:
      raise ValueError('it holds no pixels')
    return _to_rgb(_decode(dataset, syntax), dataset)
  except damage as error:
    raise ValueError(f'it is no sound DICOM file ({type(error).__name__}: {error})') from error


def _check_header(header: Any, max_pixels: int) -> None:
  """Holds what the file says of itself to what is read. Raises ValueError."""
  kind = getattr(header.get('SOPClassUID'), 'name', 'unknown')
  if 'Rows' not in header or 'Columns' not in header:
    raise ValueError(f'it holds no picture (its kind is {kind!r})')
  frames = int(header.get('NumberOfFrames') or 1)
  if frames != 1:
    raise ValueError(f'it holds {frames} frames (its kind is {kind!r}); a photograph has one, save that alone')
  if header.Rows * header.Columns > max_pixels:
    raise ValueError(f'it has {header.Columns}x{header.Rows} pixels (width x height), more than {max_pixels:,}; '
                     'reduce it')
  known = (*MONOCHROME, *COLORS, PALETTE)
  if header.PhotometricInterpretation not in known:
    raise ValueError(f'its colours are {header.PhotometricInterpretation!r}; read are {", ".join(known)}')
  signed = header.PixelRepresentation == 1 and header.PhotometricInterpretation not in MONOCHROME
  if signed or not 0 < header.BitsStored <= header.BitsAllocated <= MAX_BITS:
    raise ValueError(f'its pixels have {header.BitsStored} of {header.BitsAllocated} bits'
                     f'{" and a sign" if signed else ""}; read are up to {MAX_BITS}, in colour without a sign')


def _decode(dataset: Any, syntax: str) -> np.ndarray:
  """The stored numbers, [H, W] or [H, W, 3]; YBR has become RGB."""
  from pydicom import encaps, pixels

  if syntax in UNCOMPRESSED:
    return pixels.pixel_array(dataset)
  frame = next(encaps.generate_frames(dataset.PixelData, number_of_frames=1))
  with Image.open(io.BytesIO(frame), formats=('JPEG', 'JPEG2000')) as image:
    if image.size != (dataset.Columns, dataset.Rows):  # another size was not checked
      raise ValueError(f'its picture has {image.width}x{image.height} pixels, its header says '
                       f'{dataset.Columns}x{dataset.Rows}')
    if syntax in JPEG_2000:
      return pixels.pixel_array(dataset, decoding_plugin='pillow')
    if dataset.BitsStored != 8:
      raise ValueError(f'it is a JPEG of {dataset.BitsStored} bits; read are 8')
    # By Pillow itself: pydicom converts twice where Adobe's mark says YCbCr. Without a mark the header decides.
    marked = {'adobe', 'jfif'} & set(image.info) or [component[0] for component in image.layer] == list(b'RGB')
    if dataset.PhotometricInterpretation == 'RGB' and not marked:
      image.draft('YCbCr', image.size)  # no conversion
    return np.array(image)


def _to_rgb(stored: np.ndarray, dataset: Any) -> np.ndarray:
  from pydicom import pixels

  photometric = dataset.PhotometricInterpretation
  if stored.shape[2:] != ((3,) if photometric in COLORS else ()):
    raise ValueError(f'its pixels are {list(stored.shape)}, which are not those of {photometric}')
  if photometric in MONOCHROME:
    return np.repeat(_grey_table(dataset)[stored][..., None], 3, axis=-1)
  bits = dataset.BitsStored
  if photometric == PALETTE:
    stored = pixels.apply_color_lut(stored, dataset)[..., :3]
    bits = 8 * stored.dtype.itemsize
  return stored if bits == 8 and stored.dtype == np.uint8 else _scale_table(bits)[stored]


def _scale_table(bits: int) -> np.ndarray:
  """uint8 [65536]: 0..255 for every number that a pixel may hold."""
  return np.clip(np.rint(np.arange(1 << MAX_BITS) * (255 / ((1 << bits) - 1))), 0, 255).astype(np.uint8)


def _grey_table(dataset: Any) -> np.ndarray:
  """uint8 [2^b]: 0..255 for every number that a grey pixel of b bits may hold; negative ones index from the end."""
  from pydicom import pixels

  numbers = np.arange(1 << dataset.BitsAllocated)
  if dataset.PixelRepresentation == 1:
    numbers[len(numbers) // 2:] -= len(numbers)
  shown = pixels.apply_voi_lut(pixels.apply_modality_lut(numbers, dataset), dataset)
  low, high = _shown_range(dataset)
  if not low < high:
    raise ValueError(f'its grey values run from {low} to {high}; the rescale slope must be above 0')
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
  if 'RescaleSlope' in dataset and 'RescaleIntercept' in dataset:
    low, high = (end * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept) for end in (low, high))
  return low, high
