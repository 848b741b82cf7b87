"""Writes exports as Label Studio and CVAT write them, from shapes in the pixels of the photograph."""

from __future__ import annotations

import json
import math
from xml.sax.saxutils import quoteattr

from lesion_jax.annotation.shapes import Ellipse
from lesion_jax.core import GRADE_KEYS


def region(shape, size, **changes):
  """One result of Label Studio for a shape on a photograph of (height, width)."""
  height, width = size
  if isinstance(shape, Ellipse):
    kind = 'ellipselabels'
    value = {'x': 100 * (shape.centre[0] + 0.5) / width, 'y': 100 * (shape.centre[1] + 0.5) / height,
             'radiusX': 100 * shape.axes[0] / width, 'radiusY': 100 * shape.axes[1] / height,
             'rotation': math.degrees(shape.angle)}
  else:
    kind = 'polygonlabels'
    value = {'points': [[100 * (x + 0.5) / width, 100 * (y + 0.5) / height] for x, y in shape.points], 'closed': True}
  return {'id': 'Ab12', 'type': kind, 'from_name': 'shape', 'to_name': 'photograph', 'origin': 'manual',
          'original_width': width, 'original_height': height, 'image_rotation': 0,
          'value': value | {kind: [shape.lesion]}} | changes


def choice(grade):
  return {'id': 'cd34', 'type': 'choices', 'from_name': 'grade', 'to_name': 'photograph', 'origin': 'manual',
          'value': {'choices': [GRADE_KEYS[grade]]}}


def entry(annotator, results, **changes):
  """One annotation of a task."""
  return {'id': 7, 'completed_by': annotator, 'result': results, 'was_cancelled': False, 'ground_truth': False,
          'created_at': '2026-01-02T10:00:00.000000Z', 'updated_at': '2026-01-02T10:05:00.000000Z',
          'lead_time': 61.5} | changes


def task(image, entries, **changes):
  return {'id': 1, 'data': {'image': image}, 'annotations': entries, 'predictions': [], 'project': 3} | changes


def opinion(annotator, grade, shapes, size):
  """An entry with shapes and grade."""
  return entry(annotator, [region(shape, size) for shape in shapes] + ([] if grade is None else [choice(grade)]))


def write_json(path, tasks):
  path.write_text(json.dumps(tasks), 'utf-8')
  return path


def cvat(images, meta='<meta><task><id>4</id><owner><username>admin</username></owner></task></meta>', head=''):
  """The text of an annotations.xml; `images` are (name, size, inner XML)."""
  body = ''.join(f'<image id="{i}" name={quoteattr(name)} width="{size[1]}" height="{size[0]}">{inner}</image>'
                 for i, (name, size, inner) in enumerate(images))
  return f'<?xml version="1.0" encoding="utf-8"?>{head}<annotations><version>1.1</version>{meta}{body}</annotations>'
