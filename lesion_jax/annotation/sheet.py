"""What was counted while the ground truth was made, as a data sheet (Markdown) and as JSON.

Annotators are numbered in both: an export names them by e-mail or account, which a data set should not spread.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from lesion_jax.annotation.agreement import Agreement
from lesion_jax.annotation.photographs import LeftOut
from lesion_jax.core import GRADE_KEYS, LESION_KEYS
from lesion_jax.metrics.kappa import Score

SCHEMA_VERSION = 1
LISTED = 50  # photographs that the data sheet lists by name; consensus.json has all
PAIRS = 15  # of annotators in the data sheet: those of six annotators


class Kept(NamedTuple):
  """A photograph of the raw dataset.

  Attributes:
    id: its name there.
    patient: whose eye.
    photograph: the file that it came from.
    grade: 0..4.
    lesions: keys of those that are present.
    contradicting: keys of those that were agreed on but contradict the grade.
    annotators: who annotated it.
    shapes: by lesion, how many shapes all of them drew.
  """

  id: str
  patient: str
  photograph: str
  grade: int
  lesions: tuple[str, ...]
  contradicting: tuple[str, ...]
  annotators: tuple[str, ...]
  shapes: dict[str, int]


@dataclasses.dataclass(frozen=True)
class Summary:
  """Everything that the data sheet says.

  Attributes:
    kept: the photographs of the dataset.
    left_out: the others.
    agreement: of the annotators on all photographs.
    splits: split -> ids.
    passed_over: of the exports, counted by reason.
    needed: annotators that a photograph needs.
    votes: that make a pixel a lesion; None: more than half.
    licence: '' where it was not said.
  """

  kept: list[Kept]
  left_out: list[LeftOut]
  agreement: Agreement
  splits: dict[str, list[str]]
  passed_over: dict[str, int]
  needed: int
  votes: int | None
  licence: str

  def numbers(self) -> dict[str, int]:
    """Annotators -> 1, 2, ..., by name: all who annotated a photograph that was kept, or one together with another."""
    names = {name for item in self.kept for name in item.annotators}
    names |= {name for parts in self.agreement.dice.values() for pair in parts for name in pair}
    return {name: number for number, name in enumerate(sorted(names), start=1)}


def to_json(summary: Summary) -> dict[str, Any]:
  """Converts to plain JSON; a metric that is undefined is null beside its reason."""
  number = summary.numbers()
  pair = lambda names: [number[name] for name in names]
  agreement = summary.agreement
  return {
      'schema_version': SCHEMA_VERSION,
      'rules': {'annotators_at_least': summary.needed, 'votes_for_a_pixel': summary.votes or 'more than half'},
      'licence': summary.licence or None,
      'photographs': [item._asdict() | {'annotators': pair(item.annotators)} for item in summary.kept],
      'left_out': [item._asdict() for item in summary.left_out],
      'passed_over': summary.passed_over,
      'agreement': {
          'fleiss_kappa': agreement.fleiss._asdict(),
          'quadratic_kappa': [{'annotators': pair(names), 'photographs': agreement.graded[names], **score._asdict()}
                              for names, score in agreement.kappa.items()],
          'dice': {key: [{'annotators': pair(names), **score._asdict()} for names, score in parts.items()]
                   for key, parts in agreement.dice.items()},
      },
  }


def render(summary: Summary) -> str:
  """Returns the data sheet."""
  rule = 'more than half of its annotators' if summary.votes is None else f'at least {summary.votes} of its annotators'
  patients = len({item.patient for item in summary.kept})
  parts = [
      '# Ground truth by consensus',
      f'{len(summary.kept)} photographs of {patients} patients, {len(summary.left_out)} left out. Layout of the '
      'Retinal-Lesions release: `images_896x896/`, `lesion_segs_896x896/` (255 a lesion, 127 not scored), '
      '`dr_grades.csv`, and `splits.json` (70/10/20 by patient, grades and lesions spread).',
      '## How it was made',
      f'A photograph has at least {summary.needed} annotators and a grade that more than half of them gave. A pixel '
      f'shows a lesion where {rule} marked it. A lesion that Table I of Wei et al. (ICPR 2020) calls sufficient '
      'evidence for a higher grade only contradicts the grade and has the level 127. Photographs are cropped to the '
      'field of view.',
      '## Licence',
      summary.licence or 'Not stated. Say here under which licence photographs and annotations may be used.',
      '## Photographs', _photographs(summary),
      '## Lesions', _lesions(summary),
      '## Annotators', _annotators(summary),
      '## Agreement', _agreement(summary),
      '## Left out', _left_out(summary),
  ]
  return '\n\n'.join(parts) + '\n'


def _photographs(summary: Summary) -> str:
  where = {name: split for split, names in summary.splits.items() for name in names}
  counts = Counter((where[item.id], item.grade) for item in summary.kept)
  rows = [(split, *(counts[split, grade] for grade in range(len(GRADE_KEYS))), len(names))
          for split, names in summary.splits.items()]
  sums = [sum(column) for column in list(zip(*rows, strict=True))[1:]]
  return _table(('split', *GRADE_KEYS, 'all'), [*rows, ('all', *sums)])


def _lesions(summary: Summary) -> str:
  count = lambda key, field: sum(key in getattr(item, field) for item in summary.kept)
  return _table(
      ('lesion', 'photographs with it', 'photographs where it contradicts the grade', 'shapes drawn by all annotators'),
      [(key, count(key, 'lesions'), count(key, 'contradicting'), sum(item.shapes.get(key, 0) for item in summary.kept))
       for key in LESION_KEYS])


def _annotators(summary: Summary) -> str:
  tally = Counter(name for item in summary.kept for name in item.annotators)
  return _table(('annotator', 'photographs kept'),
                [(number, tally[name]) for name, number in summary.numbers().items()])


def _agreement(summary: Summary) -> str:
  number, agreement = summary.numbers(), summary.agreement
  lines = ['Over all photographs that two or more annotated, those that are left out included.', '',
           f"Grades: Fleiss' kappa {_say(agreement.fleiss)}; quadratic weighted kappa, mean over pairs of annotators, "
           f'{_say(agreement.mean_kappa())}.', '',
           _table(('lesion', 'Dice, mean over pairs of annotators'),
                  [(key, _say(agreement.mean_dice(key))) for key in LESION_KEYS])]
  if 1 < len(agreement.kappa) <= PAIRS:
    rows = [(f'{number[a]}, {number[b]}', agreement.graded[a, b], _say(score))
            for (a, b), score in agreement.kappa.items()]
    lines += ['', _table(('annotators', 'photographs', 'quadratic weighted kappa'), rows)]
  return '\n'.join(lines)


def _left_out(summary: Summary) -> str:
  tally = Counter(item.reason for item in summary.left_out)
  lines = [f'- {reason}: {count}' for reason, count in tally.most_common()]
  lines += [f'- {reason} in the exports: {count}' for reason, count in summary.passed_over.items()]
  if not lines:
    return 'Nothing.'
  shown = [(item.photograph, item.reason, item.detail) for item in summary.left_out[:LISTED]]
  more = len(summary.left_out) - len(shown)
  return '\n'.join([*lines, *(['', _table(('photograph', 'reason', ''), shown)] if shown else []),
                    *(['', f'and {more} more in consensus.json.'] if more else [])])


def _say(score: Score) -> str:
  return f'{score.value:.3f}' if score.value is not None else f'undefined ({score.reason})'


def _table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
  head = list(head)
  cells = [[str(cell).replace('|', r'\|').replace('\n', ' ') for cell in row] for row in rows]
  return '\n'.join('| ' + ' | '.join(row) + ' |' for row in (head, ['---'] * len(head), *cells))
