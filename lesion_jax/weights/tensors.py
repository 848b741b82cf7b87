"""Safetensors files as NumPy arrays, bfloat16 included. The format holds no code, so reading a file runs none."""

from __future__ import annotations

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

# The format's names. bfloat16 is spelt through JAX because NumPy has none, nor has safetensors' own reader for NumPy.
_DTYPES = {
    'BOOL': np.dtype(bool), 'U8': np.dtype(np.uint8), 'I8': np.dtype(np.int8), 'I16': np.dtype(np.int16),
    'I32': np.dtype(np.int32), 'I64': np.dtype(np.int64), 'F16': np.dtype(np.float16), 'BF16': np.dtype(jnp.bfloat16),
    'F32': np.dtype(np.float32), 'F64': np.dtype(np.float64),
}


def encode(arrays: Mapping[str, np.ndarray]) -> bytes:
  """Returns the bytes of a safetensors file. Raises TypeError for a type that the format, as we use it, does not
  hold."""
  arrays = {name: np.asarray(array, order='C') for name, array in arrays.items()}
  for name, array in arrays.items():
    if array.dtype not in _DTYPES.values():
      raise TypeError(f'{name!r} has the type {array.dtype}, which is not stored; '
                      f'allowed: {", ".join(map(str, _DTYPES.values()))}')
  return safetensors.numpy.save(arrays)


def decode(data: bytes, *, source: str) -> dict[str, np.ndarray]:
  """Returns the inverse of `encode`, as read-only arrays. `source` names the file in errors: ValueError where it is
  damaged."""
  try:
    return {
        name: np.frombuffer(tensor['data'], _DTYPES[tensor['dtype']]).reshape(tensor['shape'])
        for name, tensor in safetensors.deserialize(data)
    }
  except safetensors.SafetensorError as error:
    raise ValueError(f'{source} is damaged or no safetensors file ({error}); fetch or save it again') from error
  except KeyError as error:
    raise ValueError(f'{source} holds arrays of type {error}; allowed: {", ".join(_DTYPES)}') from error
