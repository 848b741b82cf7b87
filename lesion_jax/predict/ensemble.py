"""Several networks that answer as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from lesion_jax.core import GRADE_KEYS, LESION_KEYS, Array, Prediction
from lesion_jax.photograph.likeness import union
from lesion_jax.weights.origin import is_synthetic, synthetic_note


def average(
    predict_fns: Sequence[Callable[[Any, Any], Prediction]], learned: Sequence[Sequence[str]],
) -> Callable[[Any, Any], Prediction]:
  """Returns `(variables, images) -> Prediction`, the mean of what several networks say; `variables` is a tuple, one
  each.

  Each lesion is averaged over the members that learned it, or over all that have that output where none did; its
  probability is the maximum of its averaged map (Eq. 1) where there are maps. Grades are averaged over the members that
  grade, the risk of edema over those that tell it, attention over those that have it, on the finest grid among them.

  Args:
    predict_fns: pure, `(variables, images [B, S, S, 3]) -> Prediction`, all for the same S. Those with lesions either
      all have maps, or none: the maximum of a map and a classifier's answer are not the same quantity.
    learned: by member, the keys of the lesions that it learned.
  """
  predict_fns = [jax.jit(predict_fn) for predict_fn in predict_fns]  # traced once, however often they are used
  marks = np.array([[key in keys for key in LESION_KEYS] for keys in learned], np.float32)

  def predict_fn(variables: Sequence[Any], images: Array) -> Prediction:
    found = [predict(own, images) for predict, own in zip(predict_fns, variables, strict=True)]
    maps = _mean_of_lesions([one.maps for one in found], marks)
    return Prediction(
        maps=maps,
        lesions=_mean_of_lesions([one.lesions for one in found], marks) if maps is None else maps.max((1, 2)),
        grades=_mean([one.grades for one in found]),
        edema=_mean([one.edema for one in found]),
        attention=_mean(_on_one_grid([one.attention for one in found])))

  return predict_fn


def _mean_of_lesions(heads: Sequence[Array | None], marks: np.ndarray) -> Array | None:
  """The mean over the members, whose marks [M, 8] are their weights; the lesions are on the last axis."""
  having = [number for number, head in enumerate(heads) if head is not None]
  if not having:
    return None
  weights = marks[having]
  weights = np.where(weights.any(0), weights, 1)
  return sum(heads[number] * weight for number, weight in zip(having, weights / weights.sum(0), strict=True))


def _mean(heads: Sequence[Array | None]) -> Array | None:
  heads = [head for head in heads if head is not None]
  return sum(heads) / len(heads) if heads else None


def _on_one_grid(heads: Sequence[Array | None]) -> list[Array]:
  """Float [B, h, w] each, enlarged to the finest grid."""
  heads = [head for head in heads if head is not None]
  finest = max((head.shape for head in heads), default=None)
  return [head if head.shape == finest else jax.image.resize(head, finest, 'bilinear') for head in heads]


def check_heads(names: Sequence[str], predictions: Sequence[Prediction]) -> None:
  """Holds the members to what `average` can average.

  Args:
    names: of the members.
    predictions: of the members; shapes alone will do.

  Raises:
    ValueError: some find lesions by maps and some without.
  """
  with_maps = [name for name, found in zip(names, predictions, strict=True) if found.maps is not None]
  without = [name for name, found in zip(names, predictions, strict=True)
             if found.maps is None and found.lesions is not None]
  if with_maps and without:
    raise ValueError(f'{", ".join(with_maps)} find lesions by maps and {", ".join(without)} without, which cannot be '
                     'averaged; make an ensemble of either kind')


def join_configs(names: Sequence[str], configs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
  """Returns the configuration of an ensemble, which says what its members are.

  Args:
    names: of the members, as errors and provenance call them.
    configs: of their bundles, checked by `check_config`.

  Returns:
    `annotated` holds each lesion that some member learned; its threshold is the mean of theirs (our choice), and so is
    that of its presence where all members that learned lesions decide presence by one rule; else it is decided by Eq. 1.
    Temperatures and smallest regions are of single networks, an average has none. A photograph has to be like what each
    member learned from, where that is known.

  Raises:
    ValueError: the members take photographs that are prepared differently. Windows are each member's own matter.
  """
  taken = [{key: value for key, value in config['preprocessing'].items() if key != 'window'} for config in configs]
  for name, preprocessing in zip(names, taken, strict=True):
    if preprocessing != taken[0]:
      raise ValueError(f'{names[0]} takes photographs prepared as {taken[0]}, {name} as {preprocessing}; the members '
                       'of an ensemble must take the same')
  windows = [config['preprocessing'].get('window', 0) for config in configs]
  annotated = [key for key in LESION_KEYS if any(key in config['annotated'] for config in configs)]
  thresholds = _mean_thresholds(configs, [config['thresholds'] for config in configs])
  deciding = [config for config in configs if config['annotated']] or list(configs)  # one that grades alone has no say in lesions
  own = [config.get('presence') or {} for config in deciding]
  rule = own[0].get('rule')
  likeness = union([config.get('likeness') or [] for config in configs])
  one_rule = rule is not None and all(presence.get('rule') == rule for presence in own)
  return {
      'model': {'name': f'ensemble of {", ".join(config["model"]["name"] for config in configs)}',
                'members': [config['model'] for config in configs]},
      'lesions': list(LESION_KEYS),
      'grades': list(GRADE_KEYS),
      'annotated': annotated,
      'preprocessing': taken[0] | ({'window': windows[0]} if windows[0] and len(set(windows)) == 1 else {}),
      'thresholds': thresholds,
      **({'presence': {'rule': rule, 'thresholds': _mean_thresholds(deciding, [each['thresholds'] for each in own])}}
         if one_rule else {}),
      **({'likeness': likeness} if likeness else {}),
      'provenance': {'members': [
          {'bundle': name, 'model': config['model']['name'], 'annotated': config['annotated'],
           'data': config.get('data', {}).get('name'), **({'window': window} if window else {}),
           **config.get('provenance', {}), **({'synthetic': True} if is_synthetic(config) else {}),
           **({'warning': warning} if (warning := synthetic_note(config)) else {})}
          for name, config, window in zip(names, configs, windows, strict=True)]},
  }


def _mean_thresholds(configs: Sequence[Mapping[str, Any]], thresholds: Sequence[Mapping[str, float]]) -> dict[str, float]:
  """By lesion, the mean over the members that learned it, or over all where none did."""
  means = {}
  for key in LESION_KEYS:
    judges = [each[key] for config, each in zip(configs, thresholds, strict=True) if key in config['annotated']]
    means[key] = float(np.mean(judges or [each[key] for each in thresholds]))
  return means
