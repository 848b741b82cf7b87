"""Training curves and the confusion matrix as pictures."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from lesion_jax.core import GRADE_KEYS
from lesion_jax.train.logs import read_scalars

# Titles by the names under which a run logs its scalars; names that are not here are shown as they are.
LABELS = {
    'loss': 'loss',
    'segmentation': 'segmentation part',
    'classification': 'classification part',
    'grading': 'grading part',
    'cross_entropy': 'cross entropy part',
    'auxiliary': 'auxiliary head',
    'mean_pixel_f1': 'mean pixel F1',
    'mean_image_f1': 'mean image F1',
    'mean_aupr': 'mean AUPR',
    'kappa': 'quadratic weighted kappa',
}
LEARNING_RATE = ('learning_rate', 'rate')  # the second is its name in older logs
NOT_A_LOSS = (*LEARNING_RATE, 'gradient_norm', 'images_per_second', 'waiting_for_data')
INK = ('#2f4b7c', '#d45087', '#ffa600', '#4f9d69', '#7a5195', '#6b6b6b')
Series = tuple[list[int], list[float]]


def training_curves(metrics_csv: str | pathlib.Path, path: str | pathlib.Path) -> None:
  """Draws the scalars of a run: the training loss and its parts, the validation metrics, the learning rate.

  Args:
    metrics_csv: as `train.logs.Logs` writes it.
    path: of the PNG.

  Raises:
    FileNotFoundError: there is no such CSV.
    ValueError: it holds nothing to draw.
  """
  series = read_scalars(metrics_csv)
  losses = {name: xy for (split, name), xy in series.items() if split == 'train' and name not in NOT_A_LOSS}
  figures = {name: xy for (split, name), xy in series.items() if split == 'validation'}
  rates = {name: xy for (split, name), xy in series.items() if split == 'train' and name in LEARNING_RATE}
  panels = [(title, draw, data) for title, draw, data in (
      ('Training loss', _losses, losses), ('Validation', _figures, figures), ('Learning rate', _rate, rates)) if data]

  if not panels:
    raise ValueError(f'{metrics_csv} holds neither a loss nor a validation yet; draw the curves after some steps')
  figure = new_figure((4.6 * len(panels), 3.6))
  for number, (title, draw, data) in enumerate(panels, start=1):
    axes = figure.add_subplot(1, len(panels), number)
    draw(axes, data)
    plain_axes(axes, title, 'step')
  figure.savefig(path)


def confusion_figure(confusion: Sequence[Sequence[int]], path: str | pathlib.Path) -> None:
  """Draws a confusion matrix of grades: counts, shaded by their share of the row.

  Args:
    confusion: int [5, 5], rows are the ground truth.
    path: of the PNG.

  Raises:
    ValueError: for another shape.
  """
  counts = np.asarray(confusion)
  if counts.shape != (len(GRADE_KEYS), len(GRADE_KEYS)):
    raise ValueError(f'expected counts [5, 5], rows the ground truth; got shape {list(counts.shape)}')
  share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
  figure = new_figure((4.3, 3.9))
  axes = figure.add_subplot()
  axes.imshow(share, cmap='Blues', vmin=0, vmax=1)
  for (row, column), count in np.ndenumerate(counts):
    axes.text(column, row, f'{count:,}', ha='center', va='center', fontsize=10,
              color='white' if share[row, column] > 0.55 else '#202020', weight='bold' if row == column else 'normal')
  axes.set_xticks(range(len(GRADE_KEYS)), GRADE_KEYS)
  axes.set_yticks(range(len(GRADE_KEYS)), [f'{key}  ({n:,})' for key, n in zip(GRADE_KEYS, counts.sum(1), strict=True)])
  axes.set_xlabel('predicted', fontsize=10)
  axes.set_ylabel('annotated (images)', fontsize=10)
  axes.tick_params(labelsize=9, length=0)
  axes.spines[:].set_visible(False)
  figure.savefig(path)


def new_figure(size: tuple[float, float]) -> Any:
  """Returns an empty matplotlib figure of a size in inches."""
  from matplotlib.backends.backend_agg import FigureCanvasAgg  # imported here: slow, and only reports need it
  from matplotlib.figure import Figure

  figure = Figure(figsize=size, dpi=150, layout='constrained')
  FigureCanvasAgg(figure)
  return figure


def plain_axes(axes: Any, title: str, x: str, y: str = '') -> Any:
  """Names axes and leaves them without frills; returns them."""
  axes.set_title(title, fontsize=10.5, loc='left', weight='bold')
  axes.set_xlabel(x, fontsize=9)
  axes.set_ylabel(y, fontsize=9)
  axes.tick_params(labelsize=8)
  axes.grid(alpha=0.25, linewidth=0.6)
  axes.spines[['top', 'right']].set_visible(False)
  return axes


def _losses(axes: Any, losses: dict[str, Series]) -> None:
  for color, (name, (steps, values)) in zip(_inks(losses), losses.items(), strict=True):
    axes.plot(steps, values, color=color, linewidth=1.8 if name == 'loss' else 1.1, label=LABELS.get(name, name),
              marker='.' if len(steps) == 1 else None)
  axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
  axes.legend(fontsize=8, frameon=False)


def _figures(axes: Any, figures: dict[str, Series]) -> None:
  """Validation metrics; a star marks the best value of each, the first where several tie."""
  for color, (name, (steps, values)) in zip(_inks(figures), figures.items(), strict=True):
    best = int(np.argmax(values))
    label = f'{LABELS.get(name, name)}: best {values[best]:.3f} at step {steps[best]:,}'
    axes.plot(steps, values, color=color, linewidth=1.4, marker='.', markersize=4, label=label)
    axes.plot(steps[best], values[best], marker='*', markersize=12, color=color, markeredgecolor='white')
  low, high = axes.get_ylim()
  axes.set_ylim(low, high + (high - low) * (0.08 + 0.09 * len(figures)))  # the legend sits above the curves
  axes.legend(fontsize=8, frameon=False, loc='upper left')


def _rate(axes: Any, rates: dict[str, Series]) -> None:
  steps, values = next(iter(rates.values()))
  axes.step(steps, values, where='post', color=INK[0], linewidth=1.4)
  axes.set_yscale('log')
  axes.set_ylim(min(values) / 3, max(values) * 3)


def _inks(names: dict[str, Series]) -> list[str]:
  return [INK[i % len(INK)] for i in range(len(names))]
