"""The networks by name."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from lesion_jax.models.abn import ABN
from lesion_jax.models.classifier import InceptionClassifier, InceptionGrader
from lesion_jax.models.danet import DANet
from lesion_jax.models.deeplab import DeepLabV3Plus
from lesion_jax.models.fcn import FCN
from lesion_jax.models.inception_v3 import InceptionV3
from lesion_jax.models.lesion_concat import LesionConcat
from lesion_jax.models.lesion_enhanced import LESION_BRANCH
from lesion_jax.models.lesion_net import STRIDES, LesionNet
from lesion_jax.models.multitask import MultiTask
from lesion_jax.models.patches import PatchFCN
from lesion_jax.models.unet import UNet

MODELS: dict[str, Callable[..., nn.Module]] = {
    # Lesions, pixel by pixel (Table II).
    **{f'lesion_net_{stride}s': functools.partial(LesionNet, stride=stride) for stride in reversed(STRIDES)},
    'patch_fcn_32s': PatchFCN,
    **{f'fcn_{stride}s': functools.partial(FCN, stride=stride) for stride in (32, 16, 8)},
    'unet': UNet,
    'deeplab_v3_plus': DeepLabV3Plus,
    'danet': DANet,
    # Lesions of whole images (Table II).
    'inception_v3_classifier': InceptionClassifier,
    'abn_classifier': functools.partial(ABN, task='lesions'),
    # Grades (Table III).
    'inception_v3_grader': InceptionGrader,
    'abn_grader': functools.partial(ABN, task='grades'),
    'lesion_concat': LesionConcat,
    'multitask': MultiTask,
}
# Of a configuration, which may come from a stranger: how deep networks may lie in one another, and how large a number may be.
MAX_DEPTH, MAX_WIDTH, MAX_NUMBER, MAX_ITEMS = 3, 8.0, 10_000, 64
DTYPES = {'float32': jnp.float32, 'bfloat16': jnp.bfloat16}  # float16 would need loss scaling

__all__ = ['LESION_BRANCH', 'MODELS', 'ABN', 'DANet', 'DeepLabV3Plus', 'FCN', 'InceptionClassifier', 'InceptionGrader',
           'InceptionV3', 'LesionConcat', 'LesionNet', 'MultiTask', 'PatchFCN', 'UNet', 'get_defaults', 'get_fields', 'get_model']


def get_model(name: str, **fields: Any) -> nn.Module:
  """Builds a network by name.

  Args:
    name: a key of MODELS.
    **fields: fields of the module. A dtype may be given by name; a network inside a network (the multi-task network's
      `lesion`) as a mapping with `name` and further fields. So a JSON object describes any network.

  Raises:
    ValueError: unknown name, field or dtype; the message lists what is allowed. Networks lie more than MAX_DEPTH deep in one
      another, or a number is beyond what any network has.
  """
  return _build(fields | {'name': name}, 1)


def _build(description: Mapping[str, Any], depth: int) -> nn.Module:
  """The network of a mapping with `name` and fields, which lies `depth` deep, from 1."""
  if depth > MAX_DEPTH:
    raise ValueError(f'networks lie more than {MAX_DEPTH} deep in one another; a grading network contains one lesion network')
  fields = dict(description)
  name = fields.pop('name', None)
  allowed = get_fields(name)
  if unknown := sorted(map(str, set(fields) - set(allowed))):
    raise ValueError(f'{name} has no field {", ".join(unknown)[:200]}; its fields are {", ".join(allowed)}')
  return MODELS[name](**{key: _resolve(key, value, depth) for key, value in fields.items()})


def get_fields(name: str) -> tuple[str, ...]:
  """The fields that `get_model` takes for a name; 'lesion' is among them where a network contains a lesion network.

  Raises:
    ValueError: unknown name; the message lists those that there are.
  """
  return tuple(_fields(name))


def get_defaults(field: str) -> dict[str, Any]:
  """The names of the networks that have a field, each with the value that it has there where none is given."""
  return {name: fields[field] for name in MODELS if field in (fields := _fields(name))}


def _fields(name: str) -> dict[str, Any]:
  """The fields of a network and their defaults, those of `functools.partial` in MODELS left aside."""
  if not isinstance(name, str) or name not in MODELS:
    raise ValueError(f'unknown model {str(name)[:60]!r}; the models are {", ".join(MODELS)}')
  module = MODELS[name]
  while isinstance(module, functools.partial):
    module = module.func
  return {field: known.default for field, known in module.__dataclass_fields__.items() if field not in ('parent', 'name')}


def _resolve(key: str, value: Any, depth: int) -> Any:
  if isinstance(value, Mapping):
    return _build(value, depth + 1)
  if key == 'dtype' and isinstance(value, str):
    if value not in DTYPES:
      raise ValueError(f'unknown dtype {value[:60]!r}; choose one of {", ".join(DTYPES)}')
    return DTYPES[value]
  if key == 'width' and not (isinstance(value, int | float) and 0 < value <= MAX_WIDTH):
    raise ValueError(f'width={str(value)[:60]!s}: a multiplier of all channel counts, above 0 and at most {MAX_WIDTH:g}')
  if isinstance(value, list | tuple) and len(value) > MAX_ITEMS:
    raise ValueError(f'{key} has {len(value):,} items; at most {MAX_ITEMS} make sense')
  for number in value if isinstance(value, list | tuple) else (value,):
    if isinstance(number, int | float) and not abs(number) <= MAX_NUMBER:
      raise ValueError(f'{key}: the number {str(number)[:60]} is beyond what any network here has, {MAX_NUMBER:,}')
  return tuple(value) if isinstance(value, list) else value  # JSON has lists
