"""Masks of a folder of results as COCO's JSON of instances: one annotation for each region, as run lengths or as polygons.

Both hold the masks pixel for pixel. Run lengths are those of the format, absent and present in turn down the columns. A
polygon runs along the edges of the pixels, its corners are whole numbers counted from the photograph's corner, and a
pixel belongs to it that has its centre inside. A hole is joined to the outline by a line there and back, since polygons
of COCO have no holes.
"""

from __future__ import annotations

import itertools
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import contourpy
import numpy as np
from scipy import ndimage

from lesion_jax.clinical.findings import TOUCHING
from lesion_jax.core import LESION_KEYS, LESIONS
from lesion_jax.report.files import write_whole
from lesion_jax.report.result_folder import has_maps, masks_on_disk
from lesion_jax.report.table import Entry

RLE, POLYGONS = 'rle', 'polygons'
FORMS = (RLE, POLYGONS)
NAME = 'coco.json'
DESCRIPTION = 'Lesions that a network found, by lesion-jax predict. For research only.'


def write_coco(path: pathlib.Path, entries: Sequence[Entry], form: str = RLE) -> None:
  """Writes the masks of all photographs that have some to one file, and photographs without a lesion without an annotation.

  Categories are the eight lesions, by their keys, from 1 on. An annotation has `segmentation`, `bbox` [x, y, width,
  height], `area` in pixels, and `score`, by which the lesion was called present. Photographs whose network makes no maps
  are left out.

  Args:
    path: of the file; the folders of the photographs lie beside it.
    entries: of the photographs.
    form: RLE or POLYGONS.

  Raises:
    OSError: a mask cannot be read, or the file cannot be written.
    ValueError: another form, or a mask is not as large as its photograph.
  """
  if form not in FORMS:
    raise ValueError(f'coco={form!r}; choose one of {", ".join(FORMS)}')
  images: list[dict[str, Any]] = []
  annotations: list[dict[str, Any]] = []
  for entry in entries:
    record = entry.record
    if not record or not has_maps(record):
      continue
    images.append({'id': len(images) + 1, 'file_name': entry.file.replace('\\', '/'),
                   'height': record['photograph']['height'], 'width': record['photograph']['width']})
    for key, mask in masks_on_disk(path.parent / entry.folder, record).items():
      score = record['lesions'][key]['presence']['score']
      annotations += [{'id': len(annotations) + number, 'image_id': len(images), 'category_id': LESION_KEYS.index(key) + 1,
                       'iscrowd': 0, 'score': score, **found} for number, found in enumerate(regions(mask, form), 1)]
  categories = [{'id': number, 'name': lesion.key, 'supercategory': lesion.name} for number, lesion in enumerate(LESIONS, 1)]
  content = {'info': {'description': DESCRIPTION, 'form': form}, 'images': images, 'annotations': annotations, 'categories': categories}
  write_whole(path, json.dumps(content, allow_nan=False) + '\n')


def form_of(path: pathlib.Path) -> str | None:
  """Returns in which form a file was written here; None of another file, or of none."""
  try:
    text = path.read_text('utf-8')
  except (OSError, ValueError):
    return None
  if json.dumps(DESCRIPTION) not in text[:400]:
    return None
  said = next((form for form in FORMS if f'"form": "{form}"' in text[:400]), None)
  return said or (RLE if '"counts"' in text else POLYGONS)  # files of before do not say it


def regions(mask: np.ndarray, form: str) -> Iterator[dict[str, Any]]:
  """Yields 'segmentation', 'bbox' and 'area' of each region of a mask, bool [H, W]: pixels that touch, at a corner
  too."""
  labels, _ = ndimage.label(mask, TOUCHING)
  for number, place in enumerate(ndimage.find_objects(labels), 1):
    part = labels[place] == number
    (top, bottom), (left, right) = ((each.start, each.stop) for each in place)
    yield {
        'segmentation': {'size': list(mask.shape), 'counts': run_lengths(part, top, left, mask.shape)} if form == RLE
                        else polygons(part, top, left),
        'bbox': [left, top, right - left, bottom - top], 'area': int(np.count_nonzero(part))}


def run_lengths(part: np.ndarray, top: int, left: int, size: tuple[int, int]) -> list[int]:
  """Encodes COCO's `counts` of a mask, bool [h, w], that lies at a row and a column of a photograph of `size` (height,
  width)."""
  columns, rows = np.nonzero(part.T)
  places = (columns + left) * size[0] + rows + top  # down the columns
  first = np.flatnonzero(np.diff(places, prepend=-2) > 1)
  starts, ends = places[first], places[np.append(first[1:] - 1, len(places) - 1)] + 1
  edges = np.stack([starts, ends], axis=1).ravel()
  return np.diff(np.concatenate([[0], edges, [size[0] * size[1]]])).tolist()[:None if edges[-1] < size[0] * size[1] else -1]


def polygons(part: np.ndarray, top: int, left: int) -> list[list[int]]:
  """Polygons [x1, y1, x2, y2, ...] whose pixels are those of a mask, bool [h, w] with some, that lies at a row and a column."""
  padded = np.pad(part, 1).astype(np.float64)
  found, offsets = contourpy.contour_generator(z=padded, fill_type=contourpy.FillType.OuterOffset).filled(0.5, 2)
  result = []
  for points, ends in zip(found, offsets, strict=True):
    rings = [_corners(points[start:stop]) + np.array([left, top]) for start, stop in itertools.pairwise(ends)]
    path = [rings[0]]
    for hole in rings[1:]:
      start, entry = rings[0][0], hole[0]
      knee = np.array([entry[0], start[1]])  # lines along the axes are the same there and back
      path.append(np.stack([start, knee]))
      path.append(hole)
      path.append(np.stack([entry, knee, start]))
    result.append(np.concatenate(path).ravel().tolist())
  return result


def _corners(line: np.ndarray) -> np.ndarray:
  """Corners of the pixels' edges that a contour at one half crosses in their middles, int [n, 2], from the unpadded
  mask's corner.

  Args:
    line: float [m, 2], closed, (x, y), at the middles between pixels of the padded mask, whose centres are whole numbers.
  """
  middles = np.rint(2 * line).astype(np.int64)[:-1]  # an edge that runs down lies at an odd x and an even y
  following = np.roll(middles, -1, axis=0)
  # Two edges after one another share a corner, which has odd numbers; where they lie on one line it is between them.
  corner = np.where(middles % 2 == 1, middles, np.where(following % 2 == 1, following, (middles + following) // 2))
  corner = (corner - 1) // 2  # in pixels; a corner lies half a pixel before its pixel's centre, and the padding is one pixel
  before, after = np.roll(corner, 1, axis=0), np.roll(corner, -1, axis=0)
  turns = np.any((corner - before) != (after - corner), axis=1)
  return corner[turns]
