"""A page of held-out examples: photograph, annotation and prediction side by side, as in the paper's Fig. 4."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lesion_jax.core import GRADE_KEYS, LESION_KEYS, UNKNOWN_GRADE, unpack_bits
from lesion_jax.report.overlay import COLORS, draw_outline, draw_overlay, lesion_masks, none_of

EXAMPLES_A_LINE = 2
PANEL, GAP, MARGIN = 2.6, 0.06, 0.15  # inches
CAPTION, TITLE, LEGEND = 0.5, 0.4, 0.35  # heights, in inches
DPI = 150
LINE = 1 / 190  # width of a contour, as a share of the picture's side: two pixels of the page
FALSE_ALARM, MISSED, PLAIN = '#d4001a', '#767676', '#202020'
UNSCORED = (150, 150, 150)
FALSE_ALARM_LINE = (255, 0, 92)  # not the word's red, which readers with red-green blindness would not see on a retina
WORDS_A_ROW = 4  # below a panel

Word = tuple[str, str]  # text, colour


@dataclasses.dataclass(frozen=True)
class Panel:
  """One picture of the page: a headline and a line of words, above pixels or bars."""

  headline: str
  words: Sequence[Word]
  image: np.ndarray | None = None
  bars: Mapping[str, float] | None = None


def overlay_page(
    examples: Sequence[Mapping[str, Any]], path: str | pathlib.Path, *, thresholds: float | Sequence[float] = 0.5,
    title: str | None = None,
) -> None:
  """Writes the page as a PNG, two examples a line.

  Args:
    examples: each with image uint8 [S, S, 3], lesions and ignore uint8 [S, S] packed, annotated uint8, grade int
      (UNKNOWN_GRADE where unknown), id str, and of the network `maps` float [S, S, 8], `lesion_probabilities` [8] and
      `grade_probabilities` [5], each of them None where it has no such head; and, where a rule of its own says which
      lesions are present, `present` bool [8]: the others are not drawn.
    path: of the PNG.
    thresholds: from which probability a lesion is present, a number or [8].
    title: of the page.

  Raises:
    ValueError: there is no example.
  """
  if not examples:
    raise ValueError('a page needs at least one example; is the split empty?')
  from matplotlib.backends.backend_agg import FigureCanvasAgg  # imported here: slow, and only reports need it
  from matplotlib.figure import Figure

  lines, across = -(-len(examples) // EXAMPLES_A_LINE), min(len(examples), EXAMPLES_A_LINE)
  example_width = 3 * PANEL + 3 * GAP + 2 * MARGIN
  width = across * example_width
  height = (TITLE if title else 0.1) + lines * (CAPTION + PANEL + 0.1) + LEGEND
  figure = Figure(figsize=(width, height), dpi=DPI)
  FigureCanvasAgg(figure)
  for number, example in enumerate(examples):
    line, place = divmod(number, EXAMPLES_A_LINE)
    bottom = LEGEND + 0.1 + (lines - line - 1) * (CAPTION + PANEL + 0.1)
    for column, panel in enumerate(describe(example, thresholds)):
      draw_panel(figure, panel, (place * example_width + MARGIN + column * (PANEL + GAP), bottom))
  if title:
    figure.text(MARGIN / width, 1 - 0.26 / height, title, fontsize=13, weight='bold', va='center')
  draw_legend(figure)
  figure.savefig(path)


def describe(
    example: Mapping[str, Any], thresholds: float | Sequence[float] = 0.5, *, red_lines: bool = False,
) -> list[Panel]:
  """Returns the three panels of one example. Where the network makes no maps, bars of its probabilities take the third
  place.

  Lesions that the data set does not annotate cannot be evaluated, so neither maps nor words show them; a data set that
  annotates none shows what the network finds, without a verdict.

  Args:
    example: as `overlay_page` takes them.
    thresholds: from which probability a lesion is present, a number or [8].
    red_lines: outline false alarms, lesions of which the photograph has none, in red instead of the lesion's colour.
  """
  annotated = unpack_bits(np.uint8(example['annotated']))
  shown = annotated if annotated.any() else np.ones_like(annotated)
  keys = [key for key, visible in zip(LESION_KEYS, shown, strict=True) if visible]
  truth = unpack_bits(np.asarray(example['lesions'])).any(axis=(0, 1))
  scored = annotated & ~unpack_bits(np.asarray(example['ignore'])).any(axis=(0, 1)) | truth
  grade = int(example['grade'])
  truth_words = _words(keys, truth, truth, annotated) if annotated.any() else [('lesions are not annotated', MISSED)]
  return [
      Panel(str(example['id']), [], image=example['image']),
      Panel('annotated  ' + ('grade unknown' if grade == UNKNOWN_GRADE else GRADE_KEYS[grade]), truth_words,
            image=_truth_image(example)),
      _predicted(example, keys, truth, scored, thresholds, red_lines),
  ]


def _truth_image(example: Mapping[str, Any]) -> np.ndarray:
  image, ignored = np.asarray(example['image'], np.float32), np.asarray(example['ignore']) > 0
  if ignored.any():
    image = draw_outline(image, ignored, UNSCORED, _width(image))
  return draw_overlay(np.round(image).astype(np.uint8), example['lesions'], width=_width(image), legend=False)


def _predicted(
    example: Mapping[str, Any], keys: Sequence[str], truth: np.ndarray, scored: np.ndarray, thresholds: Any,
    red_lines: bool,
) -> Panel:
  maps, lesions, grades = (example.get(name) for name in ('maps', 'lesion_probabilities', 'grade_probabilities'))
  headline = 'predicted' if grades is None else (
      f'predicted  {GRADE_KEYS[int(np.argmax(grades))]}  ({float(np.max(grades)):.2f})')
  found = None if lesions is None else np.asarray(lesions) >= np.asarray(thresholds)
  if found is None and maps is not None:
    found = lesion_masks(maps, thresholds).any(axis=(0, 1))
  drawn_keys = keys
  if example.get('present') is not None:
    found = np.asarray(example['present'], bool)
    drawn_keys = [key for key, there in zip(LESION_KEYS, found, strict=True) if there and key in keys]
  words = [] if found is None else _words(keys, found, truth, scored)
  if maps is not None:
    wrong = [key for key, false in zip(LESION_KEYS, scored & ~truth, strict=True) if false and red_lines]
    drawn = draw_overlay(example['image'], maps, thresholds=thresholds, keys=drawn_keys, width=_width(example['image']),
                         colors=COLORS | dict.fromkeys(wrong, FALSE_ALARM_LINE), legend=False)
    return Panel(headline, words, image=drawn)
  names, values = (GRADE_KEYS, grades) if grades is not None else (LESION_KEYS, lesions)
  bars = None if values is None else {name: float(value) for name, value in zip(names, values, strict=True)}
  return Panel(headline, words, bars=bars)


def _width(image: np.ndarray) -> float:
  return max(1.0, LINE * image.shape[0])


def _words(keys: Sequence[str], found: np.ndarray, truth: np.ndarray, scored: np.ndarray) -> list[Word]:
  """Found lesions, '+' before a false alarm (red), and '-' before a missed one (grey)."""
  words = []
  for key in keys:
    j = LESION_KEYS.index(key)
    if found[j]:
      false_alarm = scored[j] and not truth[j]
      words.append((f'+{key}' if false_alarm else key, FALSE_ALARM if false_alarm else PLAIN))
    elif truth[j]:
      words.append((f'\N{MINUS SIGN}{key}', MISSED))
  return words or [(none_of(keys), PLAIN)]


def draw_panel(
    figure: Any, panel: Panel, corner: tuple[float, float], *, side: float = PANEL, words_below: bool = False,
) -> None:
  """Draws a panel on a matplotlib figure.

  Args:
    figure: to draw on.
    panel: of `describe`.
    corner: the lower left corner of the picture from that of the figure, in inches.
    side: of the picture, in inches.
    words_below: put the words below the picture, WORDS_A_ROW to a row, instead of in one row above it.
  """
  from matplotlib.offsetbox import AnnotationBbox, HPacker, TextArea, VPacker

  width, height = figure.get_size_inches()
  axes = figure.add_axes((corner[0] / width, corner[1] / height, side / width, side / height))
  if panel.image is not None:
    axes.imshow(panel.image, interpolation='antialiased')
    axes.set_axis_off()
  else:
    _bars(axes, panel.bars or {})
  axes.annotate(panel.headline, (0, 1), (1, 4 if words_below else 17), xycoords='axes fraction',
                textcoords='offset points', fontsize=8.5, weight='bold', color=PLAIN, va='bottom')
  if panel.words:
    texts = [TextArea(text, textprops={'fontsize': 8, 'color': color}) for text, color in panel.words]
    row = WORDS_A_ROW if words_below else len(texts)
    rows = [HPacker(children=texts[i:i + row], pad=0, sep=5, align='baseline') for i in range(0, len(texts), row)]
    place, offset, aligned = ((0, 0), (1, -4), (0, 1)) if words_below else ((0, 1), (1, 4), (0, 0))
    axes.add_artist(AnnotationBbox(VPacker(children=rows, pad=0, sep=3), place, offset, xycoords='axes fraction',
                                   boxcoords='offset points', box_alignment=aligned, frameon=False, pad=0,
                                   annotation_clip=False))


def _bars(axes: Any, bars: Mapping[str, float]) -> None:
  axes.barh(list(bars), list(bars.values()), color='#4c72b0', height=0.6)
  for row, (name, value) in enumerate(bars.items()):
    axes.text(-0.03, row, name, ha='right', va='center', fontsize=8, color=PLAIN)
    axes.text(value + 0.02, row, f'{value:.2f}', va='center', fontsize=7.5, color=PLAIN)
  axes.set_xlim(-0.25, 1.2)  # room for the names on the left and a number on the right
  axes.invert_yaxis()
  axes.set_axis_off()


def draw_legend(figure: Any) -> None:
  """Names the colours of lesions and words in a line along the lower edge of a matplotlib figure."""
  from matplotlib.lines import Line2D
  from matplotlib.patches import Patch

  entries = [Patch(facecolor=np.array(color) / 255, edgecolor='#505050', linewidth=0.6, label=key)
             for key, color in COLORS.items()]
  entries += [Line2D([], [], linestyle='none', label=text) for text in
              ('+ red: false alarm', '\N{MINUS SIGN} grey: missed', 'grey outline: not scored')]
  width, height = figure.get_size_inches()
  wide = width > 12
  figure.legend(handles=entries, loc='lower left', ncols=len(entries), frameon=False, fontsize=8 if wide else 6.5,
                handlelength=1.1, handletextpad=0.5, columnspacing=1.4 if wide else 0.9, borderaxespad=0.5,
                bbox_to_anchor=(0.05 / width, 0))
