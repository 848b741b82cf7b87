"""Several systems against each other on the same images, and a system against the grades of a person.

Pure: from counts and grades alone. `lesion_jax.comparison` reads them from files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from lesion_jax import metrics
from lesion_jax.core import GRADE_KEYS, LESION_KEYS, NUM_GRADES, UNKNOWN_GRADE
from lesion_jax.evaluate.bootstrap import (
    BY_LESION, COMPARED, RESAMPLES, SEED, SWAPS, bootstrap, compare, intervals, patients, resampled_confusions)
from lesion_jax.evaluate.interval import LEVEL, check_draws, percentiles
from lesion_jax.evaluate.report import report
from lesion_jax.evaluate.totals import ID, PATIENT, REFERABLE, totals

ANNOTATED = 'annotated'  # of counts: keys of the lesions that were evaluated
# Of image and lesion pairs whose ground truth may differ between two systems: masks that were made smaller have lost the
# smallest lesions. Where more do, the photographs are others (our choice).
OTHER_TRUTH = 0.1
SHOWN = 3  # examples in a message
COARSE = 'photographs graded on a coarser scale than DR0 to DR4 count for neither kappa nor accuracy'
_BY_LESION = ('pixel_', 'image_')  # how the names of counts by lesion begin

Counts = Mapping[str, np.ndarray]


def compare_systems(
    systems: Mapping[str, Counts], *, shared: bool = False, resamples: int = RESAMPLES, swaps: int = SWAPS, seed: int = SEED,
    level: float = LEVEL,
) -> dict[str, Any]:
  """Returns the metrics of several systems on the same images, and how each differs from the first.

  Args:
    systems: name -> counts as `counts.npz` holds them, with 'id' and 'annotated'; two at least. The first is the one from
      which the others differ.
    shared: where not all have the same images, or not the same lesions, compare those of all.
    resamples: of the bootstrap over patients.
    swaps: of patients, see `bootstrap.compare`.
    seed: of the draws.
    level: of the intervals; a difference is called one where p is below 1 - level.

  Returns:
    Ready for JSON: 'baseline', name of the first; 'images' and 'patients' (None: not known), how many; 'graded', how many
    images have a grade; 'lesions', keys of those compared, and 'positive_images', in how many images each is; 'level' and
    'resamples'; 'systems', by name 'mean_pixel_f1', 'mean_image_f1', 'kappa' and 'accuracy', {'value', 'interval'}, and
    'pixel_f1' and 'image_f1', by lesion the same, those that all systems have, None where undefined; 'differences', by name
    of the others what `bootstrap.compare` says of that system less the first; 'notes', sentences.

  Raises:
    ValueError: fewer than two systems, no draws or another level, counts without ids, other images or lesions and not
      `shared`, nothing in common, or ground truth that cannot be of the same images.
  """
  check_draws(resamples=resamples, swaps=swaps, seed=seed, level=level)
  if len(systems) < 2:
    raise ValueError(f'a comparison is of two systems or more; got {", ".join(systems) or "none"}')
  lesions, notes = _common_lesions(systems, shared)
  aligned, said = _common_images(systems, shared)
  notes += said + _check_truth(aligned, lesions)
  lesions, said = _positive_in_all(aligned, lesions)
  notes += said
  if any(REFERABLE in counts for counts in systems.values()):
    notes.append(COARSE)
  kept = [name for name in next(iter(aligned.values())) if all(name in counts for counts in aligned.values())]
  kept = [name for name in kept if lesions or not name.startswith(_BY_LESION)]
  if not {*kept} - {ID, PATIENT}:
    raise ValueError('the systems have nothing in common that could be compared: no lesion and no grades; name systems of one task')
  aligned = {name: {key: counts[key] for key in kept} for name, counts in aligned.items()}
  baseline, *others = aligned
  first = totals(aligned[baseline])
  found = {name: _metrics(counts, lesions, resamples, seed, level) for name, counts in aligned.items()}
  differences = {name: compare(aligned[name], aligned[baseline], lesions, resamples=resamples, swaps=swaps, seed=seed, level=level,
                         lesions=True)
                 for name in others}
  whole = report(first, lesions)
  return {
      'baseline': baseline, 'images': len(aligned[baseline][ID]), 'patients': patients(aligned[baseline]),
      'graded': int(first['confusion'].sum()) if 'confusion' in first else 0,
      'lesions': list(lesions), 'positive_images': whole.get('positive_images', {}), 'level': level, 'resamples': resamples,
      'systems': found, 'differences': differences, 'notes': notes}


def compare_grades(
    graded: np.ndarray, predicted: np.ndarray, *, patient: Sequence[str] | None = None, resamples: int = RESAMPLES,
    seed: int = SEED, level: float = LEVEL,
) -> dict[str, Any]:
  """Returns how far predicted grades agree with those of a person.

  Args:
    graded: int [N], 0..4, by the person, or UNKNOWN_GRADE.
    predicted: int [N], likewise, of the same images.
    patient: whose each image is, N names; None: each is another patient's.
    resamples: of the bootstrap over patients.
    seed: of the draws.
    level: of the intervals.

  Returns:
    Ready for JSON, over the images with both grades: 'images', and 'patients', None where not given; 'kappa' (quadratic
    weights), 'accuracy', 'sensitivity' and 'specificity' of referable DR with the person's grade as the ground truth, {'value',
    'reason', 'interval'}; 'confusion', rows are the person's; 'different', the indices into N of the images on which they
    differ, the furthest first; 'level' and 'resamples'.

  Raises:
    ValueError: the arrays are not of one length or hold something else than grades, or no image has both grades.
  """
  one, other = _grades('graded', graded), _grades('predicted', predicted)
  if len(one) != len(other) or patient is not None and len(patient) != len(one):
    raise ValueError(f'expected grades of the same images; got {len(one)} graded, {len(other)} predicted'
                     + ('' if patient is None else f', {len(patient)} patients'))
  known = np.flatnonzero((one != UNKNOWN_GRADE) & (other != UNKNOWN_GRADE))
  if not known.size:
    raise ValueError('no image has a grade of the person and a predicted one')
  cells = np.eye(NUM_GRADES ** 2, dtype=np.int64)[one[known] * NUM_GRADES + other[known]]
  counts: dict[str, np.ndarray] = {'confusion': cells.reshape(-1, NUM_GRADES, NUM_GRADES)}
  if patient is not None:
    counts[PATIENT] = np.asarray(patient, np.str_)[known]
  confusion = counts['confusion'].sum(axis=0)
  drawn = resampled_confusions(counts, resamples=resamples, seed=seed)
  scores = {
      'kappa': metrics.quadratic_weighted_kappa, 'accuracy': metrics.accuracy,
      'sensitivity': lambda matrix: metrics.referable(matrix).sensitivity,
      'specificity': lambda matrix: metrics.referable(matrix).specificity}
  result: dict[str, Any] = {'images': len(known), 'patients': patients(counts)}
  for name, score in scores.items():
    values = np.array([score(matrix).value for matrix in drawn], float)
    found = score(confusion)
    result[name] = found._asdict() | {'interval': None if found.value is None else percentiles(values, level)}
  apart = np.abs(one - other)[known]
  order = np.argsort(-apart, kind='stable')
  return result | {'confusion': confusion.tolist(), 'different': known[order[apart[order] > 0]].tolist(), 'level': level,
                   'resamples': resamples}


def _grades(name: str, values: np.ndarray) -> np.ndarray:
  grades = np.asarray(values)
  if grades.ndim != 1 or not np.isin(grades, np.arange(UNKNOWN_GRADE, NUM_GRADES)).all():
    raise ValueError(f'{name}: expected grades, int [N] of 0..{NUM_GRADES - 1} or {UNKNOWN_GRADE} where there is none; got '
                     f'{grades.dtype} {list(grades.shape)}')
  return grades.astype(np.int64)


def _common_lesions(systems: Mapping[str, Counts], shared: bool) -> tuple[tuple[str, ...], list[str]]:
  """The lesions on which all are compared, and what is said of others."""
  for name, counts in systems.items():
    if ANNOTATED not in counts:
      raise ValueError(f'the counts of {name} do not say which lesions were evaluated ({ANNOTATED!r}); evaluate it again')
  sets = {name: set(np.asarray(counts[ANNOTATED]).tolist()) for name, counts in systems.items()}
  common = set.intersection(*sets.values())
  lesions = tuple(key for key in LESION_KEYS if key in common)
  others = {name: [key for key in LESION_KEYS if key in keys - common] for name, keys in sets.items()}
  if not any(others.values()):
    return lesions, []
  named = '; '.join(f'{name} also on {", ".join(keys)}' for name, keys in others.items() if keys)
  if not shared:
    raise ValueError(f'the systems were not evaluated on the same lesions: all on {", ".join(lesions) or "none"}, {named}. Means over '
                     'different lesions are not compared; compare the lesions of all with shared=True')
  return lesions, [f'compared are the lesions of all systems ({", ".join(lesions) or "none"}); not compared: {named}']


def _common_images(systems: Mapping[str, Counts], shared: bool) -> tuple[dict[str, dict[str, np.ndarray]], list[str]]:
  """The counts of all systems of the same images in one order, and what is said of others."""
  for name, counts in systems.items():
    if ID not in counts:
      raise ValueError(f'the counts of {name} do not say which photographs they are of; they are of an earlier version: evaluate it '
                       'again')
  ids = {name: np.asarray(counts[ID]).tolist() for name, counts in systems.items()}
  first = next(iter(ids.values()))
  notes: list[str] = []
  if all(each == first for each in ids.values()):
    rows = dict.fromkeys(ids, np.arange(len(first)))
  else:
    for name, each in ids.items():
      if len(set(each)) < len(each):
        raise ValueError(f'{name} has two photographs of one id, as data sets that were joined may have, and the systems are not '
                         'of the same photographs in the same order; evaluate all on one split')
    common = set.intersection(*map(set, ids.values()))
    lacking = {name: sorted(set(each) - common) for name, each in ids.items()}
    if any(lacking.values()):
      named = '; '.join(f'{name} has {len(each)} that not all have ({_some(each)})' for name, each in lacking.items() if each)
      if not shared:
        raise ValueError(f'the systems were not evaluated on the same photographs: {len(common)} are of all, {named}. Evaluate all on '
                         'one split, or compare the photographs of all with shared=True')
      if not common:
        raise ValueError(f'no photograph is of all systems: {named}')
      notes.append(f'compared are the {len(common)} photographs of all systems: {named}')
    order = [each for each in first if each in common]
    rows = {name: np.array([place[each] for each in order]) for name, each_ids in ids.items()
            for place in [{each: row for row, each in enumerate(each_ids)}]}
  aligned = {name: {key: np.asarray(value)[rows[name]] for key, value in counts.items()
                    if key in (ID, PATIENT) or key == 'confusion' or key.startswith(_BY_LESION)} for name, counts in systems.items()}
  owners = [counts[PATIENT] for counts in aligned.values() if PATIENT in counts]
  if any(not np.array_equal(owners[0], each) for each in owners):
    raise ValueError('the systems do not agree on whose photographs these are; evaluate all with one version of the data set')
  if owners:
    aligned = {name: counts | {PATIENT: owners[0]} for name, counts in aligned.items()}
  return aligned, notes


def _check_truth(aligned: Mapping[str, Mapping[str, np.ndarray]], lesions: Iterable[str]) -> list[str]:
  """What is said where the ground truth of the systems differs. Raises ValueError where they cannot be of the same images."""
  columns = [LESION_KEYS.index(key) for key in lesions]
  names, notes = list(aligned), []
  first = aligned[names[0]]
  for name in names[1:]:
    other = aligned[name]
    if 'confusion' in first and 'confusion' in other:
      grades = [counts['confusion'].sum(axis=2) for counts in (first, other)]
      wrong = np.flatnonzero((grades[0] != grades[1]).any(axis=1))
      if wrong.size:
        say = ' against '.join(GRADE_KEYS[each[wrong[0]].argmax()] if each[wrong[0]].any() else 'no grade' for each in grades)
        raise ValueError(f'{names[0]} and {name} have photographs of one id with other grades: {len(wrong)} of {len(first[ID])} '
                         f'({first[ID][wrong[0]]}: {say}). They are of different data, or versions of it')
    for level in ('image', 'pixel'):
      if columns and all(f'{level}_{kind}' in counts for counts in (first, other) for kind in ('tp', 'fn')):
        one, two = ((counts[f'{level}_tp'] + counts[f'{level}_fn'])[:, columns] for counts in (first, other))
        differ = int((one != two).sum())
        if differ and level == 'image' and differ > OTHER_TRUTH * one.size:
          raise ValueError(f'{names[0]} and {name} have photographs of one id with other lesions: {differ} of {one.size} pairs of '
                           'photograph and lesion have another ground truth. They are of different data')
        if differ and level == 'image':
          notes.append(f'{names[0]} and {name}: {differ} pairs of photograph and lesion have another ground truth; masks that are '
                       'made smaller lose the smallest lesions')
        elif differ:
          notes.append(f'{names[0]} and {name} have ground truth of different numbers of pixels: they were evaluated at different '
                       'sizes, and their difference in pixel F1 is also of that')
  return notes


def _positive_in_all(aligned: Mapping[str, Mapping[str, np.ndarray]], lesions: tuple[str, ...]) -> tuple[tuple[str, ...], list[str]]:
  """The lesions without those that the ground truth of some systems has and that of others has not: only the means of the first would be
  over them; and what is said of these."""
  there = [(counts['image_tp'] + counts['image_fn']).any(axis=0) for counts in aligned.values() if 'image_tp' in counts]
  lost = [key for key in lesions if len({bool(each[LESION_KEYS.index(key)]) for each in there}) > 1]
  return tuple(key for key in lesions if key not in lost), [
      f'not compared: {", ".join(lost)}, of which the ground truth of some systems has not one photograph left'] if lost else []


def _metrics(counts: Counts, lesions: tuple[str, ...], resamples: int, seed: int, level: float) -> dict[str, Any]:
  """The metrics of one system with their intervals."""
  found = report(totals(counts), lesions)
  limits = intervals(bootstrap(counts, lesions, resamples=resamples, seed=seed), level)
  with_limits = lambda value, ends: {'value': value, 'interval': None if value is None else ends}
  result: dict[str, Any] = {}
  for name in COMPARED:
    plain = name.removeprefix('mean_')
    if plain in limits and plain in found:
      mean = plain in BY_LESION
      result[name] = with_limits(found[plain]['mean' if mean else 'value'], limits[plain]['mean'] if mean else limits[plain])
  for name in BY_LESION:
    if name in limits:
      result[name] = {key: with_limits(found[name]['lesions'][key], limits[name]['lesions'][key]) for key in lesions}
  return result


def _some(names: Sequence[str]) -> str:
  return ', '.join(names[:SHOWN]) + (', ...' if len(names) > SHOWN else '')
