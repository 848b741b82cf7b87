"""The paper's claims about which of two systems is better, each held against our results.

A verdict rests on differences between two rows, seed by seed. The replicates of all rows of a preset are of the same
resampled patients with all of their photographs, so the difference is taken resample by resample. Rows that were
measured when single photographs were drawn are compared with one another alone.

The paper calls pixels and images from a probability of 0.5 (section III). Where our thresholds were chosen on validation a claim about
an F1 is held against both: at 0.5, and at those.

The paper's means are of eight lesions. Where fewer are evaluated here its figures are the means over these, from what it prints by lesion; and where
those do not say what it claims of the eight, the claim is not held against our results.

With one seed the interval is that of the paired bootstrap: it compares two trained networks, and says nothing about
what another seed would give. Where the counts of the photographs were kept the difference must also be larger than
where the two rows swap patients (`evaluate.compare`: p below 0.05), which keeps the share of equal systems that are told apart to one
in twenty; a claim of likeness has no such test. With n seeds two sources of chance count. Seeds: s^2 / n, with s the standard deviation of
the n differences. Photographs: v, the variance over the resamples of the mean over the seeds. The interval is the mean
difference plus and minus t * sqrt(s^2 / n + v), t being the quantile of Student's distribution with the degrees of
freedom of Welch and Satterthwaite, (s^2 / n + v)^2 / ((s^2 / n)^2 / (n - 1)); v has many. So equal systems are told
apart in about one of twenty cases, with two seeds in up to one of ten, as a test simulates. (Resampling the seeds
instead would not do: of three seeds, one resample in 27 draws the same one three times, and the interval shrinks to
what was seen.)
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from experiments import captions, presets
from experiments.claims import CLAIMS, Claim
from experiments.collect import Result, at_half, by_row, metric, on_common, paper_metric, scored, title, without_dual
from experiments.page import join, table
from lesion_jax.core import LESION_KEYS
from lesion_jax.evaluate import compare
from lesion_jax.evaluate.bootstrap import SWAPS
from lesion_jax.report.comparison import say_p

METRICS = {'pixel_f1': 'pixel F1', 'image_f1': 'image F1', 'kappa': 'kappa'}
REPLICATES = {'pixel_f1': 'mean_pixel_f1', 'image_f1': 'mean_image_f1', 'kappa': 'kappa'}
HOLDS, REVERSED, UNDECIDED, NOT_REFUTED, NOT_PAIRED, NOT_DUAL, NOT_RUN, NOT_CLAIMED = VERDICTS = (
    'holds', 'reversed', 'undecided', 'not refuted', 'not paired', 'not dual', 'not run', 'not claimed')
LENGTHS = tuple(f'lesion_net_{stride}s' for stride in (32, 16, 8, 4, 2))  # of the expansive path, in the paper
LEAST = 1e-9  # of the paper's differences above 0: means of what it prints by lesion are rounded
FEWEST = 0.5  # share of the resamples in which a difference must be defined to have an interval (our choice)


@dataclasses.dataclass(frozen=True)
class Verdict:
  """What our results say of a claim.

  Attributes:
    claim: the claim.
    verdict: HOLDS where the interval lies above 0, REVERSED where it lies below, UNDECIDED where it contains 0, there
      is none, or p is not below 1 less its level, NOT_RUN where a row has no result, or the rows have no seed in common, NOT_PAIRED where one was measured
      over resampled photographs and one over resampled patients, so that one has to be measured again, NOT_DUAL where a network of the dual loss never saw it, NOT_CLAIMED where the
      paper's own figures of the lesions that are evaluated do not say it. For a claim of no gain (`denied`)
      REVERSED where it lies above 0, HOLDS where below, and else NOT_REFUTED.
    difference: between the metrics, the mean over `seeds`; None where one is undefined or not run.
    interval: of the difference, or None.
    p: how often the two rows differ as much where they swap patients at random; None with several seeds, for a claim of likeness, and
      without counts.
    paper: the paper's difference, over the same lesions, or None.
    seeds: those that all rows have.
    photographs: that all rows were tested on, where some were tested on more; else None.
    by_lesion: of an F1: the difference of each lesion, the mean over `seeds`, where it is defined.
  """

  claim: Claim
  verdict: str
  difference: float | None
  interval: tuple[float, float] | None
  p: float | None
  paper: float | None
  seeds: tuple[int, ...]
  photographs: int | None = None
  by_lesion: Mapping[str, float] = dataclasses.field(default_factory=dict)


Verdicts = dict[str, list[Verdict]]  # by the heading of the claims


def verdict(claim: Claim, results: Sequence[Result]) -> Verdict:
  """Holds a claim against results, see the module's docstring for how. Raises as `compared` does."""
  found, lesions = compared(claim, results), scored(results, claim.metric)
  unsaid = bool(lesions) and (not set(claim.lesions) <= set(lesions) or found.paper is not None and found.paper <= LEAST)
  return dataclasses.replace(found, verdict=NOT_CLAIMED) if unsaid else found


def compared(claim: Claim, results: Sequence[Result]) -> Verdict:
  """Compares the systems of a claim, whether the paper says it of these lesions or not.

  Raises:
    ValueError: the rows were not tested on photographs of the same data, of which those that all have are compared, have different numbers of
      replicates, or these were drawn by different versions of NumPy: their differences would not be paired.
  """
  lesions = scored(results, claim.metric)
  paper = _paper(claim, lesions)
  found = [{result['seed']: result for result in by_row(results).get(key, ())} for key in claim.rows]
  seeds = sorted(set.intersection(*map(set, found)))
  if not seeds:
    return Verdict(claim, NOT_RUN, None, None, None, paper, ())
  measured = [row[seed] for row in found for seed in seeds]
  common = on_common(measured)
  fewer = common[0]['test_images'] if any(one is not other for one, other in zip(common, measured, strict=True)) else None
  rows = [common[number * len(seeds):][:len(seeds)] for number in range(len(found))]
  _check_paired(claim, common)
  values = [[metric([result], claim.metric).value for result in row] for row in rows]
  differences = np.array([np.nan if None in seed else _difference(*seed) for seed in zip(*values, strict=True)])
  difference = None if np.isnan(differences).any() else float(differences.mean())
  if len({result['report']['intervals'].get('patients') for row in rows for result in row}) > 1:
    return Verdict(claim, NOT_PAIRED, difference, None, None, paper, tuple(seeds))
  if any(without_dual(result) for row in rows for result in row):
    return Verdict(claim, NOT_DUAL, difference, None, None, paper, tuple(seeds))
  found = interval(differences, _replicates(claim, rows), rows[0][0]['report']['intervals']['level'])
  chance = _chance(claim, rows)
  by_chance = chance is not None and chance >= 1 - rows[0][0]['report']['intervals']['level']
  outcome = _judge(None if by_chance else found, claim.denied)
  return Verdict(claim, outcome, difference, found, chance, paper, tuple(seeds), fewer, _by_lesion(claim, rows, lesions))


def _paper(claim: Claim, lesions: Collection[str]) -> float | None:
  """The paper's difference, over these lesions."""
  printed = [paper_metric(key, claim.metric, lesions=lesions) for key in claim.rows]
  return claim.paper if None in printed else _difference(*printed)


def _by_lesion(claim: Claim, rows: Sequence[Sequence[Result]], lesions: Collection[str]) -> dict[str, float]:
  found = {}
  for key in lesions:
    values = [metric(row, claim.metric, key) for row in rows]
    if all(each is not None and each.value is not None for each in values):
      found[key] = _difference(*(each.value for each in values))
  return found


def _chance(claim: Claim, rows: Sequence[Sequence[Result]]) -> float | None:
  """p of `evaluate.compare`; None with several seeds, for a claim of likeness, and for results that kept no counts."""
  if len(rows) != 2 or len(rows[0]) != 1 or not all('counts' in row[0] for row in rows):
    return None
  (one, annotated), (other, _) = (row[0]['counts'] for row in rows)
  return compare(one, other, annotated)[REPLICATES[claim.metric]]['p']


def verdicts(results: Sequence[Result]) -> Verdicts:
  """Returns the verdict on every claim, by its heading; F1 at 0.5 where `at_half` tells them. Raises as `verdict` does."""
  half = at_half(results) or results
  return {heading: [verdict(claim, results if claim.metric == 'kappa' else half) for claim in claims] for heading, claims in CLAIMS.items()}


def at_chosen(results: Sequence[Result]) -> Verdicts:
  """Returns the verdicts on claims about an F1 at the thresholds that were chosen on validation, by heading; {} where `verdicts` has these.
  Raises as `verdict` does."""
  return {heading: [verdict(claim, results) for claim in claims] for heading, claims in CLAIMS.items()
          if claims[0].metric != 'kappa'} if at_half(results) else {}


def markdown(results: Sequence[Result]) -> str:
  """Renders all verdicts: how many there are of each, a table a heading, and the conditions. Raises as `verdict`
  does."""
  found, chosen, rows = verdicts(results), at_chosen(results), by_row(results)
  parts = ["## The paper's orderings", _headlines(results, found, chosen) or f'{_tally(found)}.', _caption(results, found, chosen)]
  for heading, group in found.items():
    keys = captions.distinct(key for each in group for key in each.claim.rows)
    command = [f'`{captions.command_for(results, keys)}`'] if results else []
    parts += [f'### {heading}', _table(group, rows, chosen.get(heading, ())), *command]
  return join(*parts)


def _table(group: Sequence[Verdict], rows: Mapping[str, Sequence[Result]], chosen: Sequence[Verdict]) -> str:
  """A line a claim; with verdicts at thresholds that were chosen, these behind it."""
  header = ['claim', 'metric', 'paper', 'ours', 'p', 'verdict']
  lines = [_line(each, rows) for each in group]
  if chosen:
    header[3] = 'ours at 0.5'
    header += ['at thresholds from validation', 'p', 'verdict']
    lines = [line + _line(each, rows)[3:] for line, each in zip(lines, chosen, strict=True)]
  if any(each.by_lesion for each in group):
    header.append('by lesion, at 0.5' if chosen else 'by lesion')
    lines = [[*line, _lesions(each)] for line, each in zip(lines, group, strict=True)]
  return table(header, lines)


def _lesions(found: Verdict) -> str:
  """'MA +0.635, iHE −0.043'."""
  return ', '.join(f'{key} {_signed(value)}' for key, value in found.by_lesion.items())


def _tally(groups: Verdicts, how: str = '') -> str:
  counts = collections.Counter(each.verdict for each in _all(groups))
  return f"Of the paper's {sum(counts.values())} claims{how}: " + ', '.join(f'{name} {counts[name]}' for name in VERDICTS if counts[name])


def headlines(results: Sequence[Result]) -> str:
  """Says in a list of a few sentences what a reader wants to know first: whether the dual loss raises image F1 at equal pixel F1, which length of the
  expansive path is best, whether learned attention is, and how many of the paper's claims hold. '' where the results rank nothing, or
  there are none. Raises as `verdict` does."""
  return _headlines(results, verdicts(results), at_chosen(results))


def _headlines(results: Sequence[Result], found: Verdicts, at_validation: Verdicts) -> str:
  """`headlines`, by all verdicts, and those at thresholds from validation."""
  if not results or any(result['preset'] in presets.NOTES for result in results):
    return ''
  rows, half = by_row(results), at_half(results)
  said, at = [], ' at 0.5, as in the paper,' if half else ''
  first = half or results
  claims = [Claim('lesion_net_16s', 'lesion_net_16s_dice', name, '') for name in ('image_f1', 'pixel_f1')]
  image, pixel = (compared(claim, first) for claim in claims)
  if image.verdict != NOT_RUN:
    chosen = [f'; at thresholds from validation by {_told(compared(claims[0], results))} and {_told(compared(claims[1], results))}'] if half else []
    said.append(f'With the dual loss instead of Dice alone Lesion-Net-16s has an image F1{at} that differs by {_told(image)} ({_lesions(image)}), and a '
                f'pixel F1 that differs by {_told(pixel)}{"".join(chosen)}.')
  lengths = [key for key in LENGTHS if key in rows]
  if len(lengths) > 1 and _common_seeds(rows[key] for key in lengths):
    said.append(_lengths(lengths, by_row(first), first, at))
  others = [(key, words) for key, words in (('multitask_cw_maxpool', 'CW-MaxPool'), ('inception_v3', 'Inception-v3 without lesions'))
            if key in rows and 'multitask' in rows]
  if others:
    said.append('Attention by convolution (Eq. 7) has a kappa that differs ' + ' and '.join(
        f'from that of {words} by {_told(compared(Claim("multitask", key, "kappa", ""), results))}' for key, words in others) + '.')
  said.append(f'{_tally(found, ", with F1 at 0.5" if half else "")}.{_reversed(found, rows)}')
  if at_validation:
    others = found | at_validation  # grades have no threshold
    said.append(f'{_tally(others, ", with F1 at thresholds from validation")}.{_reversed(others, rows)}')
  return '\n'.join(f'- {each}' for each in said)


def _all(groups: Verdicts) -> list[Verdict]:
  return [each for group in groups.values() for each in group]


def _reversed(groups: Verdicts, rows: Mapping[str, Sequence[Result]]) -> str:
  names = [f'{_words(each.claim, rows)} in {METRICS[each.claim.metric]} ({_told(each)})' for each in _all(groups) if each.verdict == REVERSED]
  return f' Reversed: {"; ".join(names)}.' if names else ''


def _lengths(lengths: Sequence[str], rows: Mapping[str, Sequence[Result]], results: Sequence[Result], at: str) -> str:
  """Which length is best by either F1, and by how much the next one is behind."""
  seeds = _common_seeds(rows[key] for key in lengths)  # with a seed of its own besides a row would be ahead by luck
  parts, rows = [], {key: [result for result in rows[key] if result['seed'] in seeds] for key in lengths}
  for name in ('pixel_f1', 'image_f1'):
    order = sorted((key for key in lengths if metric(rows[key], name).value is not None), key=lambda key: -metric(rows[key], name).value)
    if len(order) > 1:
      lead = compared(Claim(order[0], order[1], name, ''), results)
      parts.append(f'{_short(order[0])} has the largest {METRICS[name]}, ahead of {_short(order[1])} by {_told(lead)}')
  left = len(LENGTHS) - len(lengths)
  missing = f' ({left} of the five lengths not run yet)' if left else ''
  over, papers = '', []  # of the same lesions
  for name in ('pixel_f1', 'image_f1'):
    lesions = scored(results, name)
    over = f' of {", ".join(lesions)}' if set(lesions) < set(LESION_KEYS) else ''
    papers.append(_short(max(LENGTHS, key=lambda key: paper_metric(key, name, lesions=lesions))))
  return (f"Among the lengths of the expansive path{at} {' and '.join(parts)}{missing}; by the paper's figures{over} they are "
          f"{' and '.join(papers)}.")


def _common_seeds(rows: Iterable[Sequence[Result]]) -> set[int]:
  return set.intersection(*({result['seed'] for result in found} for found in rows))


def _short(key: str) -> str:
  return key.rpartition('_')[2]


def _told(found: Verdict) -> str:
  """'+0.011 [−0.060, +0.080], 3 seeds (undecided)'."""
  ends = f' [{_signed(found.interval[0])}, {_signed(found.interval[1])}]' if found.interval else ''
  decided = '' if found.verdict in (HOLDS, REVERSED) else f' ({found.verdict})'
  return f'{_signed(found.difference)}{ends}{_seeds(found)}{decided}'


def _seeds(found: Verdict) -> str:
  """', 3 seeds'; nothing where there is one."""
  return f', {len(found.seeds)} seeds' if len(found.seeds) > 1 else ''


def _check_paired(claim: Claim, results: Sequence[Result]) -> None:
  kinds = {(result['data'], result['test_images'], len(result['replicates'].get(REPLICATES[claim.metric], ())),
            result['versions'].get('numpy')) for result in results}
  if len(kinds) > 1:
    raise ValueError(f'the results of {", ".join(claim.rows)} cannot be paired: (data, test photographs, resamples of '
                     f'{claim.metric}, NumPy) are {sorted(kinds, key=str)}; measure these rows again, in one preset')


def _replicates(claim: Claim, rows: Sequence[Sequence[Result]]) -> np.ndarray:
  """The difference in each resample, float [seeds, R], NaN where it is undefined."""
  values = np.array([[result['replicates'].get(REPLICATES[claim.metric], ()) for result in row] for row in rows], float)
  return _difference(*values)


def _difference(better: Any, worse: Any, third: Any = None) -> Any:
  """What a claim says is above 0, of numbers or arrays: the difference; with a third, how much nearer the first is."""
  return better - worse if third is None else abs(third - worse) - abs(better - worse)


def interval(differences: np.ndarray, replicates: np.ndarray, level: float) -> tuple[float, float] | None:
  """Returns the interval of the difference between two systems; see the module's docstring.

  Args:
    differences: float [n], one a seed.
    replicates: float [n, R], the same in each resample of the test photographs; NaN where it is undefined.
    level: in (0, 1).

  Returns:
    (low, high), or None where the difference is undefined for a seed or in more than half of the resamples.
  """
  means, seeds = replicates.mean(axis=0), len(differences)
  defined = means[~np.isnan(means)]
  if not defined.size or defined.size < FEWEST * means.size or np.isnan(differences).any():
    return None
  tails = [(1 - level) / 2, (1 + level) / 2]
  if seeds == 1:
    low, high = np.quantile(defined, tails)
    return float(low), float(high)
  of_seeds, of_photographs = differences.var(ddof=1) / seeds, defined.var()
  total = of_seeds + of_photographs
  freedom = (seeds - 1) * (total / of_seeds) ** 2 if of_seeds > 0 else np.inf
  low, high = differences.mean() + stats.t.ppf(tails, freedom) * np.sqrt(total)
  return float(low), float(high)


def _judge(ends: tuple[float, float] | None, denied: bool) -> str:
  if ends is None or ends[0] <= 0 <= ends[1]:
    return NOT_REFUTED if denied else UNDECIDED
  return HOLDS if (ends[0] > 0) != denied else REVERSED


def _words(claim: Claim, rows: Mapping[str, Sequence[Result]]) -> str:
  titles = [title(key, rows.get(key, ())) for key in claim.rows]
  if claim.closer_than:
    return f'{titles[0]} nearer to {titles[1]} than {titles[2]}'
  return f'{titles[0]} {"not " if claim.denied else ""}> {titles[1]}'


def _line(found: Verdict, rows: Mapping[str, Sequence[Result]]) -> list[str]:
  claim = found.claim
  ends = f' [{_signed(found.interval[0])}, {_signed(found.interval[1])}]' if found.interval else ''
  ours = _signed(found.difference) + ends + _seeds(found) if found.seeds else '–'
  if found.photographs:
    ours += f', {found.photographs} photographs'
  paper = '' if found.paper is None else _signed(found.paper)
  return [f'{_words(claim, rows)}: *{claim.words}*', METRICS[claim.metric], paper, ours, '' if found.p is None else say_p(found.p).removeprefix('= '), found.verdict]


def _signed(value: float | None) -> str:
  return 'undefined' if value is None else f'{value:+.3f}'.replace('-', '\N{MINUS SIGN}')


def _caption(results: Sequence[Result], groups: Verdicts, chosen: Verdicts) -> str:
  found = _all(groups)
  shared = ('Where not all systems were tested on the same photographs, as some had learned from a few of them, the difference is over those '
            'that they share; their number stands beside it.') if any(each.photographs for each in found) else ''
  chance = _of_what_chance([each for each in found if each.seeds], captions.sampled(results))
  tested = sum(each.p is not None for each in (*found, *_all(chosen)))
  many = (f'{tested} differences were tested, several of them of the same networks{", most at both thresholds" if chosen else ""}, and nothing is '
          f'corrected for their number: of so many between equal systems about {tested / 20:.0f} would be called holds or reversed.'
          ) if tested >= 20 / 2 else ''
  left = scored(results, 'pixel_f1') or scored(results, 'image_f1')
  few = (f"F1 are means over {', '.join(left)}, the paper's too (from its figures by lesion; it prints means over eight). Not claimed: of these "
         'lesions the paper does not say it, or its own figures do not.') if set(left) < set(LESION_KEYS) and left else ''
  half = ('The paper calls a pixel or an image from a probability of 0.5; so does the first verdict. The second is at thresholds by which pixel '
          'F1 is largest on validation, for images too.') if at_half(results) else ''
  swapped = (', and, where there is a p, two equal systems would differ as much in fewer than 5 of 100 random swaps of what they say of a '
             f'photograph (p, of {SWAPS:,} swaps)') if tested else ''
  return ' '.join(part for part in [
      f'Differences between the metrics of two systems, paired over test {captions.sampled(results)}. Holds: the interval lies above 0{swapped}; '
      'reversed: below 0, likewise; undecided: neither. A claim of no gain (not >) is reversed by an interval above 0 and '
      'not refuted by one that contains 0. Not dual: a network of the dual loss never saw it, so that nothing follows.', few, half, shared,
      chance, many, captions.conditions(results)] if part)


def _of_what_chance(found: Sequence[Verdict], sampled: str) -> str:
  """Which chance the intervals of these verdicts cover, by how many seeds they have."""
  several = sum(len(each.seeds) > 1 for each in found)
  of_one = (f'covers chance in the choice of test {sampled} alone. It compares two trained networks and not two methods: with another seed '
            'either verdict may turn.')
  of_several = (f'covers chance in the choice of test {sampled} and in the seeds: at 95 % about one in twenty differences of equal systems is called '
                'holds or reversed all the same')
  if not several:
    return f'The interval {of_one}'
  if several == len(found):
    return f'The interval {of_several}.'
  return f'Where a claim has several seeds ({several} of {len(found)}) its interval {of_several}; with one seed it {of_one}'
