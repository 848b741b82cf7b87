"""Writes the layout of the Retinal-Lesions release: the builder `retinal_lesions` reads it.

  images_896x896/<id>.jpg               the field of view
  lesion_segs_896x896/<id>/<lesion>.png 255 a lesion, 127 one that contradicts the grade, 0 none; no file: absent
  dr_grades.csv                         image id, kaggle label (empty), our label: the consensus
  splits.json                           the photographs of each split, as the builder splits them
  consensus.json, README.md             everything counted, and the data sheet
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import json
import os
import pathlib
import shutil
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from PIL import Image

from lesion_jax import locking
from lesion_jax.annotation.agreement import Ballot, measure
from lesion_jax.annotation.consensus import ANNOTATORS
from lesion_jax.annotation.photographs import Case, Example, LeftOut, Verdict, judge
from lesion_jax.annotation.sheet import Kept, Summary, render, to_json
from lesion_jax.core import LESION_KEYS, lesion_bits
from lesion_jax.data.datasets.retinal_lesions import MASK_NAMES, PRESENT, UNSCORED, RetinalLesions
from lesion_jax.data.splits import Dealing, labels_of
from lesion_jax.photograph.threads import ordered_map
from lesion_jax.places import home, real

IMAGES, MASKS, GRADES = 'images_896x896', 'lesion_segs_896x896', 'dr_grades.csv'
SPLIT_FILE, RECORD, SHEET = 'splits.json', 'consensus.json', 'README.md'
QUALITY = 95  # of the JPEGs, without subsampling of colours: microaneurysms are red on orange (our choice)


@dataclasses.dataclass(frozen=True)
class Rules:
  """How annotations become ground truth; everything else is fixed.

  Attributes:
    annotators: how many a photograph needs at least.
    votes: how many annotators make a pixel a lesion; None: more than half of those of the photograph.
    licence: under which the raw dataset may be used, in words; '' where the user has not said.
  """

  annotators: int = ANNOTATORS
  votes: int | None = None
  licence: str = ''

  def __post_init__(self):
    if self.annotators < 1:
      raise ValueError(f'{self.annotators} annotators; a photograph needs at least 1, and 3 in the paper')
    if self.votes is not None and not 1 <= self.votes <= self.annotators:
      raise ValueError(f'{self.votes} votes make a lesion, but photographs with {self.annotators} annotators count; '
                       f'give 1 to {self.annotators}')


def write_release(
    out: pathlib.Path, cases: Sequence[Case], left_out: Sequence[LeftOut] = (), *, rules: Rules = Rules(),
    passed_over: Mapping[str, int] | None = None, progress: Callable[[], None] = lambda: None,
) -> Summary:
  """Lets the annotators of every photograph vote, and writes what they agree on.

  Args:
    out: the folder to make; it appears whole, or not at all.
    cases: of `photographs.gather`.
    left_out: what `gather` could not take; the data sheet lists it.
    rules: how annotations become ground truth.
    passed_over: of the exports, for the data sheet.
    progress: called after each photograph.

  Returns:
    What the data sheet is made of.

  Raises:
    FileExistsError: there is something at `out` already, other than an empty folder.
    ValueError: no photograph is left, saying why.
  """
  out = real(home(out))
  if out.exists() and (not out.is_dir() or any(out.iterdir())):
    raise FileExistsError(f'{out} is there already; remove it, or give another name')
  out.parent.mkdir(parents=True, exist_ok=True)
  fresh = out.with_name(f'.{out.name}.{uuid.uuid4().hex[:8]}.new')
  (fresh / IMAGES).mkdir(parents=True)
  held = locking.hold(fresh)  # by which another one sees that this one is alive
  (fresh / MASKS).mkdir()
  try:
    summary = _vote(fresh, cases, left_out, rules, passed_over or {}, progress)
    (fresh / SHEET).write_text(render(summary), 'utf-8')
    (fresh / RECORD).write_text(json.dumps(to_json(summary), indent=2, allow_nan=False) + '\n', 'utf-8')
    fresh.rename(out)
  finally:
    shutil.rmtree(fresh, ignore_errors=True)
    if held is not None:
      os.close(held)
  locking.sweep(out)
  return summary


def _vote(
    folder: pathlib.Path, cases: Sequence[Case], left_out: Sequence[LeftOut], rules: Rules,
    passed_over: Mapping[str, int], progress: Callable[[], None],
) -> Summary:
  """Writes examples, grades and splits into the folder."""
  kept: list[Kept] = []
  ballots: list[Ballot] = []
  lost = list(left_out)
  for verdict in ordered_map(functools.partial(judge, annotators=rules.annotators, votes=rules.votes), cases):
    if verdict.ballot is not None:
      ballots.append(verdict.ballot)
    if verdict.example is None:
      lost.append(verdict.left_out)
    else:
      _write_example(folder, verdict.case.identity.id, verdict.example)
      kept.append(_keep(verdict))
    progress()
  if not kept:
    reasons = ', '.join(f'{count} {reason}' for reason, count in Counter(item.reason for item in lost).items())
    raise ValueError(f'no photograph is left: {reasons or "the exports hold no annotation"}')
  dealing = Dealing(RetinalLesions.SPLIT)
  labels = [labels_of({*item.lesions, *item.contradicting}, item.grade) for item in kept]  # those that have a file
  named = dealing.deal([item.id for item in kept], [item.patient for item in kept], labels)
  _write_grades(folder / GRADES, kept)
  text = {'seed': dealing.seed, 'unit': 'patient', 'split': dealing.name, **named}
  (folder / SPLIT_FILE).write_text(json.dumps(text, indent=2) + '\n', 'utf-8')
  return Summary(kept, lost, measure(ballots), named, dict(passed_over), rules.annotators, rules.votes, rules.licence)


def _keep(verdict: Verdict) -> Kept:
  case, example = verdict.case, verdict.example
  has = lambda packed: tuple(key for key in LESION_KEYS if (packed & np.uint8(lesion_bits([key]))).any())
  return Kept(
      case.identity.id, case.identity.patient, case.path.name, example.grade, has(example.lesions), has(example.ignore),
      tuple(annotation.annotator for annotation in case.annotations),
      dict(Counter(shape.lesion for annotation in case.annotations for shape in annotation.shapes)))


def _write_example(folder: pathlib.Path, name: str, example: Example) -> None:
  Image.fromarray(example.image).save(folder / IMAGES / f'{name}.jpg', quality=QUALITY, subsampling=0)
  for key, stem in MASK_NAMES.items():
    flag = np.uint8(lesion_bits([key]))
    levels = np.where(example.ignore & flag, np.uint8(UNSCORED), np.uint8(0))
    levels[(example.lesions & flag) > 0] = PRESENT
    if levels.any():
      path = folder / MASKS / name / f'{stem}.png'
      path.parent.mkdir(exist_ok=True)
      Image.fromarray(levels).save(path, compress_level=6)


def _write_grades(path: pathlib.Path, kept: Sequence[Kept]) -> None:
  with path.open('w', newline='', encoding='utf-8') as file:
    writer = csv.writer(file, lineterminator='\n')
    writer.writerow(('image id', 'kaggle label', 'our label'))
    writer.writerows((item.id, '', item.grade) for item in kept)
