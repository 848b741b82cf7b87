"""Masks of a folder of results as labelme's JSON: one file a photograph, to look at, to correct, and to read back.

  labelme photographs/ --output results/labelme

Facts, from labelme's source: a shape of the kind mask has the corners of its box, both inside of it, and a PNG of the box in
base 64; a file names its photograph relative to itself; keys that labelme does not know are kept. Masks hold every pixel,
in labelme too. Polygons are those of `report.coco`, along the edges of the pixels: they hold every pixel by the rule that
a pixel belongs to what has its centre inside, which `lesion-jax consensus` follows; labelme's own conversion takes the
pixels that an outline touches as well, so there they are up to a pixel wider on two sides.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import ndimage

from lesion_jax.clinical.findings import TOUCHING
from lesion_jax.photograph.png import encode_png
from lesion_jax.report.coco import polygons
from lesion_jax.report.files import write_whole
from lesion_jax.report.result_folder import has_maps, masks_on_disk
from lesion_jax.report.table import Entry

MASKS, POLYGONS = 'masks', 'polygons'
FORMS = (MASKS, POLYGONS)
NAME = 'labelme'  # of the folder
VERSION = '5.4.0'  # of labelme; masks are read from here on
MADE = 'lesion_jax'  # key of what tells a file of ours that nobody has changed since


def write_labelme(folder: pathlib.Path, entries: Sequence[Entry], form: str = MASKS) -> list[str]:
  """Writes a file for each photograph, named like the folder of its results; one without a lesion has no shapes.

  A file that a person has saved since it was written here stays as it is. Photographs whose network makes no maps are
  left out.

  Args:
    folder: of the files, made where there is none; the folders of the photographs lie beside it.
    entries: of the photographs.
    form: MASKS or POLYGONS.

  Returns:
    The names of the files that stayed as they are.

  Raises:
    OSError: a mask cannot be read, or a file cannot be written.
    ValueError: another form, or a mask is not as large as its photograph.
  """
  if form not in FORMS:
    raise ValueError(f'labelme={form!r}; choose one of {", ".join(FORMS)}')
  folder.mkdir(exist_ok=True)
  stayed = []
  for entry in entries:
    record = entry.record
    if not record or not has_maps(record):
      continue
    path = folder / f'{entry.folder}.json'
    if path.exists() and form_of(path) is None:
      stayed.append(path.name)
      continue
    photograph = _relative(entry, folder) or _named_before(path) or pathlib.PureWindowsPath(entry.file).name
    masks = masks_on_disk(folder.parent / entry.folder, record)
    shapes = [shape for key, mask in masks.items() for shape in _shapes(key, mask, form)]
    content = {
        'version': VERSION, 'flags': {}, 'shapes': shapes, 'imagePath': photograph, 'imageData': None,
        'imageHeight': record['photograph']['height'], 'imageWidth': record['photograph']['width'],
        MADE: {'form': form, 'shapes': _digest(shapes)}}
    write_whole(path, json.dumps(content, allow_nan=False, indent=1) + '\n')
  return stayed


def form_of(path: pathlib.Path) -> str | None:
  """Returns in which form a file was written here; None of one that was not, or that was changed since."""
  try:
    found = json.loads(path.read_text('utf-8'))
    made, flags = found[MADE], found.get('flags') or {}
    graded = any(flags.values()) if isinstance(flags, dict) else True  # a flag that is set is an annotator's, see `annotation.labelme`
    return made['form'] if made['form'] in FORMS and made['shapes'] == _digest(found['shapes']) and not graded else None
  except (OSError, ValueError, LookupError, TypeError, RecursionError):
    return None


def _digest(shapes: Any) -> str:
  return hashlib.sha256(json.dumps(shapes, sort_keys=True).encode()).hexdigest()


def _relative(entry: Entry, folder: pathlib.Path) -> str:
  """The path of a photograph from a folder, with slashes; of one on another drive, the whole; '' where the record's path, which
  may be from where another run was started, does not lead to it."""
  path = pathlib.Path(entry.file).resolve()
  if hashlib.sha256(os.fsencode(path)).hexdigest() != entry.record['run']['place']:
    return ''
  try:
    return pathlib.PurePath(os.path.relpath(path, folder.resolve())).as_posix()
  except ValueError:
    return path.as_posix()


def _named_before(path: pathlib.Path) -> str:
  """The photograph that a file of ours names; '' where there is none."""
  return json.loads(path.read_text('utf-8'))['imagePath'] if path.exists() else ''


def _shapes(key: str, mask: np.ndarray, form: str) -> Iterator[Mapping[str, Any]]:
  """A shape for each region, pixels that touch at a corner too; several of one group where polygons meet at corners alone."""
  labels, _ = ndimage.label(mask, TOUCHING)
  for number, place in enumerate(ndimage.find_objects(labels), 1):
    part = labels[place] == number
    (top, bottom), (left, right) = ((each.start, each.stop) for each in place)
    shape = {'label': key, 'group_id': None, 'description': '', 'flags': {}}
    if form == MASKS:
      picture = base64.b64encode(encode_png(part * np.uint8(255))).decode('ascii')
      yield shape | {'shape_type': 'mask', 'points': [[left, top], [right - 1, bottom - 1]], 'mask': picture}
      continue
    parts = polygons(part, top, left)
    for ring in parts:
      yield shape | {'shape_type': 'polygon', 'group_id': number if len(parts) > 1 else None,
                     'points': np.reshape(ring, (-1, 2)).tolist(), 'mask': None}
