"""Photographs that must not be learned from and evaluated: found by their fingerprints, whatever their names."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from lesion_jax.data.mixture import SEPARATOR, Mixture
from lesion_jax.data.dataset import Dataset, Subset
from lesion_jax.photograph.fingerprint import SMALL, reduced, twins
from lesion_jax.stages import parts
from lesion_jax.weights.bundle import Bundle
from lesion_jax.weights.origin import LESION, START, data_sets

LEAKS = ('drop', 'keep')
LEARNED = ('train', 'validation')  # splits of which a network learned something, be it when to stop
Prints = dict[str, np.ndarray]  # by split of LEARNED, uint8 [N, 16, 16, 3]
NOTHING = np.zeros((0, SMALL, SMALL, 3), np.uint8)


@dataclasses.dataclass(frozen=True)
class Before:
  """What the networks inside a stage's network, or at its start, learned from.

  Attributes:
    photographs: fingerprints, by split.
    unknown: of which of them that is not known.
    data: names of the data sets, by 'lesion', the lesion network inside, and 'init', the bundle at its start; what is before
      those is counted with them. One of which it is not known is not there.
  """

  photographs: Prints
  unknown: tuple[str, ...] = ()
  data: Mapping[str, list[str]] = dataclasses.field(default_factory=dict)


def guard(
    config: ConfigDict, name: str, datasets: Mapping[str, Dataset | Mixture],
    bundles: Mapping[str, Bundle] | None = None,
) -> Dataset | Mixture:
  """Returns the data of a stage without the photographs that leak.

  A network before it is the lesion network that it contains, the bundle from which it starts, or itself where it is
  finished. What one was trained on is excluded from its test and validation splits, and by what one was chosen of the
  test split; stages may share a validation split. Then a validation photograph that is in test too, of whichever part,
  is left out of validation, and a training photograph that is in test or validation out of training. Photographs that
  are twice in one split stay. Where lesions are learned, a photograph of which nothing is known of any lesion gives way
  instead: it only tells how many of the sick are called so, and masks are dear.

  Args:
    config: of the run.
    name: of the stage.
    datasets: by stage, of this one as it was opened, and guarded of those before it.
    bundles: by stage, the finished ones; None: they are read where they are needed.

  Raises:
    ValueError: no photograph of a split is left, or `data.leaks` is none of LEAKS.
  """
  stage, data = config[name], datasets[name]
  if stage.data.leaks not in LEAKS:
    raise ValueError(f'--config.{name}.data.leaks={stage.data.leaks!r}; choose one of {", ".join(LEAKS)}')
  if stage.data.leaks == 'keep':
    return data
  all_parts = data.parts if isinstance(data, Mixture) else (data,)
  before = learned_before(config, name, datasets, bundles).photographs
  known = {'test': np.concatenate([before[split] for split in LEARNED]), 'validation': before['train'], 'train': NOTHING}
  leaking: list[dict[str, set[str]]] = [{} for _ in all_parts]
  held = NOTHING  # what is evaluated, and so must not be learned
  masks = [] if parts.grades(stage) or stage.bundle else [part.source('train').index for part in all_parts if part.lengths['train']]
  taught = np.concatenate([NOTHING, *(reduced(index.fingerprint[index.annotated > 0]) for index in masks)])
  for split in ('test',) if stage.bundle else ('test', 'validation', 'train'):
    against, kept = np.concatenate([known[split], held]), []
    for part, found in zip(all_parts, leaking, strict=True):
      if part.lengths[split]:
        index = part.source(split).index
        prints = reduced(index.fingerprint)
        twin = twins(prints, against)
        twin |= (split != 'train') & (index.annotated == 0) & twins(prints, taught)
        found[split] = set(index.id[twin].tolist())
        kept.append(prints[~twin])
    held = np.concatenate([held, *kept])
  left = [part.without(found) for part, found in zip(all_parts, leaking, strict=True)]
  for split in data.splits:
    if not any(part.lengths[split] for part in left):
      raise ValueError(f'stage {name!r}: all {data.lengths[split]} photographs of {data.name}, split {split}, are in another '
                       'split too, or among those from which a network before this one learned; choose other data, or '
                       f'evaluate them all the same with --config.{name}.data.leaks=keep, which the report then says')
  return dataclasses.replace(data, parts=tuple(left)) if isinstance(data, Mixture) else left[0]


def idle(data: Dataset | Mixture) -> list[Subset]:
  """Returns photographs of the training splits from which nothing is learned (`Dataset.idle`), without those of which
  any split has a twin; none where there are none."""
  all_parts = data.parts if isinstance(data, Mixture) else (data,)
  used = [part.source(split).index.fingerprint for part in all_parts for split in part.splits]
  prints, found = reduced(np.concatenate(used)), []
  for part in all_parts:
    if (source := part.idle()) is not None:
      rows = np.flatnonzero(~twins(reduced(source.index.fingerprint), prints))
      found += [Subset(source, rows.tolist())] if len(rows) else []
  return found


def learned_before(
    config: ConfigDict, name: str, datasets: Mapping[str, Dataset | Mixture],
    bundles: Mapping[str, Bundle] | None = None,
) -> Before:
  """Returns what the networks inside that of a stage, or at its start, learned from; of a finished one, itself.

  Args:
    config, name, datasets, bundles: of `guard`.
  """
  stage, bundles = config[name], bundles or {}
  found, unknown, sources, names = [], [], [], {}
  inside = None if stage.bundle or name in bundles else parts.lesion_stage(config, name)
  for each in (inside, name):
    if each in bundles or each and config[each].bundle:
      bundle = bundles.get(each) or parts.load_network(config[each].bundle)
      sources.append((f'the network of the stage {each!r}', bundle))
      names |= {LESION: data_sets(bundle.config)} if each == inside else bundle.config.get('data', {}).get('before', {})
    elif each and each != name and each in datasets:
      own = learned_before(config, each, datasets, bundles)
      found += [photographs(datasets[each]), own.photographs]
      unknown += own.unknown
      names[LESION] = sorted({*datasets[each].name.split(SEPARATOR), *(name for part in own.data.values() for name in part)})
  if stage.init and not stage.bundle and name not in bundles:
    sources.append((f'the network from which the stage {name!r} starts', bundle := parts.load_network(stage.init)))
    names[START] = data_sets(bundle.config)
  for title, bundle in sources:
    if bundle.photographs is None:
      unknown.append(title)
    else:
      unknown += bundle.config.get('data', {}).get('leaks', {}).get('unknown', [])
      found.append(bundle.photographs)
  return Before(union(found), tuple(dict.fromkeys(unknown)), {role: known for role, known in names.items() if known})


def photographs(data: Dataset | Mixture) -> Prints:
  """Fingerprints of the photographs from which a network learns that is trained on a data set."""
  return {split: reduced(data.source(split).index.fingerprint) if split in data.splits else NOTHING
          for split in LEARNED}


def union(several: Iterable[Mapping[str, np.ndarray]]) -> Prints:
  """Returns each fingerprint once, in an order that says nothing."""
  several = list(several)
  return {split: np.unique(np.concatenate([NOTHING, *(each[split] for each in several)]), axis=0) for split in LEARNED}


def describe(stage: ConfigDict, data: Dataset | Mixture, before: Sequence[str] = ()) -> dict[str, Any]:
  """Returns what a bundle says of the guard, ready for JSON: `mode`, of LEAKS, `dropped`, data set -> split -> how many
  photographs were excluded, and `unknown`, of which networks it is not known what they learned from."""
  all_parts = data.parts if isinstance(data, Mixture) else (data,)
  dropped = {part.name: {split: len(ids) for split, ids in part.dropped.items()} for part in all_parts if part.dropped}
  return {'mode': stage.data.leaks, 'dropped': dropped, 'unknown': list(before)}


def notes(found: Mapping[str, Any]) -> list[str]:
  """Returns sentences on what `describe` says; none where there is nothing to say."""
  said = []
  if found['mode'] == 'keep':
    said.append('photographs that are in two splits, or that a network before this one learned from, were not looked for '
                '(data.leaks is keep): metrics may be too good')
  for name, splits in found['dropped'].items():
    if count := splits.get('train'):
      said.append(f'{count} training photographs of {name} were excluded: they are in validation or test too')
    if count := splits.get('validation'):
      said.append(f'{count} validation photographs of {name} were excluded: they are in test too, or are learned from here or '
                  'by a network before this one')
    if count := splits.get('test'):
      said.append(f'{count} test photographs of {name} were excluded: they are learned from here, where they have masks, or by '
                  'a network before this one')
  if found['mode'] == 'drop' and found['unknown']:
    said.append(f'what {", ".join(found["unknown"])} learned from is not known: test photographs may be among it')
  return said
