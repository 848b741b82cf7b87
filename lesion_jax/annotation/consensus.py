"""What several annotators agree on: one grade, and one mask of each lesion.

The paper assigned each photograph to at least three annotators and preserved those with "the majority vote for a
specific grade". It is silent about how their masks become one: the pixel-wise majority is our choice. (The released
part says that all labelled lesions are preserved, which `votes=1` gives.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from lesion_jax.core import NUM_LESIONS

ANNOTATORS = 3  # of a photograph at least, as in the paper


def majority_grade(grades: Sequence[int | None]) -> int | None:
  """Returns the grade that more than half of the annotators gave; None where there is none.

  Who gave no grade (None) is an annotator all the same: of three, two must agree.
  """
  tally = Counter(grade for grade in grades if grade is not None)
  grade, votes = max(tally.items(), key=lambda item: item[1], default=(None, 0))
  return grade if 2 * votes > len(grades) else None


def majority_masks(masks: Sequence[np.ndarray], votes: int | None = None) -> np.ndarray:
  """Counts pixel-wise votes, each lesion for itself.

  Args:
    masks: uint8 [H, W] packed, one of each annotator; one who marked nothing votes against every pixel.
    votes: how many make a lesion; None: more than half.

  Returns:
    uint8 [H, W] packed.

  Raises:
    ValueError: without masks, or where `votes` is below 1 or above their number.
  """
  needed = len(masks) // 2 + 1 if votes is None else votes
  if not 1 <= needed <= len(masks):
    raise ValueError(f'{needed} votes of {len(masks)} annotators; give a number from 1 to that of the annotators')
  agreed = np.zeros_like(masks[0])
  for bit in range(NUM_LESIONS):
    flag = np.uint8(1 << bit)
    marked = [mask & flag for mask in masks if (mask & flag).any()]
    if len(marked) >= needed:
      agreed |= np.where(sum((mask > 0).astype(np.uint8) for mask in marked) >= needed, flag, np.uint8(0))
  return agreed
