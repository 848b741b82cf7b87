"""The pictures and the figures that one stage of a training run leaves behind."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from lesion_jax.report.curves import confusion_figure, training_curves
from lesion_jax.report.page import overlay_page


def write_run(
    directory: str | pathlib.Path, result: Mapping[str, Any], examples: Sequence[Mapping[str, Any]],
) -> list[pathlib.Path]:
  """Writes report.json, and what there is material for: curves.png, confusion.png and examples.png.

  Args:
    directory: of the stage; the curves are of its metrics.csv.
    result: the test report, of `evaluate.report`.
    examples: as `overlay_page` takes them.

  Returns:
    The files written.
  """
  directory = pathlib.Path(directory)
  directory.mkdir(parents=True, exist_ok=True)
  written = [directory / 'report.json']
  written[0].write_text(json.dumps(result, indent=2) + '\n')
  if (directory / 'metrics.csv').exists():
    written.append(directory / 'curves.png')
    training_curves(directory / 'metrics.csv', written[-1])
  if 'confusion' in result:
    written.append(directory / 'confusion.png')
    confusion_figure(result['confusion'], written[-1])
  if examples:
    written.append(directory / 'examples.png')
    overlay_page(examples, written[-1], title=f'{directory.name}: {len(examples)} held-out examples')
  return written
