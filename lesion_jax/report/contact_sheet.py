"""A contact sheet of a data set: small photographs with their annotation, id, grade and lesions."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lesion_jax.core import GRADE_KEYS, LESION_KEYS, UNKNOWN_GRADE, unpack_bits
from lesion_jax.report.overlay import COLORS, draw_outline, draw_overlay, legend_strip, none_of

ACROSS = 5
CELL, GAP, MARGIN = 320, 14, 28  # pixels
TITLE, TEXT, SMALL = 34, 18, 16  # sizes of text
GROUND, BRIGHT, MUTED, UNSCORED = (24, 24, 24), (240, 240, 240), (160, 160, 160), (150, 150, 150)
LINE = 1.6  # width of an outline, in pixels of the sheet
WIDTH = ACROSS * CELL + (ACROSS - 1) * GAP + 2 * MARGIN
LEGEND = 56 * TEXT  # as wide as this its text has the size TEXT
CAPTION = TEXT + SMALL + 22
HEADING = TEXT + 26

Example = Mapping[str, Any]


def write_contact_sheet(
    path: str | pathlib.Path, sections: Mapping[str, Sequence[Example]], *, title: str, subtitle: str,
    annotated: Sequence[str],
) -> None:
  """Writes the sheet as a PNG.

  Args:
    path: of the PNG.
    sections: heading -> examples below it, each with image, lesions, ignore, annotated, grade and id.
    title: of the sheet.
    subtitle: below it.
    annotated: keys of the lesions for the legend; () leaves it out.
  """
  legend = [legend_strip(LEGEND, annotated)] if annotated else []
  top = MARGIN + TITLE + TEXT + 2 * GAP + sum(strip.shape[0] + GAP for strip in legend)
  rows = sum(-(-len(examples) // ACROSS) for examples in sections.values())
  height = top + len(sections) * HEADING + rows * (CELL + CAPTION + GAP) + MARGIN
  sheet = Image.new('RGB', (WIDTH, height), GROUND)
  draw = ImageDraw.Draw(sheet)
  draw.text((MARGIN, MARGIN), title, font=_font(TITLE), fill=BRIGHT)
  draw.text((MARGIN, MARGIN + TITLE + GAP), subtitle, font=_font(TEXT), fill=MUTED)
  for strip in legend:
    sheet.paste(Image.fromarray(strip), (MARGIN - TEXT // 2, MARGIN + TITLE + TEXT + 2 * GAP))
  for heading, examples in sections.items():
    draw.text((MARGIN, top + HEADING / 2), heading, font=_font(TEXT + 2), fill=BRIGHT, anchor='lm')
    top += HEADING
    for number, example in enumerate(examples):
      row, column = divmod(number, ACROSS)
      _draw(sheet, draw, example, MARGIN + column * (CELL + GAP), top + row * (CELL + CAPTION + GAP))
    top += -(-len(examples) // ACROSS) * (CELL + CAPTION + GAP)
  sheet.save(path, compress_level=1)


def _draw(sheet: Image.Image, draw: ImageDraw.ImageDraw, example: Example, x: int, y: int) -> None:
  """One photograph and its caption, from the corner (x, y)."""
  sheet.paste(Image.fromarray(picture(example)).resize((CELL, CELL), Image.Resampling.LANCZOS), (x, y))
  grade = 'grade unknown' if example['grade'] == UNKNOWN_GRADE else GRADE_KEYS[int(example['grade'])]
  below = y + CELL + 8
  room = CELL - _font(TEXT).getlength(grade) - GAP
  draw.text((x, below), _shortened(str(example['id']), room), font=_font(TEXT), fill=BRIGHT)
  draw.text((x + CELL, below), grade, font=_font(TEXT), fill=MUTED if grade == 'grade unknown' else BRIGHT, anchor='ra')
  below += TEXT + 6
  for text, color in _words(example):
    draw.text((x, below), text, font=_font(SMALL), fill=color)
    x += _font(SMALL).getlength(f'{text}  ')


def picture(example: Example) -> np.ndarray:
  """Returns the photograph, uint8 [S, S, 3], with outlines of its lesions in COLORS, and of what is not scored in
  grey."""
  size = example['image'].shape[0]
  width = max(1.0, LINE * size / CELL)
  image = np.asarray(example['image'], np.float32)
  if example['ignore'].any():
    image = draw_outline(image, example['ignore'] > 0, UNSCORED, width)
  return draw_overlay(np.round(image).astype(np.uint8), example['lesions'], width=width, legend=False)


def _words(example: Example) -> list[tuple[str, tuple[int, int, int]]]:
  """The lesions that are there, in their colours."""
  if not example['annotated']:
    return [('lesions not annotated', MUTED)]
  annotated, present = (unpack_bits(np.uint8(each)) for each in (
      example['annotated'], np.bitwise_or.reduce(example['lesions'], axis=None)))
  keys = [key for key, known in zip(LESION_KEYS, annotated, strict=True) if known]
  return [(key, COLORS[key]) for key, there in zip(LESION_KEYS, present, strict=True) if there] or [(none_of(keys), MUTED)]


def _shortened(text: str, room: float) -> str:
  while text and _font(TEXT).getlength(text) > room:
    text = text.removesuffix('…')[:-1] + '…'
  return text


def _font(size: int) -> ImageFont.FreeTypeFont:
  return ImageFont.load_default(size=size)
