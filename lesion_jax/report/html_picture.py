"""The picture of one photograph on the page: the photograph, the layers over it, and what switches them."""

from __future__ import annotations

import base64
import io
import math
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from lesion_jax.clinical.record import present_lesions
from lesion_jax.core import LESIONS, lesion_index
from lesion_jax.report.html_text import escape, template
from lesion_jax.report.outlines import read_outlines
from lesion_jax.report.result_folder import ATTENTION, FIELD, OUTLINES

QUALITY = 80  # of JPEG
THUMBNAIL, HEAT = 72, 64  # sides in pixels
# Dark blue over green to yellow, as matplotlib's viridis: rises evenly in brightness for every kind of colour vision.
VIRIDIS = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))


def picture(number: int, file: str, record: Mapping[str, Any], folder: pathlib.Path, side: int) -> str:
  """Returns the photograph with a path for each lesion that was found, all in the photograph's own pixels, and its
  tools.

  Args:
    number: of the photograph in the batch.
    file: its path.
    record: its result.json.
    folder: with its other files.
    side: of the photograph in the page, at most.

  Raises:
    OSError: a file cannot be read.
    ValueError: a file is not what it should be.
  """
  crop = record['crop']
  paths = read_outlines(folder / OUTLINES) if OUTLINES in record['files'] else {}
  drawn = [key for key in present_lesions(record) if key in paths]
  heat = _heat(folder / ATTENTION) if ATTENTION in record['files'] else ''
  place = f'x="{crop["left"]}" y="{crop["top"]}" width="{crop["side"]}" height="{crop["side"]}"'
  tools = [_slider('attention', 'Attention')] * bool(heat) + [_slider('fill', 'Fill')] * bool(drawn)
  tools.append(f'<label><input type="checkbox" data-cross> {"Disc, fovea, quadrants" if record.get("landmarks") else "Quadrants"}</label>')
  shown = ', '.join(LESIONS[lesion_index(key)].name for key in drawn)
  return template('viewer.html').substitute(
      left=crop['left'], top=crop['top'], side=crop['side'], cross=_cross(record), place=place, photograph=_jpeg(folder / FIELD, side, QUALITY),
      alt=escape(f'Fundus photograph {file}' + (f' with outlines of {shown}' if shown else '')),
      attention=f'<image class="attention" {place} href="{heat}"/>' if heat else '',
      outlines='\n'.join(_outline(f'p{number}-{key}', key, paths[key]) for key in drawn), tools=''.join(tools))


def _cross(record: Mapping[str, Any]) -> str:
  """The path of what is drawn on request: with landmarks the disc, the fovea with the circle of one disc diameter about it, and
  the lines of the quadrants; else, or where these are not known, the quadrants of the picture."""
  crop, marks = record['crop'], record.get('landmarks')
  if marks is None:
    centre = record['field']['centre']
    return f'M{centre["column"]} {crop["top"]}v{crop["side"]}M{crop["left"]} {centre["row"]}h{crop["side"]}'
  disc, fovea, diameter, parts = marks['disc'], marks['fovea'], marks['disc_diameter'], []
  if disc['found']:
    parts.append(_circle(disc, diameter / 2))
  if fovea['found']:
    parts += [_circle(fovea, diameter / 12), _circle(fovea, diameter)]
  down, across = disc['row'] - fovea['row'], disc['column'] - fovea['column']
  if disc['found'] and fovea['found'] and abs(across) > abs(down):  # as clinical.zones has them
    far = 1.5 * crop['side'] / math.hypot(down, across)
    for y, x in ((down * far, across * far), (across * far, -down * far)):
      parts.append(f'M{fovea["column"] - x:.1f} {fovea["row"] - y:.1f}l{2 * x:.1f} {2 * y:.1f}')
  return ''.join(parts)


def _circle(centre: Mapping[str, Any], radius: float) -> str:
  """A path of two half circles."""
  arc = f'a{radius:.1f} {radius:.1f} 0 1 0'
  return f'M{centre["column"] - radius:.1f} {centre["row"]:.1f}{arc} {2 * radius:.1f} 0{arc} {-2 * radius:.1f} 0'


def thumbnail(folder: pathlib.Path) -> str:
  """Returns a small picture as an element, '' where there is none."""
  try:
    return f'<img class="thumb" alt="" width="36" height="36" src="{_jpeg(folder / FIELD, THUMBNAIL, QUALITY)}">'
  except (OSError, ValueError):
    return ''


def _outline(name: str, key: str, path: str) -> str:
  """The path once, drawn twice: a dark rim, and the line in the lesion's colour."""
  return (f'<g class="lesion {key}" data-lesion="{key}"><defs><path id="{name}" class="shape" fill-rule="evenodd" '
          f'd="{path}"/></defs><use class="rim" href="#{name}"/><use class="line" href="#{name}"/></g>')


def _slider(name: str, label: str) -> str:
  return (f'<label class="slide">{label} <input type="range" min="0" max="100" step="5" value="0" data-set="{name}" '
          'aria-valuetext="0 %"></label>')


def _jpeg(path: pathlib.Path, side: int, quality: int) -> str:
  """A data: URI of a square picture, its own bytes where it is no larger than `side`."""
  with Image.open(path) as image:
    if image.width <= side:
      return _uri('jpeg', path.read_bytes())
    image.draft('RGB', (side, side))
    small, data = image.resize((side, side), Image.Resampling.BILINEAR), io.BytesIO()
  small.save(data, 'JPEG', quality=quality)
  return _uri('jpeg', data.getvalue())


def _heat(path: pathlib.Path) -> str:
  """The grey map in colours, as a data: URI."""
  with Image.open(path) as image:
    grey = np.asarray(image.convert('L').resize((HEAT, HEAT), Image.Resampling.BILINEAR))
  stops = np.linspace(0, 255, len(VIRIDIS))
  colors = np.stack([np.interp(np.arange(256), stops, channel) for channel in np.transpose(VIRIDIS)], axis=-1)
  data = io.BytesIO()
  Image.fromarray(colors.astype(np.uint8)[grey]).save(data, 'PNG')
  return _uri('png', data.getvalue())


def _uri(kind: str, data: bytes) -> str:
  return f'data:image/{kind};base64,{base64.b64encode(data).decode("ascii")}'
