"""Weights in fewer bytes: half precision, or 8 bits with a scale for each output channel.

What is stored how is said by one word, of STORAGES, and by the types in the file; see `pack`. Weights that come back are
float32 always, so whatever computes with them need not know how they were stored.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

FLOAT32, FLOAT16, INT8 = STORAGES = ('float32', 'float16', 'int8')
SCALES = 'scales/'  # before the name of an array of 8 bits: the name of its scales
KEPT = 'batch_stats/'  # running means and variances: few, and variances have no common scale
LEVELS = 127  # symmetric: -127 to 127, and 0 is exact
# Kernels of fewer elements are stored in half precision. All of them together are less than a thousandth of a network,
# and the last layer, whose rounding nothing behind it evens out, is among them (8 lesions of 64 channels: 512).
MIN_ELEMENTS = 1024


class Loss(NamedTuple):
  """What a storage changes.

  Attributes:
    error: the largest |stored - original| of all weights.
    name: of the array that has it.
    share: that error over the largest |weight| of the array; 0 where nothing changed.
  """

  error: float
  name: str
  share: float


def pack(arrays: Mapping[str, np.ndarray], storage: str) -> dict[str, np.ndarray]:
  """Returns arrays by flat name, as they are stored.

  'float32' keeps every array and its type. 'float16' rounds to half precision, but for running statistics ('batch_stats/')
  and arrays with a value beyond half precision (65,504), which stay float32. 'int8' does that, and stores kernels of two
  and more dimensions and at least MIN_ELEMENTS elements as int8 q with float32 s at 'scales/NAME', one for each index of
  the last axis, which is that of the output channels (of U-Net's transposed convolutions, whose kernels are laid out the
  other way, of the input channels): s = max|w| / 127 over the other axes, q = round(w / s), so that |w - q s| is at most
  s / 2 (symmetric quantisation by channel: R. Krishnamoorthi, "Quantizing deep convolutional networks for efficient
  inference", 2018, section 2.2).

  Args:
    arrays: by flat name, 'params/...' and 'batch_stats/...'.
    storage: one of STORAGES.

  Raises:
    ValueError: there is no such storage; or, of any but 'float32', a weight is no finite float32 number, or a name is that
      of scales.
    TypeError: likewise, an array is of whole numbers.
  """
  if storage not in STORAGES:
    raise ValueError(f'unknown storage {storage!r}; choose one of {", ".join(STORAGES)}')
  if storage == FLOAT32:
    return dict(arrays)
  packed: dict[str, np.ndarray] = {}
  for name, array in arrays.items():
    single = _single(name, np.asarray(array), storage)
    if storage == INT8 and single.ndim >= 2 and single.size >= MIN_ELEMENTS and not name.startswith(KEPT):
      packed[name], packed[SCALES + name] = quantise(single)
    else:
      packed[name] = single if name.startswith(KEPT) or not _fits_half(single) else single.astype(np.float16)
  return packed


def unpack(arrays: Mapping[str, np.ndarray], storage: str, *, source: str) -> dict[str, np.ndarray]:
  """Returns the inverse of `pack` but for its rounding: float32 arrays by flat name; of 'float32' as they are.

  Args:
    arrays: of `pack`.
    storage: as it was given there.
    source: names the file in errors.

  Raises:
    ValueError: scales and arrays of 8 bits do not go together, or an array has another type.
  """
  if storage == FLOAT32:
    return dict(arrays)
  found = {}
  for name, array in arrays.items():
    scales = arrays.get(SCALES + name)
    if name.startswith(SCALES):
      if name.removeprefix(SCALES) not in arrays:
        raise ValueError(f'{source}: {name} are scales of an array that is not there; fetch or save it again')
    elif array.dtype == np.int8 or scales is not None:
      if storage != INT8 or scales is None or not _fit(array, scales):
        raise ValueError(f'{source}: {name}, {array.dtype} {list(array.shape)}, does not go with its scales; of the storage '
                         f'{INT8} an int8 array has one float32 scale for each index of its last axis. Fetch or save it again')
      found[name] = array.astype(np.float32) * scales
    elif array.dtype.kind != 'f':
      raise ValueError(f'{source}: {name} is {array.dtype}, and weights of the storage {storage} are floating-point numbers; '
                       'fetch or save it again')
    else:
      found[name] = array.astype(np.float32)
  return found


def quantise(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Quantises float32 [..., C] to int8 [..., C] and float32 scales [C], see `pack`."""
  largest = np.abs(weights).max(axis=tuple(range(weights.ndim - 1)), initial=0)
  scales = (largest / np.float32(LEVELS)).astype(np.float32)
  steps = np.divide(weights, scales, out=np.zeros(weights.shape), where=scales > 0, dtype=np.float64)
  return np.clip(np.rint(steps), -LEVELS, LEVELS).astype(np.int8), scales


def largest_loss(before: Mapping[str, np.ndarray], after: Mapping[str, np.ndarray]) -> Loss:
  """Returns where the arrays `after` differ most from those `before`, which have the same names and shapes.

  Raises:
    ValueError: names or shapes differ.
  """
  shapes = [{name: np.shape(array) for name, array in arrays.items()} for arrays in (before, after)]
  if shapes[0] != shapes[1]:
    different = sorted(set(shapes[0].items()) ^ set(shapes[1].items()))
    raise ValueError(f'the weights before and after differ in names or shapes: {different[:4]}')
  worst = Loss(0.0, '', 0.0)
  for name, array in before.items():
    wide = np.asarray(array, np.float64)
    error = float(np.abs(wide - after[name]).max(initial=0))
    if error > worst.error:
      worst = Loss(error, name, error / float(np.abs(wide).max()))
  return worst


def _single(name: str, array: np.ndarray, storage: str) -> np.ndarray:
  if name.startswith(SCALES):
    raise ValueError(f'{name!r} has the name of scales, which the storage {storage} writes itself; name it otherwise')
  if array.dtype.kind in 'biu':
    raise TypeError(f'{name!r} is {array.dtype}, and the storage {storage} is of floating-point weights; choose {FLOAT32}')
  with np.errstate(over='ignore'):
    single = array.astype(np.float32)
  if not np.isfinite(single).all():
    raise ValueError(f'{name!r} has {np.count_nonzero(~np.isfinite(single))} of {math.prod(single.shape)} weights that are no '
                     f'finite float32 numbers; such a network answers nothing of use, and the storage {storage} refuses it')
  return single


def _fits_half(single: np.ndarray) -> bool:
  return float(np.abs(single).max(initial=0)) <= float(np.finfo(np.float16).max)


def _fit(array: np.ndarray, scales: np.ndarray) -> bool:
  return array.dtype == np.int8 and scales.dtype == np.float32 and array.ndim >= 2 and scales.shape == array.shape[-1:]
