"""Masks on disk -> packed bytes, in which bit j stands for LESIONS[j]."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable, Mapping

import numpy as np
from PIL import Image

from lesion_jax.core import lesion_bits


def read_mask(path: str | pathlib.Path, *, shape: tuple[int, int], levels: Iterable[int]) -> np.ndarray:
  """Reads a mask file and holds it to what the release allows.

  Palette images give their indices (not their colours), bilevel ones 0 and 1, grey ones their levels; of colour images
  alpha is dropped and the brightest channel counts, so that red on black reads as 255 on 0.

  Args:
    path: of any format that Pillow reads.
    shape: (height, width) of the photograph.
    levels: the values the release allows.

  Returns:
    uint8 [H, W].

  Raises:
    FileNotFoundError: where there is no such file.
    ValueError: where the file cannot be read, has another size than the photograph, or holds another value.
  """
  levels = sorted(levels)
  mask = _read(path, shape, as_they_are=('1', 'L', 'P'))
  strange = np.flatnonzero(np.bincount(mask.ravel(), minlength=256) * ~np.isin(np.arange(256), levels))
  if strange.size:
    found = ', '.join(map(str, strange[:8])) + (', ...' if strange.size > 8 else '')
    raise ValueError(
        f'the mask {path} holds the values {found}; this release has only {", ".join(map(str, levels))}. '
        'Was it resized or saved as JPEG?')
  return mask


def read_soft_mask(path: str | pathlib.Path, *, shape: tuple[int, int]) -> np.ndarray:
  """Reads a mask whose edges are anti-aliased, so that every grey level is allowed.

  Bilevel and palette images give the greys that they show, so that one threshold serves all; of colour images alpha is
  dropped and the brightest channel counts.

  Args:
    path: of any format that Pillow reads.
    shape: (height, width) of the photograph.

  Returns:
    uint8 [H, W], 0..255.

  Raises:
    FileNotFoundError: where there is no such file.
    ValueError: where the file cannot be read, or has another size than the photograph.
  """
  return _read(path, shape, as_they_are=('L',))


def _read(path: str | pathlib.Path, shape: tuple[int, int], as_they_are: tuple[str, ...]) -> np.ndarray:
  """uint8 [H, W]; images of other modes than `as_they_are` are converted to RGB."""
  try:
    with Image.open(path) as image:
      if image.mode not in as_they_are:
        image = image.convert('RGB')
      mask = np.asarray(image).astype(np.uint8)
  except FileNotFoundError:
    raise
  except (OSError, SyntaxError, ValueError) as error:
    raise ValueError(f'cannot read the mask {path}: {error}') from error
  mask = mask.max(axis=-1) if mask.ndim == 3 else mask
  if mask.shape != tuple(shape):
    raise ValueError(
        f'the mask {path} is {mask.shape[1]}x{mask.shape[0]} pixels and its photograph {shape[1]}x{shape[0]}; '
        'a mask must have the size of its photograph')
  return mask


def pack_masks(masks: Mapping[str, np.ndarray], shape: tuple[int, int]) -> np.ndarray:
  """Packs masks by lesion key, bool [H, W] each, into uint8 [H, W]; a lesion without a mask is absent.

  Raises:
    ValueError: for an unknown lesion key.
  """
  packed = np.zeros(shape, np.uint8)
  for key, mask in masks.items():
    packed |= np.where(mask, np.uint8(lesion_bits([key])), np.uint8(0))
  return packed
