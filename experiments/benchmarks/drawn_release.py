"""Drawn photographs, written as the Retinal-Lesions release is laid out: the same bytes each time."""

from __future__ import annotations

import pathlib

import numpy as np
from PIL import Image

from lesion_jax.core import LESION_KEYS, unpack_bits
from lesion_jax.data import synthetic
from lesion_jax.data.datasets.retinal_lesions import MASK_NAMES, PRESENT, UNSCORED
from lesion_jax.photograph.threads import ordered_map

SEED, QUALITY = 0, 92


def write_release(root: pathlib.Path, *, count: int, size: int, every_mask: bool) -> None:
  """Writes `count` photographs with their masks and grades, unless that was done before.

  Args:
    root: of the release.
    count: of the photographs.
    size: side of the squares.
    every_mask: write eight masks each; else only those of lesions that are there, as the release does.
  """
  table = root / 'dr_grades.csv'
  if table.exists():
    return
  lines = ordered_map(lambda index: _write(root, index, size, every_mask), range(count))
  rows = ['image id,kaggle label,our label', *lines]
  table.write_text('\n'.join([*rows, '']))


def _write(root: pathlib.Path, index: int, size: int, every_mask: bool) -> str:
  """Writes one photograph; returns its row of the table."""
  sample = synthetic.generate(seed=SEED, index=index, size=size)
  photograph = root / 'images_896x896' / f'{sample.id}.jpg'
  masks = root / 'lesion_segs_896x896' / sample.id
  for folder in (photograph.parent, masks):
    folder.mkdir(parents=True, exist_ok=True)
  Image.fromarray(sample.image).save(photograph, quality=QUALITY)
  present, unscored = unpack_bits(sample.lesions), unpack_bits(sample.ignore)
  for j, key in enumerate(LESION_KEYS):
    levels = np.where(present[..., j], PRESENT, np.where(unscored[..., j], UNSCORED, 0)).astype(np.uint8)
    if every_mask or levels.any():
      Image.fromarray(levels).save(masks / f'{MASK_NAMES[key]}.png')
  return f'{sample.id},0,{sample.grade}'
