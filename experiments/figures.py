"""The paper's Figures 4 and 5, what the systems find in a few photographs and pixel F1 by lesion as bars; and their curves of
precision against recall."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from experiments import captions
from experiments.collect import Result, by_row, metric, title
from experiments.rows import TABLE2
from lesion_jax.core import LESION_KEYS, unpack_bits
from lesion_jax.predict import load
from lesion_jax.report.page import Panel, describe, draw_legend, draw_panel

DPI = 150
INK = '#202020'
# Families share a hue and darken with the length of the path: blue FCN, orange Lesion-Net, grey other losses. Hues that
# stay apart for readers with any red-green blindness, as those of M. Okabe and K. Ito; bars stand in this order.
COLORS = {
    'patch_fcn_32s': '#d6e8f7', 'fcn_32s': '#9ccbec', 'fcn_16s': '#4c9fd6', 'fcn_8s': '#0b5a94',
    'unet': '#f0e442', 'deeplab_v3_plus': '#009e73', 'danet': '#cc79a7',
    'lesion_net_32s': '#fee0c2', 'lesion_net_16s': '#fdb56b', 'lesion_net_8s': '#f28022', 'lesion_net_4s': '#c2520a',
    'lesion_net_2s': '#7a2e04',
    'lesion_net_16s_wce': '#ececec', 'lesion_net_16s_focal': '#b4b4b4', 'lesion_net_16s_dice': '#707070',
}
# How other losses, all of them grey, are drawn as lines.
OTHER_LOSSES = {'lesion_net_16s_wce': '--', 'lesion_net_16s_focal': ':', 'lesion_net_16s_dice': '-.'}
LINE = 0.6
SEARCHED = 200  # test photographs among which those of Fig. 4 are chosen
SIDE, GAP, MARGIN = 1.9, 0.08, 0.15  # of Fig. 4, in inches
HEADLINE, WORDS, HEADER, LEGEND, CAPTION = 0.24, 0.42, 0.32, 0.62, 0.36


def fig5(results: Sequence[Result], path: str | os.PathLike[str]) -> None:
  """Draws pixel F1 of each lesion by each segmentation system of Table II, lesions from small to large.

  Lesions are sorted by their average size, which stands below their names: the positive pixels over the photographs
  that have the lesion, of the test split. Lines on the bars are intervals; a cross is an undefined F1.

  Args:
    results: of any rows; systems without one are omitted.
    path: of the PNG.

  Raises:
    ValueError: no result has a pixel F1, or no test photograph a lesion.
  """
  found = by_row(results)
  keys = [row.key for row in TABLE2 if row.key in COLORS and row.key in found]
  used = [result for key in keys for result in found[key]]
  sizes = average_sizes(used[0]['report']) if used else {}
  if not sizes:
    raise ValueError('no result of a segmentation system of Table II on photographs with lesions; run '
                     'python -m experiments.table2 first')
  lesions = sorted(sizes, key=sizes.get)
  lines = 2 if len(lesions) > 4 else 1
  half = -(-len(lesions) // lines)
  drawing = _figure((15, 0.6 + 3.5 * lines))
  panels = drawing.subplots(lines, 1, squeeze=False)[:, 0]
  for number, axes in enumerate(panels):
    _bars(axes, lesions[number * half:(number + 1) * half], sizes, {key: found[key] for key in keys})
  handles, labels = panels[0].get_legend_handles_labels()
  drawing.legend(handles, labels, loc='outside right upper', frameon=False, fontsize=11)
  side = captions.squares(result['size'] for result in used)
  drawing.supxlabel(
      f'Lesions by average size: pixels in a test photograph of {side} that has the lesion. Lines: '
      f'{100 * used[0]["report"]["intervals"]["level"]:g} % intervals over test {captions.sampled(used)}; cross: undefined. '
      f'Data: {", ".join(captions.distinct(result["data"] for result in used))}; {captions.seeds(used)}.', fontsize=10, color=INK)
  drawing.savefig(path)


def has_curves(results: Sequence[Result]) -> bool:
  """Returns whether one of these results, of Table II, has a curve for `precision_recall`."""
  return any(result['row'] in COLORS and _curve(result, key) for result in results for key in LESION_KEYS)


def precision_recall(results: Sequence[Result], path: str | os.PathLike[str]) -> None:
  """Draws precision against recall of pixels, a panel for each lesion and a line for each segmentation system of Table II: at each
  recall the mean over the seeds. The legend has the mean AUPR, and a dotted line the share of pixels that have the lesion:
  what a system at chance reaches.

  Args:
    results: of any rows; systems without curves are omitted.
    path: of the PNG.

  Raises:
    ValueError: no result has a curve.
  """
  if not has_curves(results):
    raise ValueError('no result has precision at fixed recalls; those measured from now on have')
  found = by_row(results)
  found = {row.key: found[row.key] for row in TABLE2 if row.key in COLORS and has_curves(found.get(row.key, ()))}
  lesions = [key for key in LESION_KEYS if any(_curve(result, key) for each in found.values() for result in each)]
  columns = min(4, len(lesions))
  lines = -(-len(lesions) // columns)
  drawing = _figure((3.3 * columns + 2.6, 3.4 * lines + 0.3))
  panels = drawing.subplots(lines, columns, squeeze=False).ravel()
  for key, axes in zip(lesions, panels, strict=False):
    _precision_recall(axes, key, found)
  for axes in panels[len(lesions):]:
    axes.axis('off')
  handles, labels = panels[0].get_legend_handles_labels()
  drawing.legend(handles, labels, loc='outside right upper', frameon=False, fontsize=9, title='mean AUPR', alignment='left')
  used = [result for each in found.values() for result in each]
  data = captions.distinct(result['data'].partition('+')[0] for result in used)  # of a mixture those with masks, `worker.describe`
  drawing.supxlabel(f'Pixels of the test photographs of {", ".join(data)} that have masks; thin dotted line: the share of pixels that have the lesion.',
                    fontsize=9, color=INK)
  drawing.savefig(path)


def line_color(key: str) -> tuple[float, ...]:
  """Returns the colour of a row as a line, which has to be darker than a bar with an edge: a luminance of LINE at most."""
  rgb = np.array([int(COLORS[key][place:place + 2], 16) / 255 for place in (1, 3, 5)])
  return tuple(rgb * min(1.0, LINE / float(rgb @ (0.2126, 0.7152, 0.0722))))


def _curve(result: Result, lesion: str) -> Sequence[float] | None:
  """Precision at the recalls of the report, where it has them."""
  return result['report'].get('precision_recall', {}).get('precision', {}).get(lesion)


def _precision_recall(axes: Any, lesion: str, found: Mapping[str, Sequence[Result]]) -> None:
  """The panel of a lesion."""
  for key, results in found.items():
    drawn = [result for result in results if _curve(result, lesion)]  # seeds of before curves have none
    if not drawn:
      continue
    about, curves = drawn[0]['report']['precision_recall'], [_curve(result, lesion) for result in drawn]
    mean = metric(results, 'aupr').value
    axes.plot(about['recall'], np.mean(curves, axis=0), color=line_color(key), linewidth=1.5, linestyle=OTHER_LOSSES.get(key, '-'),
              label=title(key, results) + ('' if mean is None else f'  {mean:.3f}'))
    axes.axhline(about['prevalence'][lesion], color=INK, linewidth=0.6, linestyle=':')
  axes.set(xlim=(0, 1), ylim=(0, 1), title=lesion, xlabel='recall', ylabel='precision')
  axes.grid(alpha=0.3, linewidth=0.6)
  axes.spines[['top', 'right']].set_visible(False)


def average_sizes(report: Mapping[str, Any]) -> dict[str, float]:
  """Returns pixels of each lesion in a photograph that has it, from a test report; lesions that none has are
  omitted."""
  return {key: report['positive_pixels'][key] / images for key, images in report['positive_images'].items() if images}


def fig4(
    bundles: Mapping[str, str | os.PathLike[str]], source: Sequence[Mapping[str, Any]], path: str | os.PathLike[str], *,
    lines: int = 5, caption: str = '',
) -> None:
  """Draws a few test photographs, one a line: photograph, annotation, and what each system finds.

  Regions of a lesion of which the photograph has none, and its name below, are red: a false alarm.

  Args:
    bundles: title of the column -> directory of the bundle.
    source: of the test split, see `lesion_jax.data.dataset`.
    path: of the PNG.
    lines: how many photographs, fewer where there are fewer.
    caption: stands at the lower edge, and by it `caption_of` tells later which networks the picture is of.

  Raises:
    FileNotFoundError, ValueError: of `lesion_jax.load`.
    ValueError: no bundle or no photograph.
  """
  examples = choose(source, lines)
  columns = {}
  for name, bundle in bundles.items():
    predictor = load(bundle)
    found = predictor([example['image'] for example in examples], crop=False)
    heads = {'maps': found.maps, 'lesion_probabilities': found.lesions, 'grade_probabilities': found.grades}
    columns[name] = [
        describe(example | {key: None if value is None else value[i] for key, value in heads.items()},
                 predictor.thresholds, red_lines=True)[2]
        for i, example in enumerate(examples)]
  draw_grid(examples, columns, path, caption)


def caption_of(path: str | os.PathLike[str]) -> str | None:
  """Returns the caption of a picture that `draw_grid` made; None where there is no picture, or it has none."""
  try:
    with Image.open(path) as picture:
      return picture.info.get('Description') or picture.info.get('comment', b'').decode() or None
  except FileNotFoundError:
    return None


def choose(source: Sequence[Mapping[str, Any]], count: int) -> list[Mapping[str, Any]]:
  """Returns photographs that together show many lesions and grades, the worst grade first.

  Takes one after the other that with most lesions and grades not shown yet; of equals that with most lesions, then the
  first. Looks no further than the first SEARCHED.
  """
  described = []
  for index in range(min(len(source), SEARCHED)):
    example = source[index]
    present = unpack_bits(np.asarray(example['lesions'])).any(axis=(0, 1))
    lesions = {key for key, has in zip(LESION_KEYS, present, strict=True) if has}
    described.append((index, int(example['grade']), lesions))
  chosen, shown = [], set()
  while described and len(chosen) < count:
    best = max(described, key=lambda each: (len(({each[1]} | each[2]) - shown), len(each[2]), -each[0]))
    described.remove(best)
    chosen.append(best)
    shown |= {best[1]} | best[2]
  chosen.sort(key=lambda each: (-each[1], each[0]))
  return [source[index] for index, _, _ in chosen]


def draw_grid(
    examples: Sequence[Mapping[str, Any]], columns: Mapping[str, Sequence[Panel]], path: str | os.PathLike[str],
    caption: str = '',
) -> None:
  """Writes the grid as a PNG: a line for each example, its photograph and annotation, then the columns.

  Args:
    examples: as `report.page.overlay_page` takes them; their predictions are not looked at.
    columns: title -> one panel an example, as `report.page.describe` makes them.
    path: of the PNG, or of a JPEG file, '.jpg'.
    caption: see `fig4`.

  Raises:
    ValueError: there is no example or no column.
  """
  if not examples or not columns:
    raise ValueError(f'a grid needs photographs and systems; got {len(examples)} and {len(columns)}')
  blank = {'maps': None, 'lesion_probabilities': None, 'grade_probabilities': None}
  pairs = [describe(example | blank)[:2] for example in examples]
  whole = {'photograph': [first for first, _ in pairs], 'annotation': [second for _, second in pairs], **columns}
  line = HEADLINE + SIDE + WORDS
  width, height = 2 * MARGIN + len(whole) * (SIDE + GAP) - GAP, HEADER + len(examples) * line + LEGEND
  drawing = _figure((width, height), layout=None)
  for column, (name, panels) in enumerate(whole.items()):
    left = MARGIN + column * (SIDE + GAP)
    drawing.text((left + SIDE / 2) / width, 1 - HEADER / 2 / height, name, fontsize=10.5, weight='bold', ha='center',
                 va='center', color=INK)
    for row, panel in enumerate(panels):
      headline = panel.headline.removeprefix('annotated').removeprefix('predicted').strip()
      corner = left, height - HEADER - (row + 1) * line + WORDS
      draw_panel(drawing, dataclasses.replace(panel, headline=headline), corner, side=SIDE, words_below=True)
  draw_legend(drawing)
  drawing.text(1 - MARGIN / width, CAPTION / height, f'red outline: false alarm. {caption}', fontsize=6.5, ha='right',
               color=INK)
  kept = {'pil_kwargs': {'quality': 85, 'comment': caption.encode()}} if pathlib.Path(path).suffix == '.jpg' else {
      'metadata': {'Description': caption}}
  drawing.savefig(path, **kept)


def _bars(
    axes: Any, lesions: Sequence[str], sizes: Mapping[str, float], found: Mapping[str, Sequence[Result]],
) -> None:
  """The bars of some lesions; a metric that is undefined gets a small cross on the axis."""
  width = 0.86 / len(found)
  for number, (key, results) in enumerate(found.items()):
    places = np.arange(len(lesions)) + (number - (len(found) - 1) / 2) * width
    values_of = [metric(results, 'pixel_f1', lesion) for lesion in lesions]
    values = np.array([np.nan if each.value is None else each.value for each in values_of])
    ends = np.array([each.interval or (np.nan, np.nan) for each in values_of]).reshape(-1, 2)
    axes.bar(places, values, width * 0.92, color=COLORS[key], edgecolor='#505050', linewidth=0.4,
             label=title(key, results))
    axes.vlines(places, *ends.T, color='#303030', linewidth=0.8)
    missing = places[np.isnan(values)]
    axes.plot(missing, np.full(len(missing), 0.015), 'x', color='#707070', markersize=4)
  axes.set_xticks(range(len(lesions)), [f'{lesion}\n{sizes[lesion]:,.0f} px' for lesion in lesions])
  axes.set_xlim(-0.5, len(lesions) - 0.5)
  axes.set_ylim(0, 1)
  axes.set_ylabel('pixel F1', fontsize=11)
  axes.tick_params(axis='x', labelsize=11.5, length=0)
  axes.grid(axis='y', alpha=0.3, linewidth=0.6)
  axes.set_axisbelow(True)
  axes.spines[['top', 'right']].set_visible(False)


def _figure(size: tuple[float, float], layout: str | None = 'constrained') -> Any:
  from matplotlib.backends.backend_agg import FigureCanvasAgg  # imported here: slow, and only pictures need it
  from matplotlib.figure import Figure

  drawing = Figure(figsize=size, dpi=DPI, layout=layout)
  FigureCanvasAgg(drawing)
  return drawing
