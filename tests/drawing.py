"""Draws photographs and masks for the tests of the releases' layouts."""

from __future__ import annotations

import pathlib

import numpy as np
from PIL import Image

SIDE = 64
IDRID_SHAPE = (96, 144)  # the release's 2848x4288, roughly; its field reaches past the top and the bottom
IDRID_FOLDERS = {'MA': '1. Microaneurysms', 'HE': '2. Haemorrhages', 'EX': '3. Hard Exudates', 'SE': '4. Soft Exudates'}


def fundus(height: int, width: int, *, centre: tuple[float, float] | None = None, radius: float | None = None,
           seed: int = 0) -> np.ndarray:
  """uint8 [H, W, 3]: a textured orange disc on black."""
  rows, columns = np.mgrid[:height, :width] + 0.5
  row, column = centre or (height / 2, width / 2)
  disc = (rows - row) ** 2 + (columns - column) ** 2 < (radius or 0.48 * min(height, width)) ** 2
  texture = np.random.default_rng(seed).integers(0, 20, (height, width, 1))
  return (disc[..., None] * (np.array([170, 80, 40]) + texture)).astype(np.uint8)


def copy_of(image: np.ndarray, path: pathlib.Path, *, scale: float = 0.7, quality: int = 60) -> pathlib.Path:
  """Writes a copy of a photograph such as another release might hold: smaller, 3 % brighter, compressed anew."""
  height, width = image.shape[:2]
  small = Image.fromarray(image).resize((round(scale * width), round(scale * height)), Image.Resampling.BICUBIC)
  return save(path, small.point(lambda level: min(255, round(1.03 * level))), quality=quality)


def patchwork(image: np.ndarray, seed: int) -> np.ndarray:
  """The photograph with a coarse pattern of its own, by which its fingerprint is told from that of others."""
  cells = np.random.default_rng(seed).uniform(0.6, 1, (8, 8))
  height, width = image.shape[:2]
  pattern = cells[np.arange(height) * 8 // height][:, np.arange(width) * 8 // width]
  return (image * pattern[..., None]).astype(np.uint8)


def save(path: pathlib.Path, image: np.ndarray | Image.Image, **options) -> pathlib.Path:
  """Writes an image, and its folder where that is missing."""
  path.parent.mkdir(parents=True, exist_ok=True)
  (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path, **options)
  return path


def palette(mask: np.ndarray) -> Image.Image:
  """A palette image as IDRiD ships them: index 1 is red."""
  image = Image.frombytes('P', mask.shape[::-1], mask.astype(np.uint8).tobytes())
  image.putpalette([0, 0, 0, 255, 0, 0] + [0] * 750)
  return image


def block(top: int, left: int, height: int, width: int, shape: tuple[int, int] = (SIDE, SIDE)) -> np.ndarray:
  """bool [H, W]: one rectangle."""
  mask = np.zeros(shape, bool)
  mask[top:top + height, left:left + width] = True
  return mask


def draw_idrid(root: pathlib.Path) -> pathlib.Path:
  """Eight training photographs and two test ones; palette, bilevel and RGBA masks, and some that are missing."""
  photographs = root / 'A. Segmentation' / '1. Original Images'
  masks = root / 'A. Segmentation' / '2. All Segmentation Groundtruths'
  for folder, numbers in (('a. Training Set', range(1, 9)), ('b. Testing Set', (55, 81))):
    for code in IDRID_FOLDERS.values():
      (masks / folder / code).mkdir(parents=True)
    for number in numbers:
      name = f'IDRiD_{number:02d}'
      save(photographs / folder / f'{name}.jpg', patchwork(fundus(*IDRID_SHAPE, radius=56, seed=number), number),
           quality=95)
      for code, mask in (('MA', block(40, 60, 4, 4, IDRID_SHAPE)), ('EX', block(60, 80, 8, 8, IDRID_SHAPE))):
        image = palette(mask) if number % 2 else Image.fromarray(mask)
        save(masks / folder / IDRID_FOLDERS[code] / f'{name}_{code}.tif', image)
  colour = np.zeros((*IDRID_SHAPE, 4), np.uint8)
  colour[block(60, 80, 8, 8, IDRID_SHAPE)] = (255, 0, 0, 0)
  colour[..., 3] = 255  # opaque everywhere: alpha says nothing
  save(masks / 'b. Testing Set' / IDRID_FOLDERS['EX'] / 'IDRiD_81_EX.tif', colour)
  return root
