"""Loading by flat names, where whatever does not fit is an error that lists both sides.

The idea of `merge_params` in google-research/big_vision: silence about a name that did not match costs days.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from flax import traverse_util

_SHOWN = 8


def merge(
    variables: Mapping[str, Any], loaded: Mapping[str, np.ndarray], *, prefix: str = 'encoder',
    allow_missing: Sequence[str] = (), allow_extra: Sequence[str] = (),
) -> dict[str, Any]:
  """Returns `variables` with the module at `prefix` replaced by `loaded`; all else is kept, and nothing is changed in
  place.

  Args:
    variables: a Flax tree {'params': ..., 'batch_stats': ...} of arrays.
    loaded: arrays by flat name within that module, collection first, as `names.to_flax` gives them:
      'params/Mixed_5b/branch1x1/conv/kernel'. They are cast to the type of what they replace.
    prefix: path of the module, 'encoder' or 'lesion/encoder'; '' for the whole model.
    allow_missing: shell patterns of names that need not be in `loaded`. Patterns see a name without collection and
      prefix, such as 'Mixed_7c/branch3x3dbl_2/bn/scale', and * crosses slashes.
    allow_extra: shell patterns of names that the module need not have.

  A name of another shape counts as missing and as extra: it is kept as it was only if both excuse it.

  Raises:
    ValueError: anything is missing, left over or of another shape, or the model has nothing at `prefix`.
  """
  flat = traverse_util.flatten_dict(variables, sep='/', keep_empty_nodes=True)
  arrays = (name for name, value in flat.items() if value is not traverse_util.empty_node)
  inside = {short: name for name in arrays if (short := _relative(name, prefix))}
  if not inside:
    raise ValueError(f'the model has nothing at {prefix!r}; at its top are {sorted(variables.get("params", {}))}')

  shared = inside.keys() & loaded.keys()
  reshaped = {name for name in shared if np.shape(flat[inside[name]]) != np.shape(loaded[name])}
  missing = _unexcused((inside.keys() - shared) | reshaped, allow_missing)
  extra = _unexcused((loaded.keys() - shared) | reshaped, allow_extra)
  if missing or extra:
    wrong = reshaped & (missing | extra)
    shapes = [f'{x} (model {np.shape(flat[inside[x]])}, weights {np.shape(loaded[x])})' for x in sorted(wrong)]
    raise ValueError(
        f'the weights do not fit the model at {prefix!r}:'
        + listing('missing from the weights', sorted(missing - wrong))
        + listing('left over in the weights', sorted(extra - wrong))
        + listing('of another shape', shapes)
        + '\nLoad weights of this network.')
  for name in shared - reshaped:
    flat[inside[name]] = np.asarray(loaded[name], flat[inside[name]].dtype)
  return traverse_util.unflatten_dict(flat, sep='/')


def _relative(name: str, prefix: str) -> str | None:
  """'params/encoder/a/b' -> 'params/a/b' for the prefix 'encoder'; None for a name outside it."""
  collection, _, path = name.partition('/')
  if not prefix:
    return name if path else None
  return f'{collection}/{path[len(prefix) + 1:]}' if path.startswith(prefix + '/') else None


def _unexcused(names: Iterable[str], patterns: Sequence[str]) -> set[str]:
  return {
      name for name in names
      if not any(fnmatch.fnmatchcase(name.partition('/')[2], pattern) for pattern in patterns)
  }


def listing(title: str, names: Sequence[str]) -> str:
  """Returns the lines of an error that list names under a title, the first of them; nothing where there are none."""
  if not names:
    return ''
  shown = ''.join(f'\n    {name}' for name in names[:_SHOWN])
  more = f'\n    and {len(names) - _SHOWN} more' if len(names) > _SHOWN else ''
  return f'\n  {title} ({len(names)}):{shown}{more}'
