"""The pictures and the metrics that an evaluation, and one stage of a training run, leave behind."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lesion_jax.evaluate import Evaluation, totals
from lesion_jax.report.curves import confusion_figure, training_curves
from lesion_jax.report.files import write_whole
from lesion_jax.report.page import overlay_page
from lesion_jax.report.scores import precision_recall_figure, reliability_figure

REPORT, COUNTS, TEST_COUNTS = 'report.json', 'counts.npz', 'test_counts.npz'
PRECISION_RECALL, CALIBRATION, CONFUSION, EXAMPLES = \
    'precision_recall.png', 'calibration.png', 'confusion.png', 'examples.png'
PICTURES = (PRECISION_RECALL, CALIBRATION, CONFUSION, EXAMPLES)
NOT_KEPT = ('histogram', 'histograms')  # of the counts: of all images, or large


def write_run(
    directory: str | pathlib.Path, evaluation: Evaluation, annotated: Sequence[str],
    examples: Sequence[Mapping[str, Any]], thresholds: float | Sequence[float] = 0.5,
) -> list[pathlib.Path]:
  """Writes report.json, test_counts.npz, and the pictures for which there is material: curves.png of the training, and
  those of `write_pictures`.

  Args:
    directory: of the stage; the curves are of its metrics.csv.
    evaluation: on the test split.
    annotated: as of `write_report`.
    examples: as `overlay_page` takes them.
    thresholds: likewise.

  Returns:
    The files written.
  """
  directory = pathlib.Path(directory)
  written = write_report(directory, evaluation, annotated, counts_name=TEST_COUNTS)
  if (directory / 'metrics.csv').exists():
    written.append(directory / 'curves.png')
    training_curves(directory / 'metrics.csv', written[-1])
  return written + write_pictures(directory, evaluation, examples,
                                  title=f'{directory.name}: {len(examples)} held-out examples', thresholds=thresholds)


def write_report(
    directory: str | pathlib.Path, evaluation: Evaluation, annotated: Sequence[str], *, counts_name: str = COUNTS,
) -> list[pathlib.Path]:
  """Writes the report as report.json, and the counts of each image.

  The counts are [N, ...] by name in the order of the split, and `annotated`, keys of lesions; `np.load` opens them
  without pickle, and `evaluate.bootstrap` takes them as they are. From two such files, metrics of two networks are
  compared image by image. (The scores' histograms stay out.)

  Args:
    directory: made where it does not exist.
    evaluation: the report and the counts.
    annotated: keys of the lesions that were evaluated.
    counts_name: of the second file.

  Returns:
    The files written.
  """
  directory = pathlib.Path(directory)
  directory.mkdir(parents=True, exist_ok=True)
  result, counts = evaluation
  written = [directory / REPORT, directory / counts_name]
  write_whole(written[0], json.dumps(result, indent=2) + '\n')
  images = {name: value for name, value in counts.items() if name not in NOT_KEPT}
  fresh = directory / f'.{counts_name}'  # whatever happens while it is written, an earlier one stays
  try:
    with fresh.open('wb') as file:
      np.savez_compressed(file, **images, annotated=np.array(annotated, np.str_))
    fresh.replace(written[1])
  except OSError:
    fresh.unlink(missing_ok=True)
    raise
  return written


def write_pictures(
    directory: str | pathlib.Path, evaluation: Evaluation, examples: Sequence[Mapping[str, Any]], *, title: str,
    thresholds: float | Sequence[float] = 0.5,
) -> list[pathlib.Path]:
  """Draws what there is material for: precision_recall.png, calibration.png, confusion.png and examples.png.

  Args:
    directory: of the pictures; it exists.
    evaluation: the report and the counts.
    examples: as `overlay_page` takes them.
    title: of the page of examples.
    thresholds: likewise, from which probability a lesion is present.

  Returns:
    The files written.
  """
  directory, (result, counts) = pathlib.Path(directory), evaluation
  written = []
  if 'histogram' in counts and result.get('aupr', {}).get('mean') is not None:
    written.append(directory / PRECISION_RECALL)
    precision_recall_figure(counts['histogram'], result, written[-1], counts=totals(counts))
  if any(part.get('pooled', part)['ece'] is not None for part in result.get('calibration', {}).values()):
    written.append(directory / CALIBRATION)
    reliability_figure(result['calibration'], written[-1])
  if np.any(result.get('confusion', 0)):
    written.append(directory / CONFUSION)
    confusion_figure(result['confusion'], written[-1])
  if examples:
    written.append(directory / EXAMPLES)
    overlay_page(examples, written[-1], title=title, thresholds=thresholds)
  return written
