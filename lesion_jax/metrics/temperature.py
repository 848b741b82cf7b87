"""Temperatures, on the host: one number that makes probabilities surer or less sure, and leaves their order alone.

A head's logits are divided by T before the sigmoid or the softmax; T is what makes the ground truth of a held-out set
most probable (C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger, "On Calibration of Modern Neural Networks", ICML 2017,
section 4.2). AUPR, and any decision by a threshold on what the network itself says, do not move.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lesion_jax.core import UNKNOWN_GRADE
from lesion_jax.metrics.curves import bin_thresholds
from lesion_jax.metrics.histogram import of_one_lesion, score_bin

# Our choice. Where a head is never wrong, the most probable T would be 0; where it knows nothing, infinite.
LIMITS = (0.1, 10.0)
STEPS = 60  # of bisection: to the last bit of a float64
TINY = 2.0**-25  # half the smallest probability that a histogram tells from 0; 1 - TINY is the largest below 1


def temper(probabilities: np.ndarray, temperature: np.ndarray | float) -> np.ndarray:
  """Computes sigmoid(logit(p) / T), of lesions.

  Args:
    probabilities: float [...], in [0, 1].
    temperature: above 0, of a shape that broadcasts; where it is 1 the probabilities come back as they are.

  Returns:
    The same shape and type.
  """
  p, t = np.asarray(probabilities), np.asarray(temperature, np.float64)
  q = np.clip(p.astype(np.float64), TINY, 1 - TINY)
  tempered = 1 / (1 + ((1 - q) / q) ** (1 / t))
  return np.where((t == 1) | (p == 0) | (p == 1), p, tempered).astype(p.dtype)


def temper_classes(probabilities: np.ndarray, temperature: float) -> np.ndarray:
  """Computes softmax(log(p) / T) along the last axis, of grades; the same shape and type, and as they are where T is
  1."""
  p = np.asarray(probabilities)
  if temperature == 1:
    return p
  powers = (p.astype(np.float64) / p.max(axis=-1, keepdims=True)) ** (1 / temperature)
  return (powers / powers.sum(axis=-1, keepdims=True)).astype(p.dtype)


def temper_histogram(histogram: np.ndarray, temperature: float) -> np.ndarray:
  """Returns the histogram [2, SCORE_BINS] of tempered scores: each bin goes whole where its middle goes. T = 1 leaves
  it."""
  counts = np.asarray(histogram)
  if temperature == 1:
    return counts
  target = score_bin(temper(_middles(), temperature).astype(np.float32))
  moved = np.zeros_like(counts)
  np.add.at(moved, (slice(None), target), counts)
  return moved


def binary_temperature(probabilities: np.ndarray, negatives: np.ndarray, positives: np.ndarray) -> float | None:
  """Returns the T within LIMITS under which the ground truth is most probable, of something that is there or not.

  Args:
    probabilities: float [n]; those of 0 and of 1 count as half a step of float32 away from them.
    negatives: [n], how often each was said where it is not there.
    positives: [n], and where it is.

  Returns:
    T; None where there is no positive or no negative: one kind alone says nothing of how sure to be.
  """
  negatives, positives = (np.asarray(each, np.float64) for each in (negatives, positives))
  if not negatives.sum() or not positives.sum():
    return None
  p = np.clip(np.asarray(probabilities, np.float64), TINY, 1 - TINY)
  logits, whole = np.log(p) - np.log1p(-p), negatives + positives

  def slope(beta: float) -> float:  # of the negative log likelihood, which is convex in beta = 1 / T
    return float(np.sum(logits * (whole / (1 + np.exp(-beta * logits)) - positives)))

  return _solve(slope)


def histogram_temperature(histogram: np.ndarray) -> float | None:
  """Returns `binary_temperature` of pixels, from the histogram [2, SCORE_BINS] of their scores; a score is the middle
  of its bin.

  Raises:
    ValueError: for another shape.
  """
  counts = of_one_lesion(histogram)
  filled = counts.any(axis=0)
  return binary_temperature(_middles()[filled], *counts[:, filled])


def class_temperature(probabilities: np.ndarray, truth: np.ndarray) -> float | None:
  """Returns the T within LIMITS under which the true classes are most probable.

  Args:
    probabilities: float [n, K].
    truth: int [n], 0..K-1, or UNKNOWN_GRADE for one to exclude.

  Returns:
    T; None where no ground truth is known.
  """
  known = np.asarray(truth) != UNKNOWN_GRADE
  if not known.any():
    return None
  p, classes = np.asarray(probabilities, np.float64)[known], np.asarray(truth)[known]
  logits = np.log(np.maximum(p, np.finfo(np.float32).tiny))
  own = logits[np.arange(len(classes)), classes]

  def slope(beta: float) -> float:
    weights = np.exp(beta * (logits - logits.max(axis=1, keepdims=True)))
    return float(np.sum(np.sum(weights * logits, axis=1) / weights.sum(axis=1) - own))

  return _solve(slope)


def _solve(slope: Callable[[float], float]) -> float:
  """1 / beta where a rising function of beta passes 0, within LIMITS."""
  low, high = 1 / LIMITS[1], 1 / LIMITS[0]
  if slope(low) == slope(high) == 0:  # all is equally probable, whatever T is
    return 1.0
  for _ in range(STEPS):
    middle = (low + high) / 2
    low, high = (low, middle) if slope(middle) > 0 else (middle, high)
  return float(np.clip(2 / (low + high), *LIMITS))


def _middles() -> np.ndarray:
  """float64 [SCORE_BINS], the middle of each bin of `score_histogram`."""
  low = bin_thresholds().astype(np.float64)
  middles = (low + np.append(low[1:], 1)) / 2
  middles[0] = 0  # that bin holds 0 alone
  return middles
