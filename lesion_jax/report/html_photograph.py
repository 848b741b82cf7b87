"""The part of the page that belongs to one photograph."""

from __future__ import annotations

import base64
import io
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from lesion_jax.core import GRADES, LESION_KEYS, LESIONS, lesion_index
from lesion_jax.report.evidence import ABSENT, FOUND
from lesion_jax.report.findings import QUADRANTS
from lesion_jax.report.html_text import badge, bar, count, escape, grade_key, items, share, swatch, table, template
from lesion_jax.report.outlines import read_outlines
from lesion_jax.report.record import present_lesions
from lesion_jax.report.result import ATTENTION, FIELD, OUTLINES

QUALITY, THUMBNAIL, HEAT = 80, 72, 128  # of JPEG; sides in pixels
# Dark blue over green to yellow, as matplotlib's viridis: rises evenly in brightness for every kind of colour vision.
VIRIDIS = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
VERDICT_WORDS = {
    'supported': 'lesions support the grade', 'indirect': 'indirect evidence for the grade',
    'unsupported': 'no lesion supports the grade', 'contradicted': 'lesions contradict the grade',
    'not judged': 'lesions of this grade are not judged',
}


def photograph_html(
    number: int, file: str, record: Mapping[str, Any], folder: pathlib.Path, side: int, neighbours: Sequence[int],
) -> str:
  """An article: the picture with its layers, grade, lesions, evidence and quadrants.

  Args:
    number: of the photograph in the batch, from 1.
    file: its path.
    record: its result.json.
    folder: with its other files.
    side: of the picture, at most.
    neighbours: numbers of the articles before and behind, where there are such.
  """
  try:
    picture = _viewer(number, file, record, folder, side)
    caption = _caption(record)
  except (OSError, ValueError) as error:
    picture, caption = f'<p class="note">The picture cannot be shown: {escape(error)}</p>', ''
  return template('photograph.html').substitute(
      number=number, file=escape(file), picture=picture, caption=caption, steps=''.join(
          f'<a class="step" data-number="{other}" href="#photo={other}">{"&larr; Previous" if other < number else "Next &rarr;"}</a>'
          for other in neighbours),
      grade=_grade(record), lesions=_lesions(record), evidence=_evidence(record), quadrants=_quadrants(record))


def verdict_badge(record: Mapping[str, Any]) -> str:
  """What the lesions say about the grade, in a few words; '' where there is no grade or no lesion is judged."""
  verdict = record['evidence'] and record['evidence']['verdict']
  if not verdict:
    return ''
  nothing = verdict == 'supported' and not present_lesions(record)
  return badge('no lesion found, as in DR0' if nothing else VERDICT_WORDS[verdict], verdict.replace(' ', '-'))


def thumbnail(folder: pathlib.Path) -> str:
  """A small picture as an element, '' where there is none."""
  try:
    return f'<img class="thumb" alt="" width="36" height="36" src="{_jpeg(folder / FIELD, THUMBNAIL, 70)}">'
  except (OSError, ValueError):
    return ''


def _viewer(number: int, file: str, record: Mapping[str, Any], folder: pathlib.Path, side: int) -> str:
  crop, field, present = record['crop'], record['field'], present_lesions(record)
  paths = read_outlines(folder / OUTLINES) if OUTLINES in record['files'] else {}
  outlines, tools = [], []
  for key in present:
    if key in paths:
      name = f'p{number}-{key}'
      outlines.append(f'<g class="lesion {key}" data-lesion="{key}"><defs><path id="{name}" fill-rule="evenodd" '
                      f'd="{paths[key]}"/></defs><use class="rim" href="#{name}"/><use class="line" href="#{name}"/></g>')
  attention = ''
  if ATTENTION in record['files']:
    attention = (f'<image class="attention" x="{crop["left"]}" y="{crop["top"]}" width="{crop["side"]}" '
                 f'height="{crop["side"]}" href="{_heat(folder / ATTENTION)}"/>')
    tools.append(_slider('attention', 'Attention'))
  if outlines:
    tools.append(_slider('fill', 'Fill'))
  tools.append('<label><input type="checkbox" data-cross> Quadrants</label>')
  shown = ', '.join(LESIONS[lesion_index(key)].name for key in present if key in paths)
  alt = f'Fundus photograph {file}' + (f' with outlines of {shown}' if shown else '')
  return template('viewer.html').substitute(
      left=crop['left'], top=crop['top'], side=crop['side'], row=field['centre']['row'],
      column=field['centre']['column'], alt=escape(alt), photograph=_jpeg(folder / FIELD, side, QUALITY),
      attention=attention, outlines=''.join(outlines), tools=''.join(tools))


def _slider(name: str, label: str) -> str:
  return (f'<label class="slide">{label} <input type="range" min="0" max="100" step="5" value="0" data-set="{name}" '
          f'aria-valuetext="0 %"></label>')


def _caption(record: Mapping[str, Any]) -> str:
  size, attention = record['photograph'], record['attention']
  text = f'{size["width"]} &times; {size["height"]} pixels; the square that the network looked at.'
  if attention:
    text += (f' Attention: <span class="ramp" aria-hidden="true"></span> from {attention["minimum"]:.3f} (dark) to '
             f'{attention["maximum"]:.3f} (bright), averaged over its channels.')
  return text


def _grade(record: Mapping[str, Any]) -> str:
  grade = record['grade']
  if not grade:
    return '<p class="note">This network does not grade.</p>'
  rows = [(f'{key} <span class="soft">{escape(GRADES[value].name)}</span>', bar(p), f'{p:.2f}')
          for value, (key, p) in enumerate(grade['probabilities'].items())]
  referable = badge('referable', 'strong') if grade['referable'] else badge('not referable', 'plain')
  return (f'<section class="grade"><h3>Grade</h3><p class="result"><strong>{grade["key"]}</strong> '
          f'{escape(grade["name"])} {referable}</p>'
          + table(('Grade', 'Probability', '<span class="hidden">Value</span>'), rows, kind='bars') + '</section>')


def _lesions(record: Mapping[str, Any]) -> str:
  lesions = record['lesions']
  if lesions is None:
    return '<p class="note">This network does not look for lesions.</p>'
  rows = []
  for key, lesion in lesions.items():
    found = lesion['found'] if lesion['present'] else None
    named = f'{swatch(key)}{key} <span class="soft">{escape(lesion["name"])}</span>'
    if found:
      named = f'<label><input type="checkbox" checked data-lesion="{key}">{named}</label>'
    state = '<span class="soft">not found</span>' if not lesion['present'] else 'present' if not found else (
        f'{count(found["regions"])} region{"" if found["regions"] == 1 else "s"}')
    rows.append((named, bar(lesion['probability'], lesion['threshold']), f'{lesion["probability"]:.2f}', state,
                 share(found['share']) if found else ''))
  absent = [key for key in LESION_KEYS if key not in lesions]
  note = (f'<p class="soft small">Not judged, as the training data do not annotate them: {", ".join(absent)}.</p>'
          if absent else '')
  switches = ('<p class="switches"><button type="button" data-all="1">Show all</button>'
              '<button type="button" data-all="0">Hide all</button></p>')
  if not any(lesion['present'] and lesion['found'] for lesion in lesions.values()):
    switches = ''
  return ('<section class="lesions"><h3>Lesions</h3>' + table(
      ('Lesion', 'Probability', '<span class="hidden">Value</span>', 'Found', 'Area'), rows, kind='bars')
          + switches + note + '</section>')


def _evidence(record: Mapping[str, Any]) -> str:
  evidence = record['evidence']
  if evidence is None:
    return ''
  rows = [(grade_key(entry['grade']), escape(entry['finding']) + (f' ({entry["lesion"]})' if entry['lesion'] else ''),
           'sufficient' if entry['sufficient'] else 'indirect', _state(entry['state']))
          for entry in evidence['findings']]
  return ('<section class="evidence"><h3>Do the lesions support the grade?</h3>'
          + f'<p>{verdict_badge(record)}</p>'
          + items(evidence['supports'], 'supports') + items(evidence['contradicts'], 'contradicts')
          + '<details><summary>All of Table I</summary>'
          + table(('Grade', 'Finding', 'Evidence', 'Here'), rows, kind='findings-table') + '</details></section>')


def _state(state: str) -> str:
  return {FOUND: f'<strong>{FOUND}</strong>', ABSENT: 'not found'}.get(state, f'<span class="soft">{escape(state)}</span>')


def _quadrants(record: Mapping[str, Any]) -> str:
  found = {key: record['lesions'][key]['found'] for key in present_lesions(record)
           if record['lesions'][key]['found']}
  if not found:
    return ''
  header = ['Lesion', *(name.replace('_', ' ').capitalize() for name in QUADRANTS), 'All', 'Pixels']
  cell = lambda part: f'{count(part["regions"])} <span class="soft">{share(part["share"])}</span>'
  rows = [(f'{swatch(key)}{key} <span class="soft">{escape(record["lesions"][key]["name"])}</span>',
           *(cell(part['quadrants'][name]) for name in QUADRANTS), cell(part), count(part['pixels']))
          for key, part in found.items()]
  return ('<section class="quadrants"><h3>Regions and area by quadrant</h3><div class="scroll" tabindex="0" role="region" '
          'aria-label="Regions and area by quadrant">' + table(header, rows)
          + '</div><p class="soft small">Quadrants of the picture about the centre of the field of view; optic disc and '
          'fovea are not known. Areas are shares of the field of view.</p></section>')


def _jpeg(path: pathlib.Path, side: int, quality: int) -> str:
  """A data: URI of the picture, its own bytes where it is no larger than `side`."""
  with Image.open(path) as image:
    if max(image.size) <= side:
      return _uri('jpeg', path.read_bytes())
    image.draft('RGB', (side, side))
    small, data = image.resize((side, side), Image.Resampling.LANCZOS, reducing_gap=2), io.BytesIO()
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
