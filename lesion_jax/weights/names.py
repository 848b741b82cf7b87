"""One table of names and layouts between torchvision and Flax, read in both directions.

Both sides are flat: torch's 'Mixed_5b.branch1x1.conv.weight', Flax's 'params/Mixed_5b/branch1x1/conv/kernel'. Modules
carry the same names on both sides, so only the last part and the layout differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np


class Rule(NamedTuple):
  """How one kind of array is called and laid out on the two sides."""

  torch: str
  collection: str
  flax: str
  axes: tuple[int, ...]  # transposition from torch's layout to Flax's; its length is the rank


RULES = (
    Rule('weight', 'params', 'kernel', (2, 3, 1, 0)),  # convolution: OIHW -> HWIO
    Rule('weight', 'params', 'kernel', (1, 0)),  # dense: [out, in] -> [in, out]
    Rule('weight', 'params', 'scale', (0,)),  # batch normalisation
    Rule('bias', 'params', 'bias', (0,)),
    Rule('gamma', 'params', 'gamma', (0,)),  # the gate of an attention block
    Rule('running_mean', 'batch_stats', 'mean', (0,)),
    Rule('running_var', 'batch_stats', 'var', (0,)),
)

# A counter that torch keeps for its cumulative averages; with a fixed momentum nothing reads it.
IGNORED = ('num_batches_tracked',)

_TO_FLAX = {(rule.torch, len(rule.axes)): rule for rule in RULES}
_TO_TORCH = {(rule.collection, rule.flax, len(rule.axes)): rule for rule in RULES}


def to_flax(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Returns a state dict under torch's names -> the arrays under Flax's flat names, transposed; counters are dropped.

  Raises:
    ValueError: an array that the table does not know.
  """
  loaded = {}
  for name, array in state.items():
    path, _, leaf = name.rpartition('.')
    if leaf in IGNORED:
      continue
    rule = _TO_FLAX.get((leaf, array.ndim))
    if rule is None or not path:
      raise ValueError(f'cannot place {name!r} of shape {array.shape} in Flax; known are '
                       + ', '.join(f'*.{rule.torch} of rank {len(rule.axes)}' for rule in RULES))
    loaded['/'.join([rule.collection, *path.split('.'), rule.flax])] = array.transpose(rule.axes)
  return loaded


def to_torch(flat: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Returns the inverse of `to_flax`, for export; the counters stay away.

  A transposed convolution made with `transpose_kernel=True` has torch's layout by the same rule as a convolution.

  Raises:
    ValueError: an array that the table does not know.
  """
  state = {}
  for name, array in flat.items():
    collection, *path, leaf = name.split('/')
    rule = _TO_TORCH.get((collection, leaf, array.ndim))
    if rule is None or not path:
      raise ValueError(f'cannot place {name!r} of shape {array.shape} in torch; known are '
                       + ', '.join(f'{rule.collection}/*/{rule.flax} of rank {len(rule.axes)}' for rule in RULES))
    state['.'.join([*path, rule.torch])] = array.transpose(np.argsort(rule.axes))
  return state
