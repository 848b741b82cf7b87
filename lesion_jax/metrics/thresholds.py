"""Thresholds from a held-out set, on the host: of the pixels by F1, of the presence of lesions by specificity.

**Specificity.** Of n scores of photographs without the lesion, the threshold is the r-th smallest, r = ceil((n + 1) s):
then a further photograph of the same kind is above it with a probability of at most 1 - s, whatever the distribution (the
quantile of split conformal prediction: V. Vovk, A. Gammerman and G. Shafer, "Algorithmic Learning in a Random World",
2005), and of the n themselves a share of at most 1 - s is. Where r > n there is no such score; the largest is taken, and
what is promised is n / (n + 1) alone: with 7 photographs 0.875, and 0.95 takes 19.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lesion_jax.metrics.curves import bin_thresholds
from lesion_jax.metrics.histogram import of_one_lesion
from lesion_jax.metrics.presence import SURE

# By which a score that is a threshold is raised, in log odds: what another program computes of the same photograph differs
# by less.
MARGIN = 1e-3


class Quantile(NamedTuple):
  """A threshold above which few of the photographs without the lesion are.

  Attributes:
    threshold: in [0, 1]; what is above it is called present.
    promised: the specificity that it has on a further photograph, at least, by the argument above.
  """

  threshold: float
  promised: float


def best_f1_threshold(histogram: np.ndarray) -> float | None:
  """Returns the probability from which on a pixel is taken for the lesion so that the F1 over the whole set is largest.

  Exact at the edges of the histogram's bins, of which one is a float32 between any two scores that are further apart
  than 1/64 of p or of 1 - p. Of several with the same F1, the one nearest to 0.5 (our choice), the larger of two.

  Args:
    histogram: int [2, SCORE_BINS], of `score_histogram`.

  Returns:
    A float32 above 0 and below 1, as float; None where the ground truth has no positive.

  Raises:
    ValueError: for another shape.
  """
  counts = of_one_lesion(histogram)
  negatives, positives = counts.astype(np.int64)
  if not positives.any():
    return None
  tp, fp = (np.cumsum(each[::-1])[::-1] for each in (positives, negatives))
  score = 2 * tp / (tp + fp + positives.sum())  # 2 TP / (2 TP + FP + FN)
  edges = bin_thresholds().astype(np.float64)
  allowed = (edges > 0) & (edges < 1)
  best = np.flatnonzero(allowed & (score == score[allowed].max()))
  nearest = np.abs(edges[best] - 0.5)
  return float(edges[best[nearest == nearest.min()][-1]])


def clean_threshold(scores: np.ndarray, specificity: float, *, least_rank: int = 0) -> Quantile | None:
  """Returns the threshold on a score at a stated specificity.

  Args:
    scores: float [n], in [0, 1], of photographs without the lesion.
    specificity: above 0 and below 1.
    least_rank: take none of the scores below this rank.

  Returns:
    The quantile of the module's docstring, MARGIN above the score; None where n is 0.

  Raises:
    ValueError: for another specificity.
  """
  if not 0 < specificity < 1:
    raise ValueError(f'specificity={specificity}: give the share of photographs without the lesion that are to be called '
                     'clean, above 0 and below 1')
  ordered = np.sort(np.asarray(scores, np.float64))
  if not len(ordered):
    return None
  rank = max(min(_rank(len(ordered), specificity), len(ordered)), min(least_rank, len(ordered)))
  return Quantile(raised(float(ordered[rank - 1]), MARGIN), rank / (len(ordered) + 1))


def log_odds(scores: np.ndarray) -> np.ndarray:
  """Computes the log odds of probabilities, float64; those nearer to 0 or 1 than a double can tell are brought so
  far."""
  scores = np.clip(np.asarray(scores, np.float64), 1e-12, 1 - 1e-12)
  return np.log(scores) - np.log1p(-scores)


def raised(threshold: float, by: float) -> float:
  """Returns a threshold in [0, 1] moved by so much in log odds; 1 stays 1, above which there is nothing."""
  return 1.0 if threshold >= 1 else float(1 / (1 + np.exp(-(log_odds(threshold) + by))))


def widest_margin(scores: np.ndarray, thresholds: Sequence[float], sensitivity: float) -> float:
  """Returns how far thresholds may rise together before too few of the sick are called: half of that is the middle of
  the gap between the healthy below and the sick above.

  Args:
    scores: float [n, L], of photographs that should be called for one lesion or another.
    thresholds: L numbers.
    sensitivity: the share of them that stays called, in (0, 1].

  Returns:
    In log odds, 0 or more; 0 where n is 0.
  """
  if not len(scores):
    return 0.0
  surest = np.minimum(scores, 1 - SURE)  # of a score of 1 no more is known than that it is nearer to 1 than float32 tells
  above = np.sort(np.max(log_odds(surest) - log_odds(np.asarray(thresholds)), axis=1))
  missed = len(above) - math.ceil(round(sensitivity * len(above), 9))
  return max(float(above[missed]), 0.0)


def joint_ranks(clean: Sequence[np.ndarray], healthy: np.ndarray, specificity: float) -> list[int]:
  """Returns how far the thresholds of several lesions must rise together for healthy eyes to be free of all of them.

  Each lesion alone may err in 1 - specificity of the photographs without it; an eye is called healthy where none errs.
  All lesions are held to one common share of their own clean photographs, raised until the share of healthy eyes in which
  any lesion is called present is at most 1 - specificity, by the quantile of the module's docstring.

  Args:
    clean: for each of L lesions the scores [n_j] of the photographs without it, those of the healthy eyes among them.
    healthy: float [n, L], scores of the healthy eyes.
    specificity: above 0 and below 1.

  Returns:
    L ranks for `clean_threshold`, each at most n_j; 0 where there is no healthy eye or lesion.
  """
  if not len(healthy) or not len(clean):
    return [0] * len(clean)
  # The share of a lesion's clean photographs whose score is below that of the eye: present at rank r where it is >= r / n.
  below = [np.searchsorted(np.sort(scores), healthy[:, j], side='left') / max(len(scores), 1)
           for j, scores in enumerate(clean)]
  worst = np.sort(np.max(below, axis=0))
  level = worst[min(_rank(len(worst), specificity), len(worst)) - 1]
  return [min(math.floor(level * len(scores) + 1e-9) + 1, len(scores)) for scores in clean]


def _rank(count: int, specificity: float) -> int:
  """ceil((n + 1) s), not spoiled by the rounding of s: 0.95 of 20 is 19."""
  return max(1, math.ceil((count + 1) * specificity - 1e-9))
