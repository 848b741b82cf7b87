"""How good probabilities are, as pictures: precision against recall, and reliability."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from lesion_jax import metrics
from lesion_jax.core import LESION_KEYS
from lesion_jax.metrics.histogram import TENTHS
from lesion_jax.report.curves import INK, new_figure, plain_axes

# Okabe and Ito's colours, which all readers tell apart; brown for their yellow, which a white page swallows.
LINES = dict(zip(LESION_KEYS, ('#0072b2', '#d55e00', '#e69f00', '#56b4e9', '#8c564b', '#cc79a7', '#009e73', '#202020'),
                 strict=True))
# Title, what is evaluated, and what is counted.
PANELS = {'pixel': ('Pixels', 'there', 'pixels'), 'image': ('Lesions of images', 'there', 'cases'),
          'grade': ('Likeliest grade', 'right', 'images')}
SIDE = 3.9  # of a panel, in inches
NORMAL_95 = 1.96
MANY = 100  # in one bin; below, a linear scale shows the others


def precision_recall_figure(
    histogram: np.ndarray, report: Mapping[str, Any], path: str | pathlib.Path, *,
    counts: Mapping[str, np.ndarray] | None = None,
) -> None:
  """Draws precision against recall of pixels, a curve for each lesion with an AUPR.

  Args:
    histogram: int [2, 8, bins], of `evaluate.image_counts`.
    report: of `evaluate.report`, with 'aupr'.
    path: of the PNG.
    counts: of `evaluate.totals`; a dot on each curve then says where the thresholds are.

  Raises:
    ValueError: no lesion has an AUPR.
  """
  defined = {key: value for key, value in report['aupr']['lesions'].items() if value is not None}
  if not defined:
    raise ValueError('no lesion has an AUPR: there is no curve to draw')
  figure = new_figure((1.5 * SIDE, 1.1 * SIDE))
  axes = plain_axes(figure.add_subplot(), 'Precision against recall, pixels', 'recall', 'precision')
  for key, value in defined.items():
    curve = metrics.precision_recall_curve(histogram[:, LESION_KEYS.index(key)])
    axes.plot(np.append(0, curve.recall), np.append(curve.precision[0], curve.precision), color=LINES[key],
              linewidth=1.4, drawstyle='steps-pre', label=f'{key}  {value:.3f}')
    if counts is not None:
      tp, fp, fn = (int(counts[f'pixel_{kind}'][LESION_KEYS.index(key)]) for kind in ('tp', 'fp', 'fn'))
      if tp + fp:
        axes.plot(tp / (tp + fn), tp / (tp + fp), 'o', color=LINES[key], markeredgecolor='white', markersize=6)
  axes.set(xlim=(0, 1.01), ylim=(0, 1.01))
  title = 'AUPR' if counts is None else 'AUPR (dot: at the threshold)'
  axes.legend(title=title, fontsize=8, title_fontsize=8, frameon=False, alignment='left', loc='center left',
              bbox_to_anchor=(1.0, 0.5))
  figure.savefig(path)


def reliability_figure(calibration: Mapping[str, Any], path: str | pathlib.Path) -> None:
  """Draws reliability curves: what share is there, against how probable it was called, and how many were called so.

  Of pixels a curve for each lesion; of images that of all lesions together, and of grades, with 95 % intervals of each
  point (E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 22, 1927, as if all
  were independent), which pixels are too many and too dependent for.

  Args:
    calibration: of `evaluate.calibration`.
    path: of the PNG.

  Raises:
    ValueError: nothing in it is defined.
  """
  panels = [name for name in PANELS if name in calibration and _whole(calibration, name)['ece'] is not None]
  if not panels:
    raise ValueError('nothing is calibrated: no lesion and no grade could be evaluated')
  figure = new_figure((1.02 * SIDE * len(panels), 1.3 * SIDE))
  grid = figure.add_gridspec(2, len(panels), height_ratios=(3.2, 1))
  for column, name in enumerate(panels):
    whole, (title, what, counted) = _whole(calibration, name), PANELS[name]
    above = plain_axes(figure.add_subplot(grid[0, column]), title, '', f'share that is {what}')
    above.plot((0, 1), (0, 1), color='#b0b0b0', linewidth=1, linestyle='--')
    if name == 'pixel':
      for key, found in calibration[name]['lesions'].items():
        if found:
          _curve(above, found, LINES[key], f'{key}  {found["ece"]:.4f}')
      above.legend(title='ECE', fontsize=8, title_fontsize=8, frameon=False, alignment='left')
    else:
      _curve(above, whole, INK[0], bars=True)
      above.set_title(f'ECE {whole["ece"]:.3f}   Brier {whole["brier"]:.3f}', fontsize=8.5, loc='right')
    above.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    below = plain_axes(figure.add_subplot(grid[1, column], sharex=above), '', 'probability', counted)
    below.bar((TENTHS[:-1] + TENTHS[1:]) / 2, whole['reliability']['count'], width=0.09, color='#9aa5b8')
    if max(whole['reliability']['count']) > MANY:
      below.set_yscale('symlog', linthresh=1)
    below.set_ylim(bottom=0)
  figure.savefig(path)


def _whole(calibration: Mapping[str, Any], name: str) -> Mapping[str, Any]:
  """The calibration of everything that a panel shows."""
  return calibration[name] if name == 'grade' else calibration[name]['pooled']


def _curve(
    axes: Any, found: Mapping[str, Any], color: str, label: str | None = None, *, bars: bool = False,
) -> None:
  count, x, y = (np.array(found['reliability'][name], float) for name in ('count', 'confidence', 'frequency'))
  filled = count > 0
  count, x, y = count[filled], x[filled], y[filled]
  if bars:
    low, high = _wilson(y, count)
    axes.errorbar(x, y, yerr=np.clip((y - low, high - y), 0, None), color=color, linewidth=1.6, marker='o',
                  markersize=4, elinewidth=0.9, capsize=2)
  else:
    axes.plot(x, y, color=color, linewidth=1.2, marker='.', markersize=5, label=label)


def _wilson(share: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """The ends of the 95 % interval of a share of `count`."""
  z2 = NORMAL_95**2 / count
  middle, half = share + z2 / 2, NORMAL_95 * np.sqrt(share * (1 - share) / count + z2 / count / 4)
  return (middle - half) / (1 + z2), (middle + half) / (1 + z2)
