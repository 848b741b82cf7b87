"""Reads CVAT's XML 1.1 for images: one file an annotator, or one job of one.

Facts, from CVAT's documentation and readers of the format: coordinates are pixels from the photograph's corner, an
ellipse has cx, cy, rx, ry and rotation (degrees, clockwise), a box xtl, ytl, xbr, ybr and rotation about its centre, a
polygon points="x,y;x,y;...", and a photograph's own label is a tag.
"""

from __future__ import annotations

import math
import pathlib
import xml.etree.ElementTree as ET
from collections import Counter

import numpy as np

from lesion_jax.annotation.json_file import is_size
from lesion_jax.annotation.label_regions import Wrong
from lesion_jax.annotation.labels import Labels
from lesion_jax.annotation.mistakes import Findings, cut
from lesion_jax.annotation.names import file_name
from lesion_jax.annotation.raster import bounding_box
from lesion_jax.annotation.safe_xml import number, parse_xml, points
from lesion_jax.annotation.shapes import Annotation, Ellipse, Polygon, Shape, rotate

_DRAWN = ('ellipse', 'polygon', 'box', 'mask', 'polyline', 'points', 'cuboid', 'skeleton')


def read_cvat(path: pathlib.Path, labels: Labels, annotator: str = '') -> tuple[list[Annotation], Counter[str]]:
  """Reads one export.

  Args:
    path: annotations.xml of 'CVAT for images 1.1'.
    labels: what the labels mean: those of shapes name lesions, those of tags grades.
    annotator: who drew it. '': whom the job, or else the task, was assigned to; else the name of the file. (The task's
      owner is who made the task, one and the same for all annotators, and so never taken.)

  Returns:
    The annotations, and what was passed over: photographs without any marking, which may mean that the annotator has
    not come to them yet.

  Raises:
    ValueError: naming file and photograph, for anything that cannot be read as an ellipse, polygon, box or grade.
  """
  root = parse_xml(path)
  if root.tag != 'annotations' or root.find('track') is not None:
    raise ValueError(f'{path} is no CVAT file of photographs: export in the format "CVAT for images 1.1"')
  annotator = annotator or _assignee(root) or path.stem
  found, passed_over, wrong = [], Counter(), Findings()
  for image in root.findall('image'):
    name = file_name(image.get('name', ''))
    where = f'{path}, {name or "an image without a name"}'
    if not name:
      raise ValueError(f'{where}: which photograph is it?')
    if not any(item.tag in (*_DRAWN, 'tag') for item in image):
      passed_over['photographs without any marking'] += 1
      continue
    try:
      found.append(_read_image(image, name, annotator, labels, where, wrong))
    except ValueError as error:
      wrong.add(where, str(error).removeprefix(where).removeprefix(':').strip())
  wrong.require_none()
  return found, passed_over


def _read_image(
    image: ET.Element, name: str, annotator: str, labels: Labels, where: str, wrong: Findings) -> Annotation:
  size = tuple(int(number(image.get(side), side, where)) for side in ('height', 'width'))
  if not is_size(*size):
    raise ValueError(f'{where}: width and height are {cut(str(size[1]))} and {cut(str(size[0]))}, which no photograph has')
  shapes = []
  for item in (item for item in image if item.tag in _DRAWN):
    try:
      shapes += _shapes(item, labels, where, size)
    except Wrong as error:
      wrong.add(where, str(error))
  grades = {labels.grade(tag.get('label', ''), where) for tag in image.findall('tag')} - {None}
  if len(grades) > 1:
    raise ValueError(f'{where}: one annotation has the grades {sorted(grades)}; expected one')
  return Annotation(name, annotator, next(iter(grades), None), tuple(shapes), size)


def _assignee(root: ET.Element) -> str:
  places = (f'meta/{part}/assignee/username' for part in ('job', 'task', 'project'))
  return next((name for place in places if (name := (root.findtext(place) or '').strip())), '')


def _shapes(item: ET.Element, labels: Labels, where: str, size: tuple[int, int]) -> list[Shape]:
  """One shape, or none where its label is left out."""
  lesion = labels.lesion(item.get('label', ''), where)
  if lesion is None:
    return []
  read = {'ellipse': _ellipse, 'polygon': _polygon, 'box': _box}.get(item.tag)
  if read is None:
    raise ValueError(f'{where}: a {item.tag} is no outline; draw it again as ellipse or polygon, or leave its label '
                     'out (map it to null)')
  shape = read(item, lesion, where)
  low, high = bounding_box(shape)
  if (high < -0.5).any() or low[0] > size[1] - 0.5 or low[1] > size[0] - 0.5:
    raise Wrong('a shape lies outside its photograph; draw it again, or delete it')
  return [shape]


def _ellipse(item: ET.Element, lesion: str, where: str) -> Ellipse:
  x, y, a, b = (number(item.get(key), key, where) for key in ('cx', 'cy', 'rx', 'ry'))
  return Ellipse(lesion, (x - 0.5, y - 0.5), (abs(a), abs(b)), _rotation(item, where))


def _polygon(item: ET.Element, lesion: str, where: str) -> Polygon:
  outline = points(item.get('points'), where)
  if len(outline) < 3:
    raise Wrong(f'a polygon needs at least three points; got {cut(item.get("points"))!r}')
  return Polygon(lesion, tuple((x - 0.5, y - 0.5) for x, y in outline))


def _box(item: ET.Element, lesion: str, where: str) -> Polygon:
  left, top, right, bottom = (number(item.get(key), key, where) for key in ('xtl', 'ytl', 'xbr', 'ybr'))
  corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
  middle = corners.mean(axis=0)
  outline = middle + rotate(corners - middle, _rotation(item, where)) - 0.5
  return Polygon(lesion, tuple((float(x), float(y)) for x, y in outline))


def _rotation(item: ET.Element, where: str) -> float:
  return math.radians(number(item.get('rotation', '0'), 'rotation', where))
