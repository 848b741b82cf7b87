"""The pictures and the figures that one stage of a training run leaves behind."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lesion_jax.evaluate import Evaluation
from lesion_jax.report.curves import confusion_figure, training_curves
from lesion_jax.report.page import overlay_page


def write_run(
    directory: str | pathlib.Path, evaluation: Evaluation, annotated: Sequence[str],
    examples: Sequence[Mapping[str, Any]],
) -> list[pathlib.Path]:
  """Writes report.json, test_counts.npz, and what there is material for: curves.png, confusion.png and examples.png.

  test_counts.npz holds the counts of each test image, [N, ...] by name in the order of the split, and `annotated`, keys
  of lesions; `np.load` opens it without pickle, and `evaluate.bootstrap` takes it as it is. From two of them, figures
  of two networks are compared image by image. (The scores' histogram is of all images, and stays out.)

  Args:
    directory: of the stage; the curves are of its metrics.csv.
    evaluation: on the test split.
    annotated: keys of the lesions that the data set annotates.
    examples: as `overlay_page` takes them.

  Returns:
    The files written.
  """
  directory = pathlib.Path(directory)
  directory.mkdir(parents=True, exist_ok=True)
  result, counts = evaluation
  written = [directory / 'report.json', directory / 'test_counts.npz']
  written[0].write_text(json.dumps(result, indent=2) + '\n')
  images = {name: value for name, value in counts.items() if name != 'histogram'}
  np.savez_compressed(written[1], **images, annotated=np.array(annotated, np.str_))
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
