"""Photographs on their way to the network: read, cropped to the field of view, resized."""

from __future__ import annotations

import os
import pathlib
from typing import BinaryIO

import numpy as np
from PIL import Image

from lesion_jax.photograph.crop import Strip, around, locate, whole
from lesion_jax.photograph.read import read_laterality, read_photograph, read_spacing, upright
from lesion_jax.photograph.square import Square

# Of a photograph, in pixels (our choice). A thumbnail shows no lesion, and would be called healthy.
MIN_SIDE = 64
# Of the square around a field of view, in mm: from some degrees to all that a camera sees of a retina. What makes it another was no
# distance on the retina: 1 mm a pixel, as programs write where they do not know, or the size of a print.
WIDTHS = (2.0, 40.0)

Photograph = str | os.PathLike | np.ndarray | Image.Image | bytes | bytearray | memoryview | BinaryIO


def prepare(
    photograph: Photograph | Square, size: int, *, crop: bool | None = True, name: str | None = None,
    view: int | None = None,
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
  image = _pixels(photograph, name)
  if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
    raise ValueError(f'{name}: expected an RGB photograph, uint8 [H, W, 3]; got {image.dtype} {list(image.shape)}')
  if not image.size:
    raise ValueError(f'{name}: it is empty, {list(image.shape)}')
  height, width = image.shape[:2]
  if min(height, width) < (least := min(MIN_SIDE, size)):
    raise ValueError(f'{name}: {height}x{width} pixels are too few to see a retina; expected {least} along each side')
  doubts: tuple[str, ...] = ()
  try:
    if crop is False:
      found = around(height, width)
    else:
      found, doubts = locate(image)
      if crop is None and height == width:
        found = whole(height, width)
  except Strip as error:
    raise ValueError(f'{name}: {error}') from error
  except ValueError as error:
    raise ValueError(f'{name}: {error} (if all of the picture is retina, it goes through whole with crop=False, --no-crop)'
                     ) from error
  pixels = found.apply(image, size)
  return Square(pixels, found, pixels if view is None else found.apply(image, min(found.side, view)), doubts,
                _spacing(photograph, found.side), None if isinstance(photograph, np.ndarray | Image.Image) else read_laterality(photograph))


def _spacing(photograph: Photograph, side: int) -> tuple[float, float] | None:
  """What the file says of its scale, where the field of view is then as wide as one can be."""
  if isinstance(photograph, np.ndarray | Image.Image) or not (spacing := read_spacing(photograph)):
    return None
  return spacing if all(WIDTHS[0] <= side * each <= WIDTHS[1] for each in spacing) else None


def _pixels(photograph: Photograph, name: str) -> np.ndarray:
  """Of any of the forms that `prepare` takes, upright."""
  is_path = isinstance(photograph, str | os.PathLike)
  try:
    if isinstance(photograph, Image.Image):
      return upright(photograph)
    if is_path:
      return read_photograph(pathlib.Path(photograph))
    if isinstance(photograph, bytes | bytearray | memoryview) or hasattr(photograph, 'read'):
      return read_photograph(photograph)
  except ValueError as error:
    if is_path:
      raise
    said = str(error) if isinstance(photograph, Image.Image) else str(error).partition(': ')[2]
    raise ValueError(f'{name}: {said}') from error
  return _in_colour(np.asarray(photograph))


def _in_colour(image: np.ndarray) -> np.ndarray:
  """Grey in all three channels, transparency dropped, as of files; anything else as it is."""
  if image.dtype == np.uint8 and image.ndim == 2:
    return np.repeat(image[..., None], 3, axis=-1)
  return np.ascontiguousarray(image[..., :3]) if image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 4 else image
