"""How far the grade by rule from the lesions found agrees with the ground truth and with the network, and what either misses.

Pure: from grades alone, so that an experiment may try rules on what was predicted once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lesion_jax import metrics
from lesion_jax.core import NUM_GRADES, REFERABLE_GRADE, UNKNOWN_GRADE

PAIRS = (('truth', 'rule'), ('truth', 'network'), ('network', 'rule'))
BY = ('both', 'network alone', 'rule alone', 'neither')


def agreement(truth: np.ndarray, rule: np.ndarray, network: np.ndarray | None = None) -> dict[str, Any]:
  """Compares grades of the same N photographs.

  Args:
    truth: int [N], 0..4, or UNKNOWN_GRADE.
    rule: int [N], likewise, of `clinical.evidence.grade_by_rule`; UNKNOWN_GRADE where it gives none.
    network: int [N], likewise; None where there is none.

  Returns:
    Ready for JSON. By pair of PAIRS, 'truth and rule' and so on, over the photographs graded by both: 'photographs',
    'kappa' (quadratic weights) and 'accuracy' ({'value', 'reason'}), 'referable' ('sensitivity' and 'specificity',
    likewise, where the first of the pair is taken for the ground truth), 'confusion' (rows are the first of the pair).
    With a network also 'referral', over the photographs graded by all three: 'photographs', 'second_look' (in how many
    network and rule disagree on DR2 and above), 'found' and 'false_alarms' (referable, and other photographs, called
    referable by each of BY), and 'either', {'sensitivity', 'specificity'} where a photograph is referred that either
    calls referable.

  Raises:
    ValueError: the arrays are not of one length, or hold something else than grades.
  """
  grades = {'truth': truth, 'rule': rule} | ({} if network is None else {'network': network})
  grades = {name: _checked(name, values) for name, values in grades.items()}
  if len({len(values) for values in grades.values()}) > 1:
    raise ValueError('expected grades of the same photographs; got '
                     + ', '.join(f'{len(values)} of {name}' for name, values in grades.items()))
  found = {f'{one} and {other}': _compare(grades[one], grades[other]) for one, other in PAIRS
           if one in grades and other in grades}
  return found if network is None else found | {'referral': _referral(**grades)}


def _checked(name: str, values: np.ndarray) -> np.ndarray:
  grades = np.asarray(values)
  allowed = np.arange(UNKNOWN_GRADE, NUM_GRADES)
  known = not grades.size or (np.issubdtype(grades.dtype, np.integer) and np.isin(grades, allowed).all())
  if grades.ndim != 1 or not known:
    raise ValueError(f'{name}: expected grades, int [N] of 0..{NUM_GRADES - 1} or {UNKNOWN_GRADE} where there is none; '
                     f'got {grades.dtype} {list(grades.shape)}')
  return grades.astype(np.int64)


def _compare(one: np.ndarray, other: np.ndarray) -> dict[str, Any]:
  known = (one != UNKNOWN_GRADE) & (other != UNKNOWN_GRADE)
  cells = np.bincount(one[known] * NUM_GRADES + other[known], minlength=NUM_GRADES**2)
  confusion = cells.reshape(NUM_GRADES, NUM_GRADES)
  return {
      'photographs': int(known.sum()),
      'kappa': metrics.quadratic_weighted_kappa(confusion)._asdict(),
      'accuracy': metrics.accuracy(confusion)._asdict(),
      'referable': {name: score._asdict() for name, score in metrics.referable(confusion)._asdict().items()},
      'confusion': confusion.tolist(),
  }


def _referral(truth: np.ndarray, rule: np.ndarray, network: np.ndarray) -> dict[str, Any]:
  known = (truth != UNKNOWN_GRADE) & (rule != UNKNOWN_GRADE) & (network != UNKNOWN_GRADE)
  is_there, by_rule, by_network = (grades[known] >= REFERABLE_GRADE for grades in (truth, rule, network))
  masks = by_network & by_rule, by_network & ~by_rule, ~by_network & by_rule, ~by_network & ~by_rule
  count = lambda rows: {name: int((mask & rows).sum()) for name, mask in zip(BY, masks, strict=True)}
  referred = by_network | by_rule
  either = np.zeros((NUM_GRADES, NUM_GRADES), np.int64)  # of two grades, one of them referable
  np.add.at(either, (REFERABLE_GRADE * is_there, REFERABLE_GRADE * referred), 1)
  return {
      'photographs': int(known.sum()),
      'second_look': int((by_network != by_rule).sum()),
      'found': count(is_there),
      'false_alarms': count(~is_there),
      'either': {name: score._asdict() for name, score in metrics.referable(either)._asdict().items()},
  }
