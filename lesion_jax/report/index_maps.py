"""Masks of a folder of results as index maps: one grey PNG a photograph, whose numbers are lesions, as networks of one class
a pixel learn from.

  index_maps/masks/<name>.png    0 nothing, 1 MA, 2 iHE, 3 HaEx, 4 CWS, 5 vHE, 6 pHE, 7 NV, 8 FiP, in the photograph's own pixels
  index_maps/dataset.json        what the numbers mean, as the data set `folder` reads it

With the photographs beside `masks`, as `images`, it is a data set `folder`. A pixel has one number: of several lesions
there, that which comes first in the order above (our choice: it keeps the small ones); `lesions.png` has them all.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Sequence

import numpy as np

from lesion_jax.core import LESION_KEYS
from lesion_jax.report.files import write_grey, write_whole
from lesion_jax.report.result_folder import has_maps, masks_on_disk
from lesion_jax.report.table import Entry

NAME, MASKS, SETTINGS = 'index_maps', 'masks', 'dataset.json'
NUMBERS = {key: number for number, key in enumerate(LESION_KEYS, 1)}


def write_index_maps(folder: pathlib.Path, entries: Sequence[Entry]) -> tuple[int, int]:
  """Writes a map for each photograph, named like the folder of its results, and what the numbers mean. Photographs whose
  network makes no maps are skipped; a lesion that is not evaluated in all of them has the meaning null, none.

  Args:
    folder: of all of it, made where there is none; the folders of the photographs lie beside it.
    entries: of the photographs.

  Returns:
    How many pixels have more than one lesion, and in how many photographs.

  Raises:
    OSError: a mask cannot be read, or a file cannot be written.
    ValueError: a mask is not as large as its photograph.
  """
  (folder / MASKS).mkdir(parents=True, exist_ok=True)
  evaluated, pixels, photographs = set(LESION_KEYS), 0, 0
  for entry in entries:
    record = entry.record
    if not record or not has_maps(record):
      continue
    evaluated &= record['lesions'].keys()
    numbers = np.zeros((record['photograph']['height'], record['photograph']['width']), np.uint8)
    several = 0
    for key, mask in masks_on_disk(folder.parent / entry.folder, record).items():
      several += int(np.count_nonzero(mask & (numbers > 0)))
      numbers[mask & (numbers == 0)] = NUMBERS[key]
    write_grey(folder / MASKS / f'{entry.folder}.png', numbers)
    pixels, photographs = pixels + several, photographs + (several > 0)
  meant = {str(number): key if key in evaluated else None for key, number in NUMBERS.items()}
  write_whole(folder / SETTINGS, json.dumps({'indices': meant}, indent=2) + '\n')
  return pixels, photographs
