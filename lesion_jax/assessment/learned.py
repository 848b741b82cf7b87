"""What the networks learned from, held against the photographs on which they are evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lesion_jax.assessment.settings import KEEP, LEAVE_OUT, Settings
from lesion_jax.data.dataset import ALL, Dataset, Subset
from lesion_jax.data.registry import DATASETS
from lesion_jax.data.splits import Dealing
from lesion_jax.photograph.fingerprint import reduced, twins
from lesion_jax.predict.loading import Member

OWN = 'folder'  # the data set that reads a folder of one's own: its name tells nothing
ITS_OWN = 0.9  # of what a network learned from, that a folder must hold to be the one it learned from
SHOWN = 5  # examples of them in a message


def guard(
    members: Sequence[Member], dataset: Dataset, source: Any, how: Settings, *, asked_for: bool,
) -> tuple[Any, dict[str, Any], list[str]]:
  """The photographs that are evaluated, what is said of those from which a network learned, as JSON and as notes.

  Raises:
    ValueError: there are such photographs, or nothing else is left, and nobody asked for them: neither by `leaks` nor, `asked_for`,
      by a split of data from which, as is known, the network learned.
  """
  asked, notes = how.leaks, []
  silent = [member.name for member in members if member.photographs is None or _unknown(member)]
  if silent:
    notes.append(f'what {", ".join(silent)} learned from is not known, at least in part: photographs of this split may be '
                 'among it')
  prints, known = reduced(source.index.fingerprint), [member.photographs for member in members if member.photographs]
  learned, choosing = (
      np.any([np.zeros(len(prints), bool), *(twins(prints, each[split]) for each in known)], axis=0)
      for split in ('train', 'validation'))
  choosing &= ~learned
  leaking = learned | choosing
  leaks = {'asked': asked, 'known': not silent, 'train': int(learned.sum()), 'validation': int(choosing.sum()),
           'left_out': asked == LEAVE_OUT and bool(leaking.any())}
  if not leaking.any():
    return source, leaks, notes
  some = ', '.join(source.index.id[leaking][:SHOWN].tolist()) + (', ...' if leaking.sum() > SHOWN else '')
  split = 'in all splits' if how.split == ALL else f'in the split {how.split}'
  found = (f'{leaking.sum()} of {len(prints)} photographs of {dataset.name} {split} are among those from which the network '
           f'learned ({learned.sum()}) or by which it was chosen ({choosing.sum()})')
  if asked == LEAVE_OUT:
    if leaking.all():
      raise ValueError(f'{found}: nothing is left to evaluate; name another split or other data, or leaks={KEEP!r}')
    return Subset(source, np.flatnonzero(~leaking).tolist()), leaks, [*notes, f'excluded: {found}']
  if asked == KEEP or asked_for:
    return source, leaks, [*notes, f'{found}, and are evaluated all the same: the metrics may be too good']
  raise ValueError(f'{found}: {some}. Metrics on them say little of other eyes. Evaluate the others with leaks={LEAVE_OUT!r}, '
                   f'or all of them with leaks={KEEP!r}, which the report then says')


def _unknown(member: Member) -> list[str]:
  """Networks inside another, or at its start, of which its bundle does not know what they learned from."""
  return member.config.get('data', {}).get('leaks', {}).get('unknown', [])


def learned_here(members: Sequence[Member], dataset: Dataset, source: Any, split: str) -> list[dict[str, Any]]:
  """The configurations of those networks that learned from this data set: by its name, or, of folders of one's own, which all have
  one name, where its photographs are nearly all from which they learned, and `split` is one of those."""
  if dataset.name != OWN:
    return _of_name(members, dataset.name)
  prints, splits = reduced(source.index.fingerprint), {'test': (), ALL: ('train', 'validation')}.get(split, (split,))
  known = [(member, np.concatenate([member.photographs[each] for each in splits])) for member in members if member.photographs and splits]
  return _of_name([member for member, own in known if len(own) and twins(own, prints).mean() >= ITS_OWN], OWN)


def _of_name(members: Sequence[Member], name: str) -> list[dict[str, Any]]:
  """The configurations of those networks that learned from a data set of that name."""
  return [member.config for member in members
          if member.config.get('data', {}).get('name') == name or parts(member.config, name)]


def data_notes(
    configs: Sequence[dict[str, Any]], dataset: Dataset, split: str, grades: bool, native: bool) -> list[str]:
  """What is to be said of grades that are not evaluated, and of how the photographs were dealt where networks learned from the data set."""
  notes = []
  if grades and not dataset.graded:
    notes.append(f'grades are not evaluated: {dataset.name} has none')
  elif grades and native:
    notes.append("grades are not evaluated in the photographs' own pixels: they are of whole photographs")
  others = [learned for config in configs if dataset.dealing not in (learned := _dealings(config, dataset.name))]
  if others:
    notes.append(f'the network learned from another split of {dataset.name} ({_named(others[0][0])}; here '
                 f'{_named(dataset.dealing)}): photographs of this split may be among those from which it learned')
  elif configs and split != 'test':
    notes.append({'train': 'the network learned from the photographs of this split',
                  'validation': 'the weights were chosen by the photographs of this split',
                  ALL: 'the network learned from some of these photographs, and was chosen by others'}[split])
  return notes


def _dealings(config: dict[str, Any], name: str) -> list[dict[str, Any] | None]:
  """How the photographs of a data set from which a network learned were dealt, of several folders of one's own each; bundles of
  before say nothing of it, when there was one way."""
  before = Dealing().describe() if DATASETS[name].DEALT else None
  return [part.get('dealing', before) for part in parts(config, name) or [config['data']]]


def _named(dealing: dict[str, Any] | None) -> str:
  if dealing is None:
    return "the raw dataset's"
  folds = f', fold {dealing["fold"]} of {dealing["folds"]}' if dealing['folds'] else ''
  return f'{dealing["name"]}, seed {dealing["seed"]}{folds}'


def parts(config: dict[str, Any], name: str) -> list[dict[str, Any]]:
  """What a bundle says of a data set in the mixture from which a network learned; [] where that has it not, or is one data set. Of
  several folders of one's own, 'folder:clinic', each is of the data set 'folder'."""
  return [part for part in config.get('data', {}).get('parts', ()) if part['name'].partition(':')[0] == name]
