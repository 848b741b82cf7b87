"""The picture of one photograph on the page: the photograph, the layers over it, and what switches them."""

from __future__ import annotations

import base64
import io
import math
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from lesion_jax.clinical.record import present_lesions
from lesion_jax.clinical.unsure import lesions_evaluated
from lesion_jax.core import LESIONS, lesion_index
from lesion_jax.photograph.crop import Crop
from lesion_jax.photograph.field import mask_of
from lesion_jax.report.files import opened
from lesion_jax.report.html_text import escape, template
from lesion_jax.report.label_studio import rings, simplify
from lesion_jax.report.maps import NETWORK, read_maps
from lesion_jax.report.outlines import Drawing, read_outlines
from lesion_jax.report.result_folder import ATTENTION, FIELD, OUTLINES

QUALITY = 80  # of JPEG
THUMBNAIL, HEAT = 88, 96  # sides in pixels
EDGE = 256  # side of the copy on which the field of view is looked for, to draw nothing outside of it
GREYS = 256  # of a map in the page: v stands for the probability v / 255
# Dark blue over green to yellow, as matplotlib's viridis: rises evenly in brightness for every kind of colour vision.
VIRIDIS = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))


class Layers(NamedTuple):
  """What lies over a photograph.

  Attributes:
    view: the picture as an element, with its tools.
    thresholds: the sliders that try other thresholds on the maps, '' where the page has no maps.
  """

  view: str
  thresholds: str


def picture(
    number: int, file: str, record: Mapping[str, Any], folder: pathlib.Path, side: int | None, *, maps: bool = False,
) -> Layers:
  """Returns the photograph with a path for each lesion that was found, all in the photograph's own pixels, and its
  tools. Nothing is drawn outside the field of view.

  Args:
    number: of the photograph in the batch.
    file: its path.
    record: its result.json.
    folder: with its other files.
    side: of the photograph in the page, at most; None: as large as it lies there.
    maps: put the probability maps into the page too, where they lie in the folder at the network's size, in 8 bits.

  Raises:
    OSError: a file cannot be read.
    ValueError: a file is not what it should be.
  """
  crop = record['crop']
  paths = read_outlines(folder / OUTLINES) if OUTLINES in record['files'] else {}
  drawn = [key for key in present_lesions(record) if key in paths]
  inside = _inside(folder / FIELD)
  heat = _heat(folder / ATTENTION, record['attention'], inside) if ATTENTION in record['files'] else ''
  clip = '' if inside.all() else f' clip-path="url(#field-{number})"'
  place = f'x="{crop["left"]}" y="{crop["top"]}" width="{crop["side"]}" height="{crop["side"]}"'
  shown = ', '.join(LESIONS[lesion_index(key)].name for key in drawn)
  layers, thresholds = _maps(record, folder, place + clip) if maps else ('', '')
  return Layers(template('viewer.html').substitute(
      number=number, left=crop['left'], top=crop['top'], side=crop['side'], cross=_cross(record), place=place,
      photograph=_jpeg(folder / FIELD, side, QUALITY),
      clip=f'<clipPath id="field-{number}"><path d="{_edge(inside, record)}"/></clipPath>' if clip else '',
      alt=escape(f'Fundus photograph {file}' + (f' with outlines of {shown}' if shown else '')),
      attention=f'<image class="attention" {place} href="{heat}"/>' if heat else '', maps=layers,
      outlines='\n'.join(_outline(f'p{number}-{key}', key, paths[key], clip) for key in drawn),
      tools=_tools(record, drawn=bool(drawn), heat=bool(heat))), thresholds)


def _tools(record: Mapping[str, Any], *, drawn: bool, heat: bool) -> str:
  """What switches the layers: of those alone that there are."""
  box = lambda name, label, key: (f'<label class="js" title="Key {key}"><input type="checkbox" data-switch="{name}" data-{name}> {label}</label>')
  tools = [box('red', 'Red-free', 'r'), box('cross', 'Disc, fovea, quadrants' if record.get('landmarks') else 'Quadrants', 'q')]
  tools += [box('plain', 'Beside it without outlines', 's')] if drawn else []
  tools += ['<button type="button" class="js" data-blink title="Space bar">Blink outlines</button>'] if drawn else []
  tools += [_slider('fill', 'Fill')] * drawn + [_slider('attention', 'Attention')] * heat
  return ''.join(tools)


def _inside(path: pathlib.Path) -> np.ndarray:
  """The field of view in a picture of the square, bool [EDGE, EDGE]; all of it where none is found."""
  with opened(path) as image:
    image.draft('RGB', (EDGE, EDGE))
    found, _ = mask_of(np.asarray(image.convert('RGB')), EDGE)
  return found if found.any() else np.ones_like(found)


def _edge(inside: np.ndarray, record: Mapping[str, Any]) -> str:
  """The outline of the field of view as a path in the photograph's pixels, of few points."""
  crop = Crop(**record['crop'], height=record['photograph']['height'], width=record['photograph']['width'])
  parts = []
  for ring in rings(Drawing(inside.astype(np.float32), 0.5, crop).outline()):
    points = simplify(ring, crop.side / EDGE / 2)
    parts.append('M' + 'L'.join(f'{x:.0f} {y:.0f}' for x, y in points) + 'z')
  return ''.join(parts)


def _maps(record: Mapping[str, Any], folder: pathlib.Path, place: str) -> tuple[str, str]:
  """The probability maps of a record as layers, and a slider for each; '' of both where there are none at the network's size."""
  if (record.get('maps') or {}).get('at') != NETWORK:
    return '', ''
  maps, field = read_maps(folder, record)
  layers, sliders = [], []
  for key in lesions_evaluated(record):
    grey = np.rint(maps[..., lesion_index(key)] * np.float32(GREYS - 1)).astype(np.uint8)
    data = io.BytesIO()
    Image.fromarray(grey).save(data, 'PNG', optimize=True)
    layers.append(f'<image class="map {key}" data-map="{key}" {place} href="{_uri("png", data.getvalue())}"/>')
    counts = np.bincount(grey[field.inside], minlength=GREYS)
    cut = min(GREYS - 1, max(1, math.ceil(record['lesions'][key]['threshold'] * (GREYS - 1))))
    sliders.append(f'<label class="slide">{escape(key)} <input type="range" min="1" max="{GREYS - 1}" value="{cut}" data-cut="{key}" '
                   f'data-start="{cut}" data-said="{"as it is" if record["lesions"][key]["present"] else "its threshold; it is called absent"}" data-counts="{" ".join(map(str, counts))}" aria-valuetext="from {cut / (GREYS - 1):.2f}"> '
                   '<output></output></label>')
  return ''.join(layers), ''.join(sliders)


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
  """Returns a small picture as an address, '' where there is none."""
  try:
    return _jpeg(folder / FIELD, THUMBNAIL, QUALITY)
  except (OSError, ValueError):
    return ''


def _outline(name: str, key: str, path: str, clip: str) -> str:
  """The path once, drawn twice: a dark rim, and the line in the lesion's colour."""
  return (f'<g class="lesion {key}" data-lesion="{key}"{clip}><defs><path id="{name}" class="shape" fill-rule="evenodd" '
          f'd="{path}"/></defs><use class="rim" href="#{name}"/><use class="line" href="#{name}"/></g>')


def _slider(name: str, label: str) -> str:
  return (f'<label class="slide js">{label} <input type="range" min="0" max="100" step="5" value="0" data-set="{name}" '
          'aria-valuetext="0 %"></label>')


def _jpeg(path: pathlib.Path, side: int | None, quality: int) -> str:
  """A data: URI of a square picture, its own bytes where it is no larger than `side`."""
  with opened(path) as image:
    if side is None or image.width <= side:
      return _uri('jpeg', path.read_bytes())
    image.draft('RGB', (side, side))
    small, data = image.resize((side, side), Image.Resampling.BILINEAR), io.BytesIO()
  small.save(data, 'JPEG', quality=quality)
  return _uri('jpeg', data.getvalue())


def _heat(path: pathlib.Path, attention: Mapping[str, Any], inside: np.ndarray) -> str:
  """The attention within the field of view in colours, the ramp from 0 to 1, as a data: URI."""
  with opened(path) as image:
    grey = np.asarray(image.convert('L').resize((HEAT, HEAT), Image.Resampling.BILINEAR)) / 255  # stretched, see result.schema.json
  values = attention['minimum'] + grey * (attention['maximum'] - attention['minimum'])
  stops = np.linspace(0, 1, len(VIRIDIS))
  colors = np.stack([np.interp(values, stops, channel) for channel in np.transpose(VIRIDIS)], axis=-1)
  opaque = Image.fromarray(inside * np.uint8(255)).resize((HEAT, HEAT), Image.Resampling.BOX)
  data = io.BytesIO()
  Image.fromarray(np.dstack([np.rint(colors).astype(np.uint8), np.asarray(opaque)])).save(data, 'PNG')
  return _uri('png', data.getvalue())


def _uri(kind: str, data: bytes) -> str:
  return f'data:image/{kind};base64,{base64.b64encode(data).decode("ascii")}'
