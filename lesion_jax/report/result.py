"""The files of one predicted photograph."""

from __future__ import annotations

import functools
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from lesion_jax.clinical.record import RECORD, present_lesions, warnings_of
from lesion_jax.core import LESION_KEYS, lesion_bits, lesion_index
from lesion_jax.photograph.square import PhotographPrediction, Square
from lesion_jax.photograph.threads import ordered_map
from lesion_jax.report.files import write_grey, write_whole
from lesion_jax.report.outlines import mask_on_photograph, trace, write_outlines
from lesion_jax.report.overlay import draw_overlay, warning_strip

OVERLAY, PACKED, OUTLINES, FIELD, ATTENTION = 'overlay.png', 'lesions.png', 'outlines.svg', 'field.jpg', 'attention.png'
# All that a folder of results may hold.
NAMES = frozenset({RECORD, OVERLAY, PACKED, OUTLINES, FIELD, ATTENTION, *(f'{key}.png' for key in LESION_KEYS)})
OVERLAY_SIDE = 1024  # The network's own size may be too small to read.
FIELD_SIDE = 2048  # at most; a microaneurysm of 125 um still has about 17 pixels where the field is 45 degrees wide
QUALITY = 85
FAST = 1  # compression of PNG: a higher one takes three times as long and saves a tenth


def write_result(folder: str | pathlib.Path, found: PhotographPrediction, record: Mapping[str, Any]) -> dict[str, Any]:
  """Writes what `lesion-jax predict --help` lists. What an earlier run left in the folder is removed.

  The record is removed first and written last: a folder with one is complete. The field is removed last and written
  first: a folder without one is not ours.

  Args:
    folder: made where it does not exist.
    found: the prediction of one photograph (B = 1).
    record: of `describe`.

  Returns:
    The record as written, with the names of the other files under 'files'.
  """
  folder = pathlib.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  for old in (RECORD, OVERLAY, PACKED, OUTLINES, ATTENTION, *(f'{key}.png' for key in LESION_KEYS), FIELD):
    (folder / old).unlink(missing_ok=True)
  files = [FIELD]
  square, = found.squares
  Image.fromarray(square.view).save(folder / FIELD, quality=QUALITY)
  if found.maps is not None:
    files += [OVERLAY, *_write_lesions(folder, found.maps[0], square, record)]
  if found.attention is not None:
    files.append(ATTENTION)
    _stretched(found.attention[0]).save(folder / ATTENTION, compress_level=FAST)
  record = {**record, 'files': files}
  write_whole(folder / RECORD, json.dumps(record, indent=2, allow_nan=False) + '\n')
  return record


def _write_lesions(
    folder: pathlib.Path, maps: np.ndarray, square: Square, record: Mapping[str, Any],
) -> list[str]:
  """Overlay, masks and outlines of the lesions that are present; returns the names of the files but the overlay's.

  In threads, as nearly all of it is resizing and packing: the first photograph is out in half the time.
  """
  thresholds = {key: record['lesions'][key]['threshold'] for key in present_lesions(record)}
  crop, levels = square.crop, [thresholds.get(key, np.inf) for key in LESION_KEYS]

  def write_overlay() -> None:
    seen = Image.fromarray(square.view).resize((OVERLAY_SIDE, OVERLAY_SIDE), Image.Resampling.BILINEAR)
    overlay = draw_overlay(np.asarray(seen), maps, keys=thresholds, thresholds=levels)
    if said := warnings_of(record):
      overlay = np.concatenate([overlay, warning_strip(OVERLAY_SIDE, ' '.join(said))])
    Image.fromarray(overlay).save(folder / OVERLAY, compress_level=FAST)

  def write_mask(key: str) -> tuple[np.ndarray, str]:
    values = maps[..., lesion_index(key)]
    mask = mask_on_photograph(values, thresholds[key], crop)
    write_grey(folder / f'{key}.png', mask * np.uint8(255))
    return mask * np.uint8(lesion_bits([key])), trace(values, thresholds[key], crop)

  packed, paths = np.zeros((crop.height, crop.width), np.uint8), {}
  done = ordered_map(lambda job: job(), [write_overlay, *(functools.partial(write_mask, key) for key in thresholds)])
  next(done)  # the overlay
  for key, (bits, path) in zip(thresholds, done, strict=True):
    packed |= bits
    paths[key] = path
  write_grey(folder / PACKED, packed)
  write_outlines(folder / OUTLINES, paths, crop)
  return [PACKED, OUTLINES, *(f'{key}.png' for key in thresholds)]


def _stretched(attention: np.ndarray) -> Image.Image:
  """A grey picture of the square: black where a map [h, w] is least, white where it is most."""
  low, high = float(attention.min()), float(attention.max())
  grey = np.round((attention - low) / max(high - low, 1e-12) * 255).astype(np.uint8)
  return Image.fromarray(grey).resize((OVERLAY_SIDE, OVERLAY_SIDE), Image.Resampling.BILINEAR)
