"""The head that tells the risk of macular edema, fitted to a network that has learned to grade.

Its inputs are the averages from which the grade is told, the network is not changed, and there are hundreds of photographs where a
network has millions of parameters: a convex problem, solved to its minimum in a second instead of learned by steps.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import scipy.optimize
import scipy.special

from lesion_jax.core import EDEMA

PENALTIES = (30.0, 100.0, 300.0, 1000.0, 3000.0, 10000.0)  # among which cross-validation chooses; our choice
FOLDS = 5
TEMPERATURES = (0.05, 20.0)  # between which the one that calibrates is looked for


@dataclasses.dataclass(frozen=True)
class EdemaHead:
  """A fitted head.

  Attributes:
    kernel: float32 [C, 3], of the averages as the network has them.
    bias: float32 [3].
    penalty: of PENALTIES, which was chosen.
    temperature: by which logits of photographs that were held out had to be divided for the least cross-entropy; kernel and bias are
      divided already.
    held_out: float32 [N, 3], what heads say, with penalty and temperature, that were fitted without the photograph and all others of
      its patient.
  """

  kernel: np.ndarray
  bias: np.ndarray
  penalty: float
  temperature: float
  held_out: np.ndarray


def fit_edema(
    features: np.ndarray, edema: np.ndarray, patients: Sequence[str], *, penalties: Sequence[float] = PENALTIES, seed: int = 0,
) -> EdemaHead:
  """Fits multinomial logistic regression with a quadratic penalty on the weights of features on one scale (`_scale`); penalty and
  temperature are those of the least cross-entropy in a cross-validation by patient.

  Args:
    features: float [N, C], averages of the grading branch, 'pooled' of `models.classifier.ClassificationHead`.
    edema: int [N], positions in `core.EDEMA`.
    patients: N, whose photograph; those of one are held out together.
    penalties: to choose from, in units of one photograph's cross-entropy.
    seed: of the deal into folds.

  Raises:
    ValueError: shapes do not agree, a feature is not a number, a risk is not 0, 1 or 2, one of them has no photograph, or there are
      fewer than FOLDS patients.
  """
  features, edema, owners = np.asarray(features, np.float64), np.asarray(edema), np.asarray(patients)
  if features.ndim != 2 or not len(features) == len(edema) == len(owners):
    raise ValueError(f'expected features [N, C] and N risks and patients; got {list(features.shape)}, {len(edema)}, {len(owners)}')
  if wrong := int((~np.isfinite(features).all(1)).sum()):
    raise ValueError(f'features of {wrong} of {len(features)} photographs are not numbers; the weights of the network are not fit for use')
  if absent := set(range(len(EDEMA))) ^ set(edema.tolist()):
    raise ValueError(f'expected photographs of each risk 0, 1, 2 and of no other; too many or too few are {sorted(absent)}')
  if (count := len(set(owners.tolist()))) < FOLDS:
    raise ValueError(f'cross-validation takes {FOLDS} patients or more; got {count}')
  mean, scale = features.mean(0), _scale(features)
  inputs, fold = (features - mean) / scale, _deal(owners, seed)
  best = min((_held_out(inputs, edema, fold, penalty) for penalty in penalties), key=lambda each: each[0])
  _, penalty, temperature, logits = best
  kernel, bias = _solve(inputs, edema, penalty)
  kernel = kernel / scale[:, None]
  bias = bias - mean @ kernel
  return EdemaHead((kernel / temperature).astype(np.float32), (bias / temperature).astype(np.float32), penalty, temperature,
                   scipy.special.softmax(logits / temperature, -1).astype(np.float32))


def _scale(features: np.ndarray) -> np.ndarray:
  """By what each feature [N, C] is divided: its standard deviation, that of a feature that hardly ever changes raised towards the median of
  all (our choice), and 1 of one that never does. Standardised fully, such features would get weights of thousands, beside which 8 bits
  keep nothing of the others."""
  changes = np.ptp(features, axis=0) > 0
  deviations = np.where(changes, features.std(0), 0)  # of equal numbers it need not be 0
  return np.where(changes, np.hypot(deviations, np.median(deviations)), 1.0)


def _deal(patients: np.ndarray, seed: int) -> np.ndarray:
  """The fold of each photograph; patients are dealt at random."""
  names, of = np.unique(patients, return_inverse=True)
  return (np.random.default_rng(seed).permutation(len(names)) % FOLDS)[of]


def _held_out(inputs: np.ndarray, edema: np.ndarray, fold: np.ndarray, penalty: float) -> tuple[float, float, float, np.ndarray]:
  """Cross-entropy of held-out photographs at its best temperature, the penalty, that temperature, the logits [N, 3]."""
  logits = np.empty((len(edema), len(EDEMA)))
  for number in range(FOLDS):
    kernel, bias = _solve(inputs[fold != number], edema[fold != number], penalty)
    logits[fold == number] = inputs[fold == number] @ kernel + bias
  found = scipy.optimize.minimize_scalar(lambda log: _cross_entropy(logits / np.exp(log), edema), bounds=np.log(TEMPERATURES),
                                         method='bounded')
  return float(found.fun), penalty, float(np.exp(found.x)), logits


def _solve(inputs: np.ndarray, edema: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray]:
  """Weights [C, 3] and biases [3] at the minimum of the summed cross-entropy plus penalty / 2 times the squares of the weights."""
  channels, targets = inputs.shape[1], np.eye(len(EDEMA))[edema]

  def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
    kernel, bias = flat[:-len(EDEMA)].reshape(channels, -1), flat[-len(EDEMA):]
    logits = inputs @ kernel + bias
    rest = scipy.special.softmax(logits, -1) - targets
    value = len(edema) * _cross_entropy(logits, edema) + penalty / 2 * float((kernel ** 2).sum())
    return value, np.concatenate([(inputs.T @ rest + penalty * kernel).ravel(), rest.sum(0)])

  found = scipy.optimize.minimize(loss, np.zeros((channels + 1) * len(EDEMA)), jac=True, method='L-BFGS-B',
                                  options={'maxiter': 500, 'gtol': 1e-6})
  return found.x[:-len(EDEMA)].reshape(channels, -1), found.x[-len(EDEMA):]


def _cross_entropy(logits: np.ndarray, edema: np.ndarray) -> float:
  return -float(scipy.special.log_softmax(logits, -1)[np.arange(len(edema)), edema].mean())
