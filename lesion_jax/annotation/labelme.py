"""Reads labelme's JSON: one file a photograph and annotator.

Facts, from its source: `shapes` have label, shape_type and points [x, y] in pixels from the photograph's corner; a rectangle
has two corners, a circle its centre and a point of its edge, a mask the corners of its box and a PNG in base 64. imagePath
names the photograph, imageHeight and imageWidth its size. `flags` that are set and name a grade grade it (our choice).
"""

from __future__ import annotations

import base64
import binascii
import io
import math
import pathlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from lesion_jax.annotation.json_file import outline, size_of
from lesion_jax.annotation.label_regions import Wrong
from lesion_jax.annotation.labels import Labels
from lesion_jax.annotation.mistakes import Findings, cut
from lesion_jax.annotation.names import file_name
from lesion_jax.annotation.shapes import Annotation, Bitmap, Ellipse, Polygon, Shape
from lesion_jax.places import real


def is_labelme(found: Any) -> bool:
  """Returns whether a JSON value is such a file."""
  return isinstance(found, dict) and isinstance(found.get('shapes'), list) and 'imagePath' in found


def read_labelme(path: pathlib.Path, found: Mapping[str, Any], labels: Labels, annotator: str = '') -> tuple[
    list[Annotation], Counter[str]]:
  """Reads one file.

  Args:
    path: for messages.
    found: its JSON, of which `is_labelme` holds.
    labels: what the labels mean.
    annotator: who drew it; '': the folder in which the file lies.

  Raises:
    ValueError: naming the file, for all that cannot be read, counted.
  """
  name = file_name(str(found['imagePath'])[:4096])
  where, wrong = f'{path} ({cut(name)})', Findings()
  if not name:
    raise ValueError(f'{path}: which photograph is it? imagePath is empty')
  size = size_of(found.get('imageHeight'), found.get('imageWidth'), where)
  shapes: list[Shape] = []
  for item in found['shapes']:
    item = item if isinstance(item, dict) else {}
    lesion = labels.lesion(str(item.get('label', '')), where)
    try:
      shapes += [] if lesion is None else [_shape(item, lesion, size)]
    except Wrong as error:
      wrong.add(where, str(error))
  wrong.require_none()
  flags = found.get('flags') if isinstance(found.get('flags'), dict) else {}
  grades = {labels.grade(flag, where) for flag, on in flags.items() if on is True and labels.is_grade(flag)}
  if len(grades) > 1:
    raise ValueError(f'{where}: one annotation has the grades {sorted(grades)}; expected one')
  who = annotator or real(path).parent.name
  return [Annotation(name, who, next(iter(grades), None), tuple(shapes), size)], Counter()


def _shape(item: Mapping[str, Any], lesion: str, size: tuple[int, int]) -> Shape:
  kind, points = str(item.get('shape_type') or 'polygon'), item.get('points')
  if kind == 'polygon':
    return Polygon(lesion, outline(points, size))
  if kind not in ('rectangle', 'circle', 'mask'):
    raise Wrong(f'a {cut(kind)} is no outline; draw it as polygon, circle, rectangle or mask, or map its label to null')
  if not isinstance(points, list) or len(points) != 2:
    raise Wrong(f'a {kind} has two points; export it again')
  (x0, y0), (x1, y1), _ = outline([*points, points[0]], size)
  if kind == 'circle':
    radius = math.hypot(x1 - x0, y1 - y0)
    return Ellipse(lesion, (x0, y0), (radius, radius), 0.0)
  if kind == 'rectangle':
    return Polygon(lesion, ((x0, y0), (x1, y0), (x1, y1), (x0, y1)))
  top, left = round(min(y0, y1) + 0.5), round(min(x0, x1) + 0.5)
  mask = _decode(item.get('mask'))
  if top < 0 or left < 0 or top + mask.shape[0] > size[0] + 1 or left + mask.shape[1] > size[1] + 1:
    raise Wrong('a shape lies outside its photograph; draw it again, or delete it')
  return Bitmap(lesion, top, left, mask)


def _decode(text: Any) -> np.ndarray:
  """bool [h, w] of a PNG in base 64."""
  try:
    with Image.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=('PNG',)) as image:
      return np.asarray(image.convert('L')) > 0
  except (TypeError, binascii.Error, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
    raise Wrong('a mask is no PNG in base 64; export it again') from error
