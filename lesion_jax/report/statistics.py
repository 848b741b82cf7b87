"""The statistics of a data set as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lesion_jax.core import LESIONS


def format_statistics(statistics: Mapping[str, Any]) -> str:
  """Formats as aligned text: photographs, grades and quality by split, then each lesion by split. Of
  `data.statistics.sum_up`."""
  size, splits = statistics['size'], statistics['splits']
  title = f'{statistics["name"]} at {size}x{size} pixels ({statistics["crop"]})'
  grades = list(next(iter(splits.values()))['grades']) if statistics['graded'] else []
  rows = [[split, part['images'], part['patients'], *(part['grades'][grade] for grade in grades)]
          for split, part in splits.items()]
  parts = [f'{title}\n{"=" * len(title)}', format_table(['split', 'photographs', 'patients', *grades], rows)]
  if splits['all']['quality']:
    parts.append(_quality(splits))
  if statistics['annotated']:
    parts.append(_lesions(statistics['annotated'], splits))
  parts.append('\n'.join(f'- {note}' for note in statistics['notes']))
  return '\n\n'.join(parts)


def format_table(header: Sequence[str], rows: Sequence[Sequence[Any]], *, text: int = 1) -> str:
  """Aligns columns of text, the first `text` of them to the left and the others to the right."""
  cells = [list(header), *([f'{cell:,}' if isinstance(cell, int) else str(cell) for cell in row] for row in rows)]
  widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
  aligned = ([cell.ljust(width) if number < text else cell.rjust(width)
              for number, (cell, width) in enumerate(zip(row, widths, strict=True))] for row in cells)
  return '\n'.join('  '.join(row).rstrip() for row in aligned)


def _quality(splits: Mapping[str, Any]) -> str:
  header, rows = ['quality', 'gradable'], []
  for split, part in splits.items():
    found = part['quality']
    ranges = {f'{name} 5 to 95 %': f'{found[name]["p5"]:.2f} to {found[name]["p95"]:.2f}'
              for name in ('sharpness', 'light', 'coverage')}
    header = ['quality', 'gradable', *found['doubts'], *ranges]
    rows.append([split, found['gradable'], *found['doubts'].values(), *ranges.values()])
  return format_table(header, rows)


def _lesions(annotated: Sequence[str], splits: Mapping[str, Any]) -> str:
  rows = []
  for lesion in LESIONS:
    if lesion.key in annotated:
      for number, (split, part) in enumerate(splits.items()):
        found = part['lesions'][lesion.key]
        name = '' if number else f'{lesion.key} {lesion.name}'
        rows.append([name, split, found['annotated'], found['images'], found['unscored'], found['regions'],
                     found['pixels'], *_areas(found['area'])])
  header = ['lesion', 'split', 'annotated', 'with it', 'unscored', 'regions', 'pixels', 'area: 5 %', '25 %', '50 %',
            '75 %', '95 %', 'largest']
  return format_table(header, rows, text=2)


def _areas(area: Mapping[str, float] | None) -> list[str]:
  """Of regions, in pixels; the columns of `_lesions`."""
  return ['-'] * 6 if area is None else [f'{value:,.0f}' for value in area.values()]
