"""Photographs on their way to the network: read, cropped to the field of view, resized."""

from __future__ import annotations

import contextlib
import os
import pathlib
from typing import BinaryIO

import numpy as np
from PIL import Image

from lesion_jax.photograph.crop import Crop, Strip, around, locate, whole
from lesion_jax.photograph.read import Read, as_read, read_image, read_laterality, read_spacing, upright
from lesion_jax.photograph.square import Square

# Of a photograph, in pixels (our choice). A thumbnail shows no lesion, and would be called healthy.
MIN_SIDE = 64
# Of the square around a field of view, in mm: from some degrees to all that a camera sees of a retina. What makes it another was no
# distance on the retina: 1 mm a pixel, as programs write where they do not know, or the size of a print.
WIDTHS = (2.0, 40.0)

Photograph = str | os.PathLike | np.ndarray | Image.Image | bytes | bytearray | memoryview | BinaryIO


def prepare(
    photograph: Photograph | Square, size: int, *, crop: bool | None = True, name: str | None = None,
    view: int | None = None, reduced: bool = False,
) -> Square:
  """Makes the network's input from a photograph.

  Args:
    photograph: a file: its path, its bytes, or itself open for reading in binary; a Pillow image, which is taken upright by its
      EXIF orientation; or uint8 [H, W, 3] in RGB, [H, W, 4] with transparency, which is dropped, or grey [H, W]. A Square of this
      size is passed through.
    size: side S of the square, in pixels.
    crop: look for the field of view. False: the photograph is taken whole, in a square around it, black where it is not square.
      None: cut to it where the photograph is not square; a square one must have one, or a black picture would be
      called healthy.
    name: what errors call the photograph; a file's path where it is None.
    view: side of the square's `view`, at most; None: its pixels serve for it.
    reduced: decode a JPEG file, by its path or its bytes, at a fraction of its size where the field of view keeps `size` pixels. That
      takes a third of the time, and the pixels differ a little, see docs/performance.md; `view` has no
      more pixels than were decoded.

  Raises:
    FileNotFoundError: where there is no such file.
    ValueError: naming the photograph, where it cannot be read, is no array of those, has fewer than MIN_SIDE pixels along a side,
      or has no field of view, or two, or is a strip.
  """
  if isinstance(photograph, Square):
    if photograph.pixels.shape != (size, size, 3):
      raise ValueError(f'{name or "the square"}: its pixels are {list(photograph.pixels.shape)}; this network takes '
                       f'[{size}, {size}, 3]')
    return photograph
  name = name or (str(photograph) if isinstance(photograph, str | os.PathLike) else 'the photograph')
  again = isinstance(photograph, str | os.PathLike | bytes | bytearray | memoryview)  # it can be read a second time
  read = _image(photograph, name, size if reduced and again else None)
  if read.factor > 1:
    with contextlib.suppress(ValueError):  # what is wrong is said of the whole photograph
      square = _square(photograph, read, size, crop, name, view)
      if square.crop.side >= read.factor * size:
        return square
    read = _image(photograph, name, None)
  return _square(photograph, read, size, crop, name, view)


def _square(photograph: Photograph, read: Read, size: int, crop: bool | None, name: str, view: int | None) -> Square:
  """`prepare` of what was read."""
  image, height, width, factor = read
  if min(height, width) < (least := min(MIN_SIDE, size)):
    raise ValueError(f'{name}: {height}x{width} pixels are too few to see a retina; expected {least} along each side')
  doubts: tuple[str, ...] = ()
  try:
    if crop is False:
      found = around(image.height, image.width)
    else:
      found, doubts = locate(image)
      if crop is None and height == width:
        found = whole(image.height, image.width)
  except Strip as error:
    raise ValueError(f'{name}: {error}') from error
  except ValueError as error:
    raise ValueError(f'{name}: {error} (if all of the picture is retina, it goes through whole with crop=False, --no-crop)'
                     ) from error
  pixels = found.apply(image, size)
  seen = pixels if view is None else found.apply(image, min(found.side, view))
  if factor > 1:
    found = Crop(factor * found.top, factor * found.left, factor * found.side, height, width)
  return Square(pixels, found, seen, doubts,
                _spacing(photograph, found.side), None if isinstance(photograph, np.ndarray | Image.Image) else read_laterality(photograph))


def _spacing(photograph: Photograph, side: int) -> tuple[float, float] | None:
  """What the file says of its scale, where the field of view is then as wide as one can be."""
  if isinstance(photograph, np.ndarray | Image.Image) or not (spacing := read_spacing(photograph)):
    return None
  return spacing if all(WIDTHS[0] <= side * each <= WIDTHS[1] for each in spacing) else None


def _image(photograph: Photograph, name: str, least: int | None) -> Read:
  """Of any of the forms that `prepare` takes."""
  is_path = isinstance(photograph, str | os.PathLike)
  try:
    if isinstance(photograph, Image.Image):
      return as_read(upright(photograph))
    if is_path:
      return read_image(pathlib.Path(photograph), least=least)
    if isinstance(photograph, bytes | bytearray | memoryview) or hasattr(photograph, 'read'):
      return read_image(photograph, least=least)
  except ValueError as error:
    if is_path:
      raise
    said = str(error) if isinstance(photograph, Image.Image) else str(error).partition(': ')[2]
    raise ValueError(f'{name}: {said}') from error
  return as_read(_from_array(np.asarray(photograph), name))


def _from_array(image: np.ndarray, name: str) -> Image.Image:
  """Grey becomes all three channels, transparency is dropped, as of files."""
  if image.dtype == np.uint8 and image.ndim == 2:
    image = np.repeat(image[..., None], 3, axis=-1)
  elif image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 4:
    image = image[..., :3]
  if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
    raise ValueError(f'{name}: expected an RGB photograph, uint8 [H, W, 3]; got {image.dtype} {list(image.shape)}')
  if not image.size:
    raise ValueError(f'{name}: it is empty, {list(image.shape)}')
  return Image.fromarray(np.ascontiguousarray(image))
