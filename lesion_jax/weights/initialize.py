"""Initial variables of any model without compiling it: shapes from JAX, numbers from NumPy.

`model.init` compiles the whole network to draw its weights, 12 to 27 s for Inception-v3. Tracing for shapes takes about
one.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from flax import traverse_util

# Standard deviation of a unit normal cut off at two: dividing by it restores the variance that was asked for.
_TRUNCATED_STD = 0.87962566103423978

_CONSTANTS = {'bias': 0.0, 'scale': 1.0, 'gamma': 0.0, 'mean': 0.0, 'var': 1.0}


def initialize(model: nn.Module, example: Any, seed: int, **kwargs: Any) -> dict[str, Any]:
  """Returns NumPy variables of `model`, all from the seed and each parameter's flat name, so adding a layer changes no
  other.

  Our choice, where the paper is silent: convolution kernels are He normal (variance 2 / fan-in) and dense kernels LeCun
  normal (1 / fan-in), both truncated at two standard deviations, as flax does; `bias` 0; `scale` 1; running `mean` 0
  and `var` 1; and `gamma`, the gate of a residual attention block, 0. A module's own initialisers are not run. Fan-in
  is the product of all axes but the last, also for the transposed kernels of U-Net, as flax and torch count it.

  Args:
    model: a linen module whose call takes `train`.
    example: its first argument; an array or a `jax.ShapeDtypeStruct`, only shape and type matter.
    seed: any integer.
    **kwargs: further keyword arguments of the call.

  Returns:
    {'params': ..., 'batch_stats': ...} of float32 arrays; 'batch_stats' is empty for a model without any.

  Raises:
    ValueError: a variable whose last name is none of the above; set it after loading, or give it one of those names.
  """
  shapes = jax.eval_shape(lambda key, x: model.init(key, x, train=False, **kwargs), jax.random.key(0), example)
  flat = traverse_util.flatten_dict(shapes, sep='/')
  filled = traverse_util.unflatten_dict({k: _fill(k, v.shape, seed) for k, v in flat.items()}, sep='/')
  return {'params': {}, 'batch_stats': {}} | filled


def _fill(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
  leaf = name.rpartition('/')[2]
  if leaf in _CONSTANTS:
    return np.full(shape, _CONSTANTS[leaf], np.float32)
  if leaf == 'kernel':
    digest = hashlib.sha256(f'{seed}:{name}'.encode()).digest()
    rng = np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], 'little')))
    variance = (1.0 if len(shape) == 2 else 2.0) / math.prod(shape[:-1])
    return _truncated_normal(rng, shape) * np.float32(math.sqrt(variance) / _TRUNCATED_STD)
  raise ValueError(f'no initial value is known for {name!r} of shape {shape}; '
                   f'names that are: kernel, {", ".join(_CONSTANTS)}')


def _truncated_normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
  """Unit normal float32 within two standard deviations, by drawing again what falls outside."""
  x = rng.standard_normal(shape, np.float32)
  outside = np.abs(x) > 2
  while count := np.count_nonzero(outside):
    x[outside] = rng.standard_normal(count, np.float32)
    outside = np.abs(x) > 2
  return x
