"""Photographs on their way to the network: read, cropped to the field of view, resized."""

from __future__ import annotations

import os
import pathlib

import numpy as np

from lesion_jax.photograph.crop import find_field, whole
from lesion_jax.photograph.read import read_photograph
from lesion_jax.photograph.square import Square

# Of a photograph, in pixels (our choice). A thumbnail shows no lesion, and would be called healthy.
MIN_SIDE = 64

Photograph = str | os.PathLike | np.ndarray


def prepare(
    photograph: Photograph | Square, size: int, *, crop: bool | None = True, name: str | None = None,
    view: int | None = None,
) -> Square:
  """Makes the network's input from a photograph.

  Args:
    photograph: a file, or uint8 [H, W, 3] in RGB; a Square of this size is passed through.
    size: side S of the square, in pixels.
    crop: look for the field of view. False: the photograph is a square around the field already and is only resized.
      None: cut to it where the photograph is not square; a square one must have one, or a black picture would be
      called healthy.
    name: what errors call the photograph; a file's path where it is None.
    view: side of the square's `view`, at most; None: its pixels serve for it.

  Raises:
    FileNotFoundError: where there is no such file.
    ValueError: naming the photograph, where it cannot be read, is not uint8 [H, W, 3], has fewer than MIN_SIDE pixels along a side, has no field of view, or is not
      square though `crop` is False.
  """
  if isinstance(photograph, Square):
    if photograph.pixels.shape != (size, size, 3):
      raise ValueError(f'{name or "the square"}: its pixels are {list(photograph.pixels.shape)}; this network takes '
                       f'[{size}, {size}, 3]')
    return photograph
  is_file = isinstance(photograph, str | os.PathLike)
  image = read_photograph(pathlib.Path(photograph)) if is_file else np.asarray(photograph)
  name = name or (str(photograph) if is_file else 'the photograph')
  if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
    raise ValueError(f'{name}: expected an RGB photograph, uint8 [H, W, 3]; got {image.dtype} {list(image.shape)}')
  if not image.size:
    raise ValueError(f'{name}: it is empty, {list(image.shape)}')
  height, width = image.shape[:2]
  if min(height, width) < (least := min(MIN_SIDE, size)):
    raise ValueError(f'{name}: {height}x{width} pixels are too few to see a retina; expected {least} along each side')
  try:
    found = whole(height, width) if crop is False else find_field(image)
    if crop is None and height == width:
      found = whole(height, width)
  except ValueError as error:
    advice = 'crop=True finds the field of view' if crop is False else \
        'a square crop of the field that is too dark to find goes through with crop=False'
    raise ValueError(f'{name}: {error} ({advice})') from error
  pixels = found.apply(image, size)
  return Square(pixels, found, pixels if view is None else found.apply(image, min(found.side, view)))
