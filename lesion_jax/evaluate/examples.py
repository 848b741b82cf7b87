"""A few held-out photographs with what a network says of them, to look at."""

from __future__ import annotations

import collections
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from lesion_jax.core import NUM_GRADES, UNKNOWN_GRADE, Prediction
from lesion_jax.metrics.presence import Rule

SEARCHED = 200  # photographs among which those of each grade are looked for


def examples(
    predict_fn: Callable[[Any, Any], Prediction], variables: Any, source: Sequence[Any], *, per_grade: int = 2,
) -> list[dict[str, Any]]:
  """Returns up to `per_grade` examples of each grade, the worst grade first; where grades are unknown, five times as
  many.

  Looks no further than the first SEARCHED, and stops when all grades, or those of unknown grade, have enough.

  Args:
    predict_fn: `(variables, images uint8 [1, S, S, 3]) -> Prediction`, compiled.
    variables: what it takes first, on the host.
    source: random access to examples, see `data.dataset`.
    per_grade: how many.

  Returns:
    The examples with three further keys, in NumPy, None where the network has no such head: maps float32 [S, S, 8],
    lesion_probabilities [8], grade_probabilities [5].
  """
  enough = NUM_GRADES * per_grade
  chosen: list[dict[str, Any]] = []
  taken = collections.Counter()
  for index in range(min(len(source), SEARCHED)):
    if enough in (taken[UNKNOWN_GRADE], taken.total() - taken[UNKNOWN_GRADE]):
      break
    example = source[index]
    grade = int(example['grade'])
    if taken[grade] < (enough if grade == UNKNOWN_GRADE else per_grade):
      taken[grade] += 1
      chosen.append(example)
  chosen.sort(key=lambda example: -int(example['grade']))
  there = jax.device_put(variables)
  return [example | _first(predict_fn(there, example['image'][None])) for example in chosen]


def present_in(example: dict[str, Any], rule: Rule) -> np.ndarray | None:
  """Returns which lesions a rule calls present in an example of `examples`, bool [8]; None where the network finds
  none."""
  maps, lesions = example['maps'], example['lesion_probabilities']
  if lesions is None:
    return None
  return rule.decide(rule.score(None if maps is None else maps[None], lesions[None]))[0]


def _first(prediction: Any) -> dict[str, np.ndarray | None]:
  found = {'maps': prediction.maps, 'lesion_probabilities': prediction.lesions,
           'grade_probabilities': prediction.grades}
  return {name: None if value is None else np.asarray(value[0]) for name, value in found.items()}
