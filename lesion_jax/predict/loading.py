"""`lesion_jax.load`: from bundles to a predictor."""

from __future__ import annotations

import numbers
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flax.errors
import jax
import numpy as np

from lesion_jax import runtime
from lesion_jax.core import LESION_KEYS, Prediction
from lesion_jax.models import DTYPES, get_model
from lesion_jax.predict.config import check_config
from lesion_jax.predict.ensemble import average, check_heads, join_configs
from lesion_jax.predict.predictor import Predictor
from lesion_jax.predict.step import PredictFn, compiled, forward
from lesion_jax.predict.tta import augmented
from lesion_jax.weights.bundle import load_bundle

Path = str | os.PathLike
# What networks raise when they are traced with fields or arrays that are not theirs.
MISFITS = (flax.errors.FlaxError, TypeError, ValueError, AttributeError, RecursionError)


class _Member(NamedTuple):
  """One bundle on the device, and the shapes of what it says of one photograph."""

  config: dict[str, Any]
  variables: Any
  predict_fn: PredictFn
  shapes: Prediction


def load(
    path: Path | Sequence[Path], *, dtype: str | None = None, device: str | jax.Device | None = None,
    thresholds: float | Mapping[str, float] | None = None, tta: str | None = None,
) -> Predictor:
  """Loads a network, or several that answer as one.

  Compiled programs are kept for the next process, see `runtime.use_cache`.

  Args:
    path: a bundle, a directory or a zip archive of one, see `weights.bundle`. Of a list of several, the probabilities
      are averaged, see `ensemble.average`; `variables` and the first argument of `predict_fn` are a tuple then.
    dtype: 'float32' or 'bfloat16', in which the network computes; None: as the bundle says. Parameters and results are
      float32 always. bfloat16 pays on accelerators alone.
    device: 'cpu', 'gpu', 'cuda:1' (the second of its kind) or a JAX device; None: JAX's default.
    thresholds: from which probability lesions count as present, above 0 and below 1: one for all, or by key, the others
      as the bundle says.
    tta: test-time augmentation: 'flips' averages over 4 mirrored copies of each photograph, 'dihedral' over 8 mirrored
      and turned ones, at 4 and 8 times the price. It is chosen here because `predict_fn` then is all that is computed.

  Raises:
    FileNotFoundError: `path` is not a bundle.
    ValueError: a bundle is damaged, or made for something that this version does not do; the members of an ensemble do
      not fit together; there is no such dtype, device, lesion or augmentation.
  """
  paths = [path] if isinstance(path, str | os.PathLike) else list(path)
  if not paths:
    raise ValueError('no bundle came; give the path of one, or a list of them')
  if dtype not in (None, *DTYPES):
    raise ValueError(f'unknown dtype {dtype!r}; choose one of {", ".join(DTYPES)}, or None')
  place, changes = find_device(device), _thresholds(thresholds)
  runtime.use_cache()
  members = [_load_member(pathlib.Path(one), dtype, place) for one in paths]
  config, variables, predict_fn, _ = members[0] if len(members) == 1 else _join(paths, members)
  config = config | {'thresholds': config['thresholds'] | changes} | ({'tta': tta} if tta else {})
  return Predictor(config, variables, compiled(augmented(predict_fn, tta), place and place.platform))


def find_device(device: str | jax.Device | None) -> jax.Device | None:
  """The device of a name, 'cpu', 'gpu', 'cuda:1'; None stays None.

  Raises:
    ValueError: there is no such device; the message lists those that there are.
  """
  if device is None or isinstance(device, jax.Device):
    return device
  platform, _, position = str(device).partition(':')
  found = _devices(platform)
  position = position or '0'
  if position.isdecimal() and int(position) < len(found):
    return found[int(position)]
  known = {one: f'{one.platform}:{number}' for name in (None, 'cpu') for number, one in enumerate(_devices(name))}
  raise ValueError(f'there is no device {device!r}; there are {", ".join(known.values())}')


def _devices(platform: str | None) -> list[jax.Device]:
  try:
    return jax.devices(platform) if platform != '' else []
  except RuntimeError:  # no such platform here
    return []


def _load_member(path: pathlib.Path, dtype: str | None, place: jax.Device | None) -> _Member:
  bundle = load_bundle(path)
  check_config(bundle.config, str(path / 'config.json'))
  fields, size = bundle.config['model'], bundle.config['preprocessing']['size']
  if dtype:
    fields = _with_dtype(fields, dtype)
  variables = jax.device_put(bundle.variables, place)  # goes on while the network is traced
  try:
    predict_fn = forward(get_model(**fields))
    # The prediction of one photograph takes this trace; of more at once, another.
    shapes = jax.eval_shape(jax.jit(predict_fn), variables, jax.ShapeDtypeStruct((1, size, size, 3), np.uint8))
  except MISFITS as error:
    raise ValueError(f'{path}: config.json and the weights do not make a network: '
                     f'{next(iter(str(error).splitlines()), type(error).__name__)}') from error
  return _Member(bundle.config | {'model': fields}, variables, predict_fn, shapes)


def _join(paths: Sequence[Path], members: Sequence[_Member]) -> _Member:
  """An ensemble as one member. Errors and provenance call the members by the last two parts of their paths: a run leaves
  'grade/bundle', and where it lies on this machine concerns no reader of the results."""
  names = ['/'.join(pathlib.Path(path).parts[-2:]) for path in paths]
  configs, variables, predict_fns, shapes = zip(*members, strict=True)
  check_heads(names, shapes)
  return _Member(join_configs(names, configs), variables,
                 average(predict_fns, [config['annotated'] for config in configs]), shapes[0])


def _with_dtype(fields: Mapping[str, Any], dtype: str) -> dict[str, Any]:
  """The fields of a network that computes in another type, the network in it too."""
  inside = {key: _with_dtype(value, dtype) if isinstance(value, Mapping) else value for key, value in fields.items()}
  return inside | {'dtype': dtype}


def _thresholds(thresholds: float | Mapping[str, float] | None) -> dict[str, float]:
  """By key, those that differ from the bundle's."""
  if thresholds is None:
    return {}
  changes = dict(thresholds) if isinstance(thresholds, Mapping) else dict.fromkeys(LESION_KEYS, thresholds)
  if unknown := sorted(set(changes) - set(LESION_KEYS)):
    raise ValueError(f'there is no lesion {", ".join(unknown)} to set a threshold for; the lesions are '
                     f'{", ".join(LESION_KEYS)}')
  for key, value in changes.items():
    if not (isinstance(value, numbers.Real) and 0 < value < 1):
      raise ValueError(f'the threshold of {key} is {value!r}; it must be a probability above 0 and below 1')
  return {key: float(value) for key, value in changes.items()}
