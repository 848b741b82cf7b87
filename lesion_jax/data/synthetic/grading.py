"""Who is photographed, how ill the eye is, what it therefore shows, and what three annotators make of it.

Every number here is our choice: the paper gives the guideline (Table I), not how often anything occurs. Grades and
the rare lesions are far more even than in a clinic, so that a small set is worth learning from.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lesion_jax.core import EVIDENCE, SEVERE_HEMORRHAGES
from lesion_jax.data.synthetic.canvas import stream

GRADE_SHARES = (0.20, 0.20, 0.25, 0.15, 0.20)
SAME_GRADE = 0.65  # how often the second eye simply shares the first one's grade
ANNOTATORS = 3
ANNOTATOR_ERROR = 0.06  # of being one grade off

# Lesion -> (probability, fewest, most) for each grade. The unit is one lesion; of HaEx one cluster.
FINDINGS: tuple[dict[str, tuple[float, int, int]], ...] = (
    {},
    {'MA': (1.0, 1, 12)},
    {'MA': (0.95, 2, 18), 'iHE': (1.0, 1, 16), 'HaEx': (0.6, 1, 5), 'CWS': (0.1, 1, 2)},
    {'MA': (1.0, 6, 24), 'HaEx': (0.6, 1, 6), 'CWS': (0.7, 1, 6)},  # and hemorrhages by quadrant, see `plan`
    {'MA': (0.9, 2, 16), 'iHE': (0.9, 1, 20), 'HaEx': (0.45, 1, 4), 'CWS': (0.3, 1, 4), 'NV': (0.6, 1, 3),
     'vHE': (0.46, 1, 1), 'pHE': (0.48, 1, 2), 'FiP': (0.50, 1, 2)},
)
# A quadrant of the field, about its centre (our choice: disc- and fovea-centred views alike have four of equal area).
QUADRANTS = ((1, 1), (-1, 1), (-1, -1), (1, -1))
HEMORRHAGES_IN_QUADRANT = (SEVERE_HEMORRHAGES + 3, SEVERE_HEMORRHAGES + 9)


class Eye(NamedTuple):
  """One photograph's owner: the patient's number, and 'left' or 'right'."""

  patient: int
  side: str


class Plan(NamedTuple):
  """What to draw: how many of each lesion, and how many hemorrhages in each of QUADRANTS besides (all 0 below DR3)."""

  counts: dict[str, int]
  quadrants: tuple[int, int, int, int]


def eye_of(index: int) -> Eye:
  """Returns the eye: even photographs are left eyes and odd ones right eyes; two pairs in three are one patient's, so
  half the patients show both eyes."""
  both = (index // 2) % 3 != 2
  return Eye(patient=index - index % 2 if both else index, side=('left', 'right')[index % 2])


def draw_grade(seed: int, index: int) -> int:
  """Returns the true grade 0..4 with shares GRADE_SHARES, alike in the two eyes of a patient in most cases."""
  of_patient = stream(seed, eye_of(index).patient, 'patient grade').choice(5, p=GRADE_SHARES)
  own = stream(seed, index, 'grade')
  return int(of_patient if own.random() < SAME_GRADE else own.choice(5, p=GRADE_SHARES))


def sufficient_lesions(grade: int) -> tuple[str, ...]:
  """Returns lesions whose presence alone speaks for `grade` by Table I."""
  return tuple(e.lesion for e in EVIDENCE if e.grade == grade and e.sufficient and e.lesion)


def plan(rng: np.random.Generator, grade: int) -> Plan:
  """Draws lesion counts that make `grade` the right answer by Table I."""
  while True:
    counts = {key: int(rng.integers(low, high + 1))
              for key, (chance, low, high) in FINDINGS[grade].items() if rng.random() < chance}
    if grade != 4 or any(key in counts for key in sufficient_lesions(4)):
      break
  low, high = HEMORRHAGES_IN_QUADRANT
  quadrants = tuple(int(n) for n in rng.integers(low, high + 1, 4)) if grade == 3 else (0, 0, 0, 0)
  return Plan(counts, quadrants)


def consensus(rng: np.random.Generator, true_grade: int) -> int:
  """Returns the majority of three annotators who are each one grade off now and then; the true grade where all three
  differ."""
  wrong = rng.random(ANNOTATORS) < ANNOTATOR_ERROR
  votes = np.clip(true_grade + wrong * rng.choice((-1, 1), ANNOTATORS), 0, 4)
  tally = np.bincount(votes, minlength=5)
  return int(tally.argmax()) if tally.max() >= 2 else true_grade
