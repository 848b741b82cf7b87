"""The paper's claims about which of two systems is better, each held against our results.

A verdict rests on the paired bootstrap. The replicates of all rows of a preset are of the same resampled photographs,
so the difference between two rows is taken resample by resample. Where rows have several seeds, each resample also
draws seeds, as many as there are, with replacement, the same ones for both rows, and takes the difference between the
means over them (a two-stage bootstrap, our choice: the replicates of all seeds in one heap would not tell one seed from
ten). The interval then covers the choice of test photographs and that of the seeds; for the latter it is too narrow
where seeds are few, by sqrt((n - 1) / n) for n of them. With one seed it says nothing about another.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments import captions
from experiments.claims import CLAIMS, Claim
from experiments.collect import Result, by_row, figure, paper_figure, title
from lesion_jax.report.card import table

FIGURES = {'pixel_f1': 'pixel F1', 'image_f1': 'image F1', 'kappa': 'kappa'}
REPLICATES = {'pixel_f1': 'mean_pixel_f1', 'image_f1': 'mean_image_f1', 'kappa': 'kappa'}
HOLDS, REVERSED, UNDECIDED, NOT_RUN = VERDICTS = ('holds', 'reversed', 'undecided', 'not run')
FEWEST = 0.5  # share of the resamples in which a difference must be defined to have an interval (our choice)
SEED = 0  # of the draws of seeds


@dataclasses.dataclass(frozen=True)
class Verdict:
  """What our results say of a claim.

  Attributes:
    claim: the claim.
    verdict: for a claim that is `denied`, REVERSED where the interval lies above 0 and else HOLDS. For others HOLDS where
      the interval lies above 0, REVERSED where it lies below, UNDECIDED where it contains 0 or there
      is none, NOT_RUN where a row has no result, or the rows have no seed in common.
    difference: between the figures, the means over `seeds`; None where one is undefined or not run.
    interval: of the difference, or None.
    paper: the paper's difference, or None.
    seeds: those that all rows have.
  """

  claim: Claim
  verdict: str
  difference: float | None
  interval: tuple[float, float] | None
  paper: float | None
  seeds: tuple[int, ...]


def verdict(claim: Claim, results: Sequence[Result]) -> Verdict:
  """Holds a claim against results, see the module's docstring for how.

  Raises:
    ValueError: the rows were not tested on equally many photographs of the same data, or have different numbers of
      replicates: their differences would not be paired.
  """
  paper = claim.paper
  if paper is None:
    printed = [paper_figure(key, claim.figure) for key in claim.rows]
    paper = None if None in printed else _difference(*printed)
  found = [{result['seed']: result for result in by_row(results).get(key, ())} for key in claim.rows]
  seeds = sorted(set.intersection(*map(set, found)))
  if not seeds:
    return Verdict(claim, NOT_RUN, None, None, paper, ())
  rows = [[row[seed] for seed in seeds] for row in found]
  _check_paired(claim, [result for row in rows for result in row])
  values = [[figure([result], claim.figure).value for result in row] for row in rows]
  means = [None if None in row else float(np.mean(row)) for row in values]
  interval = _interval(_replicates(claim, rows), rows[0][0]['report']['intervals']['level'])
  difference = None if None in means else _difference(*means)
  return Verdict(claim, _judge(interval, claim.denied), difference, interval, paper, tuple(seeds))


def verdicts(results: Sequence[Result]) -> dict[str, list[Verdict]]:
  """The verdict on every claim, by its heading. Raises as `verdict` does."""
  return {heading: [verdict(claim, results) for claim in claims] for heading, claims in CLAIMS.items()}


def markdown(results: Sequence[Result]) -> str:
  """All verdicts: how many there are of each, a table a heading, and the conditions. Raises as `verdict` does."""
  found, rows = verdicts(results), by_row(results)
  counts = collections.Counter(each.verdict for group in found.values() for each in group)
  header = ['claim', 'figure', 'paper', 'ours', 'verdict']
  parts = ["## The paper's orderings", f'Of {counts.total()} claims: ' +
           ', '.join(f'{name} {counts[name]}' for name in VERDICTS) + '.', _caption(results)]
  for heading, group in found.items():
    keys = captions.distinct(key for each in group for key in each.claim.rows)
    command = [f'`{captions.command_for(results, keys)}`'] if results else []
    parts += [f'### {heading}', table(header, [_line(each, rows) for each in group]), *command]
  return '\n\n'.join(parts)


def _check_paired(claim: Claim, results: Sequence[Result]) -> None:
  kinds = {(result['data'], result['test_images'], len(result['replicates'].get(REPLICATES[claim.figure], ())))
           for result in results}
  if len(kinds) > 1:
    raise ValueError(f'the results of {", ".join(claim.rows)} cannot be paired: (data, test photographs, resamples of '
                     f'{claim.figure}) are {sorted(kinds)}; measure these rows again, in one preset')


def _replicates(claim: Claim, rows: Sequence[Sequence[Result]]) -> np.ndarray:
  """The difference in each resample, float [R], NaN where it is undefined; see the module's docstring."""
  values = np.array([[result['replicates'].get(REPLICATES[claim.figure], ()) for result in row] for row in rows], float)
  _, seeds, resamples = values.shape
  drawn = np.random.default_rng(SEED).integers(seeds, size=(seeds, resamples))
  means = np.take_along_axis(values, drawn[None], axis=1).mean(axis=1)
  return _difference(*means)


def _difference(better: Any, worse: Any, third: Any = None) -> Any:
  """What a claim says is above 0, of numbers or arrays: the difference; with a third, how much nearer the first is."""
  return better - worse if third is None else abs(third - worse) - abs(better - worse)


def _interval(differences: np.ndarray, level: float) -> tuple[float, float] | None:
  defined = differences[~np.isnan(differences)]
  if not defined.size or defined.size < FEWEST * differences.size:
    return None
  low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
  return float(low), float(high)


def _judge(interval: tuple[float, float] | None, denied: bool) -> str:
  if interval is None:
    return UNDECIDED
  if denied:  # that nothing is gained is not refuted unless something is
    return REVERSED if interval[0] > 0 else HOLDS
  if interval[0] <= 0 <= interval[1]:
    return UNDECIDED
  return HOLDS if interval[0] > 0 else REVERSED


def _line(found: Verdict, rows: Mapping[str, Sequence[Result]]) -> list[str]:
  claim = found.claim
  titles = [title(key, rows.get(key, ())) for key in claim.rows]
  words = f'{titles[0]} {"not " if claim.denied else ""}> {titles[1]}'
  if claim.closer_than:
    words = f'{titles[0]} nearer to {titles[1]} than {titles[2]}'
  ends = f' [{_signed(found.interval[0])}, {_signed(found.interval[1])}]' if found.interval else ''
  ours = '–' if found.verdict == NOT_RUN else _signed(found.difference) + ends
  paper = '' if found.paper is None else _signed(found.paper)
  return [f'{words}: *{claim.words}*', FIGURES[claim.figure], paper, ours, found.verdict]


def _signed(value: float | None) -> str:
  return 'undefined' if value is None else f'{value:+.3f}'.replace('-', '\N{MINUS SIGN}')


def _caption(results: Sequence[Result]) -> str:
  several = len({result['seed'] for result in results}) > 1
  return ' '.join([
      'Differences between the figures of two systems, with the interval of the paired difference over resampled test '
      'photographs' + (' and seeds.' if several else '; it says nothing about another seed.'),
      'Holds: the interval lies above 0; reversed: below; undecided: it contains 0. A claim of no gain (not >) holds unless '
      'the interval lies above 0.',
      'At 95 % one in twenty differences of equal systems is called holds or reversed by chance.',
      captions.conditions(results)])
