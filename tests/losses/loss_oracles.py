"""Losses of lesion maps as their formulas say, in NumPy float64, by plain loops over lesions."""

import numpy as np


def probability(logits):
  return 1 / (1 + np.exp(-np.asarray(logits, np.float64)))


def by_lesion(logits, truth, scored):
  """For each lesion the probabilities and the truth (float64) of its scored elements."""
  p, t, m = probability(logits), np.asarray(truth, np.float64), np.asarray(scored, bool)
  return [(p[..., j][m[..., j]], t[..., j][m[..., j]]) for j in range(p.shape[-1])]


def mean(terms, weights):
  """The weighted mean, 0 of nothing."""
  total = np.sum(weights)
  return np.dot(terms, weights) / total if total else 0.0


def dice(p, t):
  return 1 - (2 * np.sum(p * t) + 1) / (np.sum(p) + np.sum(t) + 1)


def focal_tversky(p, t, alpha=0.7, beta=0.3, gamma=4 / 3):
  found, missed, wrong = np.sum(p * t), np.sum((1 - p) * t), np.sum(p * (1 - t))
  index = (found + 1) / (found + alpha * missed + beta * wrong + 1)
  return (1 - index) ** (1 / gamma)


def nats(p, t):
  """-log p_t of every element."""
  return -(t * np.log(p) + (1 - t) * np.log(1 - p))


def balanced_nats(p, t):
  """The same with true elements weighted by what is not predicted, (N - sum p) / sum p."""
  w = (p.size - p.sum()) / p.sum() if p.size else 1.0
  return -(w * t * np.log(p) + (1 - t) * np.log(1 - p))


def focal(p, t):
  return -(0.8 * t * (1 - p)**2 * np.log(p) + 0.2 * (1 - t) * p**2 * np.log(1 - p))


def mean_of_elements(terms, logits, truth, scored, weights=None):
  """The mean of `terms(p, t)` over scored elements, each with the weight of its lesion."""
  pairs = by_lesion(logits, truth, scored)
  weights = np.ones(len(pairs)) if weights is None else weights
  return mean(np.concatenate([terms(p, t) for p, t in pairs]),
              np.concatenate([np.full(p.size, w) for (p, _), w in zip(pairs, weights, strict=True)]))


def mean_of_lesions(loss, logits, truth, scored, weights=None):
  """The mean of `loss(p, t)` over the lesions that have a positive."""
  pairs = by_lesion(logits, truth, scored)
  weights = np.ones(len(pairs)) if weights is None else weights
  there = [(loss(p, t), w) for (p, t), w in zip(pairs, weights, strict=True) if t.any()]
  return mean(*np.array(there).T) if there else 0.0


def overlap(loss, logits, truth, scored, weights=None):
  """The loss for small lesions: the mean of `loss(p, t)` over lesions and the cross entropy."""
  return (mean_of_lesions(loss, logits, truth, scored, weights)
          + mean_of_elements(nats, logits, truth, scored, weights))
