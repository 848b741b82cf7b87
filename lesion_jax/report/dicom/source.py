"""What segmentation and report refer to: the DICOM file that was predicted, or one that is written of another photograph."""

from __future__ import annotations

import io
import pathlib
import re
import uuid
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from lesion_jax.clinical.patients import TABLE
from lesion_jax.photograph.dicom import is_dicom
from lesion_jax.photograph.jpeg import START
from lesion_jax.photograph.orientation import exif_orientation
from lesion_jax.photograph.read import open_regular, read_photograph

SPACE = uuid.uuid5(uuid.NAMESPACE_URL, 'urn:lesion-jax:dicom')
SECONDARY_CAPTURE, JPEG_BASELINE, EXPLICIT = '1.2.840.10008.5.1.4.1.1.7', '1.2.840.10008.1.2.4.50', '1.2.840.10008.1.2.1'
SIDES = {'right': 'R', 'left': 'L'}
# Without these nothing can refer to an instance (type 1); the others may be empty (type 2).
NEEDED = ('SOPClassUID', 'SOPInstanceUID', 'StudyInstanceUID', 'SeriesInstanceUID', 'Rows', 'Columns', 'Modality')
EMPTY = ('PatientID', 'PatientName', 'PatientBirthDate', 'PatientSex', 'StudyDate', 'StudyTime', 'StudyID', 'AccessionNumber',
         'ReferringPhysicianName')


def uid(what: str, *of: str) -> str:
  """Returns the UID of something that follows from other things: of the root 2.25, a UUID of version 5 (PS3.5, B.2)."""
  return f'2.25.{uuid.uuid5(SPACE, " ".join((what, *of))).int}'


def of_dicom(file: pathlib.Path) -> Any | None:
  """Returns the header of a DICOM file, pydicom's dataset, with empty elements where it lacks some of EMPTY; None of a file of
  another format, or one that is not there.

  Raises:
    ValueError: it is DICOM, and lacks one of NEEDED.
    OSError: it cannot be read.
  """
  import pydicom

  if not file.is_file():
    return None
  with open_regular(file) as stream:
    if not is_dicom(stream):
      return None
    stream.seek(0)
    header = pydicom.dcmread(stream, stop_before_pixels=True, force=True)
  if lacking := [name for name in NEEDED if header.get(name) in (None, '')]:
    raise ValueError(f'{file}: a DICOM file without {", ".join(lacking)} cannot be referred to; export it again, or leave out '
                     '--dicom-seg')
  for name in EMPTY:
    if name not in header:
      setattr(header, name, '')
  return header


def make_photograph(path: pathlib.Path, record: Mapping[str, Any], file: pathlib.Path) -> Any:
  """Writes a photograph as a Secondary Capture (PS3.3, A.8.1), upright and pixel for pixel as it was read: the coded data of a JPEG
  as they are, without what a camera wrote beside them (EXIF); of all others, and of JPEGs that are stored lying down, plain RGB. Its
  instance is known by photograph, patient and eye, and holds no time: of the same ones it is the same, byte for byte.

  Args:
    path: where to.
    record: of the photograph.
    file: the photograph.

  Returns:
    Its header.

  Raises:
    ValueError, OSError: the photograph cannot be read.
  """
  whose, digest = record.get('whose') or {}, record['run']['photograph']
  patient = (whose.get('patient') or '') if whose.get('source') == TABLE else ''
  side = SIDES.get(whose.get('eye') or '', '')
  instance = uid('photograph', digest, patient, side)
  dataset = _pixels(file.read_bytes(), file)
  dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = SECONDARY_CAPTURE
  dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = instance
  dataset.SpecificCharacterSet = 'ISO_IR 192'
  for name in EMPTY:
    setattr(dataset, name, '')
  dataset.PatientID = patient
  dataset.StudyInstanceUID, dataset.SeriesInstanceUID = uid('study', digest, patient, side), uid('series', digest, patient, side)
  dataset.Modality, dataset.ConversionType = 'OP', 'WSD'
  dataset.SeriesNumber, dataset.InstanceNumber = 1, 1
  dataset.Manufacturer = dataset.PatientOrientation = ''
  dataset.Laterality = side
  dataset.ImageType = ['DERIVED', 'SECONDARY']
  fresh = path.with_name(f'.{path.name}.new')
  try:
    dataset.save_as(fresh, enforce_file_format=True)
    fresh.replace(path)
  finally:
    fresh.unlink(missing_ok=True)
  return dataset


def _pixels(data: bytes, file: pathlib.Path) -> Any:
  """A dataset with the pixels of a photograph."""
  from pydicom.dataset import Dataset, FileMetaDataset
  from pydicom.encaps import encapsulate

  dataset = Dataset()
  dataset.file_meta = FileMetaDataset()
  plain = _plain_jpeg(data)
  pixels = read_photograph(file)
  dataset.Rows, dataset.Columns = pixels.shape[:2]
  dataset.SamplesPerPixel, dataset.PlanarConfiguration = 3, 0
  dataset.BitsAllocated = dataset.BitsStored = 8
  dataset.HighBit, dataset.PixelRepresentation = 7, 0
  if data.startswith(START):
    dataset.LossyImageCompression, dataset.LossyImageCompressionMethod = '01', 'ISO_10918_1'
    dataset.LossyImageCompressionRatio = f'{pixels.size / len(plain or data):.4g}'
  if plain:
    dataset.file_meta.TransferSyntaxUID, dataset.PhotometricInterpretation = JPEG_BASELINE, 'YBR_FULL_422'
    dataset.PixelData = encapsulate([plain])
    dataset['PixelData'].VR = 'OB'
  else:
    dataset.file_meta.TransferSyntaxUID, dataset.PhotometricInterpretation = EXPLICIT, 'RGB'
    dataset.PixelData = pixels.tobytes() + b'\0' * (pixels.size % 2)
    dataset['PixelData'].VR = 'OB'
  return dataset


def _plain_jpeg(data: bytes) -> bytes | None:
  """The stream of a JPEG without what was written beside the picture, where DICOM can hold it and it means the same there: baseline,
  8 bits, YCbCr and marked so, stored upright; None of all others."""
  if not data.startswith(START):
    return None
  with Image.open(io.BytesIO(data), formats=('JPEG', 'MPO')) as image:
    marked = 'jfif' in image.info or image.info.get('adobe_transform') == 1
    if image.format != 'JPEG' or image.mode != 'RGB' or not marked or exif_orientation(image) not in (None, 1):
      return None
    before = np.asarray(image)
  kept, place, frame = [START], len(START), None
  while place + 4 <= len(data):
    found = re.compile(b'\xff+([^\x00\xff])', re.DOTALL).match(data, place)
    if not found:
      return None
    marker, place = found[1][0], found.end()
    end = place + int.from_bytes(data[place:place + 2], 'big')
    if 0xc0 <= marker <= 0xcf and marker not in (0xc4, 0xc8, 0xcc):
      frame = marker
    if marker == 0xda:  # a scan, and all that follows
      kept.append(b'\xff\xda' + data[place:])
      break
    if not (0xe1 <= marker <= 0xed or marker in (0xef, 0xfe)):  # but APP0 and APP14, which say what the colours are
      kept.append(bytes((0xff, marker)) + data[place:end])
    place = end
  plain = b''.join(kept)
  if frame != 0xc0:
    return None
  with Image.open(io.BytesIO(plain), formats=('JPEG',)) as image:
    return plain if np.array_equal(before, np.asarray(image)) else None
