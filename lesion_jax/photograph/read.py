"""Reading photographs: whatever a camera or an archive leaves becomes uint8 [H, W, 3] RGB, or is refused in a sentence.

What is done to the pixels, where more than one thing could be (our choice):

  more than 8 bits     the whole range of the format becomes 0..255: 16-bit grey is divided by 257 and rounded, of
                       16-bit colour Pillow keeps the upper 8 bits, which differs by 1 at most
  transparency         dropped, not laid over a background: cameras store no transparency, and what it hides is retina
  CMYK, YCCK JPEG      taken as Adobe writes them (inverted), and mixed without a colour profile
  colour profiles      ignored everywhere, as networks are trained without them
  EXIF                 turns a photograph upright; where it is damaged it is left alone, and the pixels lie as they are stored
  several pictures     the first is taken (of an animation, a telephone's MPO); of a TIFF the first page that is not a
                       smaller copy of another, see `photograph.tiff`
  coded data           that end early or make the decoder stumble are damage: see `photograph.jpeg`
  DICOM                see `photograph.dicom`
  what takes too long  is given up, see `photograph.patience`
"""

from __future__ import annotations

import io
import os
import re
import signal
import stat
import struct
import sys
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from lesion_jax import machine
from lesion_jax.photograph import jpeg, patience, tiff
from lesion_jax.photograph.dicom import HEAD, is_dicom, is_jpeg_2000, read_dicom
from lesion_jax.photograph.dicom import read_laterality as read_dicom_laterality
from lesion_jax.photograph.dicom import read_spacing as read_dicom_spacing
from lesion_jax.photograph.orientation import ACROSS, exif_orientation, turned
from lesion_jax.photograph.png import check_png
from lesion_jax.photograph.threads import allowed_pixels, limited

# About four times the largest fundus photograph we know of, and below Pillow's own warning. A photograph of this size
# takes 0.6 GB while it is read.
MAX_PIXELS = 64_000_000
MAX_BYTES = 1 << 30  # of a file: more than MAX_PIXELS take in any format
# Pillow knows more, but starts a PostScript interpreter for one of them, and no camera writes the others.
FORMATS = ('JPEG', 'PNG', 'BMP', 'PPM', 'GIF', 'TIFF', 'WEBP', 'JPEG2000')
# What Pillow's readers raise for damaged files.
DAMAGE = (OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, ArithmeticError, struct.error,
          Image.DecompressionBombError, Image.DecompressionBombWarning)
HOLE = re.compile(b'\0{1024,}')  # Never in the coded data of lossy WebP and JPEG 2000, whose bytes are as good as random.
# In lossless WebP a black surround may be such a run too. Of what a disk or a transfer lost, one end lies between two of its blocks.
BLOCK = 512
# Pillow's words for it, which say nothing to who has the file.
CUT_OFF = re.compile('broken data stream|could not create decoder|unrecognized data stream|decoder error|truncated file read|'
                     'expected to read', re.IGNORECASE)
DECODED_AT = (2, 4, 8)  # fractions of its size at which libjpeg decodes, by the first coefficients alone
MAX_PLAIN = 4_000_000  # pixels of a PNM in digits, which Pillow reads one by one
# Files by their first bytes, from the given place on, that people take for photographs.
STRANGERS = (
    (0, re.compile(b'version https://git-lfs'), 'the place of a photograph in Git LFS, and not the photograph'),
    (4, re.compile(b'ftyp(heic|heix|hevc|hevx|heim|heis|mif1|msf1)'), 'a HEIC photograph, as telephones write them'),
    (4, re.compile(b'ftypavi[fs]'), 'an AVIF picture'),
    (4, re.compile(b'ftypcrx'), 'a raw photograph (CR3)'),
    (4, re.compile(b'ftyp'), 'a film'),
    (0, re.compile(b'\xff\x0a|\0\0\0\x0cJXL '), 'a JPEG XL picture'),
    (0, re.compile(b'\xff\xd8\xff\xf7'), 'a JPEG-LS picture'),
    (0, re.compile(b'II\xbc'), 'a JPEG XR picture'),
    (0, re.compile(b'II\x2a\0.{4}CR', re.DOTALL), 'a raw photograph (CR2)'),
    (0, re.compile(b'FUJIFILMCCD-RAW|IIRO|IIU\0'), 'a raw photograph'),
    (0, re.compile(b'8BPS'), 'a Photoshop file'),
    (0, re.compile(b'%PDF'), 'a PDF'),
    (0, re.compile(b'\0\x05\x16[\0\x07]'), "a Mac's AppleDouble file, which holds no picture"),
    (0, re.compile(b'PK\x03\x04'), 'a zip archive'),
    (0, re.compile(b'v/1\x01'), 'an OpenEXR picture'),
    (0, re.compile(b'SIMPLE  ='), 'a FITS picture'),
    (0, re.compile(rb'\s*<svg|\s*<\?xml|\s*<!DOCTYPE|\s*<html', re.IGNORECASE), 'XML or HTML'),
)

# Of formats that are read, by their first bytes.
BEGINNINGS = ((b'\x89PNG', 'PNG'), (b'\xff\xd8', 'JPEG'), (b'II*\0', 'TIFF'), (b'MM\0*', 'TIFF'), (b'II+\0', 'TIFF'), (b'MM\0+', 'TIFF'),
              (b'GIF8', 'GIF'), (b'BM', 'BMP'), (b'RIFF', 'WebP'), (b'\0\0\0\x0cjP', 'JPEG 2000'), (b'\xff\x4f\xff', 'JPEG 2000'))

Source = str | os.PathLike | bytes | bytearray | memoryview | BinaryIO


def read_photograph(source: Source) -> np.ndarray:
  """Reads a photograph as `read_image` does, to uint8 [H, W, 3], RGB. Raises what that does."""
  return np.array(read_image(source).image)


class Read(NamedTuple):
  """A photograph that was read.

  Attributes:
    image: Pillow's, in RGB, upright by its EXIF orientation.
    height, width: of the photograph in its own pixels.
    factor: each pixel of the image is so many of them along each side; those at the lower and the right edge may be fewer.
  """

  image: Image.Image
  height: int
  width: int
  factor: int = 1


def read_image(source: Source, *, least: int | None = None) -> Read:
  """Reads a photograph, upright by its EXIF orientation.

  Args:
    source: a file of one of FORMATS, or DICOM (with the extra `dicom`); its content decides, not its name. A path, the bytes
      of such a file, or one that is open for reading in binary, which is read from where it stands.
    least: pixels that the longer side must keep: a JPEG file is decoded at a half, a quarter or an eighth of its size where that
      leaves so many, in a fraction of the time. None: in full size, as everything else.

  Raises:
    FileNotFoundError: where there is no such file.
    ValueError: naming file and cause, where it cannot be read, is no image, is damaged, has more than MAX_PIXELS
      pixels, or than `threads.limited` allows, which is seen before they are decoded, or takes longer than `threads.allowed_seconds`.
  """
  name = source if isinstance(source, str | os.PathLike) else getattr(source, 'name', 'that came as bytes')
  try:
    return patience.within_seconds(lambda: _read(source, least))
  except FileNotFoundError:
    raise
  except DAMAGE as error:
    raise ValueError(f'cannot read the photograph {name}: {_cause(error)}') from error


def answer(seconds: float, most: int = 0) -> None:
  """Returns the other process of `patience.in_a_process`: reads a file from standard input and writes height, width and
  pixels, of which there are at most `most` (0: MAX_PIXELS), to standard output, or the cause why not. It ends itself when the
  time is over, should nobody else do so, and with the process that waits for it."""
  machine.end_with_parent()
  if hasattr(signal, 'setitimer'):
    signal.setitimer(signal.ITIMER_REAL, seconds + 1)
  out = os.fdopen(os.dup(1), 'wb')
  os.dup2(2, 1)  # whatever a library prints
  with out:
    try:
      with limited(pixels=most or None):
        pixels = np.asarray(_decode(io.BytesIO(sys.stdin.buffer.read())).image)
    except DAMAGE as error:
      out.write(str(_cause(error)).encode('utf-8', 'replace'))
      status = patience.REFUSED
    else:
      out.write(np.array(pixels.shape[:2], '<u4').tobytes())
      out.write(np.ascontiguousarray(pixels).data)
      status = 0
  sys.exit(status)


def _read(source: Source, least: int | None) -> Read:
  with _open(source) as file:
    file.seek(0)
    if is_jpeg_2000(file.read(HEAD)):
      file.seek(0)
      if (pixels := patience.in_a_process(file.read(), allowed_pixels(MAX_PIXELS))) is not None:
        return as_read(Image.fromarray(pixels))
    return _decode(file, least)


def _decode(file: BinaryIO, least: int | None = None) -> Read:
  if is_dicom(file):
    return as_read(Image.fromarray(read_dicom(file, max_pixels=allowed_pixels(MAX_PIXELS))))
  return _read_image(file, least)


def as_read(image: Image.Image) -> Read:
  """Returns an image in RGB as a photograph that was read in full size."""
  return Read(image, image.height, image.width)


def _cause(error: BaseException) -> object:
  if isinstance(error, OSError) and error.strerror:
    return error.strerror
  return 'its coded data are cut off or damaged; copy it again' if CUT_OFF.search(str(error)) else error


def read_spacing(source: Source) -> tuple[float, float] | None:
  """Millimetres on the retina between rows and between columns of a photograph that was read; None but of DICOM files
  that say it, by their path or their bytes."""
  return _of_dicom(source, read_dicom_spacing)


def read_laterality(source: Source) -> str | None:
  """Which eye a photograph that was read is of, 'right' or 'left'; None but of DICOM files that say it, by their path or their
  bytes."""
  return _of_dicom(source, read_dicom_laterality)


def _of_dicom(source: Source, read: Callable[[BinaryIO], Any]) -> Any:
  if not isinstance(source, str | os.PathLike | bytes | bytearray | memoryview):
    return None
  try:
    with _open(source) as file:
      return read(file) if is_dicom(file) else None
  except DAMAGE:
    return None


def open_regular(path: str | os.PathLike) -> BinaryIO:
  """Opens a file for reading that has an end: no pipe and no device, which may keep whoever reads them for ever.

  Raises:
    OSError, ValueError: it cannot be opened, or is something else.
  """
  file = os.open(path, os.O_RDONLY | getattr(os, 'O_NONBLOCK', 0) | getattr(os, 'O_BINARY', 0))
  try:
    found = os.fstat(file)
    if stat.S_ISDIR(found.st_mode):
      raise ValueError('it is a directory; name the files in it')
    if not stat.S_ISREG(found.st_mode):
      raise ValueError('it is a pipe or a device, not a file; copy what it holds into a file')
    if found.st_size > MAX_BYTES:
      raise ValueError(f'it has {found.st_size:,} bytes, more than {MAX_BYTES:,}; is it a photograph?')
    return os.fdopen(file, 'rb')
  except BaseException:
    os.close(file)
    raise


def _open(source: Source) -> BinaryIO:
  """A file that can be sought in; the caller closes it."""
  if isinstance(source, str | os.PathLike):
    return open_regular(source)
  data = source if isinstance(source, bytes | bytearray | memoryview) else source.read(MAX_BYTES + 1)
  if not isinstance(data, bytes | bytearray | memoryview):
    raise ValueError("it was opened as text; open it with mode 'rb'")
  if len(data) > MAX_BYTES:
    raise ValueError(f'it has more than {MAX_BYTES:,} bytes; is it a photograph?')
  return io.BytesIO(data)


def _read_image(file: BinaryIO, least: int | None) -> Read:
  file.seek(0)
  head = file.read(64)
  if not head:
    raise ValueError('the file is empty')
  if found := _read_wide_pnm(file, head):
    return as_read(Image.fromarray(found[0]))
  Image.preinit()  # the first five; without it any of the others loads every reader there is
  file.seek(0)
  try:
    image = Image.open(file, formats=FORMATS)
  except UnidentifiedImageError as error:
    raise ValueError(_why_unknown(file, head)) from error
  except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:  # Pillow's own limit is another
    raise ValueError(f'it has more than {MAX_PIXELS:,} pixels; reduce it') from error
  with image:
    if image.format == 'TIFF':
      tiff.choose_page(image)
    if image.width * image.height > (most := allowed_pixels(MAX_PIXELS)):
      raise ValueError(f'it has {image.width}x{image.height} pixels (width x height), more than {most:,}; reduce it')
    _look_for_damage(image, file, head)
    if image.mode.startswith(('I', 'F')):
      return as_read(Image.fromarray(_from_grey(image)))
    whole, factor = image.size, 1
    if least and image.format in ('JPEG', 'MPO') and image.mode == 'RGB':
      factor = max((each for each in DECODED_AT if max(whole) >= each * least), default=1)
      image.draft('RGB', (whole[0] // factor, whole[1] // factor))
    straight = turned(image)  # and loaded, before the file is closed
    width, height = straight.size if factor == 1 else whole[::-1] if exif_orientation(image) in ACROSS else whole
    return Read(straight if straight.mode == 'RGB' else straight.convert('RGB'), height, width, factor)


def _why_unknown(file: BinaryIO, head: bytes) -> str:
  """Of a file that Pillow does not know."""
  for place, pattern, words in STRANGERS:
    if pattern.match(head, place):
      return f'it is {words}, and not read; save it as JPEG, PNG or TIFF'
  tiff.refuse_numbers(file)
  if head.startswith(jpeg.START):
    file.seek(0)
    try:
      jpeg.check_jpeg(file.read())
    except jpeg.OtherKind as error:
      return str(error)
    except ValueError:
      pass
  for start, name in BEGINNINGS:
    if head.startswith(start):
      return f'it begins as a {name}, but what says how to read the rest is cut off or damaged; copy it again'
  return f'it is no image, or damaged in its first bytes; read are {", ".join(FORMATS)} and DICOM'


def _look_for_damage(image: Image.Image, file: BinaryIO, head: bytes) -> None:
  """Raises ValueError for coded data that a decoder would fill up without a word, or that would take too long."""
  place = file.tell()
  if image.format in ('JPEG', 'MPO'):
    file.seek(0)
    jpeg.check_jpeg(file.read())
  elif image.format in ('WEBP', 'JPEG2000'):
    file.seek(0)
    data = file.read()
    lossless = b'VP8L' in data[:256] or b'ALPH' in data[:256]
    for hole in HOLE.finditer(data):
      if not lossless or hole.start() % BLOCK == 0 or hole.end() % BLOCK == 0:
        raise ValueError(f'its coded data have a hole of {hole.end() - hole.start():,} zeros; copy it again')
  elif image.format == 'PNG':
    file.seek(0)
    check_png(file.read())
  elif image.format == 'TIFF':
    jpeg.check_parts(getattr(image, 'tag_v2', {}), file)
  elif head[:2] in (b'P1', b'P2', b'P3') and image.width * image.height > MAX_PLAIN:
    raise ValueError(f'its {image.width}x{image.height} numbers are written as digits, of which at most {MAX_PLAIN:,} pixels '
                     'are read; save it as PNG')
  file.seek(place)


def _read_wide_pnm(file: BinaryIO, head: bytes) -> tuple[np.ndarray] | None:
  """PGM and PPM of 16 bits, whose colours Pillow reads number by number; None of all others."""
  if head[:2] not in (b'P5', b'P6'):
    return None
  file.seek(0)
  found = re.match(rb'P[56](?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)\s', file.read(4096))
  if not found or not 255 < (white := int(found[3])) < 65536:
    return None
  width, height, channels = int(found[1]), int(found[2]), 1 if head[:2] == b'P5' else 3
  if not 0 < width * height <= (most := allowed_pixels(MAX_PIXELS)):
    raise ValueError(f'it has {width}x{height} pixels (width x height), more than {most:,}; reduce it')
  file.seek(found.end())
  data = file.read(size := 2 * width * height * channels)
  if len(data) < size:
    raise ValueError(f'image file is truncated ({size - len(data)} bytes are missing)')
  numbers = np.frombuffer(data, '>u2').reshape(height, width, channels)
  levels = np.clip((np.arange(1 << 16) * 510 + white) // (2 * white), 0, 255).astype(np.uint8)  # rounded
  return (np.ascontiguousarray(np.broadcast_to(levels[numbers], (height, width, 3))),)


def _from_grey(image: Image.Image) -> np.ndarray:
  """16-bit grey, which Pillow would clip instead of scaling."""
  tags: Any = getattr(image, 'tag_v2', {})
  if not image.mode.startswith('I;16') or tags.get(tiff.BITS, (16,)) != (16,):
    raise ValueError(f'its pixels are numbers of more than 8 bits whose white is not known ({image.mode!r}); '
                     'convert it to 8 or 16 bits a channel')
  grey = ((np.asarray(turned(image)).astype(np.uint32) + 128) // 257).astype(np.uint8)
  if tags.get(tiff.PHOTOMETRIC) == tiff.WHITE_IS_ZERO:
    grey = 255 - grey
  return np.repeat(grey[..., None], 3, axis=-1)


def upright(image: Image.Image) -> Image.Image:
  """Returns an open Pillow image in RGB, as one of a file: upright, transparency dropped.

  Raises:
    ValueError: its numbers have more than 8 bits and no known white, or it cannot be decoded.
  """
  try:
    straight = turned(image)
    if straight.mode.startswith(('I', 'F')):
      return Image.fromarray(_from_grey(straight))
    return straight if straight.mode == 'RGB' else straight.convert('RGB')
  except DAMAGE as error:
    raise ValueError(f'the Pillow image cannot be taken: {error}') from error
