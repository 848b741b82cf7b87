"""Reading photographs: whatever a camera or an archive leaves becomes uint8 [H, W, 3] RGB, or is refused in a sentence.

What is done to the pixels, where more than one thing could be (our choice):

  more than 8 bits     the whole range of the format becomes 0..255: 16-bit grey is divided by 257 and rounded, of
                       16-bit colour Pillow keeps the upper 8 bits, which differs by 1 at most
  transparency         dropped, not laid over a background: cameras store no transparency, and what it hides is retina
  CMYK, YCCK JPEG      taken as Adobe writes them (inverted), and mixed without a colour profile
  colour profiles      ignored everywhere, as networks are trained without them
  several pictures     the first is taken (of an animation, a TIFF of several pages, a telephone's MPO)
  DICOM                see `photograph.dicom`
"""

from __future__ import annotations

import os
import pathlib
import struct

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from lesion_jax.photograph.dicom import is_dicom, read_dicom

# About four times the largest fundus photograph we know of, and below Pillow's own warning. A photograph of this size
# takes 0.6 GB while it is read.
MAX_PIXELS = 64_000_000
# Pillow knows more, but starts a PostScript interpreter for one of them, and no camera writes the others.
FORMATS = ('JPEG', 'PNG', 'BMP', 'PPM', 'GIF', 'TIFF', 'WEBP', 'JPEG2000')
WHITE_IS_ZERO, PHOTOMETRIC, BITS = 0, 262, 258  # of TIFF
# What Pillow's readers raise for damaged files.
DAMAGE = (OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, ArithmeticError, struct.error,
          Image.DecompressionBombError, Image.DecompressionBombWarning)


def read_photograph(path: str | os.PathLike) -> np.ndarray:
  """Reads a photograph, upright by its EXIF orientation.

  Args:
    path: a file of one of FORMATS, or DICOM (with the extra `dicom`); its content decides, not its name.

  Returns:
    uint8 [H, W, 3], RGB.

  Raises:
    FileNotFoundError: where there is no such file.
    ValueError: naming file and cause, where it cannot be read, is no image, is damaged, or has more than MAX_PIXELS
      pixels, which is seen before they are decoded.
  """
  path = pathlib.Path(path)
  try:
    if path.is_dir():
      raise ValueError('it is a directory; name the files in it')
    return read_dicom(path, max_pixels=MAX_PIXELS) if is_dicom(path) else _read_image(path)
  except FileNotFoundError:
    raise
  except DAMAGE as error:
    cause = error.strerror if isinstance(error, OSError) and error.strerror else error
    raise ValueError(f'cannot read the photograph {path}: {cause}') from error


def _read_image(path: pathlib.Path) -> np.ndarray:
  if path.stat().st_size == 0:
    raise ValueError('the file is empty')
  Image.preinit()  # the first five; without it any of the others loads every reader there is
  try:
    image = Image.open(path, formats=FORMATS)
  except UnidentifiedImageError as error:
    raise ValueError('it is no image, or damaged in its first bytes; read are '
                     f'{", ".join(FORMATS)} and DICOM') from error
  except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:  # Pillow's own limit is another
    raise ValueError(f'it has more than {MAX_PIXELS:,} pixels; reduce it') from error
  with image:
    if image.width * image.height > MAX_PIXELS:
      raise ValueError(f'it has {image.width}x{image.height} pixels (width x height), more than {MAX_PIXELS:,}; '
                       'reduce it')
    if image.mode.startswith(('I', 'F')):
      return _from_grey(image)
    ImageOps.exif_transpose(image, in_place=True)
    return np.array(image if image.mode == 'RGB' else image.convert('RGB'))


def _from_grey(image: Image.Image) -> np.ndarray:
  """16-bit grey, which Pillow would clip instead of scaling."""
  tags = getattr(image, 'tag_v2', {})
  if not image.mode.startswith('I;16') or tags.get(BITS, (16,)) != (16,):
    raise ValueError(f'its pixels are numbers of more than 8 bits whose white is not known ({image.mode!r}); '
                     'convert it to 8 or 16 bits a channel')
  ImageOps.exif_transpose(image, in_place=True)
  grey = ((np.asarray(image).astype(np.uint32) + 128) // 257).astype(np.uint8)
  if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO:
    grey = 255 - grey
  return np.repeat(grey[..., None], 3, axis=-1)
