"""One photograph and its annotators -> one example of the dataset, or the reason why it is excluded."""

from __future__ import annotations

import pathlib
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from lesion_jax.annotation.agreement import Ballot, overlap
from lesion_jax.annotation.cleaning import contradicted
from lesion_jax.annotation.consensus import majority_grade, majority_masks
from lesion_jax.annotation.names import Photographs
from lesion_jax.annotation.patients import Identity, identify
from lesion_jax.annotation.raster import rasterise
from lesion_jax.annotation.shapes import Annotation
from lesion_jax.core import GRADE_KEYS
from lesion_jax.photograph.crop import read_field

SIDE = 896  # of the square example, as in the published dataset
# Why a photograph is excluded.
NOT_FOUND = 'not among the photographs'
AMBIGUOUS = 'annotated under several names by one person'
UNREADABLE = 'unreadable, or without a field of view'
RESIZED = 'annotated on another picture'
TOO_FEW = 'too few annotators'
NO_MAJORITY = 'no majority for a grade'
FAILURES = (NOT_FOUND, AMBIGUOUS, UNREADABLE, RESIZED)  # something to mend, where the others are the method


class LeftOut(NamedTuple):
  """A photograph that is excluded from the dataset, why (one of the reasons above), and the particulars."""

  photograph: str
  reason: str
  detail: str


class Case(NamedTuple):
  """A photograph and all that was said of it."""

  path: pathlib.Path
  identity: Identity
  annotations: tuple[Annotation, ...]


class Example(NamedTuple):
  """What the annotators agree on.

  Attributes:
    image: uint8 [SIDE, SIDE, 3], the field of view.
    lesions: uint8 [SIDE, SIDE] packed.
    ignore: likewise, agreed on, but contradicting the grade by Table I.
    grade: 0..4.
  """

  image: np.ndarray
  lesions: np.ndarray
  ignore: np.ndarray
  grade: int


class Verdict(NamedTuple):
  """The outcome for one photograph: an example, or why there is none; and what its annotators said, where two did."""

  case: Case
  example: Example | None
  left_out: LeftOut | None
  ballot: Ballot | None


def gather(
    annotations: Iterable[Annotation], photographs: Photographs, table: Mapping[str, Identity],
) -> tuple[list[Case], list[LeftOut]]:
  """Brings the annotations to their photographs.

  Args:
    annotations: of all exports.
    photographs: where the files lie.
    table: who they are, see `patients.identify`.

  Returns:
    The cases, by the id of the photograph, and what cannot be one.

  Raises:
    ValueError: where a name means several files, or it is not known whose eye a photograph shows.
  """
  by_path: dict[pathlib.Path, list[Annotation]] = {}
  missing: Counter[str] = Counter()
  for annotation in annotations:
    path = photographs.find(annotation.photograph)
    if path is None:
      missing[annotation.photograph] += 1
    else:
      by_path.setdefault(path, []).append(annotation)
  left_out = [LeftOut(name, NOT_FOUND, f'{count} annotations') for name, count in sorted(missing.items())]
  cases = []
  for path, identity in identify(by_path, table).items():
    who = Counter(annotation.annotator for annotation in by_path[path])
    if twice := [name for name, count in who.items() if count > 1]:
      names = sorted({annotation.photograph for annotation in by_path[path] if annotation.annotator in twice})
      left_out.append(LeftOut(path.name, AMBIGUOUS, ', '.join(names)))
    else:
      cases.append(Case(path, identity, tuple(by_path[path])))
  return sorted(cases, key=lambda case: case.identity.id), left_out


def judge(case: Case, *, annotators: int, votes: int | None = None) -> Verdict:
  """Reads one photograph and lets its annotators vote.

  Args:
    case: the photograph.
    annotators: how many it needs at least.
    votes: as `majority_masks` takes it.
  """
  def leave_out(reason: str, detail: str, ballot: Ballot | None = None) -> Verdict:
    return Verdict(case, None, LeftOut(case.path.name, reason, detail), ballot)

  try:
    image, crop = read_field(case.path)
  except (OSError, ValueError) as error:
    # The data sheet lists it, and is given away: no folders of this computer.
    return leave_out(UNREADABLE, str(error).replace(str(case.path), case.path.name))
  size = image.shape[:2]
  factors = [_factor(annotation.size, size) for annotation in case.annotations]
  if None in factors:
    drawn_on = case.annotations[factors.index(None)].size
    return leave_out(RESIZED, f'drawn on {drawn_on[1]}x{drawn_on[0]} pixels, the photograph has {size[1]}x{size[0]}')
  masks = [rasterise((shape.scaled(factor) if factor != 1 else shape for shape in annotation.shapes), size)
           for annotation, factor in zip(case.annotations, factors, strict=True)]
  grades = tuple(annotation.grade for annotation in case.annotations)
  names = tuple(annotation.annotator for annotation in case.annotations)
  ballot = Ballot(names, grades, overlap(masks)) if len(masks) > 1 else None
  if len(masks) < annotators:
    return leave_out(TOO_FEW, f'{len(masks)} of {annotators}', ballot)
  grade = majority_grade(grades)
  if grade is None:
    given = Counter('no grade' if grade is None else GRADE_KEYS[grade] for grade in grades)
    return leave_out(NO_MAJORITY, ', '.join(f'{count} {key}' for key, count in sorted(given.items())), ballot)
  agreed, against = majority_masks(masks, votes), np.uint8(contradicted(grade))
  example = Example(crop.apply(image, SIDE), crop.apply_mask(agreed & ~against, SIDE),
                    crop.apply_mask(agreed & against, SIDE), grade)
  return Verdict(case, example, None, ballot)


def _factor(drawn_on: tuple[int, int] | None, size: tuple[int, int]) -> float | None:
  """How much larger the photograph is than the copy that was annotated; None where that is another picture."""
  if drawn_on is None or drawn_on == size:
    return 1.0
  factor = size[1] / drawn_on[1]
  # A reduced copy is rounded to whole pixels.
  return factor if abs(drawn_on[0] * factor - size[0]) <= max(1.0, factor) else None
