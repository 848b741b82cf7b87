"""Masks on disk -> packed bytes, in which bit j stands for LESIONS[j]."""

from __future__ import annotations

import pathlib
import struct
from collections.abc import Iterable, Mapping

import numpy as np
from PIL import Image

from lesion_jax.core import lesion_bits
from lesion_jax.photograph.orientation import exif_orientation

WHITE_16 = 65535  # of 16 bits
SHOWN = 8  # values in a message


def read_mask(path: str | pathlib.Path, *, shape: tuple[int, int], levels: Iterable[int]) -> np.ndarray:
  """Reads a mask file and holds it to what the raw dataset allows.

  Palette images give their indices (not their colours), bilevel ones 0 and 1, grey ones their levels; of colour images the
  brightest channel counts, so that red on black reads as 255 on 0. A palette that contradicts its indices, as index 0 is
  brighter in it than index 1, gives its colours. Alpha is dropped where it says nothing; where the colour is one and the
  same and alpha is not, the mask is drawn in alpha.

  Args:
    path: of any format that Pillow reads.
    shape: (height, width) of the photograph.
    levels: the values the raw dataset allows.

  Returns:
    uint8 [H, W].

  Raises:
    FileNotFoundError: where there is no such file.
    ValueError: where the file cannot be read, has another size than the photograph, holds another value or other numbers than
      whole ones from 0 to 255 (or 0 and 65535 alone, which read as 0 and 255), says one thing in its colours and another in
      alpha, has an EXIF orientation other than upright, or holds several pictures.
  """
  levels = sorted(levels)
  mask = _read(path, shape, indices=True)
  strange = np.flatnonzero(np.bincount(mask.ravel(), minlength=256) * ~np.isin(np.arange(256), levels))
  if strange.size:
    raise ValueError(
        f'the mask {path} holds the values {_some(strange)}; this raw dataset has only {", ".join(map(str, levels))}. '
        'Was it resized or saved as JPEG?')
  return mask


def read_soft_mask(path: str | pathlib.Path, *, shape: tuple[int, int]) -> np.ndarray:
  """Reads a mask whose edges are anti-aliased, so that every grey level is allowed.

  Bilevel and palette images give the greys that they show, so that one threshold serves all; of colour images the
  brightest channel counts, and alpha as `read_mask` takes it.

  Args:
    path: of any format that Pillow reads.
    shape: (height, width) of the photograph.

  Returns:
    uint8 [H, W], 0..255.

  Raises:
    FileNotFoundError: where there is no such file.
    ValueError: where the file cannot be read, or has another size than the photograph.
  """
  return _read(path, shape, indices=False)


def look_at(path: str | pathlib.Path) -> tuple[np.ndarray, bool]:
  """Returns a mask of any size and values, as `read_mask` reads it.

  Returns:
    uint8 [H, W], and whether the file has grey levels (not indices of a palette, nor one bit), in which 1 and 255 are
    different numbers.

  Raises:
    FileNotFoundError, ValueError: of `read_mask`, but for size and values.
  """
  return _open(path, indices=True)


def _read(path: str | pathlib.Path, shape: tuple[int, int], indices: bool) -> np.ndarray:
  """uint8 [H, W] of the photograph's size; of palette and bilevel images the indices, or else the greys that they show."""
  mask, _ = _open(path, indices)
  if mask.shape != tuple(shape):
    raise ValueError(
        f'the mask {path} is {mask.shape[1]}x{mask.shape[0]} pixels and its photograph {shape[1]}x{shape[0]}; '
        'a mask must have the size of its photograph')
  return mask


def _open(path: str | pathlib.Path, indices: bool) -> tuple[np.ndarray, bool]:
  try:
    with Image.open(path) as image:
      if (turned := exif_orientation(image)) not in (None, 0, 1):
        raise ValueError(f'it has the EXIF orientation {turned}, which some programs follow and others do not; save it '
                         'upright, without that tag')
      if (pages := getattr(image, 'n_frames', 1)) > 1:
        raise ValueError(f'it holds {pages} pictures, and a mask is one; save each as a file of its own')
      return _levels(image, indices)
  except FileNotFoundError:
    raise
  except (OSError, SyntaxError, ValueError, LookupError, TypeError, ArithmeticError, struct.error, EOFError,
          Image.DecompressionBombError) as error:
    raise ValueError(f'cannot read the mask {path}: {error}') from error


def _levels(image: Image.Image, indices: bool) -> tuple[np.ndarray, bool]:
  """What a mask file shows, uint8 [H, W], and whether that are grey levels."""
  if image.mode in ('RGBA', 'LA', 'PA', 'RGBa', 'La'):
    shown = np.asarray(image.convert('RGBA'))
    colour, alpha = shown[..., :3].max(axis=-1), shown[..., 3]
    if np.ptp(alpha) == 0:
      nothing = not alpha.any() and np.ptp(colour) == 0  # all of it transparent, and one colour
      return np.zeros_like(colour) if nothing else colour, True
    if np.ptp(colour) == 0:
      return alpha, True
    if (colour[alpha == 0] > 0).any():
      raise ValueError('its colours say one thing and its alpha another; save it without alpha, 0 where the lesion is '
                       'absent and 255 where it is present')
    return colour, True
  if indices and image.mode == 'P' and not _inverted(image):
    return np.asarray(image), False
  if indices and image.mode == '1':
    return np.asarray(image).astype(np.uint8), False
  if image.mode == 'L':
    return np.asarray(image), True
  if image.mode.startswith(('I', 'F')):  # 16 bits and more: Pillow would clip them without a word
    numbers = np.asarray(image)
    with np.errstate(invalid='ignore'):
      bytes_of = numbers.astype(np.uint8)
    if (bytes_of == numbers).all():
      return bytes_of, True
    found = np.unique(numbers)
    if set(found.tolist()) <= {0, WHITE_16}:
      return (numbers > 0).astype(np.uint8) * np.uint8(255), True
    strange = found[~np.isin(found, np.arange(256))]
    raise ValueError(f'it holds {_some(strange)}; a mask has whole numbers from 0 to 255, or 0 and {WHITE_16} alone; save it so')
  mask = np.asarray(image.convert('RGB')).max(axis=-1)
  return mask, image.mode != 'P'


def _some(values: np.ndarray) -> str:
  return ', '.join(f'{value:.6g}' for value in values[:SHOWN].tolist()) + (', ...' if values.size > SHOWN else '')


def _inverted(image: Image.Image) -> bool:
  """Whether a palette has its brightest colour at index 0 and a darker one at index 1, so that the indices say the
  opposite of what is seen."""
  palette = image.getpalette('RGB') or []
  first, second = max(palette[:3], default=0), max(palette[3:6], default=0)
  return len(palette) >= 6 and first >= 128 and second < first


def pack_masks(masks: Mapping[str, np.ndarray], shape: tuple[int, int]) -> np.ndarray:
  """Packs masks by lesion key, bool [H, W] each, into uint8 [H, W]; a lesion without a mask is absent.

  Raises:
    ValueError: for an unknown lesion key.
  """
  packed = np.zeros(shape, np.uint8)
  for key, mask in masks.items():
    packed |= np.where(mask, np.uint8(lesion_bits([key])), np.uint8(0))
  return packed
