"""Reads COCO's JSON of instances: one file an annotator.

Facts, from its documentation and the source of pycocotools: `images` have id, file_name, height and width, `categories` id
and name; an annotation has image_id, category_id and `segmentation`, which is a list of polygons [x1, y1, x2, y2, ...] in
pixels from the photograph's corner, of which all are parts of one shape, or run lengths: `size` [height, width] and
`counts`, lengths in turn of absent and present down the columns, as a list or packed into text.

A category that names a grade, with a box or without any outline, grades the photograph (our choice: COCO knows none).
"""

from __future__ import annotations

import pathlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from lesion_jax.annotation.json_file import finite, outline, size_of
from lesion_jax.annotation.label_regions import Wrong
from lesion_jax.annotation.labels import Labels
from lesion_jax.annotation.mistakes import Findings, cut
from lesion_jax.annotation.names import file_name
from lesion_jax.annotation.shapes import Annotation, Bitmap, Polygon, Shape


def is_coco(found: Any) -> bool:
  """Returns whether a JSON value is such an export."""
  return isinstance(found, dict) and all(isinstance(found.get(key), list) for key in ('images', 'annotations', 'categories'))


def read_coco(path: pathlib.Path, found: Mapping[str, Any], labels: Labels, annotator: str = '') -> tuple[
    list[Annotation], Counter[str]]:
  """Reads one export.

  Args:
    path: for messages.
    found: its JSON, of which `is_coco` holds.
    labels: what the categories mean.
    annotator: who drew it; '': the file's name.

  Returns:
    The annotations, and what was passed over: photographs without any marking.

  Raises:
    ValueError: naming the file and annotations, for all that cannot be read, counted.
  """
  names = {cut(str(item.get('id'))): str(item.get('name', '')) for item in found['categories'] if isinstance(item, dict)}
  of_image: dict[str, list[Any]] = {}
  for item in found['annotations']:
    of_image.setdefault(cut(str(item.get('image_id'))) if isinstance(item, dict) else '', []).append(item)
  annotations, passed_over, wrong = [], Counter(), Findings()
  for image in found['images']:
    image = image if isinstance(image, dict) else {}
    name = file_name(str(image.get('file_name', ''))[:4096])
    where = f'{path}, {cut(name) or "an image without a name"}'
    items = of_image.pop(cut(str(image.get('id'))), [])
    if name and not items:
      passed_over['photographs without any marking'] += 1
      continue
    try:
      if not name:
        raise ValueError(f'{where}: which photograph is it?')
      size = size_of(image.get('height'), image.get('width'), where)
      annotations.append(_read_image(items, name, annotator or path.stem, names, labels, size, where, wrong))
    except ValueError as error:
      wrong.add(where, str(error).removeprefix(where).removeprefix(':').strip())
  for items in of_image.values():
    for _ in items:
      wrong.add(str(path), 'an annotation is of no image that the file lists; export it again')
  wrong.require_none()
  return annotations, passed_over


def _read_image(
    items: list[Any], name: str, annotator: str, names: Mapping[str, str], labels: Labels, size: tuple[int, int], where: str,
    wrong: Findings,
) -> Annotation:
  shapes: list[Shape] = []
  grades: set[int | None] = set()
  for item in items:
    label = names.get(cut(str(item.get('category_id'))))
    if label is None:
      raise ValueError(f'{where}: the category {cut(item.get("category_id"))} is not listed; export it again')
    if labels.is_grade(label):
      grades.add(labels.grade(label, where))
      continue
    lesion = labels.lesion(label, where)
    try:
      shapes += [] if lesion is None else _shapes(item.get('segmentation'), lesion, size)
    except Wrong as error:
      wrong.add(where, str(error))
  if len(grades) > 1:
    raise ValueError(f'{where}: one annotation has the grades {sorted(grades)}; expected one')
  return Annotation(name, annotator, next(iter(grades), None), tuple(shapes), size)


def _shapes(segmentation: Any, lesion: str, size: tuple[int, int]) -> list[Shape]:
  if isinstance(segmentation, dict):
    return [Bitmap.of(lesion, decode_runs(segmentation, size))]
  if not isinstance(segmentation, list) or not segmentation:
    raise Wrong('a marking has no outline, a box at most; draw it as polygon or mask, or map its label to null')
  parts: list[Shape] = []
  for numbers in segmentation:
    if not isinstance(numbers, list) or len(numbers) % 2 or not all(map(finite, numbers)):
      raise Wrong('the points of a shape are not pairs of numbers; export it again')
    parts.append(Polygon(lesion, outline(np.reshape(numbers, (-1, 2)), size)))
  return parts


def decode_runs(segmentation: Mapping[str, Any], size: tuple[int, int]) -> np.ndarray:
  """Decodes COCO's run lengths as a mask.

  Args:
    segmentation: with `size` [height, width] and `counts`, a list of lengths or text.
    size: (height, width) of the photograph.

  Returns:
    bool [H, W].

  Raises:
    Wrong: it is of another size, or its lengths do not fill it.
  """
  if segmentation.get('size') != list(size):
    raise Wrong(f'a mask is {cut(segmentation.get("size"))} pixels (height, width) and its photograph {list(size)}')
  counts = segmentation.get('counts')
  lengths = _unpack(counts) if isinstance(counts, str) else counts
  if (not isinstance(lengths, list) or not all(isinstance(length, int) and length >= 0 for length in lengths)
      or sum(lengths) != size[0] * size[1]):
    raise Wrong('the run lengths of a mask do not fill its photograph; export it again')
  values = np.arange(len(lengths)) % 2 == 1
  return np.repeat(values, lengths).reshape(size[::-1]).T


def _unpack(text: str) -> list[int] | None:
  """The lengths in a text: groups of five bits from '0' on, the lowest first, a sixth bit where more follow and the fifth of
  the last one the sign; from the fourth on less the length two before."""
  lengths: list[int] = []
  value = shift = 0
  for letter in text:
    code = ord(letter) - 48
    if not 0 <= code < 64 or shift > 60:
      return None
    value |= (code & 31) << shift
    shift += 5
    if not code & 32:
      value -= (1 << shift) if code & 16 else 0
      lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
      value = shift = 0
  return None if shift else lengths
