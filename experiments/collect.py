"""Results read back from their folder: checked, in the order of the tables, and their metrics over the seeds."""

from __future__ import annotations

import json
import pathlib
import statistics
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.record import SCHEMA
from experiments.rows import ROWS, SYSTEMS
from lesion_jax import comparison
from lesion_jax.core import LESION_KEYS
from lesion_jax.evaluate import at_half as counts_at_half
from lesion_jax.evaluate import bootstrap, intervals, patients, report, totals
from lesion_jax.evaluate.comparison import ANNOTATED
from lesion_jax.metrics.summary import FALSE_ALARMS, NOT_ANNOTATED, mean_defined
from lesion_jax.stages.parts import TWO_PHASES
from lesion_jax.train.plateau import SEGMENTATION

Result = Mapping[str, Any]

MEMORY = 'memory-'  # how the names of memory measurements begin
RESULT_KEYS = ('row', 'title', 'table', 'stage', 'preset', 'seed', 'paper', 'command', 'report', 'replicates',
               'test_images', 'size', 'data', 'parameters', 'steps', 'best_step', 'seconds', 'resumed', 'peak_memory',
               'hardware', 'versions', 'weights', 'lesion_weights', 'config')
MEMORY_KEYS = ('system', 'size', 'batch', 'dtype', 'program', 'peak_memory', 'hardware', 'versions', 'command')
NOT_COMPUTED = 'not computed by this system'
NO_INTERVAL = 'no interval: undefined in every resample'


PAIRED = ('mean_pixel_f1', 'mean_image_f1', 'kappa')  # the metrics by which rows are compared
DIGITS = 5  # of a replicate
PAPERS_SIZE = 896  # of a row whose title names no other


class Metric(NamedTuple):
  """One metric of one system.

  Attributes:
    value: the mean over the seeds in which it is defined; None where it is in none.
    spread: the standard deviation over those seeds (n - 1 in the denominator); None for fewer than two.
    interval: the means of the seeds' limits, or None.
    reason: why a value or an interval is missing, or which lesions a mean leaves out, in one seed or in all; None where
      there is nothing to say.
  """

  value: float | None
  spread: float | None
  interval: tuple[float, float] | None
  reason: str | None


def load(folder: str | pathlib.Path) -> list[Result]:
  """Returns the results of a preset, in the order of the rows and by seed within a row.

  Where the counts of the test photographs lie beside a result, its metrics, their intervals and its replicates are
  computed again from them, and they are kept under 'counts', with the lesions that were evaluated: a change of the
  analysis needs no new training. Where a row's thresholds were chosen on validation the same at thresholds of 0.5 is under
  'at_half', see `at_half`.

  Raises:
    FileNotFoundError: there is no such folder.
    ValueError: a file there is damaged, belongs to another preset, row or seed, or was not written by `experiments`.
  """
  found = [_read(path, RESULT_KEYS) for path in _files(folder) if not path.name.startswith(MEMORY)]
  for path, result in found:
    if result['row'] not in ROWS:
      raise ValueError(f'{path} is the result of the row {result["row"]!r}, which no table has; the rows are '
                       f'{", ".join(ROWS)}. Move the file away')
    for key, expected in (('preset', path.parent.name), ('table', ROWS[result['row']].table)):
      _expect(path, key, result[key], expected)
    _expect(path, 'row and seed', f'{result["row"]}-{result["seed"]}', path.stem)
    if counts_of(path).exists():
      _analyse(path, result)
    else:
      _over_the_truth(result['report'])
    if 'intervals' not in result['report'] or len({len(values) for values in result['replicates'].values()}) > 1:
      raise ValueError(f'{path} lacks intervals in its report, or has replicates of different lengths; remove it and '
                       'measure the row again')
  order = list(ROWS)
  return sorted((result for _, result in found), key=lambda result: (order.index(result['row']), result['seed']))


def counts_of(path: pathlib.Path) -> pathlib.Path:
  """Returns where the counts of each test photograph of a result lie: beside it. Results of before have none."""
  return path.with_suffix('.npz')


def read_counts(path: pathlib.Path) -> tuple[dict[str, np.ndarray], list[str]]:
  """Reads counts as `report.run.write_figures` writes them, and the lesions that were evaluated. Raises as `comparison.read_counts`."""
  counts = comparison.read_counts(path)
  if ANNOTATED not in counts:
    raise ValueError(f'{path} does not say which lesions were evaluated; measure again what it is of')
  return counts, counts.pop(ANNOTATED).tolist()


def paired(replicates: Mapping[str, np.ndarray]) -> dict[str, list[float | None]]:
  """Selects of the replicates of `bootstrap` those by which rows are compared, ready for JSON."""
  return {name: [None if np.isnan(x) else round(float(x), DIGITS) for x in replicates[name]]
          for name in PAIRED if name in replicates}


def _analyse(path: pathlib.Path, result: dict[str, Any]) -> None:
  """Metrics, intervals and replicates of a result from the counts beside it. (AUPR and calibration need more.)"""
  counts, annotated = read_counts(counts_of(path))
  if {len(value) for value in counts.values()} != {result['test_images']}:
    raise ValueError(f'{counts_of(path)} is not of the {result["test_images"]} test photographs of {path.name}; remove both and '
                     'measure the row again')
  result |= _measured(result, counts, annotated)


def _measured(result: Result, counts: Mapping[str, np.ndarray], annotated: Sequence[str]) -> dict[str, Any]:
  """What a result has of the counts of its photographs, and where thresholds were chosen under 'at_half' what it has at 0.5."""
  fixed = counts_at_half(counts) if result['config'][result['stage']].get('thresholds') == 'validation' else None
  return _figures(result, counts, annotated) | ({'at_half': _figures(result, fixed, annotated)} if fixed else {})


def _figures(result: Result, counts: Mapping[str, np.ndarray], annotated: Sequence[str]) -> dict[str, Any]:
  found = bootstrap(counts, annotated)
  limits = result['report'].get('intervals', {}) | intervals(found) | {'patients': patients(counts)}
  return {'report': result['report'] | report(totals(counts), annotated) | {'intervals': limits}, 'replicates': paired(found),
          'counts': (counts, annotated)}


def at_half(results: Sequence[Result]) -> list[Result]:
  """Returns results that have an image F1 as they are with pixels and images called from a probability of 0.5, as the paper calls them,
  instead of from thresholds that were chosen on validation. [] where one of them does not tell, or nothing was chosen."""
  found = [result for result in results if result['report'].get('image_f1', {}).get('mean') is not None]
  return [{**result, **result['at_half']} for result in found] if all('at_half' in result for result in found) else []


def on_common(results: Sequence[Result]) -> list[Result]:
  """Returns results as of the test photographs that all of them have, in one order: a network of which some were learned from before is
  tested on fewer. Those that kept no counts, or have the same photographs, or of which not all are of one data set, come back as they are."""
  kept = [result.get('counts') for result in results]
  if not all(kept) or len({result['data'] for result in results}) > 1:
    return list(results)
  ids = [counts['id'].tolist() for counts, _ in kept]
  common = sorted(set.intersection(*map(set, ids)))
  if not common or all(len(one) == len(common) for one in ids):
    return list(results)
  found = []
  for result, one, (counts, annotated) in zip(results, ids, kept, strict=True):
    places = [one.index(each) for each in common]
    rest = {name: value[places] for name, value in counts.items()}
    found.append({**result, **_measured(result, rest, annotated), 'test_images': len(common)})
  return found


def _over_the_truth(report: dict[str, Any]) -> None:
  """Leaves lesions that no test photograph has out of the F1 of a report and of their means, as reports do now: with those
  of before a false alarm gave such a lesion an F1 of 0, which the mean took in."""
  occurring = {key for key, images in report.get('positive_images', {}).items() if images}
  for scores in (report[name] for name in ('pixel_f1', 'image_f1') if name in report):
    strange = [key for key, value in scores['lesions'].items() if value is not None and key not in occurring]
    if strange:
      scores['lesions'] |= dict.fromkeys(strange)
      scores['undefined'] |= dict.fromkeys(strange, FALSE_ALARMS)
      scores['mean'] = mean_defined(np.array(list(scores['lesions'].values()), float))


def load_memories(folder: str | pathlib.Path) -> list[Result]:
  """Returns the memory measurements of a preset, in the order of `rows.SYSTEMS`. Raises as `load` does."""
  found = [_read(path, MEMORY_KEYS) for path in _files(folder) if path.name.startswith(MEMORY)]
  for path, result in found:
    _expect(path, 'system', result['system'], path.stem.removeprefix(MEMORY))
    if result['system'] not in SYSTEMS:
      raise ValueError(f'{path} is the memory of {result["system"]!r}; Table IV has {", ".join(SYSTEMS)}. Move the '
                       'file away')
  return sorted((result for _, result in found), key=lambda result: SYSTEMS.index(result['system']))


def read(path: pathlib.Path) -> Result:
  """Returns one result of a row. Raises ValueError where it is damaged, or was not written by `experiments`."""
  return _read(path, RESULT_KEYS)[1]


def by_row(results: Sequence[Result]) -> dict[str, list[Result]]:
  """Returns the results of each row, one a seed; rows without a result are omitted."""
  rows: dict[str, list[Result]] = {}
  for result in results:
    rows.setdefault(result['row'], []).append(result)
  return rows


def metric(results: Sequence[Result], name: str, part: str = 'mean') -> Metric | None:
  """Returns one metric of one row over its seeds; None where the row has no result.

  Args:
    results: of the row.
    name: 'pixel_f1', 'image_f1', 'kappa' or 'accuracy'.
    part: of an F1: 'mean', or the key of a lesion.
  """
  if not results:
    return None
  found = [(result['seed'], *_one(result['report'], name, part)) for result in results]
  values = [value for _, value, _, _ in found if value is not None]
  limits = [interval for _, _, interval, _ in found if interval]
  reasons = {seed: reason for seed, _, _, reason in found if reason}
  return Metric(
      value=statistics.fmean(values) if values else None,
      spread=statistics.stdev(values) if len(values) > 1 else None,
      interval=(statistics.fmean(low for low, _ in limits), statistics.fmean(high for _, high in limits))
      if limits and values else None,
      reason=_join(reasons, len(found)))


def without_dual(result: Result) -> bool:
  """Returns whether a result of a row of the dual loss is of a network that never saw it: the run did not come to that
  phase, or, of results of before, a network of the phase before it was returned. (Those say no phase. Their loss
  changed at the first milestone or plateau; what was best by then is of the first phase.)"""
  if ROWS[result['row']].loss not in TWO_PHASES:
    return False
  if selection := result['report'].get('selection'):
    return selection.get('phase') == SEGMENTATION
  stage = result['config'][result['stage']]
  if 'validate_every' not in stage:
    return False
  return result['best_step'] <= stage['validate_every'] * min(stage['patience'], *stage['milestones'])


def title(row: str, results: Sequence[Result]) -> str:
  """Returns a row's title; where that names a resolution, with the one that its results have instead, and where
  networks of the dual loss never saw it, with that."""
  seeds = [result['seed'] for result in results if without_dual(result)]
  which = '' if len(seeds) == len(results) else f' with seed {", ".join(map(str, seeds))}'
  return _sized(row, results) + (f', Dice alone{which}' if seeds else '')


def _sized(row: str, results: Sequence[Result]) -> str:
  sizes = sorted({result['size'] for result in results})
  other = [f'{size} x {size}' for size in sizes if f'{size} x {size}' not in ROWS[row].title]
  told = ROWS[row].shrink > 1 or any(result['data'] != 'synthetic' and result['size'] != PAPERS_SIZE for result in results)
  return ROWS[row].title + (f', here {" and ".join(other)}' if told and other else '')


def paper_metric(row: str, name: str, part: str = 'mean', lesions: Collection[str] = ()) -> float | None:
  """Returns the paper's result of a row, or None where the paper has none.

  Args:
    row, name, part: as of `metric`.
    lesions: of a mean: the keys of those over which it is taken, of the paper's figures by lesion; none, or all eight: as it is printed.
  """
  found = ROWS[row].paper.get(name)
  if not isinstance(found, Mapping):
    return found
  if part == 'mean' and lesions and set(lesions) < set(LESION_KEYS):
    return statistics.fmean(found[key] for key in lesions)
  return found.get(part)


def scored(results: Sequence[Result], name: str) -> tuple[str, ...]:
  """Returns the keys of the lesions over which results have a mean 'pixel_f1' or 'image_f1', those that have one in any of them; () of another metric."""
  return tuple(key for key in LESION_KEYS if any(
      result['report'].get(name, {}).get('lesions', {}).get(key) is not None for result in results))


def _one(report: Mapping[str, Any], name: str, part: str) -> tuple[float | None, Any, str | None]:
  """(value, interval, reason) of one seed."""
  if name not in report:
    return None, None, NOT_COMPUTED
  scores, intervals = report[name], report['intervals'].get(name)
  if 'value' in scores:
    value, interval, reason = scores['value'], intervals, scores['reason']
  elif part == 'mean':
    value, interval, reason = scores['mean'], intervals and intervals['mean'], _left_out(scores)
  else:
    value, reason = scores['lesions'].get(part), scores['undefined'].get(part)
    interval = intervals and intervals['lesions'].get(part)
  if value is None:
    return None, None, reason
  return value, interval, reason if interval else NO_INTERVAL


def _left_out(scores: Mapping[str, Any]) -> str | None:
  """What is to be said of a mean over lesions: which of the annotated ones it leaves out."""
  if scores['mean'] is None:
    return 'defined for no lesion'
  missing = [key for key, reason in scores['undefined'].items() if reason != NOT_ANNOTATED]
  return f'without {", ".join(missing)}, undefined' if missing else None


def _join(reasons: Mapping[int, str], seeds: int) -> str | None:
  """One text for the reasons of several seeds, which are named unless all have the same."""
  if len(reasons) == seeds and len(set(reasons.values())) == 1:
    return next(iter(reasons.values()))
  return '; '.join(f'seed {seed}: {reason}' for seed, reason in reasons.items()) or None


def _files(folder: str | pathlib.Path) -> list[pathlib.Path]:
  folder = pathlib.Path(folder)
  if not folder.is_dir():
    raise FileNotFoundError(f'no folder {folder}: nothing of this preset was measured yet; run '
                            f'python -m experiments.table2 --preset={folder.name}')
  return sorted(folder.absolute().glob('[!.]*.json'))


def _read(path: pathlib.Path, needed: Sequence[str]) -> tuple[pathlib.Path, dict[str, Any]]:
  try:
    result = json.loads(path.read_text('utf-8'), parse_constant=_refuse)
  except ValueError as error:
    raise ValueError(f'{path} is damaged ({error}); remove it and measure again') from error
  if not isinstance(result, dict) or result.get('schema') != SCHEMA:
    schema = result.get('schema') if isinstance(result, dict) else type(result).__name__
    raise ValueError(f'{path} has schema {schema!r}, this version reads {SCHEMA}; move the file away, or measure again')
  if missing := [key for key in needed if key not in result]:
    raise ValueError(f'{path} lacks {", ".join(missing)}; move the file away, or measure again')
  return path, result


def _refuse(constant: str) -> None:
  raise ValueError(f'{constant} is not JSON')


def _expect(path: pathlib.Path, what: str, found: Any, expected: Any) -> None:
  if found != expected:
    raise ValueError(f'{path}: {what} is {found!r} where its place says {expected!r}; move it where it belongs')
