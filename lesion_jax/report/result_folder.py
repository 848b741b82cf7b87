"""The folder of one predicted photograph: masks, overlay, outlines, maps and record are written here."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from lesion_jax.clinical.fhir import to_fhir
from lesion_jax.clinical.findings import without_small
from lesion_jax.clinical.record import RECORD, not_evaluated, present_lesions, warnings_of, with_whose
from lesion_jax.core import LESION_KEYS, lesion_bits, lesion_index
from lesion_jax.photograph.crop import Crop
from lesion_jax.photograph.png import encode_png
from lesion_jax.photograph.square import PhotographPrediction, Square
from lesion_jax.photograph.threads import ordered_map
from lesion_jax.report import dicom as dicom_on_disk
from lesion_jax.report import maps as maps_on_disk
from lesion_jax.report.files import opened, write_grey, write_whole
from lesion_jax.report.maps import Maps, write_maps
from lesion_jax.report.outlines import Drawing, Part, paint, write_outlines
from lesion_jax.report.overlay import NOTHING, burn, draw_masks, legend_strip, warning_strip

OVERLAY, PACKED, OUTLINES, FIELD, ATTENTION = 'overlay.png', 'lesions.png', 'outlines.svg', 'field.jpg', 'attention.png'
BURNT, FHIR = 'burnt.jpg', 'fhir.json'
WAITING = f'.{RECORD}.before'  # the record of before, while new thresholds are put into effect
# What is made of maps and thresholds: all that new thresholds change.
MADE = (OVERLAY, PACKED, OUTLINES, BURNT, *(f'{key}.png' for key in LESION_KEYS))
# All that the folder of one photograph may hold.
NAMES = frozenset({RECORD, FIELD, ATTENTION, FHIR, *MADE, *maps_on_disk.NAMES, *dicom_on_disk.NAMES})
OVERLAY_SIDE = 1024  # The network's own size may be too small to read.
SMALL = Crop(0, 0, OVERLAY_SIDE, OVERLAY_SIDE, OVERLAY_SIDE)
FIELD_SIDE = 2048  # at most; a microaneurysm of 125 um still has about 17 pixels where the field is 45 degrees wide
QUALITY = 85
BURNT_QUALITY = 95
FAST = 1  # compression of PNG: a higher one takes three times as long and saves a tenth


def write_result(
    folder: str | pathlib.Path, found: PhotographPrediction, record: Mapping[str, Any], *, maps: Maps | None = None,
    photograph: np.ndarray | None = None, fhir: bool = False, dicom: pathlib.Path | None = None, overlay: bool = True,
) -> dict[str, Any]:
  """Writes what `lesion-jax predict --help` lists. What an earlier run left in the folder is removed.

  The record is removed first and written last: a folder with one is complete. The field is removed last and written
  first: a folder without one is not ours.

  Args:
    folder: made where it does not exist.
    found: the prediction of one photograph (B = 1).
    record: of `describe`, with 'maps' of `maps_entry` where there are maps to write.
    maps: write the probability maps of the lesions too, so.
    photograph: uint8 [H, W, 3], all of it: write it with the lesions burnt in.
    fhir: write the record as FHIR R4 too.
    dicom: the photograph's file: write DICOM objects that refer to it too, see `report.dicom`. Those that lie there with the same UIDs
      stay.
    overlay: write OVERLAY, where there are maps.

  Returns:
    The record as written, with the names of the other files under 'files'.
  """
  folder = pathlib.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  for old in (RECORD, WAITING, FHIR, *(dicom_on_disk.NAMES if dicom is None else ()), *MADE, *maps_on_disk.NAMES, ATTENTION, FIELD):
    (folder / old).unlink(missing_ok=True)
  files = [FIELD]
  square, = found.squares
  square.picture.save(folder / FIELD, quality=QUALITY)
  if found.maps is not None:
    files += _write_lesions(folder, found.maps[0], square, record, photograph, overlay)
    if maps and record['lesions']:
      files += write_maps(folder, found.maps[0], square.field, square.crop, list(record['lesions']), maps)
  if found.attention is not None:
    files.append(ATTENTION)
    _stretched(found.attention[0]).save(folder / ATTENTION, compress_level=FAST)
  if fhir:
    files.append(FHIR)
    _write_fhir(folder, record)
  record = {**record, 'files': files}
  if dicom is not None:
    record['files'] = files + _write_dicom(folder, record, dicom)
  write_whole(folder / RECORD, json.dumps(record, indent=2, allow_nan=False) + '\n')
  return record


def rewrite_lesions(
    folder: pathlib.Path, maps: np.ndarray, record: Mapping[str, Any], photograph: np.ndarray | None = None,
    dicom: pathlib.Path | None = None,
) -> dict[str, Any]:
  """Makes anew what `write_result` made of the maps, for a record of `rethreshold`; the overlay is drawn on FIELD.

  Meanwhile the old record lies beside under the name WAITING: a process that is killed leaves a folder that can be done
  again.

  Args:
    folder: of the photograph.
    maps: float32 [S, S, 8].
    record: the new one.
    photograph: as of `write_result`.
    dicom: likewise; None: DICOM objects that lie there are removed.

  Returns:
    The record as written.

  Raises:
    OSError, ValueError: FIELD cannot be read, and everything is as it was; or something cannot be written.
  """
  with opened(folder / FIELD) as image:  # before anything goes: without it nothing is made anew
    view = np.asarray(image.convert('RGB'))
  if (folder / RECORD).exists():
    (folder / RECORD).replace(folder / WAITING)
  for old in MADE:
    (folder / old).unlink(missing_ok=True)
  square = Square(view, Crop(**record['crop'], height=record['photograph']['height'], width=record['photograph']['width']), view)
  kept = [name for name in record['files'] if name not in (*MADE, *dicom_on_disk.NAMES)]
  files = [FIELD, *_write_lesions(folder, maps, square, record, photograph, OVERLAY in record['files']), *(name for name in kept if name != FIELD)]
  record = {**record, 'files': files}
  if FHIR in files:
    _write_fhir(folder, record)
  for old in dicom_on_disk.NAMES if dicom is None else ():
    (folder / old).unlink(missing_ok=True)
  if dicom is not None:
    record['files'] = files + _write_dicom(folder, record, dicom)
  write_whole(folder / RECORD, json.dumps(record, indent=2, allow_nan=False) + '\n')
  (folder / WAITING).unlink(missing_ok=True)
  return record


def rewrite_whose(
    folder: pathlib.Path, record: dict[str, Any], said: Mapping[str, Any] | None, file: pathlib.Path,
) -> dict[str, Any]:
  """Changes in finished results whose eye it is, and what follows from it; the network has no part in that.

  Args:
    folder: of the photograph.
    record: that lies in it.
    said: as `whose` of `clinical.record.describe`.
    file: the photograph.

  Returns:
    The record as it is written now; nothing is written where it says so already.
  """
  changed = with_whose(record, said)
  if changed == record:
    return record
  if FHIR in record['files']:
    _write_fhir(folder, changed)
  if dicom_on_disk.SR in record['files']:
    _write_dicom(folder, changed, file)
  write_whole(folder / RECORD, json.dumps(changed, indent=2, allow_nan=False) + '\n')
  return changed


def _write_dicom(folder: pathlib.Path, record: Mapping[str, Any], file: pathlib.Path) -> list[str]:
  return dicom_on_disk.write_dicom(folder, record, masks_on_disk(folder, record), file)


def _write_fhir(folder: pathlib.Path, record: Mapping[str, Any]) -> None:
  write_whole(folder / FHIR, json.dumps(to_fhir(record), indent=2, allow_nan=False) + '\n')


def has_maps(record: Mapping[str, Any]) -> bool:
  """Returns whether the network that made a record makes maps of lesions."""
  return record['lesions'] is not None and all(lesion['found'] is not None for lesion in record['lesions'].values())


def masks_on_disk(folder: pathlib.Path, record: Mapping[str, Any]) -> dict[str, np.ndarray]:
  """Returns the masks that lie beside a record, bool [H, W] by lesion, of those that are present.

  Raises:
    OSError: one cannot be read.
    ValueError: one is damaged, or of another size.
  """
  size, masks = (record['photograph']['height'], record['photograph']['width']), {}
  for key in present_lesions(record):
    if f'{key}.png' in record['files']:
      with opened(folder / f'{key}.png') as image:
        masks[key] = np.asarray(image) > 0
      if masks[key].shape != size:
        raise ValueError(f'{folder / key}.png is {list(masks[key].shape)}, its photograph {list(size)}')
  return masks


def _write_lesions(
    folder: pathlib.Path, maps: np.ndarray, square: Square, record: Mapping[str, Any], photograph: np.ndarray | None, overlay: bool,
) -> list[str]:
  """Overlay where it is asked for, masks and outlines of the lesions that are present, and the photograph with them burnt in; returns the
  files' names.

  In threads, as nearly all of it is resizing and packing: the first photograph is out in half the time.
  """
  keys = present_lesions(record)
  crop, packed, paths, seen = square.crop, np.zeros((square.crop.height, square.crop.width), np.uint8), {}, {}

  def write_mask(key: str) -> tuple[list[Part], str, np.ndarray | None]:
    drawing, parts = _draw(maps[..., lesion_index(key)], record['lesions'][key], crop)
    write_grey(folder / f'{key}.png', paint(parts, crop))
    return parts, drawing.outline(), paint(drawing.parts(SMALL), SMALL) if overlay else None

  for key, (parts, path, small) in zip(keys, ordered_map(write_mask, keys), strict=True):
    for place, part in parts:
      packed[place] |= part * np.uint8(lesion_bits([key]))
    paths[key], seen[key] = path, small
  write_grey(folder / PACKED, packed)
  write_outlines(folder / OUTLINES, paths, crop)
  if overlay:
    _write_overlay(folder / OVERLAY, square, seen, record)
  if photograph is not None:
    masks = {key: (packed & np.uint8(lesion_bits([key]))) > 0 for key in keys}
    Image.fromarray(burn(photograph, masks, none=_nothing(record))).save(folder / BURNT, quality=BURNT_QUALITY)
  return [*([OVERLAY] if overlay else []), PACKED, OUTLINES, *(f'{key}.png' for key in keys), *([] if photograph is None else [BURNT])]


def _draw(values: np.ndarray, lesion: Mapping[str, Any], crop: Crop) -> tuple[Drawing, list[Part]]:
  """A lesion's map [S, S] on its way into the photograph, without the regions that are too small, and the parts of its mask."""
  values, threshold = np.array(values, np.float32), lesion['threshold']
  if 'smallest' in lesion:
    mask = values >= threshold
    values[mask & ~without_small(mask, lesion['smallest']['network_pixels'])] = 0
  drawing = Drawing(values, threshold, crop)
  return drawing, list(drawing.parts())


def _write_overlay(path: pathlib.Path, square: Square, masks: Mapping[str, np.ndarray], record: Mapping[str, Any]) -> None:
  """The legend names what is called present, also where nothing of it is large enough to be outlined."""
  seen = square.picture.resize((OVERLAY_SIDE, OVERLAY_SIDE), Image.Resampling.BILINEAR)
  overlay = np.concatenate([draw_masks(np.asarray(seen), masks, legend=False), legend_strip(OVERLAY_SIDE, list(masks), _nothing(record))])
  if warnings := warnings_of(record):
    overlay = np.concatenate([overlay, warning_strip(OVERLAY_SIDE, ' '.join(warnings))])
  path.write_bytes(encode_png(overlay))


def _nothing(record: Mapping[str, Any]) -> str:
  """What is said where nothing is found: of which lesions, where not all are evaluated."""
  return f'none of {", ".join(record["lesions"]) or "the lesions"} found' if not_evaluated(record) else NOTHING


def _stretched(attention: np.ndarray) -> Image.Image:
  """A grey picture of the square: black where a map [h, w] is least, white where it is most."""
  low, high = float(attention.min()), float(attention.max())
  grey = np.round((attention - low) / max(high - low, 1e-12) * 255).astype(np.uint8)
  return Image.fromarray(grey).resize((OVERLAY_SIDE, OVERLAY_SIDE), Image.Resampling.BILINEAR)
